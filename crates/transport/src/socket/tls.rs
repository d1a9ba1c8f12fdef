//! A TLS connection over a TCP socket, without buffers of its own while it is idle. Rounds hand it plaintext as they hand bytes to a socket.
//!
//! Invariant: at most one record of plaintext is encrypted and unsent. More is taken only when that has gone out, so a client that does not
//! read costs one record beside its socket, and its readers' cursors stay at what was taken.
use std::{
    io::{self, Read, Write},
    sync::Arc,
    task::{Context, Poll, ready},
};

use fanfare_hub::Socket;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::{rustls::ServerConnection, server::TlsStream};

use super::Io;

/// Plaintext of one record (RFC 8446 section 5.1).
const RECORD: usize = 16 << 10;
/// Reads of the socket in one call, whatever they hold: records without content must not keep a worker.
const READS: usize = 32;

/// A TLS connection, shared with rounds. Lock order: the hub's connection lock, then `state`.
struct Shared {
    tcp: TcpStream,
    /// The driver: sends what a round left encrypted and unsent.
    driver: AtomicWaker,
    state: Mutex<State>,
}

struct State {
    tls: ServerConnection,
    progressed: bool,
}

impl State {
    /// Sends what is encrypted. `WouldBlock` while some of it stands.
    fn send(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Wire(tcp))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.progressed = true;
        }
        Ok(())
    }

    /// Encrypts and sends record by record while the socket takes them whole.
    fn write(&mut self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.send(tcp)?;
        let mut taken = 0;
        for record in bytes.chunks(RECORD) {
            self.tls.writer().write_all(record)?;
            taken += record.len();
            match self.send(tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                done => done?,
            }
        }
        Ok(taken)
    }
}

/// The socket as the TLS machine wants it.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A TLS connection whose handshake is done.
pub(crate) struct Tls(Arc<Shared>);

struct TlsSocket(Arc<Shared>);

impl Socket for TlsSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let shared = &*self.0;
        let mut state = shared.state.lock();
        let taken = state.write(&shared.tcp, bytes)?;
        if state.tls.wants_write() {
            // All of it may have been taken: then nobody else would send the rest.
            shared.driver.wake();
        }
        Ok(taken)
    }
}

impl Tls {
    /// Takes a connection out of the hands that did the handshake.
    pub fn new(stream: TlsStream<TcpStream>) -> Self {
        let (tcp, tls) = stream.into_inner();
        let state = Mutex::new(State { tls, progressed: false });
        Self(Arc::new(Shared { tcp, driver: AtomicWaker::new(), state }))
    }

    /// Reads one time from the socket and decrypts what is whole. An end is then found by the reader.
    fn take_in(&self, cx: &Context<'_>) -> io::Result<()> {
        let Shared { tcp, state, .. } = &*self.0;
        let mut state = state.lock();
        match state.tls.read_tls(&mut Wire(tcp)) {
            // It was no more ready than that: its next call waits.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        };
        let processed = state.tls.process_new_packets();
        match (state.send(tcp), processed) {
            // An alert went out if it could; the connection ends whether or not.
            (_, Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            (Err(error), Ok(_)) if error.kind() == io::ErrorKind::WouldBlock => {
                // An answer of the protocol's own: the next turn flushes it.
                cx.waker().wake_by_ref();
                Ok(())
            }
            (sent, Ok(_)) => sent,
        }
    }
}

impl Io for Tls {
    fn round_socket(&self) -> Box<dyn Socket> {
        Box::new(TlsSocket(self.0.clone()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..READS {
            match self.0.state.lock().tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.0.tcp.poll_read_ready(cx))?;
            self.take_in(cx)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.state.lock().write(&self.0.tcp, bytes)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before looking, so that a round which leaves something afterwards wakes this task.
        self.0.driver.register(cx.waker());
        loop {
            match self.0.state.lock().send(&self.0.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.0.tcp.poll_write_ready(cx))?;
        }
    }

    fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.0.state.lock().progressed)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state.lock().tls.send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(socket2::SockRef::from(&self.0.tcp).shutdown(std::net::Shutdown::Write))
    }
}
