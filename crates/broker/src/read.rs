//! Reading a log: ranges, pages backwards, the newest per key.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Epoch, Message, Position, event::GapReason};

/// How far back a read may reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// What retention allows: every new read.
    Retained,
    /// Whatever is physically held: a reader that was attached before.
    Held,
}

/// A read forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// Exclusive.
    pub after: Position,
    /// At most so many messages (0 counts as 1); at least one is returned when there is one.
    pub limit: usize,
    /// At most about so many bytes of [`Message::weight`]; at least one message is returned when there is one.
    pub bytes: usize,
    /// How far back.
    pub bound: Bound,
}

/// A page backwards over what is retained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadBack {
    /// Exclusive; from the head if absent, of another epoch or beyond the head.
    pub before: Option<Position>,
    /// At most so many messages.
    pub limit: usize,
    /// At most about so many bytes; at least one message is returned when there is one.
    pub bytes: usize,
}

/// What a read returned.
#[derive(Clone, PartialEq, Debug)]
pub struct Slice {
    /// In the order read.
    pub messages: Vec<Arc<Message>>,
    /// The log's bounds at that moment.
    pub bounds: Bounds,
}

/// A log that does not reach back to a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Why.
    pub reason: GapReason,
    /// The log's bounds: what is left begins at `bounds.oldest` (or `bounds.held`).
    pub bounds: Bounds,
}

/// Where a log begins and ends. A channel without messages stands at head 0 of the store's epoch, `oldest` and `held` 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The log's epoch.
    pub epoch: Epoch,
    /// First offset that retention allows a new read to return; `head + 1` when there is none.
    pub oldest: u64,
    /// First offset that is physically held; `head + 1` when there is none.
    pub held: u64,
    /// The newest offset; 0 when there is none.
    pub head: u64,
    /// When the newest message was published, in milliseconds since 1970; 0 when unknown.
    pub newest_ms: u64,
    /// Every tombstone after this offset is still known: a keyed read from there misses no removal.
    pub tombstones_after: u64,
}

impl Bounds {
    /// The position of the head.
    pub fn head_position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head }
    }
}

/// The newest per key, of keys whose newest message lies in `(after, until]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyed {
    /// Exclusive offset, in the log's present epoch.
    pub after: u64,
    /// Inclusive offset.
    pub until: u64,
    /// Tombstones up to this offset are left out.
    pub tombstones_after: u64,
    /// At most so many messages.
    pub limit: usize,
    /// At most about so many bytes; at least one message is returned when there is one.
    pub bytes: usize,
}

/// What a keyed read returned.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyedSlice {
    /// In offset order.
    pub messages: Vec<Arc<Message>>,
    /// Read on from here: the last offset returned, or `until` when nothing is left.
    pub next: u64,
    /// The log's bounds at that moment.
    pub bounds: Bounds,
}

/// A channel as the admin list shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub channel: ChannelName,
    /// Its log.
    pub bounds: Bounds,
}
