//! A socket whose other end is the test: it takes as much as it is allowed to, in pieces of any size.
use std::{
    io,
    sync::{Arc, Mutex},
};

use fanfare_hub::Socket;
use fanfare_testkit::Random;

struct Pipe {
    random: Random,
    /// Whether a write may be taken in part although there is room.
    partial: bool,
    room: usize,
    broken: bool,
    taken: Vec<u8>,
    total: usize,
    writes: u64,
}

/// Both ends of a socket.
#[derive(Clone)]
pub struct FakeSocket(Arc<Mutex<Pipe>>);

impl FakeSocket {
    /// A socket that takes nothing yet.
    pub fn new(seed: u64) -> Self {
        let pipe = Pipe {
            random: Random::new(seed),
            partial: true,
            room: 0,
            broken: false,
            taken: Vec::new(),
            total: 0,
            writes: 0,
        };
        Self(Arc::new(Mutex::new(pipe)))
    }

    /// A socket that takes everything.
    pub fn open() -> Self {
        let socket = Self::new(0);
        socket.allow(usize::MAX);
        socket.whole();
        socket
    }

    /// Takes so many bytes more.
    pub fn allow(&self, bytes: usize) {
        let mut pipe = self.0.lock().unwrap();
        pipe.room = pipe.room.saturating_add(bytes);
    }

    /// Takes nothing more.
    pub fn stop(&self) {
        self.0.lock().unwrap().room = 0;
    }

    /// Takes whole writes from here on, where there is room.
    pub fn whole(&self) {
        self.0.lock().unwrap().partial = false;
    }

    /// Fails from here on.
    pub fn break_it(&self) {
        self.0.lock().unwrap().broken = true;
    }

    /// Whether a write would take something.
    pub fn is_writable(&self) -> bool {
        let pipe = self.0.lock().unwrap();
        pipe.broken || pipe.room > 0
    }

    /// What came since this was last asked.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap().taken)
    }

    /// All bytes that ever came.
    pub fn total(&self) -> usize {
        self.0.lock().unwrap().total
    }

    /// Writes attempted.
    pub fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }
}

impl Socket for FakeSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock().unwrap();
        pipe.writes += 1;
        if pipe.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        assert!(!bytes.is_empty(), "an empty write");
        let mut n = bytes.len().min(pipe.room);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if pipe.partial && pipe.random.percent(40) {
            n = 1 + pipe.random.index(n);
        }
        if pipe.room != usize::MAX {
            pipe.room -= n;
        }
        pipe.taken.extend_from_slice(&bytes[..n]);
        pipe.total += n;
        Ok(n)
    }
}
