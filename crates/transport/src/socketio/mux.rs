//! Several connections of the hub on one socket: the namespaces of a Socket.IO connection.
//!
//! Invariant: frames are never mixed. Who was cut in the middle of a frame owns the socket until the frame is out; the others find it full.
use std::{io, sync::Arc};

use fanfare_dialect_socketio::{offset, ring::Ring};
use fanfare_hub::Socket;
use parking_lot::Mutex;

use super::forms::frames;

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
pub(crate) struct Mux(Mutex<State>);

impl Mux {
    /// A socket that is fetched from.
    pub fn pulled() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { target: Target::Pulled, owner: None })))
    }

    /// Rounds write to a WebSocket from now on.
    pub fn open(&self, socket: Box<dyn Socket>) {
        self.0.lock().target = Target::Open(socket);
    }

    /// Who was cut in the middle of a frame.
    pub fn owner(&self) -> Option<u64> {
        self.0.lock().owner
    }

    /// Writes for a lane through `write`, and notes what was sent.
    ///
    /// # Errors
    /// `WouldBlock` too while another lane's frame is not out.
    pub fn write(
        &self,
        lane: u64,
        ring: Option<&Mutex<Ring>>,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.0.lock().write(lane, ring, bytes, write)
    }
}

impl State {
    fn write(
        &mut self,
        lane: u64,
        ring: Option<&Mutex<Ring>>,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.owner.is_some_and(|owner| owner != lane) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let begins_a_frame = self.owner.is_none();
        let taken = write(bytes)?;
        if taken == 0 {
            return Ok(0);
        }
        self.owner = (taken < bytes.len()).then_some(lane);
        // A frame that goes on was noted when it began.
        if begins_a_frame && let Some(ring) = ring {
            note(ring, bytes, taken);
        }
        Ok(taken)
    }
}

/// Notes the last event among the frames of which something was taken.
fn note(ring: &Mutex<Ring>, bytes: &[u8], taken: usize) {
    let mut last = None;
    let start = bytes.as_ptr() as usize;
    for frame in frames(bytes) {
        if frame.payload.as_ptr() as usize - start >= taken {
            break;
        }
        if let Some(found) = offset::of_packet(frame.payload, frame.is_text) {
            last = Some(found);
        }
    }
    if let Some((channel, at)) = last {
        ring.lock().sent(channel, at);
    }
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
        matches!(self.mux.0.lock().target, Target::Pulled)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.mux.0.lock();
        let State { target: Target::Open(_), .. } = &*state else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // Taken out for the call: the state is borrowed by it.
        let target = std::mem::replace(&mut state.target, Target::Pulled);
        let written = match &target {
            Target::Open(socket) => {
                state.write(self.lane, self.ring.as_deref(), bytes, |bytes| socket.try_write(bytes))
            }
            Target::Pulled => Err(io::ErrorKind::WouldBlock.into()),
        };
        state.target = target;
        written
    }
}
