//! The newest message of every key, beside the log.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use fanfare_protocol::Message;

/// Where a key's newest message stands, and when the key is removed.
#[derive(Clone, Copy)]
struct Slot {
    offset: u64,
    /// Milliseconds since 1970; none for a key that stays.
    expires_ms: Option<u64>,
}

/// The newest message of every key by offset. A removed key's tombstone stays for the retention ttl.
///
/// Invariant: `slots` and `by_offset` name the same messages; `tombstones` and `deadlines` are subsets of them.
#[derive(Default)]
pub(super) struct KeyIndex {
    slots: HashMap<Arc<str>, Slot>,
    by_offset: BTreeMap<u64, Arc<Message>>,
    tombstones: BTreeSet<u64>,
    deadlines: BTreeSet<(u64, u64)>,
    tombstones_after: u64,
}

impl KeyIndex {
    /// An index of a log whose tombstones up to an offset are not known.
    pub(super) fn new(tombstones_after: u64) -> Self {
        Self { tombstones_after, ..Self::default() }
    }

    /// Every tombstone after this offset is still here, or its key has been set again.
    pub(super) fn tombstones_after(&self) -> u64 {
        self.tombstones_after
    }

    /// Whether the message of this offset is the newest of its key.
    pub(super) fn holds(&self, offset: u64) -> bool {
        self.by_offset.contains_key(&offset)
    }

    /// Whether any key has a deadline.
    pub(super) fn has_leases(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// The newest message of a key.
    pub(super) fn newest(&self, key: &str) -> Option<&Arc<Message>> {
        self.slots.get(key).and_then(|slot| self.by_offset.get(&slot.offset))
    }

    /// Makes a message the newest of its key, and returns the one that it replaces.
    pub(super) fn insert(&mut self, message: &Arc<Message>, expires_ms: Option<u64>) -> Option<Arc<Message>> {
        let key = message.key.clone()?;
        let tombstone = message.is_tombstone();
        let slot = Slot { offset: message.offset, expires_ms: expires_ms.filter(|_| !tombstone) };
        let old = self.slots.insert(key, slot).and_then(|old| self.unlink(old));
        self.by_offset.insert(slot.offset, message.clone());
        if tombstone {
            self.tombstones.insert(slot.offset);
        }
        if let Some(expires_ms) = slot.expires_ms {
            self.deadlines.insert((expires_ms, slot.offset));
        }
        old
    }

    /// Drops tombstones that are `ttl_ms` old, calling `gone` with each.
    pub(super) fn expire_tombstones(&mut self, now_ms: u64, ttl_ms: u64, mut gone: impl FnMut(&Message)) {
        while let Some(offset) = self.tombstones.first().copied() {
            match self.by_offset.get(&offset) {
                Some(message) if message.time.saturating_add(ttl_ms) > now_ms => break,
                Some(message) => {
                    if let Some(key) = &message.key {
                        self.slots.remove(key);
                    }
                    gone(message);
                }
                None => {}
            }
            self.by_offset.remove(&offset);
            self.tombstones.remove(&offset);
            self.tombstones_after = self.tombstones_after.max(offset);
        }
    }

    /// The next message whose key's time is over.
    pub(super) fn expired(&self, now_ms: u64) -> Option<Arc<Message>> {
        let (due_ms, offset) = self.deadlines.first()?;
        if *due_ms > now_ms { None } else { self.by_offset.get(offset).cloned() }
    }

    /// Moves the deadline of a key that has one, never nearer. False when there is no such key (any more).
    pub(super) fn renew(&mut self, key: &str, expires_ms: u64) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        if self.tombstones.contains(&slot.offset) {
            return false;
        }
        if let Some(old) = slot.expires_ms
            && old < expires_ms
        {
            slot.expires_ms = Some(expires_ms);
            self.deadlines.remove(&(old, slot.offset));
            self.deadlines.insert((expires_ms, slot.offset));
        }
        true
    }

    /// Messages of `(after, until]`, in offset order.
    pub(super) fn range(&self, after: u64, until: u64) -> impl Iterator<Item = &Arc<Message>> {
        let range = (after < until).then(|| self.by_offset.range(after + 1..=until));
        range.into_iter().flatten().map(|(_, message)| message)
    }

    /// When a key or a tombstone falls due; `u64::MAX` if none will.
    pub(super) fn due_ms(&self, ttl_ms: u64) -> u64 {
        let key = self.deadlines.first().map_or(u64::MAX, |(due_ms, _)| *due_ms);
        let tombstone = self.tombstones.first().and_then(|offset| self.by_offset.get(offset));
        key.min(tombstone.map_or(u64::MAX, |message| message.time.saturating_add(ttl_ms)))
    }

    fn unlink(&mut self, slot: Slot) -> Option<Arc<Message>> {
        if let Some(expires_ms) = slot.expires_ms {
            self.deadlines.remove(&(expires_ms, slot.offset));
        }
        self.tombstones.remove(&slot.offset);
        self.by_offset.remove(&slot.offset)
    }
}
