//! Rounds: one segment to every reader of a shard, in turns.
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use crate::{
    channel::Channel,
    clock::unix_ms,
    counters::Counters,
    reader::Kind,
    segment::Segment,
    shard::{Entry, Pace, Shard},
    sync::Ordering,
    tail::TailRead,
};

/// Writes before a round goes to the back of the queue: about 250 microseconds.
pub const TURN: usize = 64;
/// A window is waited for in pieces of this length.
const PIECE: Duration = Duration::from_secs(5);

/// One segment on its way through a shard.
struct Part {
    segment: Arc<Segment>,
    readers: Arc<[Entry]>,
    next: usize,
    unix_ms: u64,
    begun: Instant,
}

/// A shard's rounds until it has caught up with the head: spawned by the first append to a quiet shard.
pub struct Round {
    channel: Arc<Channel>,
    shard: Arc<Shard>,
    counters: Arc<Counters>,
    part: Option<Part>,
    /// Not polled yet: a round begins behind the work that is already ready, so that what arrives together goes out together.
    first: bool,
    /// The window that the last delivery of a paced shard opened.
    window: Option<Box<Window>>,
}

/// What the next step of a round found.
enum Next {
    Segment(Part),
    /// The shard's position has left the tail: its readers go on by themselves.
    Lost(Arc<[Entry]>),
    AtHead,
}

impl Round {
    /// A round for a shard whose `running` was just set.
    pub fn new(channel: Arc<Channel>, shard: Arc<Shard>, counters: Arc<Counters>) -> Self {
        Self { channel, shard, counters, part: None, first: true, window: None }
    }

    /// Takes the next segment and moves the shard's position past it, in one step under channel and shard lock.
    fn next(&self) -> Next {
        let mut channel = self.channel.lock();
        let channel = &mut *channel;
        let Some(tail) = &mut channel.tail else { return Next::AtHead };
        let mut state = self.shard.state.lock();
        let held = tail.held() as isize;
        let segment = match (self.shard.kind, self.shard.pace) {
            (Kind::Members, _) => match &channel.roster {
                Some(roster) if state.at < tail.head() && roster.is_far(state.at.offset) => {
                    state.at = tail.head();
                    state.weight = tail.weight();
                    return Next::Lost(state.readers());
                }
                Some(roster) if state.at < tail.head() => Some(Arc::new(roster.segment(
                    self.shard.form,
                    tail.epoch(),
                    state.at,
                    tail.head(),
                    tail.weight(),
                ))),
                _ => None,
            },
            (Kind::Messages, Pace::Every(_)) => {
                if !tail.reaches(state.at) {
                    state.at = tail.head();
                    state.weight = tail.weight();
                    return Next::Lost(state.readers());
                }
                tail.conflate(self.shard.form, state.at).map(Arc::new)
            }
            (Kind::Messages, Pace::Live) => match tail.read(self.shard.form, state.at, 1) {
                TailRead::AtHead => None,
                TailRead::Segments(segments) => segments.into_iter().next(),
                TailRead::Before => {
                    state.at = tail.head();
                    state.weight = tail.weight();
                    return Next::Lost(state.readers());
                }
            },
        };
        self.counters.grow_tail(tail.held() as isize - held);
        let Some(segment) = segment else {
            if state.at < tail.head() {
                // Nothing but ephemeral messages that are gone.
                state.at = tail.head();
                state.weight = tail.weight();
            }
            return Next::AtHead;
        };
        state.at = segment.to;
        state.weight = segment.weight_to;
        Next::Segment(Part {
            segment,
            readers: state.readers(),
            next: 0,
            unix_ms: unix_ms(),
            begun: Instant::now(),
        })
    }

    /// Writes to readers until the part is done (true) or the turn is over.
    fn step(&mut self, budget: &mut usize) -> bool {
        let Some(part) = &mut self.part else { return true };
        let mut delivered = 0;
        while let Some(entry) = part.readers.get(part.next) {
            if *budget == 0 {
                self.counters.deliveries.add(delivered);
                return false;
            }
            *budget -= 1;
            part.next += 1;
            delivered += entry.connection.write_round(entry.key, &part.segment, part.unix_ms) as u64;
        }
        self.counters.deliveries.add(delivered);
        self.counters.rounds.inc();
        self.counters.round_messages.record(part.segment.index.len() as u64);
        self.counters.round_us.record(part.begun.elapsed().as_micros() as u64);
        self.part = None;
        self.channel.room.notify_waiters();
        true
    }

    /// Ends this run of rounds, unless something was appended meanwhile.
    fn rest(&self) -> bool {
        self.shard.running.store(false, Ordering::Release);
        let behind = {
            let channel = self.channel.lock();
            channel.tail.as_ref().is_some_and(|tail| self.shard.state.lock().at < tail.head())
        };
        !behind || self.shard.running.swap(true, Ordering::AcqRel)
    }

    /// One turn of writes: what the task's poll does, and what a test or a model checker steps by hand. Pending means "again later": for a
    /// paced shard whose part is written, when its window is over.
    pub fn turn(&mut self) -> Poll<()> {
        let mut budget = TURN;
        if self.part.is_none() {
            self.window = None;
        }
        loop {
            if !self.step(&mut budget) || self.window.is_some() {
                return Poll::Pending;
            }
            match self.next() {
                Next::Segment(part) => {
                    self.part = Some(part);
                    // The part is written first; the window is waited for before the next.
                    if let Pace::Every(window) = self.shard.pace {
                        self.window = Some(Box::new(Window::open(window)));
                    }
                }
                Next::Lost(readers) => {
                    for entry in readers.iter() {
                        entry.connection.fall_behind(entry.key);
                    }
                    self.channel.room.notify_waiters();
                }
                Next::AtHead if self.rest() => return Poll::Ready(()),
                Next::AtHead => {}
            }
        }
    }

    /// Waits for the end of the window that the last delivery opened. A shard whose readers have left ends its rounds with it.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(window) = &mut self.window {
            if window.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if window.left.is_zero() || self.shard.state.lock().len() == 0 {
                self.window = None;
            } else {
                window.next();
            }
        }
        Poll::Ready(())
    }
}

/// A window is waited for in pieces, so that nobody waits long for a shard that everybody has left.
struct Window {
    sleep: Pin<Box<Sleep>>,
    left: Duration,
}

impl Window {
    fn open(window: Duration) -> Self {
        let piece = window.min(PIECE);
        Self { sleep: Box::pin(sleep(piece)), left: window - piece }
    }

    fn next(&mut self) {
        *self = Self::open(self.left);
    }
}

impl Future for Round {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.first) {
            // `spawn` alone would run ahead of what is ready: wake behind it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.part.is_none() && self.poll_window(cx).is_pending() {
                return Poll::Pending;
            }
            if self.turn().is_ready() {
                return Poll::Ready(());
            }
            if self.part.is_some() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
