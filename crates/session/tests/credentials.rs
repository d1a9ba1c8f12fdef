//! Tokens: shown in band, with one command, expiring, shrinking.
mod rig;

use std::sync::Arc;

use fanfare_protocol::{Code, Command, Event, Identity, Problem, Ref, Reply, Right, SubscribeOptions};
use fanfare_session::{Action, HubCall, HubEvent, Limits, Ticket};
use rig::*;

fn verified(ticket: Ticket, identity: Identity) -> HubEvent {
    HubEvent::Authenticated(ticket, Ok(Arc::new(identity)))
}

#[test]
fn a_bad_token_leaves_the_identity_and_everything_waits_for_the_answer() {
    let mut rig = Rig::new(user("ada", &["c"]));
    let asked = rig.command(1, auth("bad"));
    assert_eq!(rig.command(2, publish("c")), []);
    let told = rig.hub(HubEvent::Authenticated(
        ticket_of(&asked),
        Err(Problem::new(Code::Unauthorized, "bad signature")),
    ));
    assert!(
        matches!(
            told.as_slice(),
            [
                Action::Send(Event::Error { reference: Some(Ref::Number(1)), .. }),
                Action::Hub(HubCall::Publish { .. })
            ]
        ),
        "{told:?}"
    );
    assert_eq!(rig.session.identity().user.as_deref(), Some("ada"));
}

#[test]
fn a_client_may_show_its_token_in_its_first_frame() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, auth("good"));
    rig.command(2, publish("c"));
    let identity = Identity { channels: vec![channel("user:ada")], ..user("ada", &["c", "user:ada"]) };
    let told = rig.hub(verified(ticket_of(&asked), identity.clone()));
    let [
        Action::Hub(HubCall::Identify { .. }),
        Action::Send(Event::Ok { reply: Reply::Authenticated { user, expires_at }, .. }),
        Action::Hub(HubCall::Subscribe { .. }),
        Action::Hub(HubCall::Publish { .. }),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((user.as_deref(), *expires_at), (Some("ada"), identity.expires_at));
}

#[test]
fn another_user_is_a_conflict_and_the_first_stays() {
    for (first, second) in [
        (user("ada", &[]), user("bob", &[])),
        (user("ada", &[]), api_key()),
        (api_key(), user("ada", &[])),
        (user("ada", &[]), Identity::default()),
    ] {
        let mut rig = Rig::new(first.clone());
        let asked = rig.command(1, auth("t"));
        let told = rig.hub(verified(ticket_of(&asked), second));
        assert_eq!(code(&told), Code::Conflict);
        assert_eq!(**rig.session.identity(), first);
    }
}

#[test]
fn an_expired_identity_ends_the_connection_unless_it_was_renewed() {
    let quiet = Limits { ping_ms: 0, ..Limits::default() };
    let mut rig = Rig::with(user("ada", &["c"]), quiet, true);
    assert_eq!(rig.pass(3_599_000), []);
    let asked = rig.command(1, auth("newer"));
    let mut newer = user("ada", &["c"]);
    newer.expires_at = Some(START + 7_200_000);
    rig.hub(verified(ticket_of(&asked), newer));
    assert_eq!(rig.pass(3_600_000), [], "renewed");
    assert_eq!(closed(&rig.pass(1_001)), 4402);
}

#[test]
fn a_command_after_the_expiry_is_not_carried_out() {
    let quiet = Limits { ping_ms: 0, ..Limits::default() };
    let mut rig = Rig::with(user("ada", &["c"]), quiet, true);
    rig.now.unix_ms = START + 3_600_000;
    assert_eq!(closed(&rig.command(1, publish("c"))), 4402);
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_spin_the_timer() {
    let quiet = Limits { ping_ms: 0, ..Limits::default() };
    let mut rig = Rig::with(user("ada", &["c"]), quiet, true);
    let at = rig.session.poll_timeout().unwrap();
    rig.now.mono = at;
    rig.session.handle_timeout(rig.now);
    assert_eq!(rig.actions(), []);
    assert!(rig.session.poll_timeout().unwrap() > at);
}

#[test]
fn grants_that_shrink_end_subscriptions_and_memberships() {
    let mut rig = Rig::new(user("ada", &["a", "b", "m"]));
    rig.join("a");
    rig.join("b");
    let asked = rig.command(2, enter("m"));
    rig.hub(HubEvent::Entered(ticket_of(&asked), Ok(())));
    let asked = rig.command(3, auth("less"));
    let told = rig.hub(verified(ticket_of(&asked), user("ada", &["b"])));
    let [
        Action::Hub(HubCall::Identify { .. }),
        Action::Send(Event::Ok { .. }),
        Action::Hub(HubCall::Unsubscribe { channel: gone }),
        Action::Send(Event::Unsubscribed { code: Code::Revoked, .. }),
        Action::Hub(HubCall::Leave { channel: left, .. }),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((gone, left), (&channel("a"), &channel("m")));
    assert_eq!(rig.session.subscriptions(), 1);
}

#[test]
fn member_events_end_with_the_right_to_see_members() {
    let mut rig = Rig::new(user("ada", &["a"]));
    let present = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
    let asked = rig.command(1, subscribe_with("a", present, None));
    rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let asked = rig.command(2, auth("less"));
    let mut less = user("ada", &[]);
    less.grants = vec![grant(&["a"], &[Right::Subscribe])];
    let told = rig.hub(verified(ticket_of(&asked), less));
    assert!(told.iter().any(|a| matches!(a, Action::Send(Event::Unsubscribed { .. }))), "{told:?}");
}

#[test]
fn a_right_lost_while_the_hub_is_asked_is_an_error_whatever_it_answers() {
    let mut rig = Rig::new(user("ada", &["a"]));
    let subscribing = ticket_of(&rig.command(1, subscribe("a")));
    let asked = rig.command(2, auth("less"));
    let told = rig.hub(verified(ticket_of(&asked), user("ada", &[])));
    assert!(told.iter().any(|a| matches!(a, Action::Hub(HubCall::Unsubscribe { .. }))), "{told:?}");
    let told = rig.hub(HubEvent::Subscribed(subscribing, Ok(start())));
    assert_eq!(code(&told), Code::Revoked);
    assert_eq!(rig.session.subscriptions(), 0);
}

#[test]
fn a_renewal_moves_no_reader() {
    let identity = Identity { channels: vec![channel("a")], ..user("ada", &[]) };
    let mut rig = Rig::opening(identity.clone(), Limits::default(), true);
    let opening = rig.actions();
    rig.hub(HubEvent::Subscribed(ticket_of(&opening), Ok(start())));
    let asked = rig.command(1, auth("same"));
    let told = rig.hub(verified(ticket_of(&asked), identity));
    assert_eq!(told.len(), 2, "identify and ok: {told:?}");
}

#[test]
fn a_commands_token_adds_its_grants_for_that_channel_until_it_expires() {
    let quiet = Limits { ping_ms: 0, ..Limits::default() };
    let mut rig = Rig::with(user("ada", &[]), quiet, true);
    let asked = rig.command(1, subscribe_with("a", SubscribeOptions::default(), Some("t")));
    assert!(matches!(asked.as_slice(), [Action::Hub(HubCall::Authenticate { .. })]));
    assert_eq!(rig.command(2, publish("a")), [], "it waits for the token");
    let mut token = user("ada", &["a", "b"]);
    token.expires_at = Some(START + 60_000);
    let asked = rig.hub(verified(ticket_of(&asked), token));
    let told = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    assert!(
        matches!(
            told.as_slice(),
            [Action::Send(Event::Subscribed { .. }), Action::Hub(HubCall::Publish { .. })]
        ),
        "{told:?}"
    );
    assert_eq!(code(&rig.command(3, subscribe("b"))), Code::Forbidden, "for that channel alone");
    assert_eq!(rig.pass(59_000), []);
    let told = rig.pass(1_001);
    assert!(
        matches!(
            told.as_slice(),
            [
                Action::Hub(HubCall::Unsubscribe { .. }),
                Action::Send(Event::Unsubscribed { code: Code::TokenExpired, .. })
            ]
        ),
        "{told:?}"
    );
    assert_eq!(code(&rig.command(4, publish("a"))), Code::Forbidden);
    assert!(!rig.session.is_closed());
}

#[test]
fn a_commands_token_must_be_the_same_users() {
    let past = Identity { expires_at: Some(START), ..user("ada", &["a"]) };
    for (token, expected) in
        [(user("bob", &["a"]), Code::Conflict), (api_key(), Code::Forbidden), (past, Code::TokenExpired)]
    {
        let mut rig = Rig::new(user("ada", &[]));
        let command = subscribe_with("a", SubscribeOptions::default(), Some("t"));
        let asked = rig.command(1, command);
        assert_eq!(rig.command(2, Command::Unsubscribe { channel: channel("a") }), []);
        let told = rig.hub(verified(ticket_of(&asked), token));
        let [Action::Send(Event::Error { problem, .. }), Action::Send(Event::Error { .. })] = told.as_slice()
        else {
            panic!("{told:?}")
        };
        assert_eq!(problem.code, expected);
        assert_eq!(rig.session.unanswered(), 0);
    }
}

#[test]
fn a_token_that_is_renewed_with_a_seek_carries_the_subscription_on() {
    let quiet = Limits { ping_ms: 0, ..Limits::default() };
    let mut rig = Rig::with(user("ada", &[]), quiet, true);
    for (at, lasts) in [(0, 60_000), (30_000, 120_000)] {
        rig.pass(at);
        let asked = rig.command(1, subscribe_with("a", SubscribeOptions::default(), Some("t")));
        let mut token = user("ada", &["a"]);
        token.expires_at = Some(START + lasts);
        let asked = rig.hub(verified(ticket_of(&asked), token));
        rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    }
    assert_eq!(rig.pass(60_000), []);
    assert_eq!(rig.pass(31_000).len(), 2);
}
