//! What commands become, what is refused, and in which order.
mod rig;

use fanfare_protocol::{
    Code, Command, Data, Event, Identity, Problem, Ref, Reply, Right, Start, SubscribeOptions, command::Page,
};
use fanfare_session::{Action, HubCall, HubEvent, Limits, Sign, Ticket};
use rig::*;

#[test]
fn a_session_identifies_welcomes_and_subscribes_its_tokens_channels() {
    let identity = Identity { channels: vec![channel("user:ada"), channel("news")], ..user("ada", &[]) };
    let mut rig = Rig::opening(identity.clone(), Limits::default(), true);
    let actions = rig.actions();
    let [Action::Hub(HubCall::Identify { identity: told }), Action::Send(Event::Welcome(welcome)), rest @ ..] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!((&**told, welcome.user.as_deref()), (&identity, Some("ada")));
    assert_eq!((welcome.time, welcome.expires_at), (START, identity.expires_at));
    let names: Vec<_> = rest
        .iter()
        .map(|action| match action {
            Action::Hub(HubCall::Subscribe { channel, .. }) => channel.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["user:ada", "news"]);
}

#[test]
fn a_stream_is_not_welcomed() {
    let mut rig = Rig::opening(Identity::default(), Limits::default(), false);
    assert!(matches!(rig.actions().as_slice(), [Action::Hub(HubCall::Identify { .. })]));
}

#[test]
fn ok_is_sent_only_for_a_reference_but_subscribed_and_errors_always() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(0, publish("open:a"));
    assert_eq!(rig.hub(HubEvent::Published(ticket_of(&asked), Ok(published()))), []);
    let asked = rig.command(5, publish("open:a"));
    let told = rig.hub(HubEvent::Published(ticket_of(&asked), Ok(published())));
    assert_eq!(
        told,
        [Action::Send(Event::Ok { reference: Some(Ref::Number(5)), reply: Reply::Published(published()) })]
    );
    let asked = rig.command(0, subscribe("open:a"));
    let told = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    assert!(matches!(told.as_slice(), [Action::Send(Event::Subscribed { reference: None, .. })]));
    assert_eq!(refusal(&rig.command(0, publish("closed:a"))).0, None);
}

#[test]
fn commands_wait_behind_a_subscribe_of_their_channel_only() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, subscribe("open:a"));
    assert_eq!(rig.command(2, publish("open:a")), []);
    assert_eq!(rig.command(3, unsubscribe("open:a")), []);
    assert_eq!(rig.command(4, publish("open:a")), []);
    assert!(!rig.command(5, publish("open:b")).is_empty(), "another channel does not wait");
    let actions = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let [
        Action::Send(Event::Subscribed { .. }),
        Action::Hub(HubCall::Publish { .. }),
        Action::Hub(HubCall::Unsubscribe { .. }),
        Action::Send(Event::Ok { reference: Some(Ref::Number(3)), .. }),
        Action::Hub(HubCall::Publish { .. }),
    ] = actions.as_slice()
    else {
        panic!("{actions:?}")
    };
}

#[test]
fn publishes_are_pipelined() {
    let mut rig = Rig::anonymous();
    let asked: Vec<_> = (1..=8).map(|n| ticket_of(&rig.command(n, publish("open:a")))).collect();
    for (n, ticket) in asked.iter().enumerate().rev() {
        let told = rig.hub(HubEvent::Published(*ticket, Ok(published())));
        assert!(
            matches!(told.as_slice(), [Action::Send(Event::Ok { reference: Some(Ref::Number(r)), .. })] if *r == n as i64 + 1),
            "{told:?}"
        );
    }
    assert_eq!(rig.session.unanswered(), 0);
}

#[test]
fn a_subscribe_on_a_subscribed_channel_is_a_seek_and_is_not_counted_again() {
    let limits = Limits { channels_per_connection: 1, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    rig.join("open:a");
    let asked = rig.command(2, subscribe_with("open:a", snapshot(), None));
    assert!(
        matches!(asked.as_slice(), [Action::Hub(HubCall::Subscribe { options, .. })] if options.start.snapshot)
    );
    let refused = rig.hub(HubEvent::Subscribed(
        ticket_of(&asked),
        Err(Problem::new(Code::Unavailable, "the log is out of reach")),
    ));
    assert_eq!(code(&refused), Code::Unavailable);
    assert_eq!(code(&rig.command(3, subscribe("open:b"))), Code::LimitExceeded);
    assert_eq!(rig.command(4, unsubscribe("open:a")).len(), 2, "a seek that failed left the subscription");
    assert!(!rig.command(5, subscribe("open:b")).is_empty());
    assert_eq!(rig.session.subscriptions(), 1);
}

#[test]
fn unsubscribe_reaches_the_hub_before_its_ok_and_leaves() {
    let mut rig = Rig::anonymous();
    rig.join("open:a");
    let asked = rig.command(2, enter("open:a"));
    rig.hub(HubEvent::Entered(ticket_of(&asked), Ok(())));
    let actions = rig.command(3, unsubscribe("open:a"));
    let [
        Action::Hub(HubCall::Leave { ticket, .. }),
        Action::Hub(HubCall::Unsubscribe { .. }),
        Action::Send(Event::Ok { .. }),
    ] = actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(rig.hub(HubEvent::Entered(*ticket, Ok(()))), [], "nobody asked to leave");
    assert_eq!(code(&rig.command(4, unsubscribe("open:a"))), Code::NotFound);
}

#[test]
fn leaving_without_membership_is_the_hubs_not_found() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, leave("open:a"));
    let gone = Problem::new(Code::NotFound, "no member");
    assert_eq!(code(&rig.hub(HubEvent::Entered(ticket_of(&asked), Err(gone)))), Code::NotFound);
    assert_eq!(code(&rig.command(2, leave("plain:a"))), Code::NotFound);
}

#[test]
fn what_the_namespace_has_not_is_a_bad_request() {
    let mut rig = Rig::anonymous();
    let present = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
    for command in [
        subscribe_with("plain:a", snapshot(), None),
        subscribe_with("plain:a", present, None),
        enter("plain:a"),
        Command::Members { channel: channel("plain:a"), limit: 10, after: None },
    ] {
        assert_eq!(code(&rig.command(1, command)), Code::BadRequest);
    }
}

#[test]
fn every_right_is_asked_for() {
    let history = SubscribeOptions {
        start: Start { last: Some(3), ..Start::default() },
        ..SubscribeOptions::default()
    };
    let present = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
    let cases: [(Command, &[Right]); 8] = [
        (subscribe("c"), &[Right::Subscribe]),
        (subscribe_with("c", snapshot(), None), &[Right::Subscribe]),
        (subscribe_with("c", history, None), &[Right::Subscribe, Right::History]),
        (subscribe_with("c", present, None), &[Right::Subscribe, Right::Presence]),
        (publish("c"), &[Right::Publish]),
        (enter("c"), &[Right::Enter]),
        (Command::Members { channel: channel("c"), limit: 10, after: None }, &[Right::Presence]),
        (Command::History { channel: channel("c"), page: Page::default() }, &[Right::History]),
    ];
    for (command, needed) in cases {
        let mut enough = user("ada", &[]);
        enough.grants = vec![grant(&["c"], needed)];
        let actions = Rig::new(enough).command(1, command.clone());
        assert!(matches!(actions.as_slice(), [Action::Hub(_)]), "{command:?}: {actions:?}");
        assert_eq!(code(&Rig::anonymous().command(1, command.clone())), Code::Unauthorized);
        for missing in needed {
            let rest: Vec<_> = Right::ALL.into_iter().filter(|right| right != missing).collect();
            let mut lacking = user("ada", &[]);
            lacking.grants = vec![grant(&["c"], &rest)];
            assert_eq!(code(&Rig::new(lacking).command(1, command.clone())), Code::Forbidden, "{command:?}");
        }
    }
}

#[test]
fn a_grant_may_be_narrowed_to_events() {
    let mut identity = user("ada", &["c"]);
    identity.grants[0].events = Some(vec!["say".into()]);
    assert_eq!(code(&Rig::new(identity).command(1, publish("c"))), Code::Forbidden);
}

#[test]
fn only_an_api_key_names_the_publishing_client_and_it_has_none_itself() {
    let mut with_client = message("open:a");
    with_client.client = Some(client(9));
    let command = Command::Publish { publish: Box::new(with_client), token: None };
    assert_eq!(code(&Rig::anonymous().command(1, command.clone())), Code::BadRequest);
    let actions = Rig::new(api_key()).command(1, command);
    assert!(
        matches!(actions.as_slice(), [Action::Hub(HubCall::Publish { author, .. })] if author.client.is_none())
    );
    let actions = Rig::anonymous().command(1, publish("open:a"));
    assert!(
        matches!(actions.as_slice(), [Action::Hub(HubCall::Publish { author, .. })] if author.client == Some(client(7)))
    );
}

#[test]
fn sizes_and_counts_are_limited() {
    let limits = Limits { message_bytes: 10, memberships_per_connection: 1, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    let mut big = message("open:a");
    big.data = Data::Json(b"\"123456789\"".as_slice().into());
    let data = big.data.clone();
    assert_eq!(
        code(&rig.command(1, Command::Publish { publish: Box::new(big), token: None })),
        Code::TooLarge
    );
    let fat = Command::Enter { channel: channel("open:a"), data, token: None };
    assert_eq!(code(&rig.command(2, fat)), Code::TooLarge);
    let asked = rig.command(3, enter("open:a"));
    assert_eq!(code(&rig.command(4, enter("open:b"))), Code::LimitExceeded);
    rig.hub(HubEvent::Entered(ticket_of(&asked), Err(Problem::new(Code::Conflict, "leased"))));
    assert_eq!(rig.command(5, enter("open:b")).len(), 1, "what failed is not counted");
}

#[test]
fn an_enter_that_fails_after_a_leave_does_not_undo_a_later_one() {
    let limits = Limits { memberships_per_connection: 1, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    let first = ticket_of(&rig.command(1, enter("open:a")));
    rig.command(2, leave("open:a"));
    let second = ticket_of(&rig.command(3, enter("open:a")));
    rig.hub(HubEvent::Entered(second, Ok(())));
    rig.hub(HubEvent::Entered(first, Err(Problem::new(Code::Internal, "x"))));
    assert_eq!(code(&rig.command(4, enter("open:b"))), Code::LimitExceeded);
}

#[test]
fn too_many_waiting_commands_stop_the_reading_and_none_is_dropped() {
    let limits = Limits { pending_commands: 5, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    let asked = rig.command(1, subscribe("open:a"));
    for n in 2..=20 {
        assert_eq!(rig.session.wants_input(), n <= 5, "at {n}");
        rig.command(n, publish("open:a"));
    }
    let actions = rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start())));
    let tickets: Vec<_> = actions.iter().filter_map(call_of).filter_map(ticket).collect();
    assert_eq!(tickets.len(), 19);
    assert!(!rig.session.wants_input());
    for ticket in tickets {
        rig.hub(HubEvent::Published(ticket, Ok(published())));
    }
    assert!(rig.session.wants_input());
}

#[test]
fn large_waiting_commands_stop_the_reading_sooner() {
    let mut rig = Rig::anonymous();
    rig.command(1, subscribe("open:a"));
    let mut sent = 0;
    while rig.session.wants_input() && sent < 1000 {
        let mut big = message("open:a");
        big.data = Data::Binary(vec![0; 60_000].into());
        rig.command(2, Command::Publish { publish: Box::new(big), token: None });
        sent += 1;
    }
    assert!((10..40).contains(&sent), "{sent}");
}

#[test]
fn commands_over_the_rate_are_refused_and_say_how_long_to_wait() {
    let limits = Limits { commands_per_second: 10, commands_burst: 2, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    for n in 1..=3 {
        assert_eq!(rig.command(n, publish("open:a")).len(), 1);
    }
    let (reference, problem) = refusal(&rig.command(4, publish("open:a")));
    assert_eq!((reference, problem.code), (Some(Ref::Number(4)), Code::RateLimited));
    let wait = problem.retry_after_ms.unwrap();
    assert!(matches!(rig.command(5, Command::Ping).as_slice(), [Action::Send(Event::Pong { .. })]));
    rig.pass(wait);
    assert!(matches!(rig.command(6, publish("open:a")).as_slice(), [Action::Hub(_)]));
}

#[test]
fn the_hub_may_end_a_subscription() {
    let mut rig = Rig::anonymous();
    rig.join("open:a");
    let told = rig.hub(HubEvent::Ended(channel("open:a"), Code::Revoked));
    assert_eq!(told, [Action::Send(Event::Unsubscribed { channel: channel("open:a"), code: Code::Revoked })]);
    assert_eq!(rig.hub(HubEvent::Ended(channel("open:a"), Code::Revoked)), [], "once");
    assert_eq!(code(&rig.command(2, unsubscribe("open:a"))), Code::NotFound);
    assert_eq!(rig.session.subscriptions(), 0);
}

#[test]
fn a_subscription_that_ends_while_it_is_sought_stays_ended_when_the_seek_fails() {
    let mut rig = Rig::anonymous();
    rig.join("open:a");
    let seek = ticket_of(&rig.command(2, subscribe("open:a")));
    let told = rig.hub(HubEvent::Ended(channel("open:a"), Code::Revoked));
    assert!(matches!(told.as_slice(), [Action::Send(Event::Unsubscribed { .. })]), "{told:?}");
    let failed = rig.hub(HubEvent::Subscribed(seek, Err(Problem::new(Code::Revoked, "revoked"))));
    assert_eq!(refusal(&failed).0, Some(Ref::Number(2)));
    assert_eq!(
        (rig.session.subscriptions(), code(&rig.command(3, unsubscribe("open:a")))),
        (0, Code::NotFound)
    );
}

#[test]
fn answers_to_nothing_are_ignored() {
    let mut rig = Rig::anonymous();
    assert_eq!(rig.hub(HubEvent::Published(Ticket(99), Ok(published()))), []);
    assert_eq!(rig.hub(HubEvent::Subscribed(Ticket(0), Ok(start()))), []);
}

#[test]
fn a_rejected_frame_is_answered() {
    let mut rig = Rig::anonymous();
    let problem = Problem::new(Code::BadRequest, "not JSON");
    rig.session.handle_rejected(rig.now, None, problem.clone());
    assert_eq!(refusal(&rig.actions()), (None, problem));
}

#[test]
fn silence_pings_then_closes_and_a_stall_closes() {
    let mut rig = Rig::anonymous();
    let actions = rig.pass(60_000);
    assert_eq!(actions.first(), Some(&Action::Ping));
    assert_eq!(closed(&actions), 4410);
    assert_eq!((rig.session.poll_timeout(), rig.session.wants_input()), (None, false));

    let mut rig = Rig::anonymous();
    rig.session.handle_sign(rig.now, Sign::Blocked);
    assert_eq!(rig.pass(119_000), []);
    assert_eq!(closed(&rig.pass(2_000)), 4408);

    let mut rig = Rig::with(Identity::default(), Limits::default(), false);
    assert_eq!(rig.pass(60_000), [Action::Ping, Action::Ping, Action::Ping, Action::Ping]);
}

#[test]
fn after_the_close_nothing_happens() {
    let mut rig = Rig::anonymous();
    let asked = rig.command(1, subscribe("open:a"));
    rig.command(2, publish("open:a"));
    let long = "ä".repeat(200);
    let problem = Problem::new(Code::Draining, long).retry_after_ms(100);
    assert_eq!(closed(&rig.hub(HubEvent::Disconnect(problem.clone()))), 1012);
    assert_eq!(rig.hub(HubEvent::Subscribed(ticket_of(&asked), Ok(start()))), []);
    assert_eq!(rig.hub(HubEvent::Disconnect(problem)), []);
    assert_eq!(rig.command(3, Command::Ping), []);
    assert_eq!(rig.pass(600_000), []);
    assert!(rig.session.is_closed());
}
