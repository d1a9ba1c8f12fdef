//! The short way of a publication: the same answers as the long one, and only where nothing is to be waited for.
mod rig;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use fanfare_protocol::{Code, Command, Event, Identity, Problem, Publish, Ref, Rights, SessionId};
use fanfare_session::{
    Action, Cleared, Direct, HubEvent, Limits, Now, Opening, Rules, Session, checks, rules::Fit,
};
use rig::*;

fn cleared(direct: Direct) -> Cleared {
    match direct {
        Direct::Cleared(cleared) => cleared,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_publication_that_waits_for_nothing_is_handed_over_at_once_and_leaves_nothing_behind() {
    let mut rig = Rig::new(user("ada", &["mine:*"]));
    for name in ["open:a", "mine:b"] {
        let cleared = cleared(rig.session.clear(rig.now, request(7, publish(name))));
        assert_eq!((&*cleared.publish.channel, cleared.reference), (name, Some(Ref::Number(7))));
        assert_eq!(cleared.author.user.as_deref(), Some("ada"));
        assert_eq!(cleared.author.client, Some(rig.session.client()));
        assert_eq!(rig.actions(), []);
    }
    assert_eq!(rig.session.unanswered(), 0);
    let by_key = cleared(Rig::new(api_key()).session.clear(rig.now, request(0, publish("any"))));
    assert_eq!((by_key.author.client, by_key.reference), (None, None));
}

#[test]
fn the_answer_is_that_of_the_long_way() {
    for (reference, result) in [
        (5, Ok(published())),
        (0, Ok(published())),
        (5, Err(Problem::new(Code::Conflict, "no"))),
        (0, Err(Problem::new(Code::Unavailable, "no"))),
    ] {
        let mut long = Rig::anonymous();
        let ticket = ticket_of(&long.command(reference, publish("open:a")));
        let told = long.hub(HubEvent::Published(ticket, result.clone()));

        let mut short = Rig::anonymous();
        let reference =
            cleared(short.session.clear(short.now, request(reference, publish("open:a")))).reference;
        let answer = Session::answer(reference.clone(), result.clone());
        assert_eq!(answer.map(Action::Send).into_iter().collect::<Vec<_>>(), told);

        let ticket = short.session.await_published(reference);
        assert_eq!(short.session.unanswered(), 1);
        assert_eq!(short.hub(HubEvent::Published(ticket, result)), told);
        assert_eq!(short.session.unanswered(), 0);
    }
}

#[test]
fn what_is_refused_is_refused_as_on_the_long_way() {
    let large = Limits { message_bytes: 3, ..Limits::default() };
    let named = Publish { client: Some(client(3)), ..message("open:a") };
    let named = Command::Publish { publish: Box::new(named), token: None };
    for (limits, command) in
        [(Limits::default(), publish("closed:a")), (large, publish("open:a")), (Limits::default(), named)]
    {
        let mut long = Rig::with(Identity::default(), limits, true);
        let wanted = long.command(3, command.clone());
        let mut short = Rig::with(Identity::default(), limits, true);
        assert!(matches!(short.session.clear(short.now, request(3, command)), Direct::Done));
        assert_eq!(short.actions(), wanted);
        assert!(matches!(wanted.as_slice(), [Action::Send(Event::Error { .. })]), "{wanted:?}");
    }
}

#[test]
fn whatever_else_comes_and_whatever_has_to_wait_goes_the_long_way() {
    let mut rig = Rig::anonymous();
    let other = |session: &mut Session, command: Command| {
        let direct = session.clear(rig.now, request(1, command.clone()));
        let Direct::Other(given_back) = direct else { panic!("{direct:?}") };
        assert_eq!(given_back, request(1, command));
    };
    let session = &mut rig.session;
    other(session, subscribe("open:a"));
    other(session, Command::Ping);
    let with_token = Command::Publish {
        publish: Box::new(message("open:a")),
        token: Some(fanfare_protocol::command::Token("t".into())),
    };
    other(session, with_token);
    // Behind an unanswered subscribe of its channel, and only of its channel.
    session.handle_command(rig.now, request(1, subscribe("open:a")));
    other(session, publish("open:b"));
    while session.poll_action().is_some() {}
    other(session, publish("open:a"));
    assert!(matches!(session.clear(rig.now, request(1, publish("open:b"))), Direct::Cleared(_)));
    // Behind an unanswered auth.
    session.handle_command(rig.now, request(1, auth("token")));
    while session.poll_action().is_some() {}
    other(session, publish("open:b"));
}

#[test]
fn the_rate_counts_what_goes_either_way() {
    let limits = Limits { commands_per_second: 10, commands_burst: 3, ..Limits::default() };
    let mut rig = Rig::with(Identity::default(), limits, true);
    let mut passed = 0;
    for n in 0..20 {
        if n % 2 == 0 {
            passed += usize::from(matches!(
                rig.session.clear(rig.now, request(1, publish("open:a"))),
                Direct::Cleared(_)
            ));
            rig.actions();
        } else {
            passed += rig.command(1, publish("open:a")).iter().filter_map(call_of).count();
        }
    }
    assert_eq!(passed, 4);
}

#[test]
fn nothing_is_cleared_after_the_end() {
    let mut rig = Rig::new(user("ada", &["mine:*"]));
    rig.now.unix_ms += 3_600_000;
    assert!(matches!(rig.session.clear(rig.now, request(1, publish("mine:a"))), Direct::Done));
    assert!(matches!(rig.actions().as_slice(), [Action::Send(Event::Disconnect(_)), Action::Close(_)]));
    assert!(matches!(rig.session.clear(rig.now, request(1, publish("mine:a"))), Direct::Done));
    assert_eq!(rig.actions(), []);
}

/// Rules that can be changed, and count how often they are asked.
#[derive(Default)]
struct Changing {
    closed: AtomicBool,
    picky: AtomicBool,
    generation: AtomicU64,
    asked: AtomicU64,
}

struct Nothing;

impl Fit for Nothing {
    fn check(&self, _: &str, _: &fanfare_protocol::Data) -> Result<(), Problem> {
        Err(Problem::new(Code::BadRequest, "nothing fits"))
    }
}

impl Rules for Changing {
    fn anonymous(&self, _: &str) -> Rights {
        self.asked.fetch_add(1, Relaxed);
        if self.closed.load(Relaxed) { Rights::NONE } else { Rights::ALL }
    }
    fn authenticated(&self, _: &str) -> Rights {
        Rights::NONE
    }
    fn presence(&self, _: &str) -> bool {
        true
    }
    fn keyed(&self, _: &str) -> bool {
        false
    }
    fn schema(&self, _: &str) -> Option<Arc<dyn Fit>> {
        if self.picky.load(Relaxed) { Some(Arc::new(Nothing)) } else { None }
    }
    fn limits(&self) -> Limits {
        Limits::default()
    }
    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Relaxed))
    }
}

#[test]
fn what_was_allowed_is_asked_again_for_another_channel_or_event_and_after_every_change() {
    let rules = Arc::new(Changing::default());
    let now = Now { mono: Instant::now(), unix_ms: START };
    let secret = SessionId::from_random([7; 16]);
    let open = Opening {
        client: secret.client(),
        session: secret,
        identity: Arc::default(),
        welcome: true,
        seed: 1,
        version: "0",
    };
    let mut session = Session::new(now, open, rules.clone());
    let clears = |session: &mut Session, command: Command| {
        while session.poll_action().is_some() {}
        let before = rules.asked.load(Relaxed);
        let passed = matches!(session.clear(now, request(1, command)), Direct::Cleared(_));
        (passed, rules.asked.load(Relaxed) - before)
    };
    let event = |event: &str| {
        let event = fanfare_protocol::EventName::parse(event).unwrap();
        Command::Publish { publish: Box::new(Publish { event, ..message("a") }), token: None }
    };
    assert_eq!(clears(&mut session, publish("a")), (true, 1));
    assert_eq!(clears(&mut session, publish("a")), (true, 0));
    assert_eq!(clears(&mut session, publish("b")), (true, 1));
    assert_eq!(clears(&mut session, publish("a")), (true, 1));
    assert_eq!(clears(&mut session, event("x")), (true, 1));
    assert_eq!(clears(&mut session, event("x")), (true, 0));
    rules.closed.store(true, Relaxed);
    rules.generation.fetch_add(1, Relaxed);
    assert!(!clears(&mut session, event("x")).0);
    rules.closed.store(false, Relaxed);
    rules.picky.store(true, Relaxed);
    rules.generation.fetch_add(1, Relaxed);
    assert!(!clears(&mut session, event("x")).0);
    assert!(!clears(&mut session, event("x")).0, "what has a schema is checked each time");
    assert!(checks::check_fit(&*rules, &message("a")).is_err());
}
