//! Writing: control frames and catch-up, and asking the broker for readers that the tail no longer reaches.
use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use fanfare_hub::{Fetch, Fetched, Notice, Pumped, TURN_WRITES};
use fanfare_protocol::Problem;
use fanfare_session::Sign;

use super::Link;

/// How long a reader waits before a broker that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(250);

/// What writing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrote {
    /// Nothing is left, or others have their turn first (the task was woken again).
    Enough,
    /// The socket takes no more for now.
    Blocked,
    /// Everything was written; close.
    Finished,
    /// The connection is gone.
    Dead,
}

/// What a catch-up waited for.
pub(super) enum CaughtUp {
    Fetched(Fetch, Result<Fetched, Problem>),
    Decided(Result<(), Problem>),
    Waited,
}

impl Link {
    /// What writing has come to: whether output waits for the socket, and whether bytes that had stood in between went out.
    pub fn rests(&mut self, waits: bool, progress: bool) {
        self.progressed |= progress;
        let mut told = waits != self.blocked;
        if told {
            self.blocked = waits;
            self.session.handle_sign(self.at, if waits { Sign::Blocked } else { Sign::Drained });
        }
        if waits {
            self.connection.stalled();
        }
        if waits && self.take_accepted() {
            self.session.handle_sign(self.at, Sign::Accepted);
            told = true;
        }
        if told {
            self.arm(self.at);
        }
    }

    /// Whether the socket took bytes since this was last asked.
    pub(super) fn take_accepted(&mut self) -> bool {
        std::mem::take(&mut self.progressed) | self.connection.take_accepted()
    }

    /// Writes what there is to write.
    pub fn pump(&mut self, cx: &mut Context<'_>, write: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> Wrote {
        loop {
            let caught_up = match &mut self.catch_up {
                Some(catch_up) => catch_up.as_mut().poll(cx),
                None => Poll::Pending,
            };
            let pumped = match caught_up {
                Poll::Ready(caught_up) => {
                    self.catch_up = None;
                    match self.caught_up(caught_up, write) {
                        Some(pumped) => pumped,
                        None => continue,
                    }
                }
                // While the broker is asked for one reader, control frames still go out.
                Poll::Pending => {
                    let writes = if self.catch_up.is_some() { 0 } else { TURN_WRITES };
                    self.connection.pump(self.at.unix_ms, writes, write)
                }
            };
            match pumped {
                Pumped::Idle => return Wrote::Enough,
                Pumped::Again => {
                    if self.catch_up.is_none() {
                        cx.waker().wake_by_ref();
                    }
                    return Wrote::Enough;
                }
                Pumped::Blocked => return Wrote::Blocked,
                Pumped::Finished => return Wrote::Finished,
                Pumped::Dead => return Wrote::Dead,
                Pumped::Fetch(fetch) => {
                    let hub = self.node.hub.clone();
                    self.catch_up = Some(Box::pin(async move {
                        let fetched = hub.fetch(&fetch).await;
                        CaughtUp::Fetched(fetch, fetched)
                    }));
                }
                Pumped::Slow(slow) => {
                    let (hub, connection) = (self.node.hub.clone(), self.connection.clone());
                    self.catch_up =
                        Some(Box::pin(
                            async move { CaughtUp::Decided(hub.fell_off(&connection, &slow).await) },
                        ));
                }
            }
        }
    }

    fn caught_up(
        &mut self,
        caught_up: CaughtUp,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Option<Pumped> {
        match caught_up {
            CaughtUp::Fetched(fetch, Ok(fetched)) => {
                Some(self.connection.fetched(self.at.unix_ms, &fetch, fetched, write))
            }
            CaughtUp::Fetched(fetch, Err(problem)) => {
                tracing::warn!(channel = %fetch.channel, %problem, "a reader waits for the broker");
                self.connection.fetch_failed(&fetch, &problem);
                self.catch_up = Some(Box::pin(async {
                    tokio::time::sleep(RETRY).await;
                    CaughtUp::Waited
                }));
                None
            }
            CaughtUp::Decided(Err(problem)) => {
                self.connection.notify(Notice::Disconnect(problem));
                Some(Pumped::Idle)
            }
            CaughtUp::Decided(Ok(())) | CaughtUp::Waited => None,
        }
    }
}
