//! Random histories against a model that is too simple to be wrong.
use std::{collections::BTreeMap, hash::BuildHasher, sync::Arc};

use fanfare_protocol::{ChannelName, Message, Position, Publish, event::GapReason};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    Harness, Maker,
    harness::{channel, keyed, offsets, publish},
};
use crate::{Bound, ChannelPolicy, Keyed, Read};

const IDEMPOTENCY_MS: u64 = 5_000;
/// The environment variable that repeats a run.
const SEED: &str = "FANFARE_CONTRACT_SEED";

#[derive(Clone, Debug)]
enum Op {
    /// With a key of so many, data or none (removal), a ttl, an id of so many.
    Append {
        key: Option<u8>,
        data: bool,
        ttl_ms: Option<u64>,
        id: Option<u8>,
    },
    /// Only if the head is so much further back.
    Conditional {
        back: u64,
    },
    Advance {
        ms: u64,
    },
    /// From so far behind the head.
    Read {
        back: u64,
        limit: usize,
    },
    ReadBack {
        back: u64,
        limit: usize,
    },
    Keys {
        back: u64,
        tombstones_back: u64,
        limit: usize,
    },
    Renew {
        key: u8,
        ttl_ms: u64,
    },
    Policy {
        size: u64,
        ttl_ms: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = || proptest::option::weighted(0.7, 0..5u8);
    let append = (key(), prop::bool::weighted(0.75), proptest::option::weighted(0.3, 1..4_000u64));
    prop_oneof![
        8 => (append, proptest::option::weighted(0.3, 0..4u8))
            .prop_map(|((key, data, ttl_ms), id)| Op::Append { key, data, ttl_ms, id }),
        1 => (0..3u64).prop_map(|back| Op::Conditional { back }),
        3 => (0..2_500u64).prop_map(|ms| Op::Advance { ms }),
        3 => (0..16u64, 1..8usize).prop_map(|(back, limit)| Op::Read { back, limit }),
        2 => (0..16u64, 1..8usize).prop_map(|(back, limit)| Op::ReadBack { back, limit }),
        3 => (0..30u64, 0..30u64, 1..4usize)
            .prop_map(|(back, tombstones_back, limit)| Op::Keys { back, tombstones_back, limit }),
        1 => (0..5u8, 1..4_000u64).prop_map(|(key, ttl_ms)| Op::Renew { key, ttl_ms }),
        1 => (0..12u64, 1..6_000u64).prop_map(|(size, ttl_ms)| Op::Policy { size, ttl_ms }),
    ]
}

/// One message as the model knows it.
#[derive(Clone, Debug)]
struct Entry {
    time: u64,
    key: Option<String>,
    tombstone: bool,
    expires_ms: Option<u64>,
}

/// Everything ever appended, and nothing clever.
struct Model {
    policy: ChannelPolicy,
    /// Offset 1 first.
    log: Vec<Entry>,
    /// The lowest `oldest` still promised: what retention has once let go need not come back.
    gone: u64,
    tombstones_after: u64,
    /// When an id was used, and its offset.
    ids: BTreeMap<String, (u64, u64)>,
}

impl Model {
    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn oldest(&self, now_ms: u64) -> u64 {
        let by_count = self.head() + 1 - self.policy.size.min(self.head());
        let fresh = |entry: &Entry| entry.time + self.policy.ttl_ms > now_ms;
        let by_age = self.log.iter().position(fresh).map_or(self.head() + 1, |at| at as u64 + 1);
        by_count.max(by_age)
    }

    fn entry(&self, offset: u64) -> &Entry {
        &self.log[offset as usize - 1]
    }

    /// Offsets of the newest message of each key, oldest first, without the tombstones that are too old.
    fn newest(&mut self, now_ms: u64) -> Vec<u64> {
        let mut by_key = BTreeMap::new();
        for (entry, offset) in self.log.iter().zip(1..) {
            if let Some(key) = &entry.key {
                by_key.insert(key.clone(), offset);
            }
        }
        let mut newest: Vec<u64> = by_key.into_values().collect();
        newest.sort_unstable();
        newest.retain(|offset| {
            let entry = &self.log[*offset as usize - 1];
            let dropped = *offset <= self.tombstones_after || entry.time + self.policy.ttl_ms <= now_ms;
            if entry.tombstone && dropped {
                self.tombstones_after = self.tombstones_after.max(*offset);
            }
            !(entry.tombstone && dropped)
        });
        newest
    }

    /// The offset of a key that exists.
    fn living(&self, key: &str) -> Option<usize> {
        let at = self.log.iter().rposition(|entry| entry.key.as_deref() == Some(key))?;
        (!self.log[at].tombstone).then_some(at)
    }
}

struct Run {
    h: Harness,
    c: ChannelName,
    model: Model,
}

impl Run {
    async fn new(make: &Maker) -> Self {
        let h = make.broker_with(IDEMPOTENCY_MS, 1000).await;
        let c = channel("model:1");
        let policy = ChannelPolicy { keyed: true, size: 8, ttl_ms: 5_000, ..ChannelPolicy::default() };
        h.set_policy(&c, policy);
        h.broker.interest(&c).await.unwrap();
        let model = Model { policy, log: Vec::new(), gone: 1, tombstones_after: 0, ids: BTreeMap::new() };
        Self { h, c, model }
    }

    async fn step(&mut self, op: &Op) {
        match op.clone() {
            Op::Append { key, data, ttl_ms, id } => self.append(key, data, ttl_ms, id).await,
            Op::Conditional { back } => self.conditional(back).await,
            Op::Advance { ms } => self.advance(ms).await,
            Op::Read { back, limit } => self.read(back, limit).await,
            Op::ReadBack { back, limit } => self.read_back(back, limit).await,
            Op::Keys { back, tombstones_back, limit } => self.keys(back, tombstones_back, limit).await,
            Op::Renew { key, ttl_ms } => self.renew(key, ttl_ms).await,
            Op::Policy { size, ttl_ms } => {
                // What the old policy had let go stays gone; what is kept of it may come back or not.
                self.look().await;
                self.model.policy = ChannelPolicy { size, ttl_ms, ..self.model.policy };
                self.h.set_policy(&self.c, self.model.policy);
            }
        }
        self.look().await;
    }

    /// Compares the bounds, and learns how much of what a wider policy allows had gone already.
    async fn look(&mut self) {
        let now_ms = self.h.now_ms();
        let bounds = self.h.bounds(&self.c).await;
        let model = &mut self.model;
        let oldest = model.oldest(now_ms);
        assert_eq!(bounds.head, model.head());
        assert!(bounds.oldest >= oldest && bounds.held <= bounds.oldest, "{bounds:?}, model {oldest}");
        assert!(bounds.oldest <= oldest.max(model.gone), "{bounds:?}: lost what retention allows ({oldest})");
        model.gone = model.gone.max(bounds.oldest);
        model.newest(now_ms);
        assert_eq!(bounds.tombstones_after, model.tombstones_after);
    }

    async fn append(&mut self, key: Option<u8>, data: bool, ttl_ms: Option<u64>, id: Option<u8>) {
        let now_ms = self.h.now_ms();
        let key = key.map(|key| format!("k{key}"));
        let id = id.map(|id| format!("id{id}"));
        let base = match &key {
            Some(key) => keyed(&self.c, key, if data { "1" } else { "null" }),
            None => publish(&self.c, "1"),
        };
        let ttl_ms = ttl_ms.filter(|_| key.is_some());
        let published =
            self.h.try_append(Publish { ttl_ms, id: id.as_deref().map(Into::into), ..base }).await;
        let published = published.unwrap();
        let seen =
            id.as_ref().and_then(|id| self.model.ids.get(id)).filter(|seen| seen.0 + IDEMPOTENCY_MS > now_ms);
        let offset = published.position.unwrap().offset;
        if let Some((_, first)) = seen {
            assert_eq!((published.duplicate, offset), (true, *first));
            return;
        }
        let tombstone = key.is_some() && !data;
        let expires_ms = ttl_ms.filter(|_| !tombstone).map(|ttl_ms| now_ms + ttl_ms);
        self.model.log.push(Entry { time: now_ms, key, tombstone, expires_ms });
        assert_eq!((published.duplicate, offset), (false, self.model.head()));
        if let Some(id) = id {
            self.model.ids.insert(id, (now_ms, offset));
        }
    }

    async fn conditional(&mut self, back: u64) {
        let epoch = self.h.bounds(&self.c).await.epoch;
        let head = Position { epoch, offset: self.model.head() };
        let condition = Position { epoch, offset: head.offset.saturating_sub(back) };
        let result = self.h.try_append(Publish { condition: Some(condition), ..publish(&self.c, "1") }).await;
        if condition == head {
            let time = self.h.now_ms();
            self.model.log.push(Entry { time, key: None, tombstone: false, expires_ms: None });
            assert_eq!(result.unwrap().position.unwrap().offset, self.model.head());
        } else {
            assert_eq!(result.unwrap_err().position, Some(head));
        }
    }

    async fn advance(&mut self, ms: u64) {
        self.h.advance(ms);
        let now_ms = self.h.now_ms();
        let over = |entry: &Entry| entry.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        let keys: Vec<_> = self.model.log.iter().filter_map(|entry| entry.key.clone()).collect();
        let mut due: Vec<_> = keys
            .into_iter()
            .filter(|key| self.model.living(key).is_some_and(|at| over(&self.model.log[at])))
            .collect();
        due.sort();
        due.dedup();
        // In which order the keys of one tick go is the broker's business; that each goes once is not.
        let before = self.model.head() as usize;
        let delivered = self.h.sink.wait_count(&self.c, before + due.len()).await;
        let fresh: &[Arc<Message>] = &delivered[before..];
        let mut removed: Vec<_> =
            fresh.iter().map(|message| message.key.clone().unwrap().to_string()).collect();
        let entry =
            |key: &String| Entry { time: now_ms, key: Some(key.clone()), tombstone: true, expires_ms: None };
        self.model.log.extend(removed.iter().map(entry));
        removed.sort();
        assert_eq!(removed, due);
        assert!(fresh.iter().all(|message| message.is_tombstone()));
    }

    async fn read(&mut self, back: u64, limit: usize) {
        let (head, after) = (self.model.head(), self.model.head().saturating_sub(back));
        for bound in [Bound::Retained, Bound::Held] {
            let bounds = self.h.bounds(&self.c).await;
            let reach = if bound == Bound::Retained { bounds.oldest } else { bounds.held };
            let read = Read {
                after: Position { epoch: bounds.epoch, offset: after },
                limit,
                bytes: usize::MAX,
                bound,
            };
            match self.h.read_as(&self.c, read).await {
                Ok(slice) => {
                    assert!(after + 1 >= reach, "{after} is before {reach}");
                    let expected: Vec<_> = (after + 1..=head).take(limit).collect();
                    assert_eq!(offsets(&slice.messages), expected);
                    self.check(&slice.messages);
                }
                Err(lost) => assert!(lost.reason == GapReason::Expired && after + 1 < reach, "{lost:?}"),
            }
        }
    }

    async fn read_back(&mut self, back: u64, limit: usize) {
        let bounds = self.h.bounds(&self.c).await;
        let before = Position { epoch: bounds.epoch, offset: self.model.head().saturating_sub(back) };
        let slice = self.h.read_back(&self.c, Some(before), limit).await;
        let expected: Vec<_> = (bounds.oldest..before.offset).rev().take(limit).collect();
        assert_eq!(offsets(&slice.messages), expected);
        self.check(&slice.messages);
    }

    async fn keys(&mut self, back: u64, tombstones_back: u64, limit: usize) {
        let head = self.model.head();
        let (after, tombstones_after) = (head.saturating_sub(back), head.saturating_sub(tombstones_back));
        let newest = self.model.newest(self.h.now_ms());
        let told = |offset: &u64| !self.model.entry(*offset).tombstone || *offset > tombstones_after;
        let expected: Vec<_> = newest.into_iter().filter(|offset| *offset > after).filter(told).collect();
        let (mut seen, mut from) = (Vec::new(), after);
        loop {
            let read = Keyed { after: from, until: head, tombstones_after, limit, bytes: usize::MAX };
            let slice = self.h.keys_some(&self.c, read).await;
            self.check(&slice.messages);
            seen.extend(offsets(&slice.messages));
            if slice.next >= head {
                break;
            }
            assert!(slice.next > from && slice.messages.len() <= limit);
            from = slice.next;
        }
        assert_eq!(seen, expected);
    }

    async fn renew(&mut self, key: u8, ttl_ms: u64) {
        let key = format!("k{key}");
        let expires_ms = self.h.now_ms() + ttl_ms;
        let missing = self.h.renew(&self.c, &[&key], ttl_ms).await;
        match self.model.living(&key) {
            Some(at) => {
                assert_eq!(missing, [""; 0]);
                let entry = &mut self.model.log[at];
                entry.expires_ms = entry.expires_ms.map(|old| old.max(expires_ms));
            }
            None => assert_eq!(missing, [key]),
        }
    }

    fn check(&self, messages: &[Arc<Message>]) {
        for message in messages {
            let entry = self.model.entry(message.offset);
            assert_eq!((message.key.as_deref(), message.time), (entry.key.as_deref(), entry.time));
            assert_eq!(message.is_tombstone(), entry.tombstone);
        }
    }

    /// At the end: everything was delivered, once and in order.
    async fn finish(self) {
        let head = self.model.head();
        let delivered = self.h.sink.wait_count(&self.c, head as usize).await;
        assert_eq!(offsets(&delivered), (1..=head).collect::<Vec<_>>());
        self.check(&delivered);
    }
}

pub async fn random_histories_agree_with_a_simple_model(make: Maker) {
    let drawn = std::hash::RandomState::new().hash_one(0);
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(drawn);
    println!("{SEED}={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Handle::current();
    let result = tokio::task::block_in_place(|| {
        runner.run(&prop::collection::vec(op(), 1..80), |ops| {
            runtime.block_on(async {
                let mut run = Run::new(&make).await;
                for op in &ops {
                    run.step(op).await;
                }
                run.finish().await;
            });
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{SEED}={seed}: {error}");
    }
}
