//! Several connections of the hub on one socket: the namespaces of a Socket.IO connection.
//!
//! Invariants. Frames are never mixed: who was cut in the middle of a frame owns the socket until the frame is out; the others find it full. And
//! no client is sent more than can be told apart of what it has received: it is asked in time, and where it does not answer it finds its socket
//! full.
use std::{io, sync::Arc};

use fanfare_dialect_socketio::{offset, ring::Ring};
use fanfare_hub::Socket;
use fanfare_protocol::Position;
use parking_lot::Mutex;

use super::{forms::frames, sessions::Handle};

/// Where rounds write.
enum Target {
    /// Nowhere: requests fetch, or the driver alone writes.
    Pulled,
    /// To a WebSocket.
    Open(Box<dyn Socket>),
}

struct State {
    target: Target,
    owner: Option<u64>,
}

/// One socket. Lock order: the hub's connection lock, then this, then a ring.
pub(crate) struct Mux {
    handle: Arc<Handle>,
    state: Mutex<State>,
}

impl Mux {
    /// A socket that is fetched from.
    pub fn pulled(handle: Arc<Handle>) -> Arc<Self> {
        Arc::new(Self { handle, state: Mutex::new(State { target: Target::Pulled, owner: None }) })
    }

    /// Rounds write to a WebSocket from now on.
    pub fn open(&self, socket: Box<dyn Socket>) {
        self.state.lock().target = Target::Open(socket);
    }

    /// Who was cut in the middle of a frame.
    pub fn owner(&self) -> Option<u64> {
        self.state.lock().owner
    }

    /// Writes for a lane through `write`, and notes what was sent.
    ///
    /// # Errors
    /// `WouldBlock` too while another lane's frame is not out, or while the client is to say first what it has received.
    pub fn write(
        &self,
        lane: u64,
        ring: Option<&Mutex<Ring>>,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.state.lock().write(&self.handle, lane, ring, bytes, write)
    }
}

impl State {
    fn write(
        &mut self,
        handle: &Handle,
        lane: u64,
        ring: Option<&Mutex<Ring>>,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.owner.is_some_and(|owner| owner != lane) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A frame that goes on was noted when it began.
        let mut ring = ring.filter(|_| self.owner.is_none()).map(Mutex::lock);
        if ring.as_ref().is_some_and(|ring| ring.is_full()) && last_event(bytes, bytes.len()).is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = write(bytes)?;
        if taken == 0 {
            return Ok(0);
        }
        self.owner = (taken < bytes.len()).then_some(lane);
        if let Some(ring) = &mut ring
            && let Some((channel, at)) = last_event(bytes, taken)
        {
            ring.sent(channel, at);
            if ring.is_to_ask() {
                handle.ask();
            }
        }
        Ok(taken)
    }
}

/// The last event with a position among the frames of which something was taken.
fn last_event(bytes: &[u8], taken: usize) -> Option<(&str, Position)> {
    let start = bytes.as_ptr() as usize;
    let begun = frames(bytes).take_while(|frame| frame.payload.as_ptr() as usize - start < taken);
    begun.filter_map(|frame| offset::of_packet(frame.payload, frame.is_text)).last()
}

/// A lane's socket as rounds see it.
pub(crate) struct LaneSocket {
    /// The socket of all.
    pub mux: Arc<Mux>,
    /// Which lane.
    pub lane: u64,
    /// What is sent in which order.
    pub ring: Option<Arc<Mutex<Ring>>>,
}

impl Socket for LaneSocket {
    fn is_pulled(&self) -> bool {
        matches!(self.mux.state.lock().target, Target::Pulled)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.mux.state.lock();
        let State { target: Target::Open(_), .. } = &*state else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // Taken out for the call: the state is borrowed by it.
        let target = std::mem::replace(&mut state.target, Target::Pulled);
        let written = match &target {
            Target::Open(socket) => {
                let ring = self.ring.as_deref();
                state.write(&self.mux.handle, self.lane, ring, bytes, |bytes| socket.try_write(bytes))
            }
            Target::Pulled => Err(io::ErrorKind::WouldBlock.into()),
        };
        state.target = target;
        written
    }
}
