//! A channel's newest messages in memory, and their wire forms, encoded when first asked for.
use std::{collections::VecDeque, sync::Arc};

use fanfare_protocol::{Epoch, Message};

use crate::{
    form::Form,
    newest::Newest,
    place::Place,
    segment::{SEGMENT_BYTES, Segment},
};

/// Messages that a segment has room for from the start, at most: small ones fill it with about so many.
const MESSAGES: usize = 256;

/// Of messages that are older than this when the next is pushed, only so much is kept: a quarter of the tail. The whole of it is for channels that
/// fill it sooner, whose readers fall behind by as much in a moment.
const FRESH_MS: u64 = 2000;
const OLDER: usize = 4;

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

/// The tail does not reach back to a cursor: the broker may.
#[derive(Debug)]
pub struct ReachedBefore;

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
    /// Kept while there are readers with a rate.
    newest: Option<Box<Newest>>,
    /// The head when this tail began.
    first: u64,
    /// The newest message without a key behind `first`.
    keyless: Option<u64>,
}

/// What is known of the newest message without a key inside a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyless {
    /// There is none, or a newer one stands behind the range.
    None,
    /// Its offset.
    At(u64),
    /// The range begins before this node read the channel.
    Unknown,
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
            newest: None,
            first: head.offset,
            keyless: None,
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

    /// Bytes held by messages and segments, and by what is kept for readers with a rate.
    pub fn held(&self) -> usize {
        self.held + self.newest.as_ref().map_or(0, |newest| newest.held())
    }

    /// Keeps the newest of every key from the head on, at most so many bytes, until [`Tail::untrack`].
    pub fn track(&mut self, limit: usize) {
        if self.newest.is_none() {
            self.newest = Some(Box::new(Newest::new(self.head, limit)));
        }
    }

    /// No reader has a rate any more.
    pub fn untrack(&mut self) {
        self.newest = None;
    }

    /// The newest of every key, where it is kept.
    pub fn newest_mut(&mut self) -> Option<&mut Newest> {
        self.newest.as_deref_mut()
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
        if let Some(newest) = &mut self.newest {
            newest.push(place, &message);
        }
        if message.key.is_none() && place.ephemeral == 0 {
            self.keyless = Some(place.offset);
        }
        self.kept.push_back(Kept { place, message, weight_to: self.weight });
    }

    /// Drops the oldest messages until no more than `limit` bytes are held, or a quarter of that with older ones.
    pub fn trim(&mut self, limit: usize) {
        let fresh = self.kept.back().map_or(0, |newest| newest.message.time.saturating_sub(FRESH_MS));
        let is_too_much = |held: usize, oldest: &Kept| {
            held > limit || (held > limit / OLDER && oldest.message.time < fresh)
        };
        while self.kept.front().is_some_and(|oldest| is_too_much(self.held, oldest)) {
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

    /// The first segment of what [`Tail::read`] would give: all that a round wants.
    ///
    /// # Errors
    /// The tail does not reach back to the cursor.
    pub fn read_one(&mut self, form: Form, cursor: Place) -> Result<Option<Arc<Segment>>, ReachedBefore> {
        let cursor = self.reach(cursor).ok_or(ReachedBefore)?;
        if cursor >= self.head {
            return Ok(None);
        }
        let at = self.form(form);
        Ok(self.segment_at(at, cursor))
    }

    /// The place of a form's segments.
    fn form(&mut self, form: Form) -> usize {
        self.forms.iter().position(|tail| tail.form == form).unwrap_or_else(|| {
            self.forms.push(FormTail { form, segments: VecDeque::new() });
            self.forms.len() - 1
        })
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
        let at = self.form(form);
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
        let n = partition_near_end(&tail.segments, |segment| segment.to <= cursor);
        if let Some(segment) = tail.segments.get(n)
            && segment.from <= cursor
        {
            return Some(segment.clone());
        }
        // Behind the last segment, or in a hole that nobody of this form has read.
        let limit = tail.segments.get(n).map_or(self.head, |next| next.from);
        let first = partition_near_end(&self.kept, |kept| kept.place <= cursor);
        let mut segment =
            Segment::with_room(self.epoch, cursor, self.weight, (self.kept.len() - first).min(MESSAGES));
        for kept in self.kept.range(first..).take_while(|kept| kept.place <= limit) {
            if !segment.has_room() {
                break;
            }
            segment.push(tail.form, kept.place, kept.weight_to, &kept.message);
        }
        let sealed = segment.seal();
        self.held += sealed.held();
        let at = partition_near_end(&tail.segments, |other| other.to <= sealed.from);
        tail.segments.insert(at, sealed.clone());
        Some(sealed)
    }

    /// Where reading on from a cursor begins; none when the tail does not reach back to it. Ephemeral messages that are gone are owed to
    /// nobody.
    fn reach(&self, cursor: Place) -> Option<Place> {
        (cursor.offset >= self.start.offset).then(|| cursor.max(self.start))
    }

    /// How many messages stand behind a cursor, of those that are kept.
    pub fn count_after(&self, cursor: Place) -> usize {
        self.kept.len() - partition_near_end(&self.kept, |kept| kept.place <= cursor)
    }

    /// The messages past a cursor; none when the tail does not reach back to it.
    pub fn messages_after(&self, cursor: Place) -> Option<impl Iterator<Item = (Place, &Arc<Message>)>> {
        let cursor = self.reach(cursor)?;
        let first = self.kept.partition_point(|kept| kept.place <= cursor);
        Some(self.kept.range(first..).map(|kept| (kept.place, &kept.message)))
    }

    /// The newest of every key behind a cursor; none when neither what is kept of it nor the tail reaches back so far.
    pub fn newest_after(&mut self, cursor: Place) -> Option<&Newest> {
        let newest = self.newest.as_deref_mut()?;
        if !newest.reaches(cursor) {
            if cursor.offset < self.start.offset {
                return None;
            }
            let (to, from) = (cursor.max(self.start), newest.from());
            let first = self.kept.partition_point(|kept| kept.place <= to);
            let end = self.kept.partition_point(|kept| kept.place <= from);
            let older = self.kept.range(first..end.max(first)).rev();
            newest.extend(older.map(|kept| (kept.place, &kept.message)), to);
        }
        newest.reaches(cursor).then_some(newest)
    }

    /// The newest of every key in `(cursor, until]`, in order, at most about `bytes`: the segment's `to` is where to read on. None when
    /// that is not known here.
    pub fn conflate(&mut self, form: Form, cursor: Place, until: Place, bytes: usize) -> Option<Segment> {
        let about = (self.epoch, self.weight);
        Some(self.newest_after(cursor)?.read(form, about, cursor, until, bytes))
    }

    /// The newest message without a key in `(after, until]`, where a newer one behind that counts instead.
    pub fn keyless(&self, after: u64, until: u64) -> Keyless {
        match self.keyless {
            Some(at) if at > until => Keyless::None,
            Some(at) if at > after => Keyless::At(at),
            None if after < self.first => Keyless::Unknown,
            _ => Keyless::None,
        }
    }
}

/// What [`VecDeque::partition_point`] finds, looked for from the end, where readers that keep up stand: memory further forward is seldom in a cache.
fn partition_near_end<T>(items: &VecDeque<T>, is_before: impl Fn(&T) -> bool) -> usize {
    let (mut end, mut step) = (items.len(), 1);
    while let Some(probe) = end.checked_sub(step) {
        if items.get(probe).is_some_and(&is_before) {
            break;
        }
        end = probe;
        step *= 2;
    }
    let (mut from, mut to) = (end.saturating_sub(step), end);
    while from < to {
        let middle = from.midpoint(to);
        match items.get(middle).is_some_and(&is_before) {
            true => from = middle + 1,
            false => to = middle,
        }
    }
    from
}

/// What a reader may be handed in one write: one segment.
pub const READ_BYTES: usize = SEGMENT_BYTES;

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
