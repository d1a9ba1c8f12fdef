//! Shards of one channel begin their rounds together: none takes a second segment while another still writes its first. Otherwise a worker that
//! is done early would go ahead with whatever little has been published since, and every reader would be written to that much more often.
//!
//! For the same reason a busy channel's next rounds wait a little for as many messages as the last ones carried: publishers that have just
//! been answered are about to publish again. They wait an eighth of the time that the last rounds took, so nothing is late by more than that,
//! and only where that is long. A channel that gets one message at a time never waits.
use std::{task::Waker, time::Duration};

use tokio::time::Instant;

use crate::place::Place;

/// Rounds that were over sooner are not worth waiting for: timers count in milliseconds.
const WORTH_WAITING: Duration = Duration::from_millis(4);
/// The part of the last rounds' time that the next ones wait at most.
const PATIENCE: u32 = 8;
/// They never wait longer.
const LONGEST: Duration = Duration::from_millis(2);

/// What the channel knows of its shards' rounds. Each shard keeps the number of the last one that it took part in.
#[derive(Default, Debug)]
pub struct Lockstep {
    /// Which rounds these are.
    number: u64,
    /// Shards that have begun and not ended.
    writing: usize,
    /// Rounds that wait until they have, or for more messages.
    waiting: Vec<Waker>,
    /// Messages in a segment of the present or last rounds.
    carried: usize,
    /// Where those segments end.
    reached: Place,
    begun: Option<Instant>,
    /// When all shards had ended, and how long after they began.
    ended: Option<(Instant, Duration)>,
    /// When the next rounds could have begun.
    due: Option<Instant>,
}

/// Whether a shard may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At once.
    Now,
    /// Other shards write what this one has written: when they have ended.
    AfterOthers,
    /// When more messages are there, at the latest at this time.
    By(Instant),
}

impl Lockstep {
    /// Whether a shard may begin that last took part in `last`; `pending` counts the messages that wait for it. Neither it nor the clock is asked
    /// where nobody would wait.
    pub fn may_begin(
        &mut self,
        last: u64,
        pending: impl FnOnce() -> usize,
        now: impl FnOnce() -> Instant,
    ) -> Begin {
        match self.writing {
            0 => self.patience(pending, now).map_or(Begin::Now, Begin::By),
            _ if last < self.number => Begin::Now,
            _ => Begin::AfterOthers,
        }
    }

    /// Until when it is worth waiting for more than these messages.
    fn patience(
        &mut self,
        pending: impl FnOnce() -> usize,
        now: impl FnOnce() -> Instant,
    ) -> Option<Instant> {
        let (ended, took) = self.ended.filter(|(_, took)| *took >= WORTH_WAITING && self.carried > 1)?;
        let now = now();
        let due = *self.due.get_or_insert(now);
        let until = due + (took / PATIENCE).min(LONGEST);
        (due.duration_since(ended) < took && now < until && pending() < self.carried).then_some(until)
    }

    /// A shard begins with so many messages, up to `to`: the number of what it takes part in. It must [`Lockstep::end`].
    pub fn begin(&mut self, messages: usize, to: Place, now: Instant) -> u64 {
        if self.writing == 0 {
            self.number += 1;
            (self.carried, self.reached) = (0, Place::default());
            (self.begun, self.due) = (Some(now), None);
        }
        self.carried = self.carried.max(messages);
        self.reached = self.reached.max(to);
        self.writing += 1;
        self.number
    }

    /// A round that may not begin wants to know when it may.
    pub fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// A shard has ended. Who is to be woken, when it was the last.
    pub fn end(&mut self, now: Instant) -> Vec<Waker> {
        self.writing -= 1;
        if self.writing > 0 {
            return Vec::new();
        }
        self.ended = self.begun.map(|begun| (now, now.duration_since(begun)));
        std::mem::take(&mut self.waiting)
    }

    /// Messages were published: `pending` tells how many stand behind a place. Who is to be woken, when that is as many as rounds wait for.
    pub fn published(&mut self, pending: impl FnOnce(Place) -> usize) -> Vec<Waker> {
        let enough = self.writing == 0 && !self.waiting.is_empty() && pending(self.reached) >= self.carried;
        if enough { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use tokio::time::Instant;

    use super::{Begin, Lockstep};
    use crate::place::Place;

    #[test]
    fn nobody_begins_again_before_all_have_ended() {
        let mut rounds = Lockstep::default();
        let (now, to) = (Instant::now(), Place::at(1));
        let may = |rounds: &mut Lockstep, last| rounds.may_begin(last, || 1, || now) == Begin::Now;
        let (a, b, c) = (rounds.begin(1, to, now), 0, 0);
        assert!(rounds.may_begin(a, || 1, || now) == Begin::AfterOthers && may(&mut rounds, b));
        let b = rounds.begin(1, to, now).max(b);
        assert!(rounds.end(now).is_empty());
        assert!(!may(&mut rounds, a) && !may(&mut rounds, b) && may(&mut rounds, c), "one still writes");
        let c = rounds.begin(1, to, now).max(c);
        assert_eq!((a, b, c), (1, 1, 1));
        let _ = (rounds.end(now), rounds.end(now));
        assert!(may(&mut rounds, a) && may(&mut rounds, b) && may(&mut rounds, c));
        assert_eq!(rounds.begin(1, to, now), 2);
    }

    /// Rounds of one shard with so many messages, which took so long.
    fn after(messages: usize, took: Duration) -> (Lockstep, Instant) {
        let mut rounds = Lockstep::default();
        let begun = Instant::now();
        rounds.begin(messages, Place::at(messages as u64), begun);
        assert!(rounds.end(begun + took).is_empty());
        (rounds, begun + took)
    }

    const LONG: Duration = Duration::from_millis(8);

    #[test]
    fn a_busy_channel_waits_for_as_many_messages_as_it_carried() {
        let (mut rounds, now) = after(8, LONG);
        let Begin::By(until) = rounds.may_begin(1, || 3, || now) else { panic!("does not wait") };
        assert_eq!(until - now, LONG / 8);
        assert_eq!(rounds.may_begin(1, || 8, || now), Begin::Now, "enough");
        assert_eq!(rounds.may_begin(1, || 3, || until), Begin::Now, "long enough");
        // It waits from when it could have begun, not from each look.
        assert_eq!(rounds.may_begin(1, || 4, || now + LONG / 16), Begin::By(until));
    }

    #[test]
    fn nobody_waits_where_nothing_is_gained() {
        let (mut rounds, now) = after(1, LONG);
        assert_eq!(rounds.may_begin(1, || 1, || now), Begin::Now, "one message at a time");
        let (mut rounds, now) = after(8, LONG / 4);
        assert_eq!(rounds.may_begin(1, || 1, || now), Begin::Now, "short rounds");
        let (mut rounds, now) = after(8, LONG);
        assert_eq!(rounds.may_begin(1, || 1, || now + LONG), Begin::Now, "the channel was quiet meanwhile");
    }

    #[test]
    fn enough_messages_wake_who_waits_for_them() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let (mut rounds, now) = after(8, LONG);
        assert!(matches!(rounds.may_begin(1, || 3, || now), Begin::By(_)));
        rounds.wait(&Waker::from(woken.clone()));
        let pending = |n: usize| move |from: Place| n - from.offset as usize;
        assert!(rounds.published(pending(15)).is_empty(), "seven are not eight");
        rounds.published(pending(16)).into_iter().for_each(Waker::wake);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
