//! A TCP socket.
use std::{
    io::{self, Read},
    sync::Arc,
    task::{Context, Poll, ready},
};

use fanfare_hub::Socket;
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use super::Io;

/// Whether the system tells that bytes have come, and not that there are some (epoll and kqueue, as tokio uses them): then a read that did not
/// fill its buffer took all there was, and need not be repeated to learn that.
const TELLS_EDGES: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
));

/// A TCP socket, shared with rounds.
pub(crate) struct Tcp(Arc<TcpStream>);

struct TcpSocket(Arc<TcpStream>);

impl Socket for TcpSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        send(&self.0, bytes)
    }

    fn touch(&self) {
        std::hint::black_box(SockRef::from(&*self.0));
    }
}

/// Writes without asking first whether the socket is writable: it nearly always is, and what the runtime knows of it lies elsewhere in memory. The
/// runtime is asked when it is not, so that it tells when it is.
fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    match rustix::net::send(stream, bytes, rustix::net::SendFlags::NOSIGNAL) {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
        sent => return Ok(sent?),
    }
    stream.try_write(bytes)
}

impl Tcp {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }
}

impl Io for Tcp {
    fn round_socket(&self) -> Box<dyn Socket> {
        Box::new(TcpSocket(self.0.clone()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut taken = None;
            let done = self.0.try_io(Interest::READABLE, || {
                let n = (&mut &*SockRef::from(&*self.0)).read(buffer)?;
                if TELLS_EDGES && n > 0 && n < buffer.len() {
                    taken = Some(n);
                    // Takes the readiness back: what comes from here on is told anew, and nobody asks before that.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(n)
            });
            match (taken, done) {
                (Some(n), _) => return Poll::Ready(Ok(n)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, done) => return Poll::Ready(done),
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(&self.0, bytes)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn take_progress(&mut self) -> bool {
        false
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
