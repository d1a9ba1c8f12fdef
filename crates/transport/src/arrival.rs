//! The time that a message may take to arrive: what is half received holds memory that all share, and a client that sends a byte now and then
//! would hold it for ever.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// As long as a request's body may take.
const ARRIVAL: Duration = Duration::from_secs(60);

/// The message that is arriving, if one is.
#[derive(Default)]
pub(crate) struct Arrival {
    deadline: Option<Pin<Box<Sleep>>>,
    /// The connection was not read all the time: that is not the client's doing.
    held_back: bool,
}

impl Arrival {
    /// More came in: whether a message is half received now, and whether it is one that just began.
    pub fn received(&mut self, partial: bool, begun: bool) {
        if !partial || begun {
            *self = Self::default();
        }
        if partial && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(ARRIVAL)));
        }
    }

    /// Whether the time of a message runs.
    pub fn is_awaited(&self) -> bool {
        self.deadline.is_some()
    }

    /// The connection is not read for now.
    pub fn hold_back(&mut self) {
        self.held_back = true;
    }

    /// Whether a message took too long, although it was read whenever it came.
    pub fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(deadline) = &mut self.deadline else { return false };
            if deadline.as_mut().poll(cx) == Poll::Pending {
                return false;
            }
            self.deadline = None;
            if !std::mem::take(&mut self.held_back) {
                return true;
            }
            self.deadline = Some(Box::pin(sleep(ARRIVAL)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::{Instant, advance};

    use super::*;

    async fn is_late(arrival: &mut Arrival) -> bool {
        poll_fn(|cx| Poll::Ready(arrival.is_late(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_its_time_from_its_first_byte_whatever_comes_of_it_meanwhile() {
        let begun = Instant::now();
        let mut arrival = Arrival::default();
        arrival.received(true, true);
        while begun.elapsed() < ARRIVAL {
            assert!(!is_late(&mut arrival).await, "{:?}", begun.elapsed());
            advance(Duration::from_secs(7)).await;
            arrival.received(true, false);
        }
        assert!(is_late(&mut arrival).await);
        assert!(!is_late(&mut arrival).await, "it is said once");
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_another_is_not_late_and_neither_is_one_that_was_not_read() {
        let mut arrival = Arrival::default();
        for _ in 0..10 {
            arrival.received(true, true);
            advance(Duration::from_secs(40)).await;
            assert!(!is_late(&mut arrival).await);
        }
        arrival.hold_back();
        advance(Duration::from_secs(40)).await;
        assert!(!is_late(&mut arrival).await);
        advance(ARRIVAL).await;
        assert!(is_late(&mut arrival).await, "now it had its time");
        arrival.received(true, true);
        arrival.received(false, false);
        advance(ARRIVAL * 2).await;
        assert!(!is_late(&mut arrival).await);
    }
}
