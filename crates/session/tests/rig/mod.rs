//! A session, its rules and its clock, for tests that state one behaviour each.
#![allow(dead_code, clippy::unwrap_used)]
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_protocol::{
    ChannelName, ClientId, Code, Command, Data, Epoch, Event, Grant, Identity, Pattern, Position, Problem,
    Publish, Ref, Request, Right, Rights, SessionId, Start, SubscribeOptions, command::Token,
    event::Published,
};
use fanfare_session::{
    Action, Close, HubCall, HubEvent, Limits, Now, Opening, Rules, Session, Subscribed, Ticket,
};

pub const START: u64 = 1_760_000_000_000;

/// `open:*` allows everything to everybody, `plain:*` too but has neither keys nor presence; all else nothing.
pub struct TestRules(pub Limits);

impl Rules for TestRules {
    fn anonymous(&self, channel: &str) -> Rights {
        if channel.starts_with("open:") || channel.starts_with("plain:") { Rights::ALL } else { Rights::NONE }
    }
    fn authenticated(&self, channel: &str) -> Rights {
        if channel.starts_with("users:") { Rights::ALL } else { Rights::NONE }
    }
    fn presence(&self, channel: &str) -> bool {
        !channel.starts_with("plain:")
    }
    fn keyed(&self, channel: &str) -> bool {
        !channel.starts_with("plain:")
    }
    fn limits(&self) -> Limits {
        self.0
    }
}

pub struct Rig {
    pub session: Session,
    pub now: Now,
}

impl Rig {
    pub fn new(identity: Identity) -> Self {
        Self::with(identity, Limits::default(), true)
    }

    pub fn anonymous() -> Self {
        Self::new(Identity::default())
    }

    /// The actions of the opening are dropped.
    pub fn with(identity: Identity, limits: Limits, welcome: bool) -> Self {
        let mut rig = Self::opening(identity, limits, welcome);
        rig.actions();
        rig
    }

    pub fn opening(identity: Identity, limits: Limits, welcome: bool) -> Self {
        let now = Now { mono: Instant::now(), unix_ms: START };
        let session = SessionId::from_random([7; 16]);
        let open = Opening {
            client: session.client(),
            session,
            identity: Arc::new(identity),
            welcome,
            seed: 1,
            version: "0",
        };
        Self { session: Session::new(now, open, Arc::new(TestRules(limits))), now }
    }

    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll_action()).collect()
    }

    pub fn command(&mut self, reference: i64, command: Command) -> Vec<Action> {
        self.session.handle_command(self.now, request(reference, command));
        self.actions()
    }

    pub fn hub(&mut self, event: HubEvent) -> Vec<Action> {
        self.session.handle_hub(self.now, event);
        self.actions()
    }

    /// Time passes; the session is woken whenever it asked for it.
    pub fn pass(&mut self, ms: u64) -> Vec<Action> {
        let end = self.now.mono + Duration::from_millis(ms);
        let mut actions = self.actions();
        for _ in 0..10_000 {
            let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) else { break };
            self.to(at.max(self.now.mono));
            self.session.handle_timeout(self.now);
            actions.extend(self.actions());
        }
        self.to(end);
        actions
    }

    fn to(&mut self, at: Instant) {
        let ahead = at.saturating_duration_since(self.now.mono);
        // Rounded up: a driver's timer is never early.
        self.now.unix_ms += u64::try_from(ahead.as_micros().div_ceil(1000)).unwrap();
        self.now.mono = at;
    }

    /// Subscribes and lets the hub agree.
    pub fn join(&mut self, name: &str) {
        let actions = self.command(1, subscribe(name));
        let ticket = ticket_of(&actions);
        let actions = self.hub(HubEvent::Subscribed(ticket, Ok(start())));
        assert!(matches!(actions.first(), Some(Action::Send(Event::Subscribed { .. }))), "{actions:?}");
    }
}

pub fn request(reference: i64, command: Command) -> Request {
    let reference = if reference == 0 { None } else { Some(Ref::Number(reference)) };
    Request { reference, command }
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub fn subscribe(name: &str) -> Command {
    subscribe_with(name, SubscribeOptions::default(), None)
}

pub fn subscribe_with(name: &str, options: SubscribeOptions, token: Option<&str>) -> Command {
    Command::Subscribe { channel: channel(name), options, token: token.map(|t| Token(t.into())) }
}

pub fn snapshot() -> SubscribeOptions {
    SubscribeOptions { start: Start { snapshot: true, ..Start::default() }, ..SubscribeOptions::default() }
}

pub fn unsubscribe(name: &str) -> Command {
    Command::Unsubscribe { channel: channel(name) }
}

pub fn message(name: &str) -> Publish {
    Publish::new(channel(name), Data::NULL)
}

pub fn publish(name: &str) -> Command {
    Command::Publish { publish: Box::new(message(name)), token: None }
}

pub fn enter(name: &str) -> Command {
    Command::Enter { channel: channel(name), data: Data::NULL, token: None }
}

pub fn leave(name: &str) -> Command {
    Command::Leave { channel: channel(name) }
}

pub fn auth(token: &str) -> Command {
    Command::Auth { token: Token(token.into()) }
}

pub fn start() -> Subscribed {
    Subscribed { head: position(0), recovered: None, replay: 0 }
}

pub fn position(offset: u64) -> Position {
    Position { epoch: "e1".parse::<Epoch>().unwrap(), offset }
}

pub fn published() -> Published {
    Published { position: Some(position(1)), id: "x".into(), duplicate: false }
}

/// A user whose token grants every right on `channels` and lasts an hour.
pub fn user(name: &str, channels: &[&str]) -> Identity {
    Identity {
        user: Some(name.into()),
        expires_at: Some(START + 3_600_000),
        grants: vec![grant(channels, &Right::ALL)],
        ..Identity::default()
    }
}

pub fn grant(channels: &[&str], rights: &[Right]) -> Grant {
    Grant {
        channels: channels.iter().map(|text| Pattern::parse(text, None).unwrap()).collect(),
        allow: rights.iter().copied().collect(),
        events: None,
    }
}

pub fn api_key() -> Identity {
    Identity { api_key: Some("backend".into()), ..Identity::default() }
}

pub fn client(byte: u8) -> ClientId {
    SessionId::from_random([byte; 16]).client()
}

/// The ticket of the only call that wants an answer.
pub fn ticket_of(actions: &[Action]) -> Ticket {
    let tickets: Vec<_> = actions.iter().filter_map(call_of).filter_map(ticket).collect();
    assert_eq!(tickets.len(), 1, "{actions:?}");
    tickets[0]
}

pub fn call_of(action: &Action) -> Option<&HubCall> {
    if let Action::Hub(call) = action { Some(call) } else { None }
}

pub fn ticket(call: &HubCall) -> Option<Ticket> {
    match call {
        HubCall::Authenticate { ticket, .. }
        | HubCall::Subscribe { ticket, .. }
        | HubCall::Publish { ticket, .. }
        | HubCall::History { ticket, .. }
        | HubCall::Members { ticket, .. }
        | HubCall::Enter { ticket, .. }
        | HubCall::Leave { ticket, .. }
        | HubCall::Call { ticket, .. }
        | HubCall::Answer { ticket, .. } => Some(*ticket),
        HubCall::Unsubscribe { .. } | HubCall::Until { .. } | HubCall::Identify { .. } => None,
    }
}

/// The refusal that must be the only action.
pub fn refusal(actions: &[Action]) -> (Option<Ref>, Problem) {
    match actions {
        [Action::Send(Event::Error { reference, problem })] => (reference.clone(), problem.clone()),
        other => panic!("not one error: {other:?}"),
    }
}

pub fn code(actions: &[Action]) -> Code {
    refusal(actions).1.code
}

/// The close code after the `disconnect` of the same code.
pub fn closed(actions: &[Action]) -> u16 {
    match actions {
        [.., Action::Send(Event::Disconnect(problem)), Action::Close(Close { code, reason })] => {
            assert_eq!(problem.code.close(), *code);
            assert!(reason.len() <= 123 && reason.starts_with(problem.code.name()), "{reason}");
            *code
        }
        other => panic!("no disconnect and close at the end: {other:?}"),
    }
}
