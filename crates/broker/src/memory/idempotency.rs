//! Which ids publishers have used on a channel of late, and where their messages stand.
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use fanfare_protocol::Position;

/// Ids inside the idempotency window, oldest first.
#[derive(Default)]
pub(super) struct SeenIds {
    by_id: HashMap<Arc<str>, Position>,
    by_age: VecDeque<(u64, Arc<str>)>,
}

impl SeenIds {
    /// Bytes that remembering an id costs, near enough for limits.
    pub(super) fn weight(id: &str) -> usize {
        id.len() + 112
    }

    /// Where the message of an id stands.
    pub(super) fn get(&self, id: &str) -> Option<Position> {
        self.by_id.get(id).copied()
    }

    pub(super) fn insert(&mut self, id: Arc<str>, position: Position, now_ms: u64) {
        self.by_age.push_back((now_ms, id.clone()));
        self.by_id.insert(id, position);
    }

    /// Forgets ids older than the window and those beyond `limit`. Returns the bytes that this frees.
    pub(super) fn forget(&mut self, now_ms: u64, window_ms: u64, limit: usize) -> usize {
        let mut freed = 0;
        while let Some((seen_ms, id)) = self.by_age.front() {
            if self.by_age.len() <= limit && seen_ms.saturating_add(window_ms) > now_ms {
                break;
            }
            freed += Self::weight(id);
            self.by_id.remove(id);
            self.by_age.pop_front();
        }
        if freed > 0 && self.by_age.capacity() > 64 && self.by_age.len() < self.by_age.capacity() / 4 {
            let room = self.by_age.len() * 2;
            self.by_age.shrink_to(room);
            self.by_id.shrink_to(room);
        }
        freed
    }

    /// When the oldest id leaves the window; `u64::MAX` without any.
    pub(super) fn due_ms(&self, window_ms: u64) -> u64 {
        self.by_age.front().map_or(u64::MAX, |(seen_ms, _)| seen_ms.saturating_add(window_ms))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}
