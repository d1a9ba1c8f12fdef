//! The end of a connection: what was written has a moment to arrive before its socket goes.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{Io, READS, with_scratch};

/// How long a closed connection's socket stays, so that the last frames arrive.
const LINGER: Duration = Duration::from_secs(1);

/// That moment, from now on.
pub(crate) struct Linger {
    deadline: Pin<Box<Sleep>>,
    /// The outgoing side was ended.
    shut: bool,
}

impl Linger {
    pub fn new() -> Self {
        Self { deadline: Box::pin(sleep(LINGER)), shut: false }
    }

    /// Whether it is over.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().poll(cx).is_ready()
    }

    /// Everything was written: ends the outgoing side, then waits for the other side to close.
    pub fn poll(&mut self, io: &mut (impl Io + ?Sized), cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over(cx) {
            return Poll::Ready(());
        }
        if !self.shut {
            match io.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        with_scratch(|scratch| {
            // Bounded by the deadline: a client that floods is dropped with it.
            for _ in 0..READS {
                match io.poll_read(cx, scratch) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}
