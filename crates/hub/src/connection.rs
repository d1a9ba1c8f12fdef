//! A connection's outgoing side: the socket, control frames, the rest of a frame that was cut, and its readers.
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Waker},
};

use fanfare_protocol::{ChannelName, ClientId, Code, Cursor, Epoch, Event, Position, Problem};
use futures_util::task::AtomicWaker;

use crate::{
    assemble::Batch,
    counters::Counters,
    form::Form,
    place::Place,
    reader::{Reader, ReaderKey, State},
    segment::Segment,
    shard::Shard,
    sync::{AtomicU64, Mutex, MutexGuard},
};

/// Where a round writes. Never blocks: `WouldBlock` when the kernel takes nothing, and always for transports that pull.
pub trait Socket: Send + Sync + 'static {
    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock`, or whatever ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// A transport that is asked for its bytes (HTTP bodies, TLS, tests): rounds only wake it.
#[derive(Debug)]
pub struct Pulled;

impl Socket for Pulled {
    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// What the hub tells a connection's driver.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A subscription was ended.
    Ended(ChannelName, Code),
    /// The connection must end.
    Disconnect(Problem),
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Everything flows.
    Open,
    /// What is queued still goes out, no data any more.
    Closing,
    /// Nothing goes out.
    Dead,
}

/// One connection as rounds and its driver see it.
pub struct Connection {
    /// Unique on this node.
    pub id: u64,
    /// What its readers are written.
    pub form: Form,
    /// The client behind it.
    pub client: ClientId,
    /// The node's figures.
    pub(crate) counters: Arc<Counters>,
    socket: Box<dyn Socket>,
    waker: AtomicWaker,
    /// Its place on the timer wheel; 0: none.
    pub(crate) timer: AtomicU64,
    out: Mutex<Out>,
}

/// What the connection lock guards.
pub struct Out {
    pub(crate) life: Life,
    /// Complete frames that go before any data (and the rest of a frame that was cut).
    pub(crate) control: Vec<u8>,
    /// How much of `control` was written.
    pub(crate) control_at: usize,
    pub(crate) readers: Vec<Option<Box<Reader>>>,
    generation: u32,
    /// Readers that the catch-up serves, in turn.
    pub(crate) behind: VecDeque<ReaderKey>,
    /// Milliseconds since 1970 from which no data may be handed over.
    pub(crate) expires: u64,
    /// No renewal changes `expires` any more.
    revoked: bool,
    /// The socket took less than it was offered; the driver waits for it.
    pub(crate) blocked: bool,
    /// The socket accepted bytes since this was last asked.
    accepted: bool,
    notices: Vec<Notice>,
    /// The positions of the request's channels, where frames carry them all (SSE of several channels).
    pub(crate) elements: Option<Box<Cursor>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.id)
    }
}

impl Connection {
    /// A connection without readers. Made by [`crate::Hub::connect`].
    pub(crate) fn new(
        id: u64,
        form: Form,
        client: ClientId,
        socket: Box<dyn Socket>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let out = Out {
            life: Life::Open,
            control: Vec::new(),
            control_at: 0,
            readers: Vec::new(),
            generation: 0,
            behind: VecDeque::new(),
            expires: u64::MAX,
            revoked: false,
            blocked: false,
            accepted: false,
            notices: Vec::new(),
            elements: None,
        };
        Arc::new(Self {
            id,
            form,
            client,
            counters,
            socket,
            waker: AtomicWaker::new(),
            timer: AtomicU64::new(0),
            out: Mutex::new(out),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock()
    }

    /// Remembers who drives this connection: woken when it has something to do.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The same, from a poll.
    pub fn register_in(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Wakes the driver.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Makes every frame carry the positions of all the request's channels.
    pub fn carry_cursor(&self, cursor: Cursor) {
        self.lock().elements = Some(Box::new(cursor));
    }

    /// Gives one of the carried positions, where the request named none.
    pub fn set_element(&self, element: usize, position: Option<Position>) {
        let mut out = self.lock();
        if let Some(place) = out.elements.as_deref_mut().and_then(|cursor| cursor.0.get_mut(element)) {
            *place = position;
        }
    }

    /// Where the reader of a channel stands: everything up to there was handed over.
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        self.reader_position(channel).map(|(epoch, place, _)| Position { epoch, offset: place.offset })
    }

    /// The carried cursor as it stands: everything before it was handed over.
    pub fn cursor(&self) -> Option<Cursor> {
        self.lock().elements.as_deref().cloned()
    }

    /// Queues frames that go before any data written later; goes out with the next pump.
    pub fn send(&self, frame: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.lock();
        if out.life == Life::Open {
            frame(&mut out.control);
        }
    }

    /// Bytes of control frames that wait: a driver above its limit does not read.
    pub fn control_bytes(&self) -> usize {
        let out = self.lock();
        out.control.len() - out.control_at
    }

    /// Whether the connection is open and fewer than `limit` bytes of control frames wait.
    pub fn accepts(&self, limit: usize) -> bool {
        let out = self.lock();
        out.life == Life::Open && out.control.len() - out.control_at < limit
    }

    /// What is queued goes out, no data any more.
    pub fn finish(&self) {
        let mut out = self.lock();
        if out.life == Life::Open {
            out.life = Life::Closing;
        }
    }

    /// Whether neither side has ended it.
    pub fn is_open(&self) -> bool {
        self.lock().life == Life::Open
    }

    /// Nothing is handed over from this moment on.
    pub fn set_expiry(&self, unix_ms: Option<u64>) {
        let mut out = self.lock();
        if !out.revoked {
            out.expires = unix_ms.unwrap_or(u64::MAX);
        }
    }

    /// No data is handed over any more, whatever the driver is still busy with; it is told to end the connection.
    pub fn revoke(&self, problem: Problem) {
        let mut out = self.lock();
        out.revoked = true;
        out.expires = 0;
        out.notices.push(Notice::Disconnect(problem));
        drop(out);
        self.wake();
    }

    /// Nothing of this channel is handed over from this moment on; its readers stay.
    pub fn limit(&self, channel: &ChannelName, unix_ms: Option<u64>) {
        let mut out = self.lock();
        let out = &mut *out;
        for (slot, reader) in out.readers.iter_mut().enumerate() {
            let Some(reader) = reader.as_deref_mut().filter(|reader| reader.name == *channel) else {
                continue;
            };
            reader.until = unix_ms.unwrap_or(u64::MAX);
            let key = ReaderKey { slot: slot as u32, generation: reader.generation };
            // It may have lost its turn when the shorter right ended.
            if reader.state == State::Behind && !out.behind.contains(&key) {
                out.behind.push_back(key);
            }
        }
        self.wake();
    }

    /// Whether the socket accepted bytes since this was last asked.
    pub fn take_accepted(&self) -> bool {
        std::mem::take(&mut self.lock().accepted)
    }

    /// Tells the driver something.
    pub fn notify(&self, notice: Notice) {
        self.lock().notices.push(notice);
        self.wake();
    }

    /// What the driver was told.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    /// Whether the driver has anything to write, or to be told.
    pub fn has_work(&self) -> bool {
        let out = self.lock();
        !out.control.is_empty() || !out.behind.is_empty() || !out.notices.is_empty() || out.life != Life::Open
    }

    /// Enters a reader, held until [`Connection::release`]. None when the connection has ended.
    pub(crate) fn insert(&self, make: impl FnOnce(u32) -> Reader) -> Option<ReaderKey> {
        let mut out = self.lock();
        if out.life != Life::Open {
            return None;
        }
        out.generation += 1;
        let generation = out.generation;
        let reader = Some(Box::new(make(generation)));
        let slot = match out.readers.iter().position(Option::is_none) {
            Some(slot) => {
                if let Some(place) = out.readers.get_mut(slot) {
                    *place = reader;
                }
                slot
            }
            None => {
                out.readers.push(reader);
                out.readers.len() - 1
            }
        };
        Some(ReaderKey { slot: slot as u32, generation })
    }

    /// The `subscribed` of this channel has been queued: its gap follows it, then data may.
    pub fn release(&self, channel: &ChannelName) {
        let mut out = self.lock();
        let out = &mut *out;
        for (slot, reader) in out.readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            if reader.name != *channel || reader.state != State::Held {
                continue;
            }
            if let Some(gap) = reader.gap.take() {
                self.write_gap(&mut out.control, out.elements.as_deref_mut(), reader.element, gap);
            }
            reader.state = State::Behind;
            self.counters.behind.inc();
            out.behind.push_back(ReaderKey { slot: slot as u32, generation: reader.generation });
        }
        self.wake();
    }

    /// Queues a gap and moves the carried cursor with it.
    pub(crate) fn write_gap(
        &self,
        control: &mut Vec<u8>,
        elements: Option<&mut Cursor>,
        element: Option<usize>,
        gap: fanfare_protocol::event::Gap,
    ) {
        if let (Some(cursor), Some(element)) = (elements, element) {
            if let Some(place) = cursor.0.get_mut(element) {
                *place = Some(gap.after);
            }
            self.form.0.cursor(cursor, control);
        }
        self.form.0.event(&Event::Gap(gap), control);
    }

    /// The shard of a reader; none when the reader is gone.
    pub(crate) fn shard_of(&self, key: ReaderKey) -> Option<Arc<Shard>> {
        self.lock().reader(key).map(|reader| reader.shard.clone())
    }

    /// Puts a reader in step when it stands at or past its shard's position. Called under the shard lock. True when the catch-up has nothing
    /// more to do for it.
    pub(crate) fn join_at(&self, key: ReaderKey, epoch: Epoch, head: Place, at: Place) -> bool {
        let mut out = self.lock();
        let Some(reader) = out.reader_mut(key) else { return true };
        let unread = reader.keyed.is_some() || reader.present.is_some();
        if reader.epoch != epoch || unread || reader.state != State::Behind {
            return reader.state == State::InStep;
        }
        if reader.cursor.offset == head.offset {
            // At the head but for ephemeral messages, which it did not hear in time.
            reader.cursor = head;
        }
        if reader.cursor < at {
            return false;
        }
        reader.state = State::InStep;
        self.counters.behind.dec();
        true
    }

    /// Takes the readers of a channel out, messages and members. From here on nothing of it is written.
    pub(crate) fn remove(&self, channel: &ChannelName) -> Vec<(ReaderKey, Box<Reader>)> {
        self.remove_where(|reader| reader.name == *channel)
    }

    /// Takes every reader out and ends the connection.
    pub(crate) fn remove_all(&self) -> Vec<(ReaderKey, Box<Reader>)> {
        self.lock().life = Life::Dead;
        self.remove_where(|_| true)
    }

    fn remove_where(&self, which: impl Fn(&Reader) -> bool) -> Vec<(ReaderKey, Box<Reader>)> {
        let mut out = self.lock();
        let mut taken = Vec::new();
        for (slot, place) in out.readers.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|reader| which(reader))
                && let Some(reader) = place.take()
            {
                if reader.state == State::Behind {
                    self.counters.behind.dec();
                }
                taken.push((ReaderKey { slot: slot as u32, generation: reader.generation }, reader));
            }
        }
        while out.readers.last().is_some_and(Option::is_none) {
            out.readers.pop();
        }
        taken
    }

    /// Where the reader of a channel stands now: a seek without a start goes on from there.
    pub(crate) fn reader_position(
        &self,
        channel: &ChannelName,
    ) -> Option<(Epoch, Place, Option<crate::reader::KeyedPhase>)> {
        let out = self.lock();
        let mut readers = out.readers.iter().flatten();
        readers
            .find(|r| r.name == *channel && r.kind == crate::reader::Kind::Messages)
            .map(|r| (r.epoch, r.cursor, r.keyed))
    }

    /// Sends every reader of a shard that is in step to the catch-up: its position has left the tail, or the epoch has changed.
    pub(crate) fn fall_behind(&self, key: ReaderKey) {
        let mut out = self.lock();
        if out.reader(key).is_some_and(|reader| reader.state == State::InStep) {
            out.set_behind(key, &self.counters);
            drop(out);
            self.wake();
        }
    }

    /// One reader's part of a round: the segment past its cursor in one write. Returns how many messages were handed over.
    pub(crate) fn write_round(&self, key: ReaderKey, segment: &Segment, unix_ms: u64) -> usize {
        let mut guard = self.lock();
        let out = &mut *guard;
        let Some(reader) = out.reader(key) else { return 0 };
        if reader.state != State::InStep || out.life != Life::Open {
            return 0;
        }
        let cursor = reader.cursor;
        if reader.epoch == segment.epoch && cursor >= segment.to {
            return 0;
        }
        let clear = out.control.is_empty() && !out.blocked && unix_ms < out.expires.min(reader.until);
        // What changed among members is told in one piece: a reader that joined inside it asks the roster for its own.
        let inside = reader.kind == crate::reader::Kind::Members && cursor > segment.from;
        if !clear || inside || reader.epoch != segment.epoch || cursor < segment.from {
            out.set_behind(key, &self.counters);
            drop(guard);
            self.wake();
            return 0;
        }
        let wrote = if reader.skip.is_some() || out.elements.is_some() {
            let batch = Batch::assemble(self.form, [segment], reader, out.elements.as_deref(), true);
            let put = out.put(
                key,
                &batch.bytes,
                segment.to,
                |at| batch.cut(at),
                |bytes| self.socket.try_write(bytes),
            );
            put.map(|()| batch.units.len())
        } else {
            let first = segment.first_after(cursor);
            let start = segment.start(first);
            let bytes = segment.bytes.get(start..).unwrap_or_default();
            let cut = |at: usize| {
                let (place, end) = segment.cut(start + at);
                (place, end - start)
            };
            out.put(key, bytes, segment.to, cut, |bytes| self.socket.try_write(bytes))
                .map(|()| segment.index.len() - first)
        };
        match wrote {
            Ok(count) => count,
            Err(stop) => {
                if stop == Stop::Dead {
                    out.life = Life::Dead;
                } else {
                    out.set_behind(key, &self.counters);
                }
                drop(guard);
                self.wake();
                0
            }
        }
    }
}

/// Why a write did not take everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The socket is full.
    Full,
    /// The connection is gone.
    Dead,
}

impl Out {
    pub(crate) fn reader(&self, key: ReaderKey) -> Option<&Reader> {
        self.readers.get(key.slot as usize)?.as_deref().filter(|reader| reader.generation == key.generation)
    }

    pub(crate) fn reader_mut(&mut self, key: ReaderKey) -> Option<&mut Reader> {
        self.readers
            .get_mut(key.slot as usize)?
            .as_deref_mut()
            .filter(|reader| reader.generation == key.generation)
    }

    pub(crate) fn set_behind(&mut self, key: ReaderKey, counters: &Counters) {
        if let Some(reader) = self.reader_mut(key) {
            if reader.state != State::Behind {
                counters.behind.inc();
            }
            reader.state = State::Behind;
            self.behind.push_back(key);
        }
    }

    /// Writes control frames until none is left.
    pub(crate) fn flush_control(
        &mut self,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        while let Some(rest) = self.control.get(self.control_at..).filter(|rest| !rest.is_empty()) {
            match write(rest) {
                Ok(0) => return Err(Stop::Dead),
                Ok(n) => {
                    self.accepted = true;
                    self.control_at += n;
                }
                Err(error) => return Err(self.stopped(&error)),
            }
        }
        self.control_at = 0;
        // Freed, not cleared: an idle connection holds no buffer.
        self.control = Vec::new();
        Ok(())
    }

    /// Writes data for a reader whose cursor becomes `to` when all of it is taken. `cut` tells, for a number of bytes taken, the place of
    /// the frame that holds the last of them and where that frame ends.
    pub(crate) fn put(
        &mut self,
        key: ReaderKey,
        bytes: &[u8],
        to: Place,
        cut: impl FnOnce(usize) -> (Place, usize),
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        debug_assert!(self.control.is_empty(), "data was written before control frames");
        let taken = if bytes.is_empty() {
            0
        } else {
            match write(bytes) {
                Ok(0) => return Err(Stop::Dead),
                Ok(n) => n,
                Err(error) => return Err(self.stopped(&error)),
            }
        };
        self.accepted |= taken > 0;
        if taken == bytes.len() {
            self.advance(key, to);
            return Ok(());
        }
        let (place, end) = cut(taken);
        if end > taken {
            // The frame that was cut is completed before anything else, so its reader has passed it; what follows is read again.
            self.control = bytes.get(taken..end).unwrap_or_default().to_vec();
            self.control_at = 0;
        }
        self.blocked = true;
        self.advance(key, place);
        Err(Stop::Full)
    }

    fn advance(&mut self, key: ReaderKey, to: Place) {
        let Some(reader) = self.reader_mut(key) else { return };
        reader.cursor = to;
        let (element, epoch) = (reader.element, reader.epoch);
        if let (Some(element), Some(cursor)) = (element, self.elements.as_deref_mut())
            && let Some(place) = cursor.0.get_mut(element)
        {
            *place = Some(Position { epoch, offset: to.offset });
        }
    }

    fn stopped(&mut self, error: &io::Error) -> Stop {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocked = true;
            Stop::Full
        } else {
            Stop::Dead
        }
    }
}
