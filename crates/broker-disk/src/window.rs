//! Ages and sizes of the messages that retention may let a new read return; held only for channels that are read.
use std::collections::VecDeque;

use fanfare_broker::ChannelPolicy;

struct Entry {
    /// The latest `time` of this message and all before it in the window: callers' clocks may differ, this never falls.
    latest_ms: u64,
    /// Weight of everything pushed before this message.
    before: u64,
}

/// The newest messages of a log, without holes, up to its head.
#[derive(Default)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    total: u64,
}

impl Window {
    /// Adds the next message.
    pub fn push(&mut self, time: u64, weight: u32) {
        let latest_ms = self.entries.back().map_or(0, |entry| entry.latest_ms).max(time);
        self.entries.push_back(Entry { latest_ms, before: self.total });
        self.total += u64::from(weight);
    }

    /// Drops what retention does not allow and returns how many are left.
    pub fn settle(&mut self, policy: &ChannelPolicy, now_ms: u64) -> u64 {
        let excess = self.excess(policy, now_ms);
        self.entries.drain(..excess);
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        } else if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        self.entries.len() as u64
    }

    /// Whether it holds so much more than retention allows that it should be settled.
    pub fn is_overfull(&self, policy: &ChannelPolicy) -> bool {
        self.entries.len() as u64 > policy.size.saturating_add(policy.size / 8).saturating_add(16)
    }

    fn excess(&self, policy: &ChannelPolicy, now_ms: u64) -> usize {
        let room = usize::try_from(policy.size).unwrap_or(usize::MAX);
        let by_count = self.entries.len().saturating_sub(room);
        let by_bytes = self.entries.partition_point(|entry| self.total - entry.before > policy.bytes);
        let by_age =
            self.entries.partition_point(|entry| entry.latest_ms.saturating_add(policy.ttl_ms) <= now_ms);
        by_count.max(by_bytes).max(by_age)
    }
}
