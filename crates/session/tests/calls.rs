//! Events for the application's handlers, and what the application reads on a client's behalf.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
mod rig;

use fanfare_protocol::{Args, Code, Command, Data, Event, EventName, Identity, Problem, Ref, Reply};
use fanfare_session::{Action, HubCall, HubEvent, Limits};
use rig::*;

fn call(bytes: usize) -> Command {
    let event = EventName::parse("MESSAGE").unwrap();
    Command::Call { namespace: "/".into(), event, args: Args::one(Data::Binary(vec![0; bytes].into())) }
}

fn room() -> fanfare_protocol::ChannelName {
    channel("closed:room")
}

/// Joins `closed:room`, to which nobody has a right, and lets the hub agree.
fn joined(rig: &mut Rig) {
    rig.session.join(&room());
    let asked = rig.actions();
    let told = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let [Action::Send(Event::Subscribed { reference: None, .. }), Action::Joined { result: Ok(()), .. }] =
        told.as_slice()
    else {
        panic!("{told:?}")
    };
}

#[test]
fn a_call_is_asked_and_answered_and_counts_like_any_command() {
    let limits = Limits { commands_per_second: 1, commands_burst: 0, message_bytes: 10, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    let asked = rig.command(7, call(10));
    assert!(matches!(asked.as_slice(), [Action::Hub(HubCall::Call { .. })]), "{asked:?}");
    assert_eq!(code(&rig.command(8, call(1))), Code::RateLimited);
    let answer = Args::one(Data::NULL);
    assert_eq!(
        rig.hub(HubEvent::Called(ticket_of(&asked), Ok(answer.clone()))),
        [Action::Send(Event::Ok { reference: Some(Ref::Number(7)), reply: Reply::Called(answer) })]
    );
    rig.pass(1000);
    assert_eq!(code(&rig.command(9, call(11))), Code::TooLarge);
    rig.pass(1000);
    let asked = rig.command(0, call(1));
    let refused = Problem::new(Code::NotFound, "no handler");
    let told = rig.hub(HubEvent::Called(ticket_of(&asked), Err(refused.clone())));
    assert_eq!(refusal(&told), (None, refused), "a refusal is told without a reference too");
}

#[test]
fn a_call_waits_for_an_auth_before_it() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, auth("t"));
    assert_eq!(rig.command(2, call(1)), []);
    let after = rig.hub(HubEvent::Authenticated(ticket_of(&asked), Ok(user("ada", &[]).into())));
    assert!(matches!(after.last(), Some(Action::Hub(HubCall::Call { .. }))), "{after:?}");
}

#[test]
fn a_joined_channel_needs_no_right_and_may_be_sought_but_not_with_more() {
    let mut rig = Rig::anonymous();
    joined(&mut rig);
    assert_eq!(code(&rig.command(1, publish("closed:room"))), Code::Unauthorized);
    let asked = rig.command(2, subscribe("closed:room"));
    rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let mut with_last = snapshot();
    (with_last.start.snapshot, with_last.start.last) = (false, Some(1));
    assert_eq!(code(&rig.command(3, subscribe_with("closed:room", with_last, None))), Code::Unauthorized);
    // New credentials that grant nothing take nothing that the application gave.
    let asked = rig.command(4, auth("t"));
    let told = rig.hub(HubEvent::Authenticated(ticket_of(&asked), Ok(user("ada", &[]).into())));
    assert!(
        told.iter().all(|action| !matches!(action, Action::Send(Event::Unsubscribed { .. }))),
        "{told:?}"
    );
}

#[test]
fn leaving_ends_the_subscription_and_its_right() {
    let mut rig = Rig::anonymous();
    joined(&mut rig);
    rig.session.part(rig.now, &room());
    let told = rig.actions();
    let [
        Action::Hub(HubCall::Unsubscribe { .. }),
        Action::Send(Event::Unsubscribed { code: Code::Revoked, .. }),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(code(&rig.command(1, subscribe("closed:room"))), Code::Unauthorized);
    rig.session.part(rig.now, &room());
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.session.subscriptions(), 0);
}

#[test]
fn what_the_client_reads_by_itself_goes_on_after_leaving() {
    let mut rig = Rig::anonymous();
    rig.join("open:a");
    rig.session.join(&channel("open:a"));
    assert!(matches!(rig.actions().as_slice(), [Action::Joined { result: Ok(()), .. }]));
    rig.session.part(rig.now, &channel("open:a"));
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.session.subscriptions(), 1);
}

#[test]
fn a_join_waits_for_the_commands_before_it() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, subscribe("open:a"));
    rig.session.join(&channel("open:a"));
    assert_eq!(rig.actions(), []);
    let refused = Problem::new(Code::Unavailable, "chance");
    let then = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Err(refused.clone())));
    // The client's own attempt is refused, and the application's is made.
    let [Action::Send(Event::Error { .. }), Action::Hub(HubCall::Subscribe { ticket, options, .. })] =
        then.as_slice()
    else {
        panic!("{then:?}")
    };
    assert!(!options.echo);
    let told = rig.hub(HubEvent::Subscribed(*ticket, Err(refused)));
    assert!(matches!(told.as_slice(), [Action::Joined { result: Err(_), .. }]), "{told:?}");
    assert_eq!(rig.session.subscriptions(), 0);
}

#[test]
fn a_join_that_is_taken_back_while_it_is_asked_for_is_nothing_to_the_client() {
    let mut rig = Rig::anonymous();
    rig.session.join(&room());
    let asked = rig.actions();
    rig.session.part(rig.now, &room());
    let told = rig.actions();
    assert!(matches!(told.first(), Some(Action::Joined { result: Err(_), .. })), "{told:?}");
    assert!(told.iter().all(|action| !matches!(action, Action::Send(_))), "{told:?}");
    rig.session.join(&room());
    let again = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let [Action::Hub(HubCall::Subscribe { ticket, .. })] = again.as_slice() else { panic!("{again:?}") };
    let told = rig.hub(HubEvent::Subscribed(*ticket, Ok(start())));
    assert!(matches!(told.last(), Some(Action::Joined { result: Ok(()), .. })), "{told:?}");
}

#[test]
fn joins_count_among_the_channels_of_a_connection() {
    let limits = Limits { channels_per_connection: 1, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    rig.join("open:a");
    rig.session.join(&room());
    let told = rig.actions();
    let [Action::Joined { result: Err(problem), .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(problem.code, Code::LimitExceeded);
    assert!(!rig.session.has_joined(&room()));
}
