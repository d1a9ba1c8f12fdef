//! Readers with a rate under virtual time, against the protocol's words for `rate`: a delivery opens a window of 1/rate seconds, at whose
//! end the newest of each key that changed goes out in the order of offsets; with no window open a message goes at once; the last always
//! arrives; replay is conflated the same way. `FANFARE_SEED=n` runs one seed alone.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "simulator/client.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod client;
#[path = "simulator/subscription.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod subscription;
mod support;
#[path = "simulator/truth.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod truth;

use std::{collections::HashMap, sync::Arc, time::Duration};

use client::{Alive, Link};
use fanfare_broker::{Broker, Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Begun, Hub};
use fanfare_protocol::{ChannelName, ClientId, Position, Start, SubscribeOptions};
use fanfare_testkit::{Random, for_each_seed};
use support::{
    Draft, channel,
    form::{Decoder, Frame},
    rules::TestRules,
};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
/// Timers and the steps of this test are this coarse.
const GRAIN: Duration = Duration::from_millis(3);

#[derive(Clone)]
struct Published {
    key: Option<String>,
    tombstone: bool,
    origin: Option<ClientId>,
    at: Instant,
}

struct Reader {
    id: ClientId,
    link: Link,
    decoder: Decoder,
    options: SubscribeOptions,
    window: Duration,
    /// Nobody else reads at this rate.
    alone: bool,
    /// Bytes its socket takes a millisecond; none: everything.
    appetite: Option<usize>,
    begun: Option<Begun>,
    /// Messages of before its `subscribed`.
    past: u64,
    at: u64,
    /// When something was last delivered.
    last: Option<Instant>,
    newest: HashMap<Option<String>, u64>,
    deliveries: u64,
    gaps: u64,
}

struct World {
    random: Random,
    hub: Arc<Hub>,
    broker: Arc<MemoryBroker>,
    name: ChannelName,
    readers: Vec<Reader>,
    log: Vec<Published>,
    keyless: u64,
    serial: u64,
    messages: u64,
    conflated: u64,
}

/// Readers' rates; the last is one's alone.
const RATES: [f64; 4] = [5.0, 20.0, 100.0, 3.0];

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let tail_bytes = [300, 20_000, 1 << 20][random.index(3)];
        let rules = Arc::new(TestRules::new(tail_bytes));
        let budget = Arc::new(Budget::new(1 << 30));
        let settings = MemorySettings::new("e1".parse().unwrap());
        let broker = Arc::new(MemoryBroker::new(settings, rules.clone(), budget.clone()));
        let spawn = Box::new(|round| drop(tokio::spawn(round)));
        let hub = Hub::new(broker.clone(), rules, budget, spawn);
        let keyed = random.percent(50);
        // A log of 8 messages does not hold what a tiny memory has given up, unless it has a key.
        let keyless = if keyed && tail_bytes < 10_000 { 0 } else { [0, 30, 100][random.index(3)] };
        let name = channel(if keyed { "keyed:a" } else { "log:a" });
        Self {
            random,
            hub,
            broker,
            name,
            readers: Vec::new(),
            log: Vec::new(),
            keyless,
            serial: 0,
            messages: 0,
            conflated: 0,
        }
    }

    fn publish(&mut self) {
        let random = &mut self.random;
        let key = (!random.percent(self.keyless)).then(|| format!("k{}", random.below(6)));
        let null = key.is_some() && random.percent(10);
        let origin = random.percent(30).then(|| support::client(random.index(6)));
        self.serial += 1;
        let draft = Draft {
            channel: &self.name,
            serial: self.serial,
            pad: random.index(100),
            key: key.clone(),
            null,
            ephemeral: false,
            origin,
            unix_ms: 1_000_000,
        };
        let published = self.hub.publish(draft.append()).now().ok().unwrap().unwrap();
        self.log.push(Published { key, tombstone: null, origin, at: Instant::now() });
        assert_eq!(published.position.unwrap().offset, self.log.len() as u64);
    }

    fn subscribe(&mut self) {
        let n = self.readers.len();
        let random = &mut self.random;
        let rate = if n == 0 { RATES[3] * (1.0 + random.below(5) as f64) } else { RATES[random.index(3)] };
        let keyed = self.name.namespace() == Some("keyed");
        let head = self.log.len() as u64;
        let mut start = Start::default();
        match random.below(4) {
            0 => start.last = Some(random.below(50)),
            1 if keyed => start.snapshot = true,
            2 if !keyed => {
                let offset = random.below(head + 1);
                start.since = Some(Position { epoch: "e1".parse().unwrap(), offset });
            }
            _ => {}
        }
        let options = SubscribeOptions { start, presence: false, rate: Some(rate), echo: random.percent(70) };
        let id = support::client(n);
        let mut link = Link::open(&self.hub, id, random.bits(), None);
        let appetite = random.percent(20).then(|| 20 + random.index(200));
        if appetite.is_none() {
            link.socket.whole();
            link.socket.allow(usize::MAX);
        }
        link.subscribe(&self.name, options.clone(), None);
        let window = Duration::from_secs_f64(1.0 / rate);
        self.readers.push(Reader {
            id,
            link,
            decoder: Decoder::default(),
            options,
            window,
            alone: n == 0,
            appetite,
            begun: None,
            past: 0,
            at: 0,
            last: None,
            newest: HashMap::new(),
            deliveries: 0,
            gaps: 0,
        });
    }

    /// Until nobody has anything to do at this moment.
    async fn run(&mut self) {
        loop {
            let mut any = false;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            for n in 0..self.readers.len() {
                if self.readers[n].link.is_runnable() {
                    any = true;
                    assert!(self.readers[n].link.drive() == Alive::Yes, "the connection ended");
                }
                // Rounds write by themselves.
                self.read(n);
            }
            if !any {
                return;
            }
        }
    }

    fn read(&mut self, n: usize) {
        let reader = &mut self.readers[n];
        let now = Instant::now();
        for (_, frame) in reader.decoder.feed(&reader.link.socket.take()) {
            match frame {
                Frame::Subscribed(number) => {
                    let asked = reader.link.asked(number);
                    reader.at = asked.begun.after.offset;
                    reader.begun = Some(asked.begun);
                }
                Frame::Message { at, serial, .. } => {
                    self.messages += 1;
                    reader.message(&self.log, at.offset, serial, now);
                }
                Frame::Gap { after, reason, .. } => {
                    let is_allowed = reader.appetite.is_some() && self.name.namespace() == Some("keyed");
                    assert!(is_allowed, "a gap ({reason:?}) to {after} of a reader that keeps up");
                    reader.gaps += 1;
                    reader.at = after.offset;
                    reader.newest.clear();
                }
                other => panic!("{other:?} came"),
            }
        }
    }

    async fn step(&mut self) {
        tokio::time::advance(MS).await;
        for reader in &mut self.readers {
            if let Some(bytes) = reader.appetite {
                reader.link.socket.allow(bytes);
            }
        }
        self.run().await;
        let now = Instant::now();
        self.readers.iter().for_each(|reader| reader.is_prompt(&self.log, now));
    }
}

impl Reader {
    fn owes(&self, message: &Published) -> bool {
        self.options.echo || message.origin != Some(self.id)
    }

    fn message(&mut self, log: &[Published], offset: u64, serial: u64, now: Instant) {
        assert_eq!(serial, offset, "another message");
        assert!(offset > self.at, "{offset} after {}", self.at);
        let message = &log[offset as usize - 1];
        assert!(self.owes(message), "its own message {offset} came");
        self.at = offset;
        if offset <= self.begun.unwrap().head.offset {
            self.past += 1;
        }
        self.newest.insert(message.key.clone(), offset);
        self.deliveries += 1;
        if self.appetite.is_some() {
            return;
        }
        let newer = log[offset as usize..].iter().position(|m| m.key == message.key);
        assert!(
            newer.is_none(),
            "{offset} came although {:?} is newer",
            newer.map(|n| n as u64 + offset + 1)
        );
        if let Some(last) = self.last.filter(|last| *last != now) {
            assert!(now - last >= self.window, "{offset} came {:?} after the last delivery", now - last);
        }
        self.last = Some(now);
    }

    /// What waits has waited no longer than windows are open.
    fn is_prompt(&self, log: &[Published], now: Instant) {
        if self.appetite.is_some() || self.begun.is_none() {
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (offset, message) in log.iter().enumerate().rev() {
            let offset = offset as u64 + 1;
            // A snapshot leaves out what was removed, and messages without a key.
            let told =
                self.begun.filter(|_| self.options.start.snapshot).map_or(0, |begun| begun.head.offset);
            if offset <= self.at.max(told) {
                break;
            }
            if !seen.insert(&message.key) || !self.owes(message) {
                continue;
            }
            let over = self.last.map(|last| last + self.window).filter(|over| *over > message.at);
            // Alone it is served exactly at the end of its window; with others, it may wait for the window that they share.
            let slack = if self.alone { GRAIN } else { GRAIN + self.window * 5 / 4 };
            let due = over.unwrap_or(message.at) + slack;
            assert!(
                now <= due,
                "{offset} has waited for {:?}, {:?} too long; the window of {:?} was over for {:?}: {:?}",
                now - message.at,
                now - due,
                self.window,
                over.map(|over| now - over),
                self.options
            );
        }
    }

    fn finish(&self, log: &[Published], keyed: bool) {
        let begun = self.begun.expect("subscribed");
        if self.gaps > 0 {
            return;
        }
        let mut due = HashMap::new();
        for (offset, message) in (1_u64..).zip(log).skip(begun.after.offset as usize) {
            due.insert(message.key.clone(), (offset, message));
        }
        for (key, (offset, message)) in due {
            let of_snapshot = self.options.start.snapshot && offset <= begun.head.offset;
            if !self.owes(message) || (keyed && of_snapshot && (message.tombstone || key.is_none())) {
                continue;
            }
            assert_eq!(self.newest.get(&key), Some(&offset), "the newest of {key:?}: {:?}", self.options);
        }
        if self.appetite.is_none() {
            assert_eq!(self.past, begun.replay, "past messages: {:?}", self.options);
        }
        assert!(self.past <= begun.replay);
    }
}

async fn simulate(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    for _ in 0..world.random.below(300) {
        world.publish();
    }
    for _ in 0..1500 {
        if world.readers.len() < 8 && (world.readers.is_empty() || world.random.percent(2)) {
            world.subscribe();
            // The past is counted and sent before anything else happens.
            world.run().await;
        }
        let burst = [0, 0, 0, 1, 1, 3, 20][world.random.index(7)];
        for _ in 0..burst {
            world.publish();
        }
        world.run().await;
        world.step().await;
    }
    for reader in &mut world.readers {
        if reader.appetite.is_some() {
            reader.appetite = Some(1 << 20);
        }
    }
    for _ in 0..1000 {
        world.step().await;
    }
    let keyed = world.name.namespace() == Some("keyed");
    assert_eq!(world.log.len() as u64, world.broker.bounds(&world.name).await.unwrap().head);
    for reader in &world.readers {
        reader.finish(&world.log, keyed);
        world.conflated += (world.log.len() as u64).saturating_sub(reader.deliveries);
    }
    for reader in std::mem::take(&mut world.readers) {
        world.hub.disconnect(&reader.link.connection);
    }
    assert_eq!(world.hub.counters().behind.get(), 0);
    (world.messages, world.conflated)
}

#[test]
fn a_rate_is_kept_and_the_newest_of_every_key_comes_in_time() {
    let (mut messages, mut conflated) = (0, 0);
    for_each_seed(10, |seed| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (some, others) = runtime.block_on(simulate(seed));
        messages += some;
        conflated += others;
    });
    if std::env::var_os("FANFARE_SEED").is_none() {
        assert!(messages > 10_000 && conflated > 20_000, "{messages} messages, {conflated} conflated");
    }
}
