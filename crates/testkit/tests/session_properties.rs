//! A session against chance: random commands, answers in any order, tokens that shrink and expire. Whatever happens, a channel's
//! commands take effect in order, every reference is answered once, nothing happens without a right or after the close.
#![allow(clippy::unwrap_used)]
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fanfare_protocol::{
    ChannelName, Code, Command, Data, Event, Grant, Identity, Pattern, Position, Problem, Publish, Ref,
    Request, Right, Rights, SessionId, Start, SubscribeOptions,
    command::{Page, Token},
    event::{HistoryPage, MembersPage, Published},
};
use fanfare_session::{Action, HubCall, HubEvent, Limits, Opening, Rules, Session, Sign, Subscribed, Ticket};
use fanfare_testkit::{Clock, Random, START_UNIX_MS, for_each_seed};

const CHANNELS: [&str; 4] = ["a", "b", "c", "open"];

/// `open` allows subscribe and publish to everybody, everything else comes from tokens.
struct SomeRules(Limits);

impl Rules for SomeRules {
    fn anonymous(&self, channel: &str) -> Rights {
        if channel == "open" {
            Rights::NONE.with(Right::Subscribe).with(Right::Publish)
        } else {
            Rights::NONE
        }
    }
    fn authenticated(&self, _channel: &str) -> Rights {
        Rights::NONE
    }
    fn presence(&self, channel: &str) -> bool {
        channel != "c"
    }
    fn keyed(&self, _channel: &str) -> bool {
        false
    }
    fn limits(&self) -> Limits {
        self.0
    }
}

/// What a test knows of a session from outside, and what it holds against it.
struct Watch {
    session: Session,
    clock: Clock,
    random: Random,
    rules: SomeRules,
    identity: Arc<Identity>,
    /// Tokens that were verified for commands, by channel.
    tokens: Vec<(ChannelName, Arc<Identity>)>,
    open: BTreeMap<Ticket, HubCall>,
    /// References that wait, and the channel of their command.
    waiting: BTreeMap<i64, Command>,
    verifying: BTreeMap<Ticket, i64>,
    /// The highest reference that took effect, by channel.
    effect: BTreeMap<ChannelName, i64>,
    /// Channels with an unanswered subscribe.
    subscribing: BTreeSet<ChannelName>,
    attached: BTreeSet<ChannelName>,
    last_ref: i64,
    closed: bool,
    refusals: u64,
    effects: u64,
}

impl Watch {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limits = Limits {
            channels_per_connection: 3,
            memberships_per_connection: 2,
            pending_commands: 6,
            commands_per_second: if random.percent(20) { 50 } else { 0 },
            commands_burst: 20,
            ..Limits::default()
        };
        let clock = Clock::default();
        let identity = Arc::new(if random.percent(50) {
            Identity::default()
        } else {
            some_identity(&mut random, &clock)
        });
        let secret = SessionId::from_random([3; 16]);
        let opening = Opening {
            client: secret.client(),
            session: secret,
            identity: identity.clone(),
            welcome: random.percent(70),
            seed,
            version: "test",
        };
        let session = Session::new(clock.now(), opening, Arc::new(SomeRules(limits)));
        let mut watch = Self {
            session,
            clock,
            random,
            rules: SomeRules(limits),
            identity,
            tokens: Vec::new(),
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            verifying: BTreeMap::new(),
            effect: BTreeMap::new(),
            subscribing: BTreeSet::new(),
            attached: BTreeSet::new(),
            last_ref: 0,
            closed: false,
            refusals: 0,
            effects: 0,
        };
        watch.drain();
        watch
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..50 if self.session.wants_input() => self.command(),
            0..85 => self.answer(),
            85..90 => self.sign(),
            90 => self.end_one(),
            _ => self.pass(),
        }
        self.drain();
    }

    fn command(&mut self) {
        self.last_ref += 1;
        let number = self.last_ref;
        let channel = ChannelName::parse(self.random.pick(&CHANNELS).unwrap()).unwrap();
        let token = self.random.percent(20).then(|| Token(number.to_string().into()));
        let command = match self.random.below(14) {
            0..3 => {
                let start = Start { last: self.random.percent(20).then_some(3), ..Start::default() };
                let options = SubscribeOptions {
                    start,
                    presence: self.random.percent(20),
                    ..SubscribeOptions::default()
                };
                Command::Subscribe { channel, options, token }
            }
            3 => Command::Unsubscribe { channel },
            4..8 => Command::Publish { publish: Box::new(message(channel, number)), token },
            8 => Command::History { channel, page: Page::default() },
            9 => Command::Members { channel, limit: 10, after: None },
            10 => Command::Enter { channel, data: Data::Json(number.to_string().into()), token },
            11 => Command::Leave { channel },
            12 => Command::Auth { token: Token(number.to_string().into()) },
            _ => Command::Ping,
        };
        self.waiting.insert(number, command.clone());
        let request = Request { reference: Some(Ref::Number(number)), command };
        self.session.handle_command(self.clock.now(), request);
    }

    fn answer(&mut self) {
        let tickets: Vec<Ticket> = self.open.keys().copied().collect();
        let Some(ticket) = self.random.pick(&tickets).copied() else { return };
        let call = self.open.remove(&ticket).unwrap();
        let fails = self.random.percent(20);
        let fault = || Problem::new(Code::Unavailable, "chance");
        let event = match call {
            HubCall::Authenticate { .. } => {
                let verified = Arc::new(some_identity(&mut self.random, &self.clock));
                if let Some(number) = self.verifying.remove(&ticket)
                    && let Some(channel) = self.waiting.get(&number).and_then(channel_of)
                    && !fails
                {
                    self.tokens.push((channel, verified.clone()));
                }
                HubEvent::Authenticated(ticket, if fails { Err(fault()) } else { Ok(verified) })
            }
            HubCall::Subscribe { channel, .. } => {
                self.subscribing.remove(&channel);
                let head = Position { epoch: "e".parse().unwrap(), offset: 0 };
                let start = Subscribed { head, recovered: None, replay: 0 };
                HubEvent::Subscribed(ticket, if fails { Err(fault()) } else { Ok(start) })
            }
            HubCall::Publish { .. } => {
                let done = Published { position: None, id: "x".into(), duplicate: false };
                HubEvent::Published(ticket, if fails { Err(fault()) } else { Ok(done) })
            }
            HubCall::History { .. } => {
                let head = Position { epoch: "e".parse().unwrap(), offset: 0 };
                HubEvent::History(ticket, Ok(HistoryPage { messages: vec![], head, more: false, gap: false }))
            }
            HubCall::Members { .. } => {
                HubEvent::Members(ticket, Ok(MembersPage { members: vec![], count: 0, users: 0, next: None }))
            }
            HubCall::Enter { .. } | HubCall::Leave { .. } => {
                HubEvent::Entered(ticket, if fails { Err(fault()) } else { Ok(()) })
            }
            _ => unreachable!(),
        };
        self.session.handle_hub(self.clock.now(), event);
    }

    fn end_one(&mut self) {
        let channel = ChannelName::parse(self.random.pick(&CHANNELS).unwrap()).unwrap();
        // A hub that has a subscribe before it answers that first.
        if !self.subscribing.contains(&channel) {
            self.session.handle_hub(self.clock.now(), HubEvent::Ended(channel, Code::Revoked));
        }
    }

    fn sign(&mut self) {
        let sign =
            *self.random.pick(&[Sign::Received, Sign::Accepted, Sign::Blocked, Sign::Drained]).unwrap();
        self.session.handle_sign(self.clock.now(), sign);
    }

    fn pass(&mut self) {
        let ms = self.random.below(2000);
        self.clock.advance_ms(ms);
        self.session.handle_timeout(self.clock.now());
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            assert!(!self.closed, "after the close: {action:?}");
            match action {
                Action::Hub(call) => self.called(call),
                Action::Send(event) => self.told(event),
                Action::Ping | Action::Joined { .. } => {}
                Action::Close(_) => self.closed = true,
            }
        }
        assert_eq!(self.closed, self.session.is_closed());
    }

    /// Whether configuration, the identity or a token of the channel allows it: worked out apart from the session.
    fn may(&self, right: Right, channel: &ChannelName) -> bool {
        let unix_ms = self.clock.now().unix_ms;
        let by_token = |(of, token): &(ChannelName, Arc<Identity>)| {
            of == channel
                && token.user == self.identity.user
                && token.expires_at.is_none_or(|at| at > unix_ms)
                && token.allows(right, channel, None)
        };
        self.rules.anonymous(channel).has(right)
            || self.identity.allows(right, channel, None)
            || (right == Right::Subscribe && self.identity.channels.contains(channel))
            || self.tokens.iter().any(by_token)
    }

    fn called(&mut self, call: HubCall) {
        if let Some(at) = self.identity.expires_at {
            let late = self.clock.now().unix_ms >= at && !matches!(call, HubCall::Identify { .. });
            // Answers to what was asked in time may still let commands through until the timer comes.
            assert!(!late || self.clock.now().unix_ms - at < 2000, "long after the expiry: {call:?}");
        }
        let (ticket, channel, number, right) = match &call {
            HubCall::Until { .. } => return,
            HubCall::Call { .. } | HubCall::Answer { .. } => unreachable!("no command here makes one"),
            HubCall::Identify { identity } => {
                self.identity = identity.clone();
                return;
            }
            HubCall::Unsubscribe { channel } => {
                self.attached.remove(channel);
                return;
            }
            HubCall::Authenticate { ticket, token } => {
                let number: i64 = token.0.parse().unwrap();
                if !matches!(self.waiting.get(&number), Some(Command::Auth { .. })) {
                    self.verifying.insert(*ticket, number);
                }
                self.open.insert(*ticket, call);
                return;
            }
            HubCall::Subscribe { ticket, channel, options } => {
                assert!(!options.presence || self.may(Right::Presence, channel), "{call:?}");
                assert!(options.start.last.is_none() || self.may(Right::History, channel), "{call:?}");
                assert!(self.subscribing.insert(channel.clone()), "two subscribes of {channel} at once");
                (*ticket, channel.clone(), None, Some(Right::Subscribe))
            }
            HubCall::Publish { ticket, publish, .. } => {
                (*ticket, publish.channel.clone(), number_in(&publish.data), Some(Right::Publish))
            }
            HubCall::Enter { ticket, channel, data, .. } => {
                assert!(self.rules.presence(channel));
                (*ticket, channel.clone(), number_in(data), Some(Right::Enter))
            }
            HubCall::History { ticket, channel, .. } => {
                (*ticket, channel.clone(), None, Some(Right::History))
            }
            HubCall::Members { ticket, channel, .. } => {
                (*ticket, channel.clone(), None, Some(Right::Presence))
            }
            HubCall::Leave { ticket, channel, .. } => (*ticket, channel.clone(), None, None),
        };
        if let Some(right) = right {
            assert!(self.may(right, &channel), "without the right to {}: {call:?}", right.name());
            let waits = right != Right::Subscribe && self.subscribing.contains(&channel);
            assert!(!waits, "{call:?} did not wait for the subscribe before it");
        }
        if let Some(number) = number {
            self.took_effect(&channel, number);
        }
        assert!(self.open.insert(ticket, call).is_none(), "{ticket:?} twice");
    }

    fn took_effect(&mut self, channel: &ChannelName, number: i64) {
        self.effects += 1;
        let before = self.effect.insert(channel.clone(), number).unwrap_or(0);
        assert!(before < number, "{number} took effect on {channel} after {before}");
    }

    fn told(&mut self, event: Event) {
        match &event {
            Event::Subscribed { reference, channel, .. } => {
                assert!(self.may(Right::Subscribe, channel), "{channel} was subscribed without a right");
                self.attached.insert(channel.clone());
                if reference.is_some() {
                    self.replied(reference, &event);
                }
            }
            Event::Unsubscribed { channel, .. } => {
                self.attached.remove(channel);
            }
            Event::Error { reference: None, .. } => {}
            Event::Error { reference, .. } => {
                self.refusals += 1;
                self.replied(reference, &event);
            }
            Event::Ok { reference, .. } => {
                if let Some(Command::Unsubscribe { channel }) = self.replied(reference, &event) {
                    assert!(!self.attached.contains(&channel), "ok before the hub was told to unsubscribe");
                }
            }
            Event::Pong { reference, .. } => drop(self.replied(reference, &event)),
            _ => {}
        }
    }

    fn replied(&mut self, reference: &Option<Ref>, event: &Event) -> Option<Command> {
        let Some(Ref::Number(number)) = reference else { panic!("an answer to nobody: {event:?}") };
        let command = self.waiting.remove(number);
        assert!(command.is_some(), "a second answer to {number}: {event:?}");
        command
    }

    /// Everything open is answered: then every reference has had its answer.
    fn finish(&mut self) {
        while !self.closed && !self.open.is_empty() {
            self.answer();
            self.drain();
        }
        if self.closed {
            return;
        }
        assert!(self.waiting.is_empty(), "never answered: {:?}", self.waiting);
        assert_eq!(self.session.unanswered(), 0);
        assert_eq!(self.session.subscriptions(), self.attached.len());
        assert!(self.session.wants_input());
    }
}

fn channel_of(command: &Command) -> Option<ChannelName> {
    match command {
        Command::Subscribe { channel, .. } | Command::Enter { channel, .. } => Some(channel.clone()),
        Command::Publish { publish, .. } => Some(publish.channel.clone()),
        _ => None,
    }
}

fn number_in(data: &Data) -> Option<i64> {
    match data {
        Data::Json(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Data::Binary(_) => None,
    }
}

fn message(channel: ChannelName, number: i64) -> Publish {
    Publish::new(channel, Data::Json(number.to_string().into()))
}

/// Mostly the same user, with some rights on some channels, for some seconds.
fn some_identity(random: &mut Random, clock: &Clock) -> Identity {
    if random.percent(3) {
        return Identity { api_key: Some("backend".into()), ..Identity::default() };
    }
    let user = if random.percent(90) { "ada" } else { "bob" };
    let lasts = if random.percent(80) { 3_600_000 } else { random.below(5_000) + 1 };
    let grants = (0..random.below(3) + 1)
        .map(|_| Grant {
            channels: vec![Pattern::parse(random.pick(&["a", "b", "c", "*"]).unwrap(), None).unwrap()],
            allow: Right::ALL.into_iter().filter(|_| random.percent(70)).collect(),
            events: None,
        })
        .collect();
    let own = random.percent(20).then(|| ChannelName::parse("a").unwrap());
    Identity {
        user: Some(user.into()),
        expires_at: Some((clock.now().unix_ms + lasts).max(START_UNIX_MS)),
        grants,
        channels: own.into_iter().collect(),
        ..Identity::default()
    }
}

#[test]
fn whatever_happens_a_session_keeps_its_promises() {
    let (mut effects, mut refusals, mut closes, mut finished) = (0, 0, 0, 0);
    for_each_seed(4000, |seed| {
        let mut watch = Watch::new(seed);
        for _ in 0..300 {
            watch.step();
        }
        watch.finish();
        effects += watch.effects;
        refusals += watch.refusals;
        if watch.closed { closes += 1 } else { finished += 1 }
    });
    println!("{effects} effects, {refusals} refusals, {closes} closes, {finished} finished");
    if std::env::var_os("FANFARE_SEED").is_none() {
        assert!(effects > 10_000 && refusals > 10_000 && closes > 100 && finished > 100);
    }
}
