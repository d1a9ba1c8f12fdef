//! Where the newest message of every key stands. The messages themselves are on disk.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A key's newest message.
#[derive(Clone, Copy, Debug)]
struct Slot {
    offset: u64,
    /// Milliseconds since 1970; none for a key that stays.
    expires_ms: Option<u64>,
    /// For a tombstone: the message's `time`.
    removed_ms: Option<u64>,
    /// A tombstone of ours is on its way.
    ending: bool,
}

/// The newest message of every key by offset. A removed key's tombstone stays for the retention ttl.
///
/// Invariant: `slots` and `by_offset` name the same messages; `tombstones` and `deadlines` are subsets of them.
#[derive(Default, Debug)]
pub(crate) struct KeyIndex {
    slots: HashMap<Arc<str>, Slot>,
    by_offset: BTreeMap<u64, Arc<str>>,
    tombstones: BTreeSet<u64>,
    deadlines: BTreeSet<(u64, u64)>,
    tombstones_after: u64,
    /// What the newest frame about the channel says of `tombstones_after`.
    said_after: u64,
    /// Keys with messages that are not visible yet: they are not ended before those are.
    pending: HashMap<Arc<str>, u32>,
}

/// A message on its way into the index.
pub(crate) struct Keyed<'a> {
    pub key: &'a str,
    pub offset: u64,
    pub time: u64,
    pub tombstone: bool,
    pub expires_ms: Option<u64>,
}

impl KeyIndex {
    /// An index of a log whose tombstones up to an offset are not known.
    pub fn new(tombstones_after: u64) -> Self {
        Self { tombstones_after, ..Self::default() }
    }

    /// Every tombstone after this offset is still here, or its key has been set again.
    pub fn tombstones_after(&self) -> u64 {
        self.tombstones_after
    }

    /// Tombstones up to an offset are no longer known.
    pub fn forget_tombstones(&mut self, until: u64) {
        self.tombstones_after = self.tombstones_after.max(until);
    }

    /// A frame says how far tombstones are not known.
    pub fn said(&mut self, tombstones_after: u64) {
        self.said_after = self.said_after.max(tombstones_after);
    }

    /// Whether tombstones were dropped of which no frame says so: before they go from the log, one must.
    pub fn is_unsaid(&self) -> bool {
        self.said_after < self.tombstones_after
    }

    /// Whether the message of this offset is the newest of its key.
    pub fn holds(&self, offset: u64) -> bool {
        self.by_offset.contains_key(&offset)
    }

    /// The first offset from `from` on that is the newest of its key.
    pub fn next(&self, from: u64) -> Option<u64> {
        self.by_offset.range(from..).next().map(|(offset, _)| *offset)
    }

    /// Offsets of `(after, until]` in order, and whether each is a tombstone.
    pub fn range(&self, after: u64, until: u64) -> impl Iterator<Item = (u64, bool)> {
        let range = (after < until).then(|| self.by_offset.range(after + 1..=until));
        range.into_iter().flatten().map(|(offset, _)| (*offset, self.tombstones.contains(offset)))
    }

    /// A message of this key is on its way.
    pub fn expect(&mut self, key: &Arc<str>) {
        *self.pending.entry(key.clone()).or_default() += 1;
    }

    /// It has come, or will not.
    pub fn expected(&mut self, key: &str) {
        if let Some(count) = self.pending.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.pending.remove(key);
            }
        }
    }

    /// Makes a message the newest of its key.
    pub fn insert(&mut self, message: &Keyed<'_>) {
        let slot = Slot {
            offset: message.offset,
            expires_ms: message.expires_ms.filter(|_| !message.tombstone),
            removed_ms: message.tombstone.then_some(message.time),
            ending: false,
        };
        let key = match self.slots.get_key_value(message.key) {
            Some((key, _)) => key.clone(),
            None => message.key.into(),
        };
        if let Some(old) = self.slots.insert(key.clone(), slot) {
            self.unlink(old);
        }
        self.by_offset.insert(slot.offset, key);
        if message.tombstone {
            self.tombstones.insert(slot.offset);
        }
        if let Some(expires_ms) = slot.expires_ms {
            self.deadlines.insert((expires_ms, slot.offset));
        }
    }

    /// Drops tombstones that are `ttl_ms` old.
    pub fn expire_tombstones(&mut self, now_ms: u64, ttl_ms: u64) {
        while let Some(offset) = self.tombstones.first().copied() {
            if self.removed_ms(offset).is_some_and(|ms| ms.saturating_add(ttl_ms) > now_ms) {
                break;
            }
            if let Some(key) = self.by_offset.remove(&offset) {
                self.slots.remove(&key);
            }
            self.tombstones.remove(&offset);
            self.tombstones_after = self.tombstones_after.max(offset);
        }
    }

    /// Keys whose time is over, at most `limit`; each is given once, until [`KeyIndex::not_ended`].
    pub fn ended(&mut self, now_ms: u64, limit: usize) -> Vec<(Arc<str>, u64)> {
        let due = self.deadlines.range(..=(now_ms, u64::MAX));
        let due: Vec<_> = due
            .filter_map(|entry| Some((*entry, self.by_offset.get(&entry.1)?.clone())))
            .filter(|(_, key)| !self.pending.contains_key(key))
            .take(limit)
            .collect();
        for (entry, key) in &due {
            self.deadlines.remove(entry);
            if let Some(slot) = self.slots.get_mut(key) {
                slot.ending = true;
            }
        }
        due.into_iter().map(|((_, offset), key)| (key, offset)).collect()
    }

    /// Whether the key's time is over and its tombstone is on the way.
    pub fn is_ending(&self, key: &str) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.ending)
    }

    /// The tombstone of a key that was [`KeyIndex::ended`] could not be written.
    pub fn not_ended(&mut self, key: &str) {
        if let Some(slot) = self.slots.get_mut(key)
            && let Some(expires_ms) = slot.expires_ms
        {
            slot.ending = false;
            self.deadlines.insert((expires_ms, slot.offset));
        }
    }

    /// Moves the deadline of a key that has one, never nearer, and returns it. False when there is no such key (any more).
    pub fn renew(&mut self, key: &str, expires_ms: u64) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        if slot.removed_ms.is_some() || slot.ending {
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

    /// Whether any key has a deadline.
    pub fn has_leases(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// A frame that was to say how far tombstones are not known was not written.
    pub fn not_said(&mut self) {
        self.said_after = 0;
    }

    /// The deadline of a key.
    pub fn expires_ms(&self, key: &str) -> Option<u64> {
        self.slots.get(key).and_then(|slot| slot.expires_ms)
    }

    /// When a key or a tombstone falls due; `u64::MAX` if none will.
    pub fn due_ms(&self, ttl_ms: u64) -> u64 {
        let key = self.deadlines.first().map_or(u64::MAX, |(due_ms, _)| *due_ms);
        let tombstone = self.tombstones.first().and_then(|offset| self.removed_ms(*offset));
        key.min(tombstone.map_or(u64::MAX, |ms| ms.saturating_add(ttl_ms)))
    }

    fn removed_ms(&self, offset: u64) -> Option<u64> {
        self.by_offset.get(&offset).and_then(|key| self.slots.get(key)).and_then(|slot| slot.removed_ms)
    }

    fn unlink(&mut self, slot: Slot) {
        if let Some(expires_ms) = slot.expires_ms {
            self.deadlines.remove(&(expires_ms, slot.offset));
        }
        self.tombstones.remove(&slot.offset);
        self.by_offset.remove(&slot.offset);
    }
}
