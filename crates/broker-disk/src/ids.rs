//! Which ids publishers have used on a channel of late, and at which offset.
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Ids inside the idempotency window, oldest first.
#[derive(Default)]
pub(crate) struct SeenIds {
    by_id: HashMap<Arc<str>, u64>,
    /// When each was used, and its offset: an id that was used again after its window is newer than its first entry.
    by_age: VecDeque<(u64, Arc<str>, u64)>,
}

impl SeenIds {
    /// The offset of an id's message.
    pub fn get(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    pub fn insert(&mut self, id: Arc<str>, offset: u64, now_ms: u64) {
        self.by_age.push_back((now_ms, id.clone(), offset));
        self.by_id.insert(id, offset);
    }

    /// Forgets the ids of messages that were never kept: those above `head`, which are the newest.
    pub fn take_back(&mut self, head: u64) {
        while let Some((_, id, _)) = self.by_age.back().filter(|(_, _, offset)| *offset > head) {
            self.by_id.remove(id);
            self.by_age.pop_back();
        }
    }

    /// Forgets ids older than the window and those beyond `limit`.
    pub fn forget(&mut self, now_ms: u64, window_ms: u64, limit: usize) {
        let before = self.by_age.len();
        while let Some((seen_ms, id, offset)) = self.by_age.front() {
            if self.by_age.len() <= limit && seen_ms.saturating_add(window_ms) > now_ms {
                break;
            }
            if self.by_id.get(id) == Some(offset) {
                self.by_id.remove(id);
            }
            self.by_age.pop_front();
        }
        let left = self.by_age.len();
        if left < before && self.by_age.capacity() > 64 && left < self.by_age.capacity() / 4 {
            self.by_age.shrink_to(left * 2);
            self.by_id.shrink_to(left * 2);
        }
    }

    /// When the oldest id leaves the window; `u64::MAX` without any.
    pub fn due_ms(&self, window_ms: u64) -> u64 {
        self.by_age.front().map_or(u64::MAX, |(seen_ms, ..)| seen_ms.saturating_add(window_ms))
    }

    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}
