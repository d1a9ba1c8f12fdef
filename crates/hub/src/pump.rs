//! Catch-up: what a connection's driver writes by itself. Control frames first, then readers that are behind, in turn.
use std::{io, sync::Arc};

use fanfare_broker::{Bound, Keyed, KeyedSlice, Lost, Read, Slice};
use fanfare_protocol::{
    ChannelName, Position, Problem,
    event::{Gap, GapReason},
};

use crate::{
    assemble::Batch,
    channel::Channel,
    connection::{Connection, Life},
    form::Form,
    place::Place,
    read_newest::{NewestSlice, ReadNewest},
    reader::{KeyedPhase, Kind, Pass, PresentPhase, Reader, ReaderKey, State},
    segment::Segment,
    tail::{READ_BYTES, Tail, TailRead},
    write::Stop,
};

/// Writes a driver's turn.
pub const TURN_WRITES: usize = 2;

/// How a turn ended.
#[derive(Debug)]
pub enum Pumped {
    /// Nothing is left to write.
    Idle,
    /// More is there: let others have their turn first.
    Again,
    /// The socket takes no more for now.
    Blocked,
    /// The broker must be asked; pass the answer to [`Connection::fetched`].
    Fetch(Fetch),
    /// A reader fell off the log, and its namespace closes such connections or goes on with what is left: ask the hub.
    Slow(Slow),
    /// Everything was written after [`Connection::finish`].
    Finished,
    /// The connection is gone.
    Dead,
}

/// What to read from the broker for a reader.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// For which reader.
    pub key: ReaderKey,
    /// Of which channel.
    pub channel: ChannelName,
    /// What.
    pub range: Range,
}

impl Fetch {
    /// The offset that the reader stood at.
    fn after(&self) -> u64 {
        match self.range {
            Range::Log(read) => read.after.offset,
            Range::Keyed(read) => read.after,
            Range::Newest(read) => read.after.offset,
        }
    }
}

/// A read of the log, of the keyed state, or of the newest per key.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// The log.
    Log(Read),
    /// The keyed state.
    Keyed(Keyed),
    /// The newest per key, messages without a key included.
    Newest(ReadNewest),
}

/// What the broker returned.
#[derive(Debug)]
pub enum Fetched {
    /// A slice of the log.
    Log(Result<Slice, Lost>),
    /// The keyed state.
    Keyed(KeyedSlice),
    /// The newest per key.
    Newest(Result<NewestSlice, Lost>),
}

/// A reader that the log no longer reaches.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Which reader.
    pub key: ReaderKey,
    /// Of which channel.
    pub channel: ChannelName,
    /// What the log still holds.
    pub lost: Lost,
    /// Where the reader stands.
    pub at: Position,
    /// Whether it asked for a snapshot.
    pub snapshot: bool,
}

/// How the catch-up sees a reader for one step.
struct View {
    channel: Arc<Channel>,
    cursor: Place,
    epoch: fanfare_protocol::Epoch,
    kind: Kind,
    keyed: Option<KeyedPhase>,
    /// At a rate: what it reads by itself now, if it has begun.
    paced: Option<Option<Pass>>,
    snapshot: bool,
    present: Option<PresentPhase>,
    /// It stands at the head but for its connection's turn.
    kept_up: bool,
}

/// What one step found.
enum Source {
    Segments(Vec<Arc<Segment>>),
    /// Members or what changed among them, the place behind it, and the pages that are left.
    Members(Vec<u8>, Place, Option<PresentPhase>),
    AtHead,
    Fetch(Range),
    Lost(Lost),
}

impl Connection {
    /// Writes control frames, then at most `writes` pieces for readers that are behind, through `write` (which answers `WouldBlock` when it
    /// takes no more). `unix_ms` is now.
    pub fn pump(
        self: &Arc<Self>,
        unix_ms: u64,
        mut writes: usize,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        loop {
            let (key, mut view) = {
                let mut out = self.lock();
                if out.life == Life::Dead {
                    return Pumped::Dead;
                }
                out.blocked = false;
                match out.flush_control(write) {
                    Ok(()) => {}
                    Err(stop) => return stopped(&mut out, stop),
                }
                if out.life == Life::Closing {
                    return Pumped::Finished;
                }
                if unix_ms >= out.expires {
                    return Pumped::Idle;
                }
                let Some(key) = out.behind.pop_front() else { return Pumped::Idle };
                // A reader whose right has ended loses its turn; a renewal gives it back.
                let due = |reader: &&Reader| reader.state == State::Behind && unix_ms < reader.until;
                let Some(reader) = out.reader(key).filter(due) else {
                    continue;
                };
                if writes == 0 {
                    out.behind.push_front(key);
                    return Pumped::Again;
                }
                let view = View {
                    channel: reader.channel.clone(),
                    cursor: reader.cursor,
                    epoch: reader.epoch,
                    kind: reader.kind,
                    keyed: reader.keyed,
                    paced: reader.paced.as_ref().map(|paced| paced.pass),
                    snapshot: reader.snapshot,
                    present: reader.present,
                    kept_up: reader.kept_up == out.stalls,
                };
                (key, view)
            };
            let source = self.source(&mut view);
            self.set_pass(key, &view);
            match source {
                Source::Segments(segments) => {
                    writes -= 1;
                    if let Some(pumped) = self.write_segments(key, &segments, unix_ms, write) {
                        self.lock().behind.push_front(key);
                        return pumped;
                    }
                }
                Source::Members(bytes, to, present) => {
                    writes -= 1;
                    if let Some(pumped) = self.write_members(key, &bytes, to, present, unix_ms, write) {
                        self.lock().behind.push_front(key);
                        return pumped;
                    }
                }
                Source::AtHead => {}
                Source::Fetch(range) => {
                    return Pumped::Fetch(Fetch { key, channel: view.channel.name.clone(), range });
                }
                Source::Lost(lost) => {
                    let at = Position { epoch: view.epoch, offset: view.cursor.offset };
                    let channel = view.channel.name.clone();
                    return Pumped::Slow(Slow { key, channel, lost, at, snapshot: view.snapshot });
                }
            }
            if !view.channel.rejoin(self, key) {
                self.lock().behind.push_back(key);
            }
        }
    }

    /// Where a reader's next bytes come from.
    fn source(&self, view: &mut View) -> Source {
        let mut channel = view.channel.lock();
        let channel = &mut *channel;
        let Some(tail) = &mut channel.tail else { return Source::AtHead };
        if tail.epoch() != view.epoch {
            let head = tail.head().offset;
            let start = tail.start().offset + 1;
            let bounds = fanfare_broker::Bounds {
                epoch: tail.epoch(),
                oldest: start,
                held: start,
                head,
                newest_ms: 0,
                tombstones_after: 0,
            };
            return Source::Lost(Lost { reason: GapReason::Epoch, bounds });
        }
        if view.kind == Kind::Members {
            return match &channel.roster {
                Some(roster) => members(roster, tail, self, view),
                None => Source::AtHead,
            };
        }
        if let Some(pass @ None) = &mut view.paced {
            let head = tail.head();
            *pass = Some(Pass::new(if view.kept_up { head } else { Place::at(head.offset) }));
        }
        if let Some(phase) = view.keyed {
            return Source::Fetch(Range::Keyed(Keyed {
                after: view.cursor.offset,
                until: phase.until,
                tombstones_after: phase.tombstones_after,
                limit: 1000,
                bytes: READ_BYTES,
            }));
        }
        if view.cursor >= tail.head() {
            return Source::AtHead;
        }
        let before = tail.held() as isize;
        let source = match view.paced.flatten() {
            Some(pass) => newest(tail, self.form, view, pass.until),
            None => log(tail, self.form, view),
        };
        self.counters.grow_tail(tail.held() as isize - before);
        source
    }

    /// What a reader with a rate reads by itself has begun.
    fn set_pass(&self, key: ReaderKey, view: &View) {
        if let Some(pass @ Some(_)) = view.paced
            && let Some(paced) = self.lock().reader_mut(key).and_then(|reader| reader.paced.as_mut())
        {
            paced.pass = pass;
        }
    }

    fn write_segments(
        &self,
        key: ReaderKey,
        segments: &[Arc<Segment>],
        unix_ms: u64,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Option<Pumped> {
        let mut out = self.lock();
        let to = segments.last().map(|segment| segment.to)?;
        let reader = out.reader(key)?;
        // The lock was let go while the segments were looked up: a round of another channel may have cut a frame meanwhile, whose rest
        // goes first, and the right to read may have ended.
        if !out.control.is_empty() || out.life != Life::Open || unix_ms >= out.expires.min(reader.until) {
            return None;
        }
        let batch = Batch::assemble(
            self.form,
            segments.iter().map(|segment| &**segment),
            reader,
            out.elements.as_deref(),
            reader.kept_up == out.stalls,
        );
        let count = batch.units.len();
        out.mark_sent(key, count);
        self.written(&mut out, count, |out| out.put(key, &batch.bytes, to, |at| batch.cut(at), write))
    }

    /// Members are told in one piece of at most a page: when it is cut, its rest goes first.
    fn write_members(
        &self,
        key: ReaderKey,
        bytes: &[u8],
        to: Place,
        present: Option<PresentPhase>,
        unix_ms: u64,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Option<Pumped> {
        let mut out = self.lock();
        let reader = out.reader(key)?;
        if !out.control.is_empty() || out.life != Life::Open || unix_ms >= out.expires.min(reader.until) {
            return None;
        }
        let pumped = self.written(&mut out, 1, |out| out.put(key, bytes, to, |_| (to, bytes.len()), write));
        if pumped.is_none() || !out.control.is_empty() {
            // All of it, or its rest, is on its way.
            if let Some(reader) = out.reader_mut(key) {
                reader.present = present;
            }
        }
        pumped
    }

    fn written(
        &self,
        out: &mut crate::connection::Out,
        count: usize,
        put: impl FnOnce(&mut crate::connection::Out) -> Result<(), Stop>,
    ) -> Option<Pumped> {
        match put(out) {
            Ok(()) => {
                self.counters.deliveries.add(count as u64);
                None
            }
            Err(stop) => Some(stopped(out, stop)),
        }
    }

    /// Writes what the broker returned for a reader.
    ///
    /// Like [`Connection::pump`], and to be followed by it.
    pub fn fetched(
        self: &Arc<Self>,
        unix_ms: u64,
        fetch: &Fetch,
        fetched: Fetched,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        let mut out = self.lock();
        // Whatever happens below, the reader's turn comes again.
        out.behind.push_back(fetch.key);
        if out.life != Life::Open || out.reader(fetch.key).is_none_or(|r| unix_ms >= out.expires.min(r.until))
        {
            return Pumped::Again;
        }
        if let Err(stop) = out.flush_control(write) {
            return stopped(&mut out, stop);
        }
        let Some(reader) = out.reader_mut(fetch.key).filter(|reader| reader.state == State::Behind) else {
            return Pumped::Again;
        };
        if reader.cursor.offset != fetch.after() {
            return Pumped::Again;
        }
        let (messages, to) = match fetched {
            Fetched::Log(Err(lost)) | Fetched::Newest(Err(lost)) => {
                let at = Position { epoch: reader.epoch, offset: reader.cursor.offset };
                let snapshot = reader.snapshot;
                out.behind.pop_back();
                return Pumped::Slow(Slow {
                    key: fetch.key,
                    channel: fetch.channel.clone(),
                    lost,
                    at,
                    snapshot,
                });
            }
            Fetched::Log(Ok(slice)) => {
                if slice.bounds.epoch != reader.epoch {
                    return Pumped::Again;
                }
                let to = slice.messages.last().map_or(reader.cursor, |message| Place::at(message.offset));
                (slice.messages, to)
            }
            Fetched::Newest(Ok(slice)) => {
                if slice.epoch != reader.epoch {
                    return Pumped::Again;
                }
                (slice.messages, Place::at(slice.next))
            }
            Fetched::Keyed(slice) => {
                if slice.bounds.epoch != reader.epoch {
                    return Pumped::Again;
                }
                if reader.keyed.is_some_and(|phase| slice.next >= phase.until) {
                    reader.keyed = None;
                }
                (slice.messages, Place::at(slice.next))
            }
        };
        let Some(reader) = out.reader(fetch.key) else { return Pumped::Again };
        let batch = Batch::encode(self.form, messages.iter().map(|m| &**m), reader, out.elements.as_deref());
        let count = batch.units.len();
        let keyed = reader.keyed;
        out.mark_sent(fetch.key, count);
        let put = self.written(&mut out, count, |out| {
            out.put(fetch.key, &batch.bytes, to, |at| batch.cut(at), &mut *write)
        });
        if put.is_some()
            && keyed.is_none()
            && let Range::Keyed(range) = fetch.range
            && let Some(reader) = out.reader_mut(fetch.key)
            && reader.cursor < to
        {
            // The last page was cut: the rest of it is read by key again.
            reader.keyed = Some(KeyedPhase { until: range.until, tombstones_after: range.tombstones_after });
        }
        put.unwrap_or(Pumped::Again)
    }

    /// Lets a reader that fell off the log go on: at `to`, told by a gap unless the newest per key fills it.
    pub fn resume(&self, slow: &Slow, to: Position, keyed: Option<KeyedPhase>, gap: Option<GapReason>) {
        let mut guard = self.lock();
        let out = &mut *guard;
        let mut told = None;
        if let Some(reader) = out.reader_mut(slow.key) {
            reader.epoch = to.epoch;
            reader.cursor = Place::at(to.offset);
            reader.kept_up = 0;
            reader.keyed = keyed;
            if let Some(paced) = &mut reader.paced {
                paced.pass = None;
            }
            reader.present = (reader.kind == Kind::Members).then(PresentPhase::default);
            if let Some(reason) = gap {
                told = Some((reader.element, Gap { channel: reader.name.clone(), after: to, reason }));
            }
        }
        if let Some((element, gap)) = told {
            self.write_gap(&mut out.control, out.elements.as_deref_mut(), element, gap);
        }
        out.behind.push_back(slow.key);
    }

    /// Gives a reader's turn back after the broker could not answer; the driver tries again later.
    pub fn fetch_failed(&self, fetch: &Fetch, _problem: &Problem) {
        self.lock().behind.push_back(fetch.key);
    }
}

fn stopped(out: &mut crate::connection::Out, stop: Stop) -> Pumped {
    match stop {
        Stop::Full => Pumped::Blocked,
        Stop::Dead => {
            out.life = Life::Dead;
            Pumped::Dead
        }
    }
}

/// What a reader of members has not been told: the next page of all of them, or what changed.
fn members(
    roster: &crate::roster::Roster,
    tail: &crate::tail::Tail,
    connection: &Connection,
    view: &View,
) -> Source {
    let head = tail.head();
    let mut bytes = Vec::new();
    let phase = match view.present {
        Some(phase) => phase,
        None if view.cursor >= head => return Source::AtHead,
        None if roster.is_far(view.cursor.offset) => PresentPhase::default(),
        None => {
            roster.write(connection.form, view.cursor.offset, &mut bytes);
            return Source::Members(bytes, head, None);
        }
    };
    let head = if phase.after.is_none() { head } else { phase.head };
    match roster.write_present(connection.form, phase.after, &mut bytes) {
        Some(after) => {
            Source::Members(bytes, Place::default(), Some(PresentPhase { after: Some(after), head }))
        }
        None => Source::Members(bytes, head, None),
    }
}

/// What follows a reader's cursor in the log.
fn log(tail: &mut Tail, form: Form, view: &View) -> Source {
    match tail.read(form, view.cursor, READ_BYTES) {
        TailRead::AtHead => Source::AtHead,
        TailRead::Segments(segments) => Source::Segments(segments),
        TailRead::Before if view.cursor.offset == tail.head().offset => Source::AtHead,
        TailRead::Before => Source::Fetch(Range::Log(Read {
            after: Position { epoch: view.epoch, offset: view.cursor.offset },
            limit: 1000,
            bytes: READ_BYTES,
            bound: Bound::Held,
        })),
    }
}

/// The newest of every key between a reader's cursor and the end of what it reads by itself.
fn newest(tail: &mut Tail, form: Form, view: &View, until: Place) -> Source {
    if view.cursor >= until {
        return Source::AtHead;
    }
    match tail.conflate(form, view.cursor, until, READ_BYTES) {
        Some(segment) => Source::Segments(vec![Arc::new(segment)]),
        // Nothing but ephemeral messages that are gone.
        None if view.cursor.offset >= until.offset => {
            let mut nothing = Segment::new(view.epoch, view.cursor, 0);
            nothing.to = until;
            Source::Segments(vec![Arc::new(nothing)])
        }
        None => Source::Fetch(Range::Newest(ReadNewest {
            after: Position { epoch: view.epoch, offset: view.cursor.offset },
            until: until.offset,
            keyless: tail.keyless(view.cursor.offset, until.offset),
        })),
    }
}
