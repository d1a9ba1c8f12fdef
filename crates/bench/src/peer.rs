//! One connection to the server: its socket, what waits to be sent, the unit that has not all come.

use std::io::{self, Read as _, Write as _};

use crate::adapter::Opening;
use crate::link::Link;
use crate::wire::websocket::{self, Opcode};
use crate::wire::{Framing, Malformed, Unit, http};

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The socket is not connected.
    Connecting,
    /// The request was sent.
    Asked,
    /// The handshake is over.
    Open(Framing),
    /// It is gone.
    Closed,
}

/// What ended a connection.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The network.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server closed the socket.
    #[error("the server closed the connection")]
    Eof,
    /// The server said goodbye.
    #[error("the server ended it: {0}")]
    Goodbye(String),
    /// The server's answer to the request.
    #[error("{0}")]
    Refused(String),
    /// Bytes that make no sense.
    #[error("the server's bytes are wrong: {0}")]
    Malformed(#[from] Malformed),
}

/// The most that one answer may take.
const LONGEST: usize = 64 << 20;

/// One connection.
#[derive(Debug)]
pub struct Peer {
    link: Option<Link>,
    phase: Phase,
    /// The beginning of a unit.
    rest: Vec<u8>,
    /// What the socket has not taken.
    out: Vec<u8>,
    /// Answers are awaited one by one rather than the upgrade or stream of a reader.
    answers: bool,
}

impl Peer {
    /// A connection that begins with `opening` on `link`; a `websocket` upgrades, others read an endless answer, or
    /// (`answers`) one answer for each request.
    pub fn new(link: Link, opening: &Opening, host: &str, websocket: bool, answers: bool) -> Self {
        let mut out = Vec::new();
        if !opening.target.is_empty() {
            let upgrade = if websocket {
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n"
            } else {
                ""
            };
            let headers: String = opening.headers.iter().map(|line| format!("{line}\r\n")).collect();
            out.extend(
                format!("GET {} HTTP/1.1\r\nHost: {host}\r\n{upgrade}{headers}\r\n", opening.target).bytes(),
            );
        }
        Self { link: Some(link), phase: Phase::Connecting, rest: Vec::new(), out, answers }
    }

    /// A connection that is not there.
    pub fn none() -> Self {
        Self { link: None, phase: Phase::Closed, rest: Vec::new(), out: Vec::new(), answers: false }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Queues a WebSocket message.
    pub fn queue_message(&mut self, opcode: Opcode, payload: &[u8]) {
        websocket::append(opcode, payload, &mut self.out);
    }

    /// Queues bytes as they are.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// The connection failed, or could not be made.
    pub fn flush(&mut self) -> Result<(), Ended> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if self.phase == Phase::Connecting {
            if let Some(error) = link.socket().take_error()? {
                return Err(error.into());
            }
            if link.socket().peer_addr().is_err() {
                return Ok(());
            }
            self.phase = if self.answers { Phase::Open(Framing::Answers) } else { Phase::Asked };
        }
        let mut sent = 0;
        while let Some(bytes) = self.out.get(sent..).filter(|bytes| !bytes.is_empty()) {
            match link.write(bytes) {
                Ok(0) => return Err(Ended::Eof),
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..sent);
        if self.out.is_empty() && self.out.capacity() > 4096 {
            // Idle connections are many.
            self.out.shrink_to(4096);
        }
        match link.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ends it from our side.
    pub fn close(&mut self) {
        self.link = None;
        self.phase = Phase::Closed;
        self.rest = Vec::new();
        self.out = Vec::new();
    }

    /// Reads until the socket is empty, or at most about `limit` bytes, and hands every whole unit to `take`.
    /// Gives the bytes read.
    ///
    /// # Errors
    /// The connection ended; what came before was handed over.
    pub fn read(
        &mut self,
        scratch: &mut Vec<u8>,
        limit: usize,
        mut take: impl FnMut(Unit<'_>) -> Result<(), Ended>,
    ) -> Result<usize, Ended> {
        let mut total = 0;
        loop {
            let Some(link) = &mut self.link else { return Ok(total) };
            let kept = self.rest.len();
            if kept + 4096 > scratch.len() {
                if scratch.len() >= LONGEST {
                    return Err(Malformed("a unit is longer than 64 MB").into());
                }
                scratch.resize(scratch.len() * 2, 0);
            }
            let room = scratch.len().min(kept.saturating_add(limit.saturating_sub(total).max(1)));
            let Some(space) = scratch.get_mut(kept..room) else { return Ok(total) };
            let read = match link.read(space) {
                Ok(0) => return Err(Ended::Eof),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let emptied = read < space.len() && link.short_read_is_all();
            if let Some(begin) = scratch.get_mut(..kept) {
                begin.copy_from_slice(&self.rest);
            }
            total += read;
            let data = scratch.get(..kept + read).unwrap_or_default();
            let used = self.units(data, &mut take)?;
            self.rest.clear();
            self.rest.extend_from_slice(data.get(used..).unwrap_or_default());
            if emptied || total >= limit {
                return Ok(total);
            }
        }
    }

    /// Hands over the whole units of `data`; gives the bytes that they take.
    fn units(
        &mut self,
        data: &[u8],
        take: &mut impl FnMut(Unit<'_>) -> Result<(), Ended>,
    ) -> Result<usize, Ended> {
        let mut at = 0;
        if self.phase == Phase::Asked {
            let Some(head) = http::head(data)? else { return Ok(0) };
            let framing = match head.status {
                101 => Framing::WebSocket,
                200 => head.framing(),
                status => {
                    let body = data.get(head.length..).unwrap_or_default();
                    let words = String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default());
                    return Err(Ended::Refused(format!("HTTP {status} {}", words.trim())));
                }
            };
            self.phase = Phase::Open(framing);
            at = head.length;
            // The handshake itself is news: an adapter may owe frames now.
            take(Unit::Other)?;
        }
        let Phase::Open(framing) = self.phase else { return Ok(at) };
        while let Some((unit, used)) = crate::wire::next(framing, data.get(at..).unwrap_or_default())? {
            if let Unit::End(reason) = unit {
                return Err(Ended::Goodbye(String::from_utf8_lossy(reason).into_owned()));
            }
            take(unit)?;
            at += used;
            if at == data.len() {
                break;
            }
        }
        Ok(at)
    }
}
