//! The windows of a paced shard: when its next tick is, and which readers have windows of their own that end at other times.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::shard::{Entry, Shard};

/// A window is waited for in pieces, so that nobody waits long for a shard that everybody has left.
const PIECE: Duration = Duration::from_secs(5);
/// A reader whose own window ends before the shard's is served then, this part of a window later: so that within a few windows it is
/// served with the others, by the bytes that they share.
const DRIFT: u32 = 8;

/// What a shard's round waits for between two ticks.
#[derive(Default)]
pub struct Windows {
    /// The end of the shard's window; none when none is open.
    ends: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Readers that a tick left out, with the end of their own window.
    owed: Vec<(Instant, Entry)>,
    /// The tick that begins has let readers go on by themselves.
    served: bool,
}

impl Windows {
    /// Whether the shard's window is open.
    pub fn is_open(&self) -> bool {
        self.ends.is_some()
    }

    /// Opens the shard's window.
    pub fn open(&mut self, ends: Instant) {
        self.ends = Some(ends);
        self.sleep = None;
    }

    /// A tick left a reader out.
    pub fn owe(&mut self, until: Instant, entry: Entry) {
        self.owed.push((until, entry));
    }

    /// Takes over the readers that ticks passed by while they read by themselves.
    pub fn gather(&mut self, shard: &Shard) {
        self.owed.append(&mut shard.state.lock().owed);
    }

    /// When the first reader's own window ends, of those that are owed something.
    pub fn first_owed(&self) -> Option<Instant> {
        self.owed.iter().map(|(until, _)| *until).min()
    }

    /// Whether the tick has let readers go on by themselves, which opens a window as a delivery does.
    pub fn take_served(&mut self) -> bool {
        std::mem::take(&mut self.served)
    }

    /// The window is over, and so are all readers' own: what a test that steps rounds by hand decides.
    pub fn end_all(&mut self, shard: &Shard) {
        self.ends = None;
        self.gather(shard);
        for (_, entry) in self.owed.drain(..) {
            self.served = true;
            entry.connection.fall_behind(entry.key, true);
        }
    }

    /// Waits for the end of the shard's window, and serves readers whose own ends before.
    pub fn poll(&mut self, cx: &mut Context<'_>, shard: &Shard) -> Poll<()> {
        while let Some(ends) = self.ends {
            let drift = shard.window().unwrap_or_default() / DRIFT;
            let own = self.first_owed().map_or(ends, |until| until + drift);
            let wake = ends.min(own).min(Instant::now() + PIECE);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(wake)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
            let now = Instant::now();
            let over = now >= ends || shard.state.lock().len() == 0;
            self.gather(shard);
            self.serve(now, over, drift);
            if over {
                self.ends = None;
            }
        }
        Poll::Ready(())
    }

    /// Lets readers go on by themselves whose own window is over; at a tick, they are in step with the shard's windows from then on.
    fn serve(&mut self, now: Instant, tick: bool, drift: Duration) {
        let before = self.owed.len();
        self.owed.retain(|(until, entry)| {
            let due = if tick { *until } else { *until + drift };
            if due <= now {
                entry.connection.fall_behind(entry.key, tick);
            }
            due > now
        });
        self.served |= tick && self.owed.len() < before;
    }
}
