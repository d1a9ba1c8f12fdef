//! The messages that a log physically holds, and which of them retention lets a new read return.
use std::{collections::VecDeque, sync::Arc};

use fanfare_protocol::Message;

use crate::ChannelPolicy;

/// One held message with what makes every retention rule a binary search.
struct Entry {
    message: Arc<Message>,
    /// The latest `time` of this message and all before it: callers' clocks may differ by a little, this never falls.
    latest_ms: u64,
    /// Weight of everything ever pushed before this message.
    before: u64,
}

/// The newest messages of a log without holes: offsets `first()..=head`.
///
/// More may be held than retention allows (up to an eighth, so that a message at a time is not trimmed for each one
/// pushed); [`Window::oldest`] says what a new read may see.
pub(super) struct Window {
    entries: VecDeque<Entry>,
    head: u64,
    /// Weight of everything ever pushed.
    total: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), head: 0, total: 0 }
    }

    /// The newest offset assigned, whether or not it is held.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// The first offset held; `head + 1` when nothing is.
    pub(super) fn first(&self) -> u64 {
        self.head + 1 - self.entries.len() as u64
    }

    /// The first offset that a new read may return; `head + 1` when there is none.
    pub(super) fn oldest(&self, policy: &ChannelPolicy, now_ms: u64) -> u64 {
        self.first() + self.excess(policy, now_ms, 0, 0) as u64
    }

    /// Takes the next offset for a message that is held.
    pub(super) fn push(&mut self, message: Arc<Message>, weight: usize) {
        debug_assert_eq!(message.offset, self.head + 1);
        let before = self.total;
        let latest_ms = self.entries.back().map_or(0, |entry| entry.latest_ms).max(message.time);
        self.head += 1;
        self.total += weight as u64;
        self.entries.push_back(Entry { message, latest_ms, before });
    }

    /// Takes the next offset for a message that is not held; the window must be empty, for it has no holes.
    pub(super) fn skip(&mut self) {
        debug_assert!(self.entries.is_empty());
        self.head += 1;
    }

    /// When the oldest held message falls to age; `u64::MAX` when nothing is held.
    pub(super) fn due_ms(&self, policy: &ChannelPolicy) -> u64 {
        self.entries.front().map_or(u64::MAX, |entry| entry.latest_ms.saturating_add(policy.ttl_ms))
    }

    /// How many of the oldest held messages retention no longer needs, once `messages` more of `bytes` have come.
    pub(super) fn excess(&self, policy: &ChannelPolicy, now_ms: u64, messages: u64, bytes: u64) -> usize {
        let room = usize::try_from(policy.size.saturating_sub(messages)).unwrap_or(usize::MAX);
        let by_count = self.entries.len().saturating_sub(room);
        let room = policy.bytes.saturating_sub(bytes);
        let by_bytes = if self.weight() <= room {
            0
        } else {
            self.entries.partition_point(|entry| self.total - entry.before > room)
        };
        let expired = |entry: &Entry| entry.latest_ms.saturating_add(policy.ttl_ms) <= now_ms;
        let by_age = match self.entries.front() {
            Some(front) if expired(front) => self.entries.partition_point(expired),
            _ => 0,
        };
        by_count.max(by_bytes).max(by_age)
    }

    /// Whether so much more is held than retention needs that it should be trimmed.
    pub(super) fn is_overfull(&self, policy: &ChannelPolicy) -> bool {
        self.entries.len() as u64 > policy.size.saturating_add(policy.size / 8)
            || self.weight() > policy.bytes.saturating_add(policy.bytes / 8)
    }

    /// Lets the oldest `count` messages go, calling `gone` with each and its weight.
    pub(super) fn trim(&mut self, count: usize, mut gone: impl FnMut(&Arc<Message>, usize)) {
        for _ in 0..count {
            let Some(entry) = self.entries.pop_front() else { break };
            let end = self.entries.front().map_or(self.total, |next| next.before);
            gone(&entry.message, (end - entry.before) as usize);
        }
        if self.entries.is_empty() {
            // An idle channel keeps its head and nothing else.
            self.entries = VecDeque::new();
        } else if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// The oldest `count` messages, with their weights.
    pub(super) fn oldest_entries(&self, count: usize) -> impl Iterator<Item = (&Arc<Message>, usize)> {
        let ends = self.entries.iter().skip(1).map(|next| next.before).chain([self.total]);
        self.entries
            .iter()
            .zip(ends)
            .take(count)
            .map(|(entry, end)| (&entry.message, (end - entry.before) as usize))
    }

    /// Held messages from an offset on, oldest first.
    pub(super) fn from(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        let skip = offset.saturating_sub(self.first()).min(self.entries.len() as u64) as usize;
        self.entries.range(skip..).map(|entry| &entry.message)
    }

    /// Held messages of `[from, before)`, newest first.
    pub(super) fn back(&self, from: u64, before: u64) -> impl Iterator<Item = &Arc<Message>> {
        let newest = before.saturating_sub(1);
        self.from(from).rev().skip(self.head.saturating_sub(newest) as usize)
    }

    fn weight(&self) -> u64 {
        self.entries.front().map_or(0, |front| self.total - front.before)
    }
}
