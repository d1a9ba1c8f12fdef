//! Any byte stream, written by its driver alone.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use fanfare_hub::{Pulled, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Io;

/// Bytes that a stream's driver keeps for it at most.
const STREAM_BUFFER: usize = 16 << 10;

/// Any byte stream, with a small buffer that exists only while it is not flushed.
pub(crate) struct Stream<S> {
    stream: S,
    buffer: Vec<u8>,
    written: usize,
    progressed: bool,
}

impl<S> Stream<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), written: 0, progressed: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for Stream<S> {
    fn round_socket(&self) -> Box<dyn Socket> {
        Box::new(Pulled)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = STREAM_BUFFER.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if taken.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    self.written += n;
                    self.progressed = true;
                }
            }
        }
        self.buffer = Vec::new();
        self.written = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
