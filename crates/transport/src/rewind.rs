//! A byte stream of which something was read already.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a request that is being answered has left when its client sends no more. A client may end its side as soon as it has asked, and
/// still read the answer; whether it has gone altogether cannot be seen.
pub const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How many requests of a connection are being answered.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    /// One more, until what is returned is dropped.
    pub fn begin(&self) -> impl Drop + Send + use<> {
        self.0.fetch_add(1, Ordering::AcqRel);
        Answering(self.0.clone())
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

struct Answering(Arc<AtomicUsize>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Gives the bytes that were read back first, then the stream's own.
#[derive(Debug)]
pub struct Rewind<S> {
    stream: S,
    early: Vec<u8>,
    given: usize,
    under_way: UnderWay,
    /// Once the stream has ended: when that is told.
    end: Option<Pin<Box<Sleep>>>,
    /// How long the stream may take nothing that is to be written.
    stall: Option<Duration>,
    /// While it takes nothing: when that ends the stream.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<S> Rewind<S> {
    /// A stream and what was read of it.
    pub fn new(stream: S, early: Vec<u8>) -> Self {
        Self {
            stream,
            early,
            given: 0,
            under_way: UnderWay::default(),
            end: None,
            stall: None,
            blocked: None,
        }
    }

    /// A stream that takes nothing for so long while an HTTP server has something to write is broken: a client that asks and does not read
    /// must not hold the answer for ever.
    #[must_use]
    pub fn stalling_at_most(self, stall: Duration) -> Self {
        Self { stall: Some(stall), ..self }
    }

    /// Judges what came of writing.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.blocked = None;
            return done;
        }
        let Some(stall) = self.stall else { return Poll::Pending };
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(stall)));
        blocked.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The end of the stream is told late while requests are under way: HTTP servers take it for the end of everything.
    #[must_use]
    pub fn ending_after(self, under_way: UnderWay) -> Self {
        Self { under_way, ..self }
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
        if me.end.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut me.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 || !me.under_way.any() {
                return Poll::Ready(Ok(()));
            }
        }
        me.end.get_or_insert_with(|| Box::pin(sleep(LAST_ANSWER))).as_mut().poll(cx).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
