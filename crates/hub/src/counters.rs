//! The node's figures, counted where they happen and read by whoever exports them.
use std::sync::Arc;

use fanfare_broker::{Budget, Count, Level, Spread};

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
