//! What is the in-memory broker's own: its budget, its limit of channels, epochs of dropped ones.
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use fanfare_broker::{Append, Author};
use fanfare_broker::{
    Bound, Bounds, Broker, Budget, ChannelPolicy, Keyed, MemoryBroker, MemorySettings, Policies, Read,
    contract::{
        PolicyTable, Recorder,
        harness::{channel, keyed, offsets, publish},
    },
};
use fanfare_protocol::{Ack, ChannelName, Code, Epoch, Position, Problem, Publish, event::Published};

const START_MS: u64 = 1_760_000_000_000;

struct Store {
    broker: MemoryBroker,
    budget: Arc<Budget>,
    policies: Arc<PolicyTable>,
    sink: Arc<Recorder>,
}

fn store(limit: usize, channels_limit: usize) -> Store {
    let budget = Arc::new(Budget::new(limit));
    let policies = Arc::new(PolicyTable::default());
    let settings = MemorySettings { channels_limit, ..MemorySettings::new(Epoch::from_random(7)) };
    let broker = MemoryBroker::new(settings, policies.clone(), budget.clone());
    let sink = Arc::new(Recorder::default());
    broker.start(sink.clone());
    Store { broker, budget, policies, sink }
}

/// The memory broker's answers are ready at once: no runtime is needed.
fn now<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match answer.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("not ready at once"),
    }
}

impl Store {
    fn append_at(&self, publish: Publish, unix_ms: u64) -> Result<Published, Problem> {
        now(self.broker.append(Append { publish, author: Author::default(), unix_ms }))
    }

    fn append(&self, publish: Publish) -> Position {
        self.append_at(publish, self.broker.now_ms().max(START_MS)).unwrap().position.unwrap()
    }

    fn bounds(&self, channel: &ChannelName) -> Bounds {
        now(self.broker.bounds(channel)).unwrap()
    }

    fn weight_of_all(&self, channel: &ChannelName) -> usize {
        let bounds = self.bounds(channel);
        let after = Position { offset: bounds.held - 1, ..bounds.head_position() };
        let read = Read { after, limit: usize::MAX, bytes: usize::MAX, bound: Bound::Held };
        let held = now(self.broker.read(channel, read)).unwrap().unwrap().messages;
        let after = 0;
        let all =
            Keyed { after, until: bounds.head, tombstones_after: 0, limit: usize::MAX, bytes: usize::MAX };
        let keys = now(self.broker.read_keyed(channel, all)).unwrap().messages;
        let beside = keys.iter().filter(|message| message.offset < bounds.held);
        held.iter().chain(beside).map(|message| message.weight()).sum()
    }
}

#[test]
fn the_budget_counts_what_is_held_and_gets_it_back() {
    let s = store(1 << 30, 1000);
    let (log, keys) = (channel("a:1"), channel("k:1"));
    let small = ChannelPolicy { size: 40, ttl_ms: 60_000, ..ChannelPolicy::default() };
    s.policies.set(&log, small);
    s.policies.set(&keys, ChannelPolicy { keyed: true, ..small });
    // A crude generator: what matters is that keys, removals, leases and ages mix.
    let mut state = 1u64;
    for step in 0..20_000u64 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let (pick, key) = (state >> 33, format!("k{}", (state >> 40) % 60));
        let data = if pick % 4 == 0 { "null" } else { "\"some data\"" };
        let ttl_ms = (pick % 3 == 0).then_some(500 + pick % 5000);
        s.append(Publish { ttl_ms, ..keyed(&keys, &key, data) });
        s.append(publish(&log, "\"some more data\""));
        if pick % 5 == 0 {
            s.broker.tick(s.broker.now_ms() + pick % 400);
        }
        if step % 50 == 0 {
            let held = s.weight_of_all(&log) + s.weight_of_all(&keys);
            assert_eq!(s.budget.used(), held, "step {step}");
        }
    }
    // Not keyed any more: what was held beside the log goes.
    s.policies.set(&keys, small);
    s.bounds(&keys);
    s.broker.tick(s.broker.now_ms() + 61_000);
    assert_eq!(s.budget.used(), 0, "all has expired");
    s.append(publish(&log, "1"));
    s.append(Publish { id: Some("x".into()), ..publish(&log, "1") });
    assert!(s.budget.used() > 0);
    drop(s.broker);
    assert_eq!(s.budget.used(), 0);
}

#[test]
fn ids_are_counted_and_given_back() {
    let s = store(1 << 30, 1000);
    let c = channel("a:1");
    s.policies.set(&c, ChannelPolicy { size: 0, ..ChannelPolicy::default() });
    for n in 0..100 {
        s.append(Publish { id: Some(format!("id-{n}").into()), ..publish(&c, "1") });
    }
    assert!(s.budget.used() >= 100 * 100, "ids are memory that strangers can fill");
    s.broker.tick(START_MS + 300_000);
    assert_eq!(s.budget.used(), 0);
}

#[test]
fn a_full_budget_refuses_and_changes_nothing() {
    let s = store(20_000, 1000);
    let c = channel("a:1");
    let problem = loop {
        if let Err(problem) = s.append_at(publish(&c, "\"x\""), START_MS) {
            break problem;
        }
    };
    assert_eq!(problem.code, Code::Unavailable);
    assert!(problem.is_retryable() && problem.remedy_text().contains("limits.memory_bytes"), "{problem}");
    let before = s.bounds(&c);
    assert!(before.head > 10 && before.oldest == 1, "{before:?}");
    let other = channel("a:2");
    assert!(s.append_at(Publish { id: Some("x".into()), ..publish(&other, "1") }, START_MS).is_err());
    assert_eq!(s.bounds(&c), before);
    assert_eq!(s.bounds(&other).head, 0);
    assert_eq!(now(s.broker.channels("", None, 10)).unwrap().len(), 1, "a refused append creates no channel");
    assert!(s.budget.used() <= s.budget.limit());
    s.budget.set_limit(40_000);
    assert!(s.append_at(Publish { id: Some("x".into()), ..publish(&other, "1") }, START_MS).is_ok());
}

#[test]
fn room_is_made_by_what_retention_no_longer_needs() {
    let s = store(20_000, 1000);
    let (full, other) = (channel("a:1"), channel("a:2"));
    while s.append_at(publish(&full, "\"a little longer than what comes\""), START_MS).is_ok() {}
    let head = s.bounds(&full).head;
    // Full, but what comes pushes out what goes.
    s.policies.set(&full, ChannelPolicy { size: head, ..ChannelPolicy::default() });
    for more in 1..=1000 {
        assert_eq!(s.append(publish(&full, "\"x\"")).offset, head + more);
    }
    assert!(s.budget.used() <= s.budget.limit());
    assert_eq!(s.bounds(&full).oldest, 1001);
    // A channel that was cut down, and not touched since, makes room for another.
    while s.append_at(publish(&other, "1"), START_MS + 1_000).is_ok() {}
    assert!(s.append_at(publish(&other, "1"), START_MS + 1_500).is_err());
    s.policies.set(&full, ChannelPolicy { size: 1, ..ChannelPolicy::default() });
    assert!(s.append_at(publish(&other, "1"), START_MS + 2_000).is_ok());
    assert_eq!(s.bounds(&full).held, head + 1000);
}

#[test]
fn more_is_held_than_retained_by_an_eighth_at_most() {
    let s = store(1 << 30, 1000);
    let c = channel("a:1");
    s.policies.set(&c, ChannelPolicy { size: 80, ..ChannelPolicy::default() });
    for _ in 0..10_000 {
        s.append(publish(&c, "1"));
        let bounds = s.bounds(&c);
        assert!(bounds.oldest - bounds.held <= 10, "{bounds:?}");
    }
    s.policies.set(&c, ChannelPolicy { size: 0, ..ChannelPolicy::default() });
    s.append(publish(&c, "1"));
    assert_eq!((s.bounds(&c).held, s.budget.used()), (10_002, 0));
}

#[test]
fn a_channel_that_becomes_keyed_knows_what_its_log_holds() {
    let s = store(1 << 30, 1000);
    let c = channel("a:1");
    let plain = ChannelPolicy { size: 3, ..ChannelPolicy::default() };
    s.policies.set(&c, plain);
    for data in ["1", "2", "3", "4", "5"] {
        s.append(keyed(&c, &format!("k{data}"), data));
    }
    s.policies.set(&c, ChannelPolicy { keyed: true, ..plain });
    let all = Keyed { after: 0, until: 5, tombstones_after: 5, limit: 10, bytes: usize::MAX };
    let slice = now(s.broker.read_keyed(&c, all)).unwrap();
    assert_eq!(offsets(&slice.messages), [3, 4, 5]);
    assert_eq!(slice.bounds.tombstones_after, 2, "what went before may have been removals");
}

/// However channels are dropped and made again under concurrent writers, no position of a channel is given twice.
#[test]
fn no_position_is_ever_given_twice() {
    let s = Arc::new(store(1 << 30, 8));
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let s = s.clone();
            std::thread::spawn(move || {
                let mut given = Vec::new();
                for n in 0..5_000u64 {
                    let name = format!("a:{}", (n * 7 + writer * 3) % 32);
                    let position = s.append_at(publish(&channel(&name), "1"), START_MS + n / 10);
                    given.push((name, position.unwrap().position.unwrap()));
                }
                given
            })
        })
        .collect();
    let mut all = HashSet::new();
    for writer in writers {
        for given in writer.join().unwrap() {
            assert!(all.insert(given.clone()), "{given:?} was given twice");
        }
    }
    let epochs: HashSet<_> = all.iter().map(|(_, position)| position.epoch).collect();
    assert!(epochs.len() > 10, "channels were dropped: {} epochs", epochs.len());
    let listed = now(s.broker.channels("", None, 100)).unwrap();
    assert!(listed.len() <= 8 + 4, "{} channels are left", listed.len());
}

/// Ticks that remove keys and writers deliver through the same lock: in order, never at once.
#[test]
fn tombstones_and_appends_are_delivered_in_one_order() {
    let s = Arc::new(store(1 << 30, 100));
    let c = channel("k:1");
    s.policies.set(&c, ChannelPolicy { keyed: true, ..ChannelPolicy::default() });
    now(s.broker.interest(&c)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let ticker = std::thread::spawn({
        let (s, stop) = (s.clone(), stop.clone());
        move || {
            let mut ms = START_MS;
            while !stop.load(SeqCst) {
                ms += 10;
                s.broker.tick(ms);
                std::thread::sleep(Duration::from_micros(200));
            }
            s.broker.tick(ms + 100_000);
        }
    });
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (s, c) = (s.clone(), c.clone());
            std::thread::spawn(move || {
                for n in 0..2_000 {
                    let key = format!("{writer}-{}", n % 40);
                    s.append(Publish { ttl_ms: Some(30), ..keyed(&c, &key, "1") });
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    stop.store(true, SeqCst);
    ticker.join().unwrap();
    let delivered = s.sink.delivered(&c);
    assert_eq!(offsets(&delivered), (1..=s.bounds(&c).head).collect::<Vec<_>>());
    assert!(delivered.len() >= 6_000 + 120, "{} delivered: every key ended", delivered.len());
    let all = Keyed { after: 0, until: u64::MAX, tombstones_after: u64::MAX, limit: 1000, bytes: usize::MAX };
    assert_eq!(now(s.broker.read_keyed(&c, all)).unwrap().messages, []);
}

#[test]
fn it_does_not_say_stored() {
    let s = store(1 << 30, 10);
    let c = channel("a:1");
    let stored = Publish { ack: Some(Ack::Stored), ..publish(&c, "1") };
    let problem = s.append_at(stored.clone(), START_MS).unwrap_err();
    assert_eq!(problem.code, Code::BadRequest);
    assert!(s.append_at(Publish { ephemeral: true, ..stored }, START_MS).is_ok());
    assert!(s.append_at(Publish { ack: Some(Ack::Memory), ..publish(&c, "1") }, START_MS).is_ok());
    assert_eq!(s.policies.policy(&c).ack, Ack::Memory);
}

#[test]
fn a_stopped_broker_takes_nothing_more_but_can_be_read() {
    let s = store(1 << 30, 10);
    let c = channel("a:1");
    s.append(publish(&c, "1"));
    now(s.broker.stop()).unwrap();
    assert_eq!(s.append_at(publish(&c, "2"), START_MS).unwrap_err().code, Code::Draining);
    assert_eq!(s.bounds(&c).head, 1);
}

#[test]
fn a_clock_that_steps_back_takes_no_message_out_of_order() {
    let s = store(1 << 30, 10);
    let c = channel("a:1");
    s.policies.set(&c, ChannelPolicy { ttl_ms: 10_000, ..ChannelPolicy::default() });
    for back in [0, 3_000, 1_000, 8_000, 0] {
        s.append_at(publish(&c, "1"), START_MS + 10_000 - back).unwrap();
    }
    // Each stays as long as the latest before it, so that what is retained is always the end of the log.
    let mut oldest = 1;
    for ms in (0..30_000).step_by(500) {
        s.broker.tick(START_MS + ms);
        let bounds = s.bounds(&c);
        assert!(bounds.oldest >= oldest && bounds.held <= bounds.oldest);
        oldest = bounds.oldest;
    }
    assert_eq!(oldest, 6);
}
