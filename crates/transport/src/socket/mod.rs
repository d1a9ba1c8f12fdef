//! Byte streams under a driver. Rounds write to TCP sockets and TLS connections directly; any other stream (HTTP/2, bodies of an HTTP server) is
//! written by its driver alone.
mod linger;
mod stream;
mod tcp;
mod tls;

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll},
};

use fanfare_hub::Socket;

pub(crate) use linger::Linger;
pub(crate) use stream::Stream;
pub(crate) use tcp::Tcp;
pub(crate) use tls::Tls;

/// Reads of one turn at most, so that one connection does not keep a worker.
pub(crate) const READS: usize = 4;

thread_local! {
    /// Where sockets are read into: one buffer a worker, none a connection.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// Lends this worker's buffer for reading.
///
/// # Panics
/// When it is lent already.
pub(crate) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(scratch))
}

/// What a driver needs of its byte stream.
pub trait Io: Send + Unpin + 'static {
    /// What rounds write to.
    fn round_socket(&self) -> Box<dyn Socket>;
    /// Reads into a buffer; 0 at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes what can be written now.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Ready when [`Io::try_write`] would take bytes again.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Pushes out what [`Io::try_write`] took.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Whether some of what [`Io::try_write`] took earlier went out since this was last asked: a sign of life where bytes stand in between.
    fn take_progress(&mut self) -> bool;
    /// Ends the outgoing side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
