//! The newest message of every key since a place: what readers with a rate are written from, however much is published meanwhile.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fanfare_protocol::{Epoch, Message};

use crate::{form::Form, place::Place, segment::Segment};

/// Bytes that an entry takes beside its message.
const ENTRY_BYTES: usize = 160;
/// Entries that are not worth letting go of.
const FEW: usize = 64;

/// What is told apart: keys, and the one slot of messages without a key. Ephemeral messages replace ephemeral ones alone, because whoever is
/// not at the head does not get them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Slot {
    key: Option<Arc<str>>,
    ephemeral: bool,
}

impl Slot {
    fn of(message: &Message) -> Self {
        Self { key: message.key.clone(), ephemeral: message.is_ephemeral() }
    }
}

/// The newest message of every slot that has one behind `from`.
///
/// Invariant: `slots` and `by_place` name the same messages; all stand behind `from`.
pub struct Newest {
    from: Place,
    by_place: BTreeMap<Place, Arc<Message>>,
    slots: HashMap<Slot, Place>,
    held: usize,
    limit: usize,
    /// So many entries are worth looking for those that nobody needs any more.
    worth: usize,
}

impl Newest {
    /// Nothing yet, from the head on.
    pub fn new(head: Place, limit: usize) -> Self {
        Self { from: head, by_place: BTreeMap::new(), slots: HashMap::new(), held: 0, limit, worth: FEW }
    }

    /// Bytes held; messages that the tail holds too count twice.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes the next message. O(log keys).
    pub fn push(&mut self, place: Place, message: &Arc<Message>) {
        self.insert(Slot::of(message), place, message);
    }

    fn insert(&mut self, slot: Slot, place: Place, message: &Arc<Message>) {
        if let Some(old) = self.slots.insert(slot, place)
            && let Some(old) = self.by_place.remove(&old)
        {
            self.held -= old.weight() + ENTRY_BYTES;
        }
        self.held += message.weight() + ENTRY_BYTES;
        self.by_place.insert(place, message.clone());
    }

    /// Holds no more than so many bytes from here on: the oldest go, and with them who stands before them.
    pub fn bound(&mut self, limit: usize) {
        self.limit = limit;
        while self.held > limit && self.drop_first(Place { offset: u64::MAX, ephemeral: u64::MAX }) {}
    }

    /// Whether everything behind a cursor that anybody may ask for is here. Ephemeral messages that are gone are owed to nobody.
    pub fn reaches(&self, cursor: Place) -> bool {
        cursor.offset >= self.from.offset
    }

    /// Reaches further back: `older` are the messages between `to` and where this begins, newest first.
    pub fn extend<'a>(&mut self, older: impl Iterator<Item = (Place, &'a Arc<Message>)>, to: Place) {
        for (place, message) in older {
            let slot = Slot::of(message);
            if !self.slots.contains_key(&slot) {
                self.insert(slot, place, message);
            }
        }
        self.from = to;
        self.bound(self.limit);
    }

    /// Where this begins.
    pub fn from(&self) -> Place {
        self.from
    }

    /// Whether so much is held that letting go of what nobody needs is worth asking everybody.
    pub fn is_worth_pruning(&self) -> bool {
        self.by_place.len() > self.worth
    }

    /// Lets go of everything up to a place.
    pub fn prune(&mut self, floor: Place) {
        while self.drop_first(floor) {}
        self.from = self.from.max(floor);
        self.worth = self.by_place.len() * 2 + FEW;
        if self.by_place.is_empty() {
            self.slots = HashMap::new();
        }
    }

    fn drop_first(&mut self, upto: Place) -> bool {
        let Some(first) = self.by_place.first_entry().filter(|first| *first.key() <= upto) else {
            return false;
        };
        self.from = self.from.max(*first.key());
        let message = first.remove();
        self.held -= message.weight() + ENTRY_BYTES;
        self.slots.remove(&Slot::of(&message));
        true
    }

    /// What stands in `(after, until]`, in order: at most `bytes` and one message more. The segment ends at `until` when that is all of it.
    /// O(messages returned).
    pub fn read(
        &self,
        form: Form,
        (epoch, weight): (Epoch, u64),
        after: Place,
        until: Place,
        bytes: usize,
    ) -> Segment {
        let mut segment = Segment::new(epoch, after, weight);
        if after >= until {
            return segment;
        }
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Included(until));
        let mut rest = self.by_place.range(range);
        while segment.bytes.len() < bytes {
            let Some((place, message)) = rest.next() else { break };
            segment.push(form, *place, weight, message);
        }
        if rest.next().is_none() {
            segment.to = until;
        }
        segment
    }

    /// Messages in the log's order behind a cursor, without ephemeral ones.
    pub fn after(&self, cursor: Place) -> impl Iterator<Item = &Arc<Message>> {
        let range = (std::ops::Bound::Excluded(cursor), std::ops::Bound::Unbounded);
        self.by_place.range(range).filter(|(place, _)| place.ephemeral == 0).map(|(_, message)| message)
    }
}

#[cfg(test)]
#[path = "newest_tests.rs"]
mod tests;
