//! Random histories of appends, reads, expiry, compaction and restarts, against a model that keeps everything and does nothing
//! clever. A failure prints the shortest history that shows it, and its seed is kept in `tests/model.regressions`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use fanfare_broker::{
    Bound, Bounds, Broker, ChannelPolicy, Keyed, Read, ReadBack,
    contract::harness::{channel, publish},
};
use fanfare_broker_disk::{DiskBroker, DiskSettings, tools};
use fanfare_protocol::{Ack, Code, Data, Epoch, Message, Position, Publish};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};
use support::{Disk, START_MS, settings, started, stop, table, try_append, until_taken, wait};

const IDEMPOTENCY_MS: u64 = 3_000;
const CHANNELS: [(&str, bool, u64, u64, Ack); 4] = [
    ("plain", false, 6, 60_000, Ack::Stored),
    ("keyed", true, 4, 5_000, Ack::Stored),
    ("loose", true, 1_000, 2_000, Ack::Memory),
    ("idle", false, 3, u64::MAX, Ack::Stored),
];

#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Killed,
    Compacted,
    /// Exported, and imported into another directory.
    Moved,
}

#[derive(Clone, Debug)]
enum Op {
    Append {
        of: usize,
        key: Option<u8>,
        data: Option<u16>,
        ttl_ms: Option<u64>,
        id: Option<u8>,
    },
    Renew {
        of: usize,
        key: u8,
        ttl_ms: u64,
    },
    Read {
        of: usize,
        back: u64,
        limit: usize,
    },
    ReadBack {
        of: usize,
        back: u64,
        limit: usize,
    },
    Keys {
        of: usize,
        after: u64,
        limit: usize,
    },
    Advance {
        ms: u64,
    },
    Keep,
    /// The disk has no room for what these channels get, which it says when it syncs.
    Full {
        of: Vec<usize>,
        forgets: bool,
    },
    Restart(End),
}

fn op() -> impl Strategy<Value = Op> {
    let of = || prop_oneof![4 => Just(0usize), 6 => Just(1), 4 => Just(2), 1 => Just(3)];
    let maybe = |weight, end: u8| proptest::option::weighted(weight, 0..end);
    let data = proptest::option::weighted(0.8, 0..600u16);
    let ttl_ms = proptest::option::weighted(0.3, 1..4_000u64);
    let end = prop_oneof![Just(End::InOrder), Just(End::Killed), Just(End::Compacted), Just(End::Moved)];
    prop_oneof![
        12 => (of(), maybe(0.7, 4), data, ttl_ms, maybe(0.2, 4))
            .prop_map(|(of, key, data, ttl_ms, id)| Op::Append { of, key, data, ttl_ms, id }),
        1 => (of(), 0..4u8, 1..6_000u64).prop_map(|(of, key, ttl_ms)| Op::Renew { of, key, ttl_ms }),
        2 => (of(), 0..12u64, 1..6usize).prop_map(|(of, back, limit)| Op::Read { of, back, limit }),
        1 => (of(), 0..12u64, 1..6usize).prop_map(|(of, back, limit)| Op::ReadBack { of, back, limit }),
        2 => (of(), 0..30u64, 1..4usize).prop_map(|(of, after, limit)| Op::Keys { of, after, limit }),
        2 => (1..3_000u64).prop_map(|ms| Op::Advance { ms }),
        2 => Just(Op::Keep),
        1 => (proptest::collection::vec(of(), 1..6), any::<bool>())
            .prop_map(|(of, forgets)| Op::Full { of, forgets }),
        2 => end.prop_map(Op::Restart),
    ]
}

/// One message as the model knows it.
#[derive(Clone, PartialEq, Debug)]
struct Entry {
    time: u64,
    key: Option<String>,
    data: String,
    expires_ms: Option<u64>,
}

impl Entry {
    fn is_tombstone(&self) -> bool {
        self.key.is_some() && self.data == "null"
    }
}

#[derive(Clone, Default)]
struct Log {
    entries: Vec<Entry>,
    tombstones_after: u64,
    ids: BTreeMap<String, (u64, u64)>,
}

impl Log {
    fn oldest(&self, policy: &ChannelPolicy, now_ms: u64) -> u64 {
        let head = self.entries.len() as u64;
        let is_fresh = |entry: &Entry| entry.time.saturating_add(policy.ttl_ms) > now_ms;
        let by_age = self.entries.iter().position(is_fresh).map_or(head + 1, |at| at as u64 + 1);
        (head + 1).saturating_sub(policy.size).max(by_age).max(1)
    }

    /// Offsets of the newest of every key, in order; tombstones that are too old are forgotten.
    fn newest(&mut self, policy: &ChannelPolicy, now_ms: u64) -> Vec<u64> {
        let mut by_key = BTreeMap::new();
        for (entry, offset) in self.entries.iter().zip(1..) {
            if let Some(key) = &entry.key {
                by_key.insert(key, offset);
            }
        }
        let mut newest: Vec<u64> = by_key.into_values().collect();
        newest.sort_unstable();
        newest.retain(|offset| {
            let entry = &self.entries[*offset as usize - 1];
            let is_old =
                entry.time.saturating_add(policy.ttl_ms) <= now_ms || *offset <= self.tombstones_after;
            if entry.is_tombstone() && is_old {
                self.tombstones_after = self.tombstones_after.max(*offset);
            }
            !(entry.is_tombstone() && is_old)
        });
        newest
    }

    /// Ends what has fallen due.
    fn expire(&mut self, policy: &ChannelPolicy, now_ms: u64) {
        let mut due: Vec<_> = self
            .newest(policy, now_ms)
            .into_iter()
            .filter_map(|offset| Some((self.entries[offset as usize - 1].expires_ms?, offset)))
            .filter(|(expires_ms, _)| *expires_ms <= now_ms)
            .collect();
        due.sort_unstable();
        for (_, offset) in due {
            let key = self.entries[offset as usize - 1].key.clone();
            self.entries.push(Entry { time: now_ms, key, data: "null".into(), expires_ms: None });
        }
    }
}

struct Run {
    directory: tempfile::TempDir,
    broker: Option<DiskBroker>,
    policies: Arc<fanfare_broker::contract::PolicyTable>,
    now_ms: u64,
    disk: Disk,
    epoch: Option<Epoch>,
    logs: Vec<Log>,
    acks: u64,
}

fn policy(of: usize) -> ChannelPolicy {
    let (_, keyed, size, ttl_ms, ack) = CHANNELS[of];
    ChannelPolicy { size, ttl_ms, bytes: u64::MAX, keyed, ack }
}

fn shown(message: &Message) -> (u64, Entry) {
    let Data::Json(json) = &message.data else { panic!("{message:?}") };
    let data = String::from_utf8(json.to_vec()).unwrap();
    let key = message.key.as_ref().map(ToString::to_string);
    (message.offset, Entry { time: message.time, key, data, expires_ms: None })
}

impl Run {
    fn new() -> Self {
        let policies = table();
        (0..CHANNELS.len()).for_each(|of| policies.set(&channel(CHANNELS[of].0), policy(of)));
        let mut run = Self {
            directory: tempfile::tempdir().unwrap(),
            broker: None,
            policies,
            now_ms: START_MS,
            disk: Disk::default(),
            epoch: None,
            logs: vec![Log::default(); CHANNELS.len()],
            acks: 0,
        };
        run.open();
        run
    }

    fn settings(&self) -> DiskSettings {
        DiskSettings {
            segment_bytes: 1 << 10,
            idempotency_ms: IDEMPOTENCY_MS,
            settle: Duration::from_millis(1),
            try_again: Duration::from_millis(1),
            ..self.disk.over(settings(self.directory.path()))
        }
    }

    fn broker(&self) -> &DiskBroker {
        self.broker.as_ref().unwrap()
    }

    fn open(&mut self) {
        let broker = started(self.settings(), self.policies.clone()).unwrap();
        assert!(broker.opened().reset.is_empty() && broker.opened().cut.is_none(), "{:?}", broker.opened());
        broker.tick(self.now_ms);
        self.broker = Some(broker);
    }

    fn step(&mut self, op: &Op) {
        match op.clone() {
            Op::Append { of, key, data, ttl_ms, id } => self.append(of, key, data, ttl_ms, id),
            Op::Renew { of, key, ttl_ms } => self.renew(of, key, ttl_ms),
            Op::Read { of, back, limit } => self.read(of, back, limit),
            Op::ReadBack { of, back, limit } => self.read_back(of, back, limit),
            Op::Keys { of, after, limit } => self.keys(of, after, limit),
            Op::Advance { ms } => {
                self.now_ms += ms;
                self.broker().tick(self.now_ms);
                (0..CHANNELS.len()).for_each(|of| self.logs[of].expire(&policy(of), self.now_ms));
                self.look_at_all();
            }
            Op::Keep => {
                self.broker().keep();
                self.look_at_all();
            }
            Op::Full { of, forgets } => self.full(&of, forgets),
            Op::Restart(end) => self.restart(end),
        }
    }

    /// What was refused is not there, what was seen stays, and then there is room again.
    fn full(&mut self, channels: &[usize], forgets: bool) {
        // What fell due is there: nothing but these is refused.
        self.look_at_all();
        self.disk.forgets.store(forgets, SeqCst);
        self.disk.fails.store(true, SeqCst);
        for of in channels {
            let message = publish(&channel(CHANNELS[*of].0), "1");
            match try_append(self.broker(), message, self.now_ms) {
                Ok(published) => self.is_taken(*of, published.position.unwrap(), "1"),
                Err(problem) => assert_eq!(problem.code, Code::Unavailable, "{problem}"),
            }
        }
        self.look_at_all();
        self.disk.fails.store(false, SeqCst);
        self.disk.forgets.store(false, SeqCst);
        let healed = until_taken(self.broker(), publish(&channel(CHANNELS[3].0), "2"), self.now_ms);
        self.is_taken(3, healed, "2");
        self.look_at_all();
    }

    fn is_taken(&mut self, of: usize, position: Position, data: &str) {
        assert_eq!(*self.epoch.get_or_insert(position.epoch), position.epoch, "the epoch changed");
        let entry = Entry { time: self.now_ms, key: None, data: data.to_owned(), expires_ms: None };
        self.logs[of].entries.push(entry);
        assert_eq!(position.offset, self.logs[of].entries.len() as u64);
    }

    fn restart(&mut self, end: End) {
        let broker = self.broker.take().unwrap();
        match end {
            End::Killed => drop(broker),
            _ => stop(broker),
        }
        match end {
            End::Compacted => {
                tools::compact(self.settings(), self.policies.clone(), self.now_ms).unwrap();
            }
            End::Moved => {
                let (source, to) =
                    (tools::export(self.directory.path()).unwrap(), tempfile::tempdir().unwrap());
                let mut import = tools::Import::with_segments(to.path(), source.epoch, 1 << 10).unwrap();
                source.channels.iter().for_each(|state| import.channel(state.clone()).unwrap());
                source.for_each(|stored| import.message(&stored.unwrap()).unwrap());
                import.finish().unwrap();
                self.directory = to;
            }
            _ => {}
        }
        assert_eq!(tools::survey(self.directory.path()).unwrap().damages, []);
        self.open();
        self.look_at_all();
    }

    fn append(&mut self, of: usize, key: Option<u8>, data: Option<u16>, ttl_ms: Option<u64>, id: Option<u8>) {
        let (c, keyed) = (channel(CHANNELS[of].0), policy(of).keyed);
        let data = match data {
            Some(len) => format!("\"{}{}\"", self.acks, "x".repeat(len.into())),
            None if key.is_some() => "null".to_owned(),
            None => "0".to_owned(),
        };
        let key = key.map(|key| format!("k{key}"));
        let ttl_ms = ttl_ms.filter(|_| keyed && key.is_some());
        let id = id.map(|id| format!("id{id}"));
        let message = Publish {
            key: key.as_deref().map(Into::into),
            id: id.as_deref().map(Into::into),
            ttl_ms,
            ..publish(&c, &data)
        };
        let published = try_append(self.broker(), message, self.now_ms).unwrap();
        let (now_ms, log) = (self.now_ms, &mut self.logs[of]);
        let position = published.position.unwrap();
        assert_eq!(*self.epoch.get_or_insert(position.epoch), position.epoch, "the epoch changed");
        let known = id.as_ref().and_then(|id| log.ids.get(id)).filter(|(at, _)| at + IDEMPOTENCY_MS > now_ms);
        if let Some((_, offset)) = known {
            assert_eq!((published.duplicate, position.offset), (true, *offset));
            return;
        }
        self.acks += 1;
        let expires_ms = ttl_ms.map(|ttl_ms| now_ms + ttl_ms).filter(|_| data != "null");
        log.entries.push(Entry { time: now_ms, key, data, expires_ms });
        let head = log.entries.len() as u64;
        assert_eq!((published.duplicate, position.offset), (false, head));
        if let Some(id) = id {
            log.ids.insert(id, (now_ms, head));
        }
    }

    fn renew(&mut self, of: usize, key: u8, ttl_ms: u64) {
        let key: Arc<str> = format!("k{key}").into();
        let missing =
            wait(self.broker().renew(&channel(CHANNELS[of].0), std::slice::from_ref(&key), ttl_ms)).unwrap();
        let log = &mut self.logs[of];
        let last = log.entries.iter().rposition(|entry| entry.key.as_deref() == Some(&*key));
        let living = last.filter(|at| policy(of).keyed && !log.entries[*at].is_tombstone());
        assert_eq!(missing.is_empty(), living.is_some());
        if let Some(expires_ms) = living.and_then(|at| log.entries[at].expires_ms.as_mut()) {
            *expires_ms = (*expires_ms).max(self.now_ms + ttl_ms);
        }
    }

    /// The bounds, once everything that fell due is there.
    fn bounds(&mut self, of: usize) -> Bounds {
        let c = channel(CHANNELS[of].0);
        let (log, now_ms) = (&mut self.logs[of], self.now_ms);
        let broker = self.broker.as_ref().unwrap();
        let head = log.entries.len() as u64;
        let mut bounds = wait(broker.bounds(&c)).unwrap();
        for _ in 0..2_000 {
            if bounds.head >= head {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            bounds = wait(broker.bounds(&c)).unwrap();
        }
        log.newest(&policy(of), now_ms);
        let after = if policy(of).keyed { log.tombstones_after } else { head };
        let expected = (head, if head == 0 { 1 } else { log.oldest(&policy(of), now_ms) });
        assert_eq!((bounds.head, bounds.oldest), expected, "{}", CHANNELS[of].0);
        assert!(bounds.held <= bounds.oldest);
        if policy(of).keyed && bounds.tombstones_after < after {
            // A restart may know more: a removal that was forgotten matters no longer once its key was set again.
            log.tombstones_after = bounds.tombstones_after;
            log.newest(&policy(of), now_ms);
        }
        let after = if policy(of).keyed { log.tombstones_after } else { head };
        assert_eq!(bounds.tombstones_after, after, "tombstones of {}", CHANNELS[of].0);
        assert!(head == 0 || self.epoch == Some(bounds.epoch));
        bounds
    }

    fn expected(&self, of: usize, offset: u64) -> (u64, Entry) {
        let entry = self.logs[of].entries[offset as usize - 1].clone();
        (offset, Entry { expires_ms: None, ..entry })
    }

    fn read(&mut self, of: usize, back: u64, limit: usize) {
        let bounds = self.bounds(of);
        let after = Position { epoch: bounds.epoch, offset: bounds.head.saturating_sub(back) };
        let read = Read { after, limit, bytes: usize::MAX, bound: Bound::Retained };
        match wait(self.broker().read(&channel(CHANNELS[of].0), read)).unwrap() {
            Ok(slice) => {
                assert!(after.offset + 1 >= bounds.oldest);
                let got: Vec<_> = slice.messages.iter().map(|message| shown(message)).collect();
                let offsets = (after.offset + 1..=bounds.head).take(limit);
                assert_eq!(got, offsets.map(|offset| self.expected(of, offset)).collect::<Vec<_>>());
            }
            Err(lost) => assert!(after.offset + 1 < bounds.oldest, "{lost:?}"),
        }
    }

    fn read_back(&mut self, of: usize, back: u64, limit: usize) {
        let bounds = self.bounds(of);
        let before = Position { epoch: bounds.epoch, offset: bounds.head.saturating_sub(back) };
        let read = ReadBack { before: Some(before), limit, bytes: usize::MAX };
        let slice = wait(self.broker().read_back(&channel(CHANNELS[of].0), read)).unwrap();
        let got: Vec<_> = slice.messages.iter().map(|message| shown(message)).collect();
        let offsets = (bounds.oldest..before.offset).rev().take(limit);
        assert_eq!(got, offsets.map(|offset| self.expected(of, offset)).collect::<Vec<_>>());
    }

    /// The newest of every key after an offset, page by page.
    fn keys(&mut self, of: usize, after: u64, limit: usize) {
        let bounds = self.bounds(of);
        let newest = self.logs[of].newest(&policy(of), self.now_ms);
        let (mut got, mut from) = (Vec::new(), after);
        while from < bounds.head {
            let read =
                Keyed { after: from, until: bounds.head, tombstones_after: 0, limit, bytes: usize::MAX };
            let slice = wait(self.broker().read_keyed(&channel(CHANNELS[of].0), read)).unwrap();
            assert!(slice.messages.len() <= limit && slice.next > from);
            from = slice.next;
            got.extend(slice.messages.iter().map(|message| shown(message)));
        }
        let offsets = newest.into_iter().filter(|offset| policy(of).keyed && *offset > after);
        assert_eq!(got, offsets.map(|offset| self.expected(of, offset)).collect::<Vec<_>>());
    }

    fn look_at_all(&mut self) {
        for of in 0..CHANNELS.len() {
            let retained = self.bounds(of);
            self.read(of, retained.head + 1 - retained.oldest, usize::MAX);
            self.keys(of, 0, 100);
        }
    }
}

#[test]
fn any_history_gives_what_the_model_says() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    let kept = FileFailurePersistence::Direct("tests/model.regressions");
    let config = Config { cases, failure_persistence: Some(Box::new(kept)), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&prop::collection::vec(op(), 1..60), |ops| {
        let mut run = Run::new();
        ops.iter().for_each(|op| run.step(op));
        run.look_at_all();
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
