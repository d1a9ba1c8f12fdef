//! The node's figures, counted where they happen and read by whoever exports them.
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use fanfare_broker::Budget;

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds so many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

impl Level {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }
    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
    /// So many more, or fewer.
    pub fn add(&self, n: isize) {
        self.0.fetch_add(n as i64, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A histogram with powers of two as bounds: bucket `n` counts values below `2^n`.
#[derive(Debug, Default)]
pub struct Spread {
    buckets: [AtomicU64; 32],
    sum: AtomicU64,
}

impl Spread {
    /// Counts a value.
    pub fn record(&self, value: u64) {
        let bucket = (64 - value.leading_zeros() as usize).min(31);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }
    /// (upper bound, values below it) for every bucket, and the sum of all values.
    pub fn snapshot(&self) -> (Vec<(u64, u64)>, u64) {
        let mut total = 0;
        let rows = self.buckets.iter().enumerate().map(|(n, bucket)| {
            total += bucket.load(Relaxed);
            (1_u64 << n, total)
        });
        (rows.collect(), self.sum.load(Relaxed))
    }
}

/// The hub's figures.
#[derive(Debug)]
pub struct Counters {
    /// Connections that are open.
    pub connections: Level,
    /// Subscriptions (readers of messages).
    pub subscriptions: Level,
    /// Readers that the catch-up serves.
    pub behind: Level,
    /// Messages accepted from publishers.
    pub published: Count,
    /// Messages handed to the kernel, once per subscription.
    pub deliveries: Count,
    /// Rounds (one segment to one shard).
    pub rounds: Count,
    /// Messages a round.
    pub round_messages: Spread,
    /// Microseconds a round took, waiting for its turns included.
    pub round_us: Spread,
    /// Microseconds from a publish's arrival to its answer.
    pub publish_us: Spread,
    /// Bytes of tails and segments.
    pub tail_bytes: Level,
    /// Subscriptions that gave a position and got everything after it.
    pub recovered: Count,
    /// Subscriptions that gave a position and were told of a gap.
    pub missed: Count,
    /// Connections ended because they fell off the log or did not read.
    pub slow_closes: Count,
    /// Times a publisher had to wait for readers.
    pub waits: Count,
    budget: Arc<Budget>,
}

impl Counters {
    /// Figures at zero; tails are counted against the budget too.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self {
            connections: Level::default(),
            subscriptions: Level::default(),
            behind: Level::default(),
            published: Count::default(),
            deliveries: Count::default(),
            rounds: Count::default(),
            round_messages: Spread::default(),
            round_us: Spread::default(),
            publish_us: Spread::default(),
            tail_bytes: Level::default(),
            recovered: Count::default(),
            missed: Count::default(),
            slow_closes: Count::default(),
            waits: Count::default(),
            budget,
        }
    }

    /// Tails and segments grew by so many bytes, or shrank.
    pub fn grow_tail(&self, bytes: isize) {
        self.tail_bytes.add(bytes);
        if bytes >= 0 {
            self.budget.take(bytes.unsigned_abs())
        } else {
            self.budget.give(bytes.unsigned_abs())
        }
    }
}
