//! A run of encoded messages, immutable and shared by every reader of one wire form.
use std::sync::Arc;

use fanfare_protocol::{ClientId, Epoch, Message};

use crate::{form::Form, place::Place};

/// Bytes of one segment at most, unless a single message is larger.
pub const SEGMENT_BYTES: usize = 64 << 10;

/// One message's place in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The message's place.
    pub place: Place,
    /// Where its bytes end.
    pub end: u32,
    /// Whose `echo=0` readers skip it.
    pub origin: Option<ClientId>,
}

/// Complete frames of consecutive messages, with an index.
#[derive(Debug)]
pub struct Segment {
    /// The epoch of every place in it.
    pub epoch: Epoch,
    /// The place that the first message follows.
    pub from: Place,
    /// The place of the last message.
    pub to: Place,
    /// The channel's running weight at `to`.
    pub weight_to: u64,
    /// The frames.
    pub bytes: Vec<u8>,
    /// One entry a message, in order.
    pub index: Vec<Entry>,
}

impl Segment {
    /// An empty segment behind `from`.
    pub fn new(epoch: Epoch, from: Place, weight: u64) -> Self {
        Self { epoch, from, to: from, weight_to: weight, bytes: Vec::new(), index: Vec::new() }
    }

    /// The same with room for so many messages.
    pub fn with_room(epoch: Epoch, from: Place, weight: u64, messages: usize) -> Self {
        Self { index: Vec::with_capacity(messages), ..Self::new(epoch, from, weight) }
    }

    /// Encodes one message at its end.
    pub fn push(&mut self, form: Form, place: Place, weight_to: u64, message: &Message) {
        form.0.message(message, &mut self.bytes);
        // A segment ends at SEGMENT_BYTES plus one message, far below 4 GiB.
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.index.push(Entry { place, end, origin: message.origin });
        self.to = place;
        self.weight_to = weight_to;
    }

    /// Whether another message may be pushed.
    pub fn has_room(&self) -> bool {
        self.bytes.len() < SEGMENT_BYTES
    }

    /// The number of the first message past the cursor.
    pub fn first_after(&self, cursor: Place) -> usize {
        if cursor <= self.from { 0 } else { self.index.partition_point(|entry| entry.place <= cursor) }
    }

    /// Where message number `n` begins.
    pub fn start(&self, n: usize) -> usize {
        n.checked_sub(1).and_then(|n| self.index.get(n)).map_or(0, |entry| entry.end as usize)
    }

    /// For a write that ended at byte `at` of this segment: the place of the frame that holds the last byte written, and where that frame ends.
    pub fn cut(&self, at: usize) -> (Place, usize) {
        let n = self.index.partition_point(|entry| (entry.end as usize) < at);
        self.index.get(n).map_or((self.to, at), |entry| (entry.place, entry.end as usize))
    }

    /// Bytes it occupies in memory.
    pub fn held(&self) -> usize {
        self.bytes.capacity() + self.index.capacity() * size_of::<Entry>() + size_of::<Self>() + 16
    }

    /// Gives spare capacity back before the segment is shared, where it is worth a copy.
    pub fn seal(mut self) -> Arc<Self> {
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 8 + 64 {
            self.bytes.shrink_to_fit();
        }
        if self.index.capacity() > self.index.len() + self.index.len() / 8 {
            self.index.shrink_to_fit();
        }
        Arc::new(self)
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
