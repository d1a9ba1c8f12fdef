//! A TCP socket.
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use fanfare_hub::Socket;
use tokio::net::TcpStream;

use super::Io;

/// A TCP socket, shared with rounds.
pub(crate) struct Tcp(Arc<TcpStream>);

struct TcpSocket(Arc<TcpStream>);

impl Socket for TcpSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
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
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
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
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
