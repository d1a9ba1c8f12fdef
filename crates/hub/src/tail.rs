//! A channel's newest messages in memory, and their wire forms, encoded when first asked for.
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use fanfare_protocol::{Epoch, Message};

use crate::{
    form::Form,
    place::Place,
    segment::{SEGMENT_BYTES, Segment},
};

/// A message in the tail.
struct Kept {
    place: Place,
    message: Arc<Message>,
    weight_to: u64,
}

/// One wire form's segments; the last ends at or before the tail's head, the first begins at or before its start.
struct FormTail {
    form: Form,
    segments: VecDeque<Arc<Segment>>,
}

/// What a read of the tail found.
#[derive(Debug)]
pub enum TailRead {
    /// Nothing past the cursor.
    AtHead,
    /// The tail does not reach back to the cursor: the broker may.
    Before,
    /// What follows the cursor.
    Segments(Vec<Arc<Segment>>),
}

/// A channel's newest messages. Fed only by the broker's deliveries.
pub struct Tail {
    epoch: Epoch,
    /// The place before the first message kept.
    start: Place,
    head: Place,
    /// Sum of the weights of all messages ever pushed: differences are the bytes between two places.
    weight: u64,
    kept: VecDeque<Kept>,
    forms: Vec<FormTail>,
    held: usize,
    /// The part of `held` that is messages.
    kept_weight: usize,
}

impl Tail {
    /// An empty tail at a head.
    pub fn new(epoch: Epoch, head: u64) -> Self {
        let head = Place::at(head);
        Self {
            epoch,
            start: head,
            head,
            weight: 0,
            kept: VecDeque::new(),
            forms: Vec::new(),
            held: 0,
            kept_weight: 0,
        }
    }

    /// The epoch of every place in it.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The place of the newest message.
    pub fn head(&self) -> Place {
        self.head
    }

    /// The place before the first message kept: a cursor there can be read from memory.
    pub fn start(&self) -> Place {
        self.start
    }

    /// The running weight at the head.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Bytes held by messages and segments.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes held for the newest messages of so much weight together, wire forms included.
    pub fn held_by(&self, weight: u64) -> u64 {
        let kept = self.kept_weight as u64;
        if weight >= kept { self.held as u64 + (weight - kept) } else { weight * self.held as u64 / kept }
    }

    /// Takes the next message: one that follows the head, or an ephemeral one.
    pub fn push(&mut self, message: Arc<Message>) {
        let place =
            if message.is_ephemeral() { self.head.next_ephemeral() } else { self.head.next_message() };
        let weight = message.weight();
        self.held += weight;
        self.kept_weight += weight;
        self.weight += weight as u64;
        self.head = place;
        self.kept.push_back(Kept { place, message, weight_to: self.weight });
    }

    /// Drops the oldest messages until no more than `limit` bytes are held.
    pub fn trim(&mut self, limit: usize) {
        while self.held > limit {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.held -= oldest.message.weight();
            self.kept_weight -= oldest.message.weight();
            self.start = oldest.place;
            for form in &mut self.forms {
                while form.segments.front().is_some_and(|segment| segment.to <= oldest.place) {
                    self.held -= form.segments.pop_front().map_or(0, |segment| segment.held());
                }
            }
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
            self.forms = Vec::new();
            self.held = 0;
        }
    }

    /// What follows a cursor, at most about `bytes`; without ephemeral messages' own filtering, which is the reader's.
    pub fn read(&mut self, form: Form, cursor: Place, bytes: usize) -> TailRead {
        if cursor >= self.head {
            return TailRead::AtHead;
        }
        let Some(cursor) = self.reach(cursor) else { return TailRead::Before };
        if cursor >= self.head {
            return TailRead::AtHead;
        }
        let at = match self.forms.iter().position(|tail| tail.form == form) {
            Some(at) => at,
            None => {
                self.forms.push(FormTail { form, segments: VecDeque::new() });
                self.forms.len() - 1
            }
        };
        let mut found = Vec::with_capacity(1);
        let (mut cursor, mut total) = (cursor, 0);
        while cursor < self.head && total < bytes {
            let Some(segment) = self.segment_at(at, cursor) else { break };
            total += segment.bytes.len() - segment.start(segment.first_after(cursor));
            if total > bytes && !found.is_empty() {
                break;
            }
            cursor = segment.to;
            found.push(segment);
        }
        TailRead::Segments(found)
    }

    /// The segment that holds what follows the cursor, encoded now if it was not.
    fn segment_at(&mut self, form: usize, cursor: Place) -> Option<Arc<Segment>> {
        let tail = self.forms.get_mut(form)?;
        let n = tail.segments.partition_point(|segment| segment.to <= cursor);
        if let Some(segment) = tail.segments.get(n)
            && segment.from <= cursor
        {
            return Some(segment.clone());
        }
        // Behind the last segment, or in a hole that nobody of this form has read.
        let limit = tail.segments.get(n).map_or(self.head, |next| next.from);
        let first = self.kept.partition_point(|kept| kept.place <= cursor);
        let mut segment = Segment::new(self.epoch, cursor, self.weight);
        for kept in self.kept.range(first..).take_while(|kept| kept.place <= limit) {
            if !segment.has_room() {
                break;
            }
            segment.push(tail.form, kept.place, kept.weight_to, &kept.message);
        }
        let sealed = segment.seal();
        self.held += sealed.held();
        let at = tail.segments.partition_point(|other| other.to <= sealed.from);
        tail.segments.insert(at, sealed.clone());
        Some(sealed)
    }

    /// Where reading on from a cursor begins; none when the tail does not reach back to it. Ephemeral messages that are gone are owed to
    /// nobody.
    fn reach(&self, cursor: Place) -> Option<Place> {
        (cursor.offset >= self.start.offset).then(|| cursor.max(self.start))
    }

    /// Whether every message past a cursor is held.
    pub fn reaches(&self, cursor: Place) -> bool {
        self.reach(cursor).is_some()
    }

    /// The messages past a cursor; none when the tail does not reach back to it.
    pub fn messages_after(&self, cursor: Place) -> Option<impl Iterator<Item = (Place, &Arc<Message>)>> {
        let cursor = self.reach(cursor)?;
        let first = self.kept.partition_point(|kept| kept.place <= cursor);
        Some(self.kept.range(first..).map(|kept| (kept.place, &kept.message)))
    }

    /// Everything past a cursor as one segment that keeps only the newest message of every key (keyless messages share one key), in
    /// order. An ephemeral message replaces ephemeral ones alone: whoever is not at the head does not get it. None at the head, or when the tail does not reach back to the cursor.
    pub fn conflate(&self, form: Form, cursor: Place) -> Option<Segment> {
        let mut newest: HashMap<(bool, Option<&str>), Place> = HashMap::new();
        for (place, message) in self.messages_after(cursor)? {
            newest.insert((message.is_ephemeral(), message.key.as_deref()), place);
        }
        if newest.is_empty() {
            return None;
        }
        let mut segment = Segment::new(self.epoch, cursor, self.weight);
        for (place, message) in self.messages_after(cursor)? {
            if newest.get(&(message.is_ephemeral(), message.key.as_deref())) == Some(&place) {
                segment.push(form, place, self.weight, message);
            }
        }
        Some(segment)
    }
}

/// What a reader may be handed in one write: one segment.
pub const READ_BYTES: usize = SEGMENT_BYTES;

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
