//! Rounds: one segment to every reader of a shard, in turns.
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    channel::{Channel, ChannelState},
    clock::unix_ms,
    counters::Counters,
    lockstep::Begin,
    place::Place,
    reader::Kind,
    segment::{SEGMENT_BYTES, Segment},
    shard::{Entry, Pace, Shard},
    sync::Ordering,
    tail::ReachedBefore,
    window::Windows,
    write::Given,
};

/// Writes before a round goes to the back of the queue: 100 to 200 microseconds.
const TURN: usize = 16;

/// Readers that are looked at ahead of their writes.
const AHEAD: usize = 8;
/// Readers of a shard at most whose round need not wait for a task of its own.
const LIGHT: usize = 16;
/// A shard that began no round for so long is not one that more could be gathered for.
const SELDOM: Duration = Duration::from_millis(1);

/// One segment on its way through a shard.
struct Part {
    segment: Arc<Segment>,
    readers: Arc<[Entry]>,
    next: usize,
    unix_ms: u64,
    begun: Instant,
    /// The channel's other shards wait for its end.
    in_step: bool,
}

/// A tick of a paced shard: the newest of every key, in as many segments as it takes.
struct Tick {
    begun: Instant,
    /// Up to here; what changes meanwhile moves behind it. None for members, who are told in one segment.
    until: Option<Place>,
    /// Whether anybody was given anything, so that a window opens.
    given: bool,
}

/// A shard's rounds until it has caught up with the head: spawned by the first append to a quiet shard.
pub struct Round {
    channel: Arc<Channel>,
    shard: Arc<Shard>,
    counters: Arc<Counters>,
    part: Option<Part>,
    /// Not polled yet: a round begins behind the work that is already ready, so that what arrives together goes out together.
    first: bool,
    /// The tick under way, of a paced shard.
    tick: Option<Tick>,
    /// What a paced shard waits for between ticks.
    windows: Option<Box<Windows>>,
    /// Until when it waits for more messages.
    patience: Option<Pin<Box<Sleep>>>,
}

/// What the next step of a round found.
enum Next {
    Segment(Part),
    /// The shard's position has left the tail: its readers go on by themselves.
    Lost(Arc<[Entry]>),
    /// The tick has taken everything up to its end.
    TickOver,
    /// Other shards of the channel still write what this one has written, or more messages are expected until then.
    Wait(Option<Instant>),
    AtHead,
}

/// Why a round stops for now.
enum Stop {
    /// Others have their turn, or a window is open.
    Turn,
    /// Until the channel's other shards have ended or there are more messages, at the latest then.
    Wait(Option<Instant>),
    /// There is nothing more.
    Rest,
}

/// What is left of a shard's log to write.
enum Found {
    Segment(Arc<Segment>),
    Lost,
    TickOver,
    Wait(Option<Instant>),
    Nothing,
}

impl Round {
    /// A round for a shard whose `running` was just set.
    pub fn new(channel: Arc<Channel>, shard: Arc<Shard>, counters: Arc<Counters>) -> Self {
        let windows = (shard.pace != Pace::Live).then(Box::default);
        Self { channel, shard, counters, part: None, first: true, tick: None, windows, patience: None }
    }

    /// How many readers it has, where those are so few, and were written to so long ago, that nothing is gained by waiting.
    pub(crate) fn light(&self, now: Instant) -> Option<usize> {
        if self.shard.kind != Kind::Messages || self.shard.pace != Pace::Live {
            return None;
        }
        let state = self.shard.state.lock();
        let seldom = state.begun.is_none_or(|begun| now.duration_since(begun) >= SELDOM);
        Some(state.len()).filter(|readers| seldom && *readers <= LIGHT)
    }

    /// Takes the next segment and moves the shard's position past it, in one step under channel and shard lock. Whoever has to wait is woken
    /// through `waker`.
    fn next(&mut self, waker: Option<&Waker>) -> Next {
        let mut channel = self.channel.lock();
        let Some(held) = channel.tail.as_ref().map(|tail| tail.held() as isize) else { return Next::AtHead };
        let next = next_of(&mut channel, &self.shard, &mut self.tick, waker.is_some());
        if let (Next::Wait(_), Some(waker)) = (&next, waker) {
            channel.lockstep.wait(waker);
        }
        if self.shard.window().is_some() && channel.is_newest_worth_pruning() {
            channel.prune_newest();
        }
        let now = channel.tail.as_ref().map_or(0, |tail| tail.held() as isize);
        self.counters.grow_tail(now - held);
        next
    }

    /// Writes to readers until the part is done (true) or the turn is over.
    fn step(&mut self, budget: &mut usize) -> bool {
        let Some(part) = &mut self.part else { return true };
        let mut delivered = 0;
        let mut given = false;
        while let Some(entry) = part.readers.get(part.next) {
            if *budget == 0 {
                break;
            }
            if part.next.is_multiple_of(AHEAD) {
                // What the kernel does for one of them leaves little of the others in the cache: waiting for the memory of several at once is waiting once.
                let soon = part.readers.get(part.next..).unwrap_or_default().iter().take(AHEAD);
                soon.for_each(|entry| entry.connection.touch());
            }
            *budget -= 1;
            part.next += 1;
            match entry.connection.write_round(entry.key, &part.segment, part.unix_ms, part.begun) {
                Given::Wrote(count) => {
                    delivered += count as u64;
                    given |= count > 0;
                }
                Given::Nothing => {}
                Given::Behind => given = true,
                Given::Later(until) => {
                    if let Some(windows) = &mut self.windows {
                        windows.owe(until, entry.clone());
                    }
                }
            }
        }
        self.counters.deliveries.add(delivered);
        if let Some(tick) = &mut self.tick {
            tick.given |= given;
        }
        if part.next < part.readers.len() {
            return false;
        }
        self.counters.rounds.inc();
        self.counters.round_messages.record(part.segment.index.len() as u64);
        self.counters.round_us.record(part.begun.elapsed().as_micros() as u64);
        self.end_part();
        self.channel.room.notify_waiters();
        if self.tick.as_ref().is_some_and(|tick| tick.until.is_none()) {
            self.end_tick();
        }
        true
    }

    /// The channel's other shards need not wait for this one any more.
    fn end_part(&mut self) {
        if self.part.take().is_some_and(|part| part.in_step) {
            let waiting = self.channel.lock().lockstep.end(Instant::now());
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// A delivery opens a window. Where only readers with open windows of their own were left out, the next tick is theirs.
    fn end_tick(&mut self) {
        let (Some(tick), Some(windows)) = (self.tick.take(), &mut self.windows) else { return };
        let Pace::Every(window) = self.shard.pace else { return };
        if windows.take_served() || tick.given {
            windows.open(tick.begun + window);
        } else if let Some(until) = windows.first_owed() {
            windows.open(until);
        }
    }

    /// Ends this run of rounds, unless something was appended meanwhile.
    fn rest(&self) -> bool {
        self.shard.running.store(false, Ordering::Release);
        let again = {
            let channel = self.channel.lock();
            let state = self.shard.state.lock();
            !state.owed.is_empty() || channel.tail.as_ref().is_some_and(|tail| state.at < tail.head())
        };
        !again || self.shard.running.swap(true, Ordering::AcqRel)
    }

    /// One turn of writes: what the task's poll does, and what a test or a model checker steps by hand. Pending means "again later": for a
    /// paced shard whose part is written, when its window is over; for one that has to wait for other shards, when they have ended.
    pub fn turn(&mut self) -> Poll<()> {
        if self.is_between_ticks()
            && let Some(windows) = &mut self.windows
        {
            windows.end_all(&self.shard);
        }
        match self.go_on(None) {
            Stop::Rest => Poll::Ready(()),
            Stop::Turn | Stop::Wait(_) => Poll::Pending,
        }
    }

    fn is_between_ticks(&self) -> bool {
        self.part.is_none() && self.tick.is_none()
    }

    /// Writes for a turn, or up to the end of a tick.
    fn go_on(&mut self, waker: Option<&Waker>) -> Stop {
        let mut budget = TURN;
        loop {
            if !self.step(&mut budget) || self.windows.as_ref().is_some_and(|windows| windows.is_open()) {
                return Stop::Turn;
            }
            match self.next(waker) {
                Next::Segment(part) => self.part = Some(part),
                Next::Lost(readers) => {
                    let now = Instant::now();
                    for entry in readers.iter() {
                        let until = entry.connection.fall_behind_at_tick(entry.key, now);
                        if let (Some(until), Some(windows)) = (until, &mut self.windows) {
                            windows.owe(until, entry.clone());
                        }
                    }
                    self.channel.room.notify_waiters();
                    self.end_tick();
                }
                Next::TickOver => self.end_tick(),
                Next::Wait(until) => return Stop::Wait(until),
                Next::AtHead => {
                    // A window that nobody but its own reader waits for ends by itself.
                    if let Some(windows) = &mut self.windows {
                        windows.gather(&self.shard);
                        let served = self.shard.window().filter(|_| windows.take_served());
                        let own = windows.first_owed();
                        if let Some(ends) = served.map(|window| Instant::now() + window).or(own) {
                            windows.open(ends);
                            return Stop::Turn;
                        }
                    }
                    if self.rest() {
                        return Stop::Rest;
                    }
                }
            }
        }
    }
}

/// What a shard is to be written next. Its position moves past that. Who is `patient` waits for more messages where that is worth it.
fn next_of(channel: &mut ChannelState, shard: &Shard, tick: &mut Option<Tick>, patient: bool) -> Next {
    let Some(tail) = &mut channel.tail else { return Next::AtHead };
    let mut state = shard.state.lock();
    let state = &mut *state;
    let (head, weight) = (tail.head(), tail.weight());
    let found = match (shard.kind, shard.pace) {
        _ if state.at >= head && tick.is_none() => Found::Nothing,
        (Kind::Messages, Pace::Live) => {
            match channel.lockstep.may_begin(state.rounds, || tail.count_after(state.at), Instant::now) {
                Begin::AfterOthers => Found::Wait(None),
                Begin::By(until) if patient => Found::Wait(Some(until)),
                _ => match tail.read_one(shard.form, state.at) {
                    Ok(None) => Found::Nothing,
                    Ok(Some(segment)) => Found::Segment(segment),
                    Err(ReachedBefore) => Found::Lost,
                },
            }
        }
        (Kind::Messages, Pace::Every(_)) => {
            let begun = tick.get_or_insert_with(|| {
                state.tick();
                Tick { begun: Instant::now(), until: Some(head), given: false }
            });
            let until = begun.until.unwrap_or(head);
            match tail.conflate(shard.form, state.at, until, SEGMENT_BYTES) {
                None => {
                    begun.given = true;
                    Found::Lost
                }
                Some(segment) => {
                    // Behind the last segment of a tick its window begins.
                    begun.until = (segment.to < until).then_some(until);
                    match segment.index.is_empty() {
                        true => {
                            state.at = until;
                            Found::TickOver
                        }
                        false => Found::Segment(Arc::new(segment)),
                    }
                }
            }
        }
        (Kind::Members, _) => match &channel.roster {
            Some(roster) => {
                let lost = roster.is_far(state.at.offset);
                *tick = Some(Tick { begun: Instant::now(), until: None, given: !lost });
                match lost {
                    true => Found::Lost,
                    false => Found::Segment(Arc::new(roster.segment(
                        shard.form,
                        tail.epoch(),
                        state.at,
                        head,
                        weight,
                    ))),
                }
            }
            None => Found::Nothing,
        },
    };
    match found {
        Found::Segment(segment) => {
            state.at = segment.to;
            state.weight = segment.weight_to;
            let (readers, begun) = (state.readers(), Instant::now());
            state.begun = Some(begun);
            // A shard that is the only one has nobody to keep step with; paced ones have windows.
            let in_step = shard.pace == Pace::Live && channel.shards.len() > 1;
            if in_step {
                state.rounds = channel.lockstep.begin(segment.index.len(), segment.to, begun);
            }
            Next::Segment(Part { segment, readers, next: 0, unix_ms: unix_ms(), begun, in_step })
        }
        Found::Lost => {
            state.stand(head, weight);
            Next::Lost(state.readers())
        }
        Found::TickOver => Next::TickOver,
        Found::Wait(until) => Next::Wait(until),
        Found::Nothing => {
            // Where the position was before the head, nothing but ephemeral messages that are gone was left.
            state.stand(head.max(state.at), weight);
            Next::AtHead
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.end_part();
    }
}

impl Future for Round {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        me.patience = None;
        if std::mem::take(&mut me.first) {
            // `spawn` alone would run ahead of what is ready: wake behind it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(windows) = &mut me.windows
                && windows.poll(cx, &me.shard).is_pending()
            {
                return Poll::Pending;
            }
            match me.go_on(Some(cx.waker())) {
                Stop::Rest => return Poll::Ready(()),
                Stop::Wait(None) => return Poll::Pending,
                Stop::Wait(Some(until)) => {
                    let sleep = me.patience.insert(Box::pin(sleep_until(until)));
                    if sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Stop::Turn if me.is_between_ticks() => {}
                Stop::Turn => {
                    // Behind what is ready, and behind what the network has brought meanwhile, so that others wait for a turn and not for a round.
                    let _ = std::pin::pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}
