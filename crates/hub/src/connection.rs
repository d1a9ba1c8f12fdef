//! A connection's outgoing side: the socket, control frames, the rest of a frame that was cut, and its readers.
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Weak},
    task::{Context, Waker},
};

use fanfare_protocol::{ChannelName, ClientId, Code, Cursor, Position, Problem};
use futures_util::task::AtomicWaker;
use smallvec::SmallVec;

use crate::{
    counters::Counters,
    form::Form,
    reader::{Reader, ReaderKey, State},
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
};

/// Where a round writes. Never blocks: `WouldBlock` when the kernel takes nothing, and always for transports that pull.
pub trait Socket: Send + Sync + 'static {
    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock`, or whatever ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether only the driver writes: then a round wakes it and offers nothing.
    fn is_pulled(&self) -> bool {
        false
    }

    /// Reads what [`Socket::try_write`] will need, so that it is in the processor's cache by then.
    fn touch(&self) {}
}

/// A transport that is asked for its bytes (HTTP bodies, TLS, tests): rounds only wake it.
#[derive(Debug)]
pub struct Pulled;

impl Socket for Pulled {
    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn is_pulled(&self) -> bool {
        true
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
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) alarm: Arc<Alarm>,
    out: Mutex<Out>,
}

/// What wakes a connection's driver. Apart, because the timer wheel may refer to it long after the connection has gone.
#[derive(Default)]
pub(crate) struct Alarm {
    waker: AtomicWaker,
    /// Its place on the timer wheel; 0: none.
    pub timer: AtomicU64,
}

impl Alarm {
    /// Wakes the driver.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

/// What the connection lock guards. In this order, so that a round finds what it looks at in neighbouring lines of the cache.
#[repr(C)]
pub struct Out {
    /// Most connections have one, which is looked at for every message.
    pub(crate) readers: SmallVec<[Option<Box<Reader>>; 1]>,
    /// Complete frames that go before any data (and the rest of a frame that was cut).
    pub(crate) control: Vec<u8>,
    /// How much of `control` was written.
    pub(crate) control_at: usize,
    /// Milliseconds since 1970 from which no data may be handed over.
    pub(crate) expires: u64,
    /// The positions of the request's channels, where frames carry them all (SSE of several channels).
    pub(crate) elements: Option<Box<Cursor>>,
    pub(crate) life: Life,
    /// The socket took less than it was offered; the driver waits for it.
    pub(crate) blocked: bool,
    /// The socket accepted bytes since this was last asked.
    pub(crate) accepted: bool,
    /// No renewal changes `expires` any more.
    revoked: bool,
    /// How often output has waited for the client, from 1: see [`Reader::kept_up`].
    pub(crate) stalls: u32,
    pub(crate) generation: u32,
    /// Readers that the catch-up serves, in turn.
    pub(crate) behind: VecDeque<ReaderKey>,
    notices: Vec<Notice>,
    /// Another connection of the same client on the same socket, whose right to read ends with this one's; it may have one itself.
    companion: Weak<Connection>,
}

impl Out {
    /// No data is handed over any more. The connection that this holds for too.
    fn silence(&mut self) -> Option<Arc<Connection>> {
        self.revoked = true;
        self.expires = 0;
        self.companion.upgrade()
    }
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
            readers: SmallVec::new(),
            generation: 0,
            behind: VecDeque::new(),
            expires: u64::MAX,
            revoked: false,
            blocked: false,
            stalls: 1,
            accepted: false,
            notices: Vec::new(),
            elements: None,
            companion: Weak::new(),
        };
        Arc::new(Self { id, form, client, counters, socket, alarm: Arc::default(), out: Mutex::new(out) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock()
    }

    /// Reads what a round is about to need of it.
    pub(crate) fn touch(&self) {
        std::hint::black_box(self.out.is_locked());
        self.socket.touch();
    }

    /// Whether the timer wheel has yet to wake its driver.
    pub fn is_armed(&self) -> bool {
        self.alarm.timer.load(Ordering::Acquire) != 0
    }

    /// Remembers who drives this connection: woken when it has something to do.
    pub fn register(&self, waker: &Waker) {
        self.alarm.waker.register(waker);
    }

    /// The same, from a poll.
    pub fn register_in(&self, cx: &Context<'_>) {
        self.alarm.waker.register(cx.waker());
    }

    /// Wakes the driver.
    pub fn wake(&self) {
        self.alarm.wake();
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
        let mut companion = {
            let mut out = self.lock();
            out.notices.push(Notice::Disconnect(problem));
            out.silence()
        };
        // One after the other: no two connections are ever locked at once.
        while let Some(next) = companion {
            companion = next.lock().silence();
        }
        self.wake();
    }

    /// Another connection of the same client, which the same driver serves: nothing is handed over to it either once this one's right
    /// to read has been taken away. False when that has happened already.
    pub fn accompanied_by(&self, other: &Arc<Self>) -> bool {
        let next = {
            let mut out = self.lock();
            let next = out.companion.upgrade();
            if !out.revoked && next.is_none() {
                out.companion = Arc::downgrade(other);
            }
            if out.revoked {
                return false;
            }
            next
        };
        next.is_none_or(|next| next.accompanied_by(other))
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

    /// Output waits for the client: readers that are behind no longer stand at the head.
    pub fn stalled(&self) {
        let mut out = self.lock();
        out.stalls = out.stalls.wrapping_add(1).max(1);
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
}
