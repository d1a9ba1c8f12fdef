//! A byte stream of which something was read already.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives the bytes that were read back first, then the stream's own.
#[derive(Debug)]
pub struct Rewind<S> {
    stream: S,
    early: Vec<u8>,
    given: usize,
}

impl<S> Rewind<S> {
    /// A stream and what was read of it.
    pub fn new(stream: S, early: Vec<u8>) -> Self {
        Self { stream, early, given: 0 }
    }

    /// The stream, and what of the early bytes nobody has taken.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        let rest = self.early.get(self.given..).unwrap_or_default().to_vec();
        (self.stream, rest)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if let Some(rest) = me.early.get(me.given..).filter(|rest| !rest.is_empty()) {
            let n = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..n).unwrap_or_default());
            me.given += n;
            if me.given == me.early.len() {
                me.early = Vec::new();
                me.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut me.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
