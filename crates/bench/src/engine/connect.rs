//! Readers come, leave and come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::Engine;
use crate::error::BenchError;
use crate::peer::{Ended, Peer};
use crate::settings::Transport;

/// Connections begun at once: fewer than a listener's backlog.
const AT_ONCE: usize = 256;
/// Nothing may happen for so long while connections are made.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whoever was cut off by the server comes back after this.
const AGAIN: Duration = Duration::from_millis(200);

/// A reader to be connected.
#[derive(Debug)]
pub struct Waiting {
    reader: usize,
    at: Option<Instant>,
}

impl Waiting {
    /// At once.
    pub fn now(reader: usize) -> Self {
        Self { reader, at: None }
    }

    /// In a while.
    pub fn later(reader: usize) -> Self {
        Self { reader, at: Some(Instant::now() + AGAIN) }
    }
}

/// Why the first connection of a reader, or a publisher's, was not made.
pub fn failed(address: SocketAddr, connection: usize, why: &Ended) -> BenchError {
    match why {
        Ended::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            BenchError::Connect { address, error: std::io::ErrorKind::ConnectionRefused.into() }
        }
        other => BenchError::Refused { connection, answer: other.to_string() },
    }
}

impl Engine<'_> {
    /// Connects all readers; gives how long it took. Less than all only when stopped.
    pub(super) fn connect_all(&mut self) -> Result<Duration, BenchError> {
        let began = Instant::now();
        let mut last = (self.tally.progress, Instant::now());
        while self.ready < self.readers.len() && !self.stopped() {
            self.turn(Duration::from_millis(50))?;
            if self.tally.progress != last.0 {
                last = (self.tally.progress, Instant::now());
            } else if last.1.elapsed() > PATIENCE {
                return Err(BenchError::NotReady {
                    ready: self.ready,
                    wanted: self.readers.len(),
                    seconds: PATIENCE.as_secs(),
                });
            }
        }
        Ok(began.elapsed())
    }

    /// Begins the connections that are due.
    pub(super) fn dial_waiting(&mut self) -> Result<(), BenchError> {
        while self.dialing < AT_ONCE {
            let Some(first) = self.waiting.front() else { return Ok(()) };
            if first.at.is_some_and(|at| at > Instant::now()) {
                return Ok(());
            }
            let Some(Waiting { reader, .. }) = self.waiting.pop_front() else { return Ok(()) };
            self.dial(reader)?;
        }
        Ok(())
    }

    fn dial(&mut self, at: usize) -> Result<(), BenchError> {
        let mut link = self.dialer.dial()?;
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        self.poll.registry().register(link.socket(), Token(at), Interest::READABLE | Interest::WRITABLE)?;
        let opening = self.adapter.open(&reader.place(self.epoch.as_deref()));
        let websocket = self.settings.transport == Transport::Ws;
        let answers = self.settings.transport == Transport::Poll;
        let peer = Peer::new(link, &opening, &self.settings.host, websocket, answers);
        reader.begin(peer, opening.frames, opening.ready);
        self.dialing += 1;
        Ok(())
    }

    pub(super) fn became_ready(&mut self, at: usize) {
        self.dialing = self.dialing.saturating_sub(1);
        self.ready += 1;
        let now = self.tally.now();
        if let Some(since) = self.readers.get_mut(at).and_then(|reader| reader.away_since.take()) {
            self.returns.record(now.saturating_sub(since));
        }
    }

    /// Cuts off a reader, who comes back at once.
    pub(super) fn cut(&mut self, at: usize) {
        let now = self.tally.now();
        let Some(reader) = self.readers.get_mut(at).filter(|reader| reader.is_ready()) else { return };
        reader.peer.close();
        reader.away_since = Some(now);
        self.ready -= 1;
        self.waiting.push_back(Waiting::now(at));
    }
}
