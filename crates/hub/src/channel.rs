//! A channel that this node reads: its tail, its shards, and who waits for it.
use std::{sync::Arc, task::Waker};

use fanfare_protocol::{ChannelName, Epoch, Message};
use tokio::sync::{Notify, OnceCell};

use crate::{
    connection::Connection,
    lockstep::Lockstep,
    place::Place,
    reader::ReaderKey,
    readers::Rejoined,
    roster::Roster,
    shard::{Entry, Pace, SHARD_READERS, Shard},
    sync::{Mutex, Ordering},
    tail::Tail,
};

/// A channel with interest on this node. The registry holds it while it is read or watched, and a while after.
pub struct Channel {
    /// Its name; internal for the hidden channel of another one's members.
    pub name: ChannelName,
    /// Set once the broker has confirmed interest and the tail stands at the head.
    pub ready: OnceCell<()>,
    /// Woken when the slowest shard has moved.
    pub room: Notify,
    /// Held by the publisher that waits for room, in order of arrival.
    pub turn: tokio::sync::Mutex<()>,
    /// Woken by every delivery: polls and in-process subscriptions.
    pub watch: Notify,
    state: Mutex<ChannelState>,
}

/// What the channel lock guards.
pub struct ChannelState {
    /// The newest messages; none until the broker has confirmed interest and told the head.
    pub tail: Option<Tail>,
    /// Messages that were delivered before the head was known.
    pub early: Vec<Arc<Message>>,
    /// Everyone who is stepped.
    pub shards: Vec<Arc<Shard>>,
    /// Which of them are being written to.
    pub lockstep: Lockstep,
    /// Members, on hidden channels.
    pub roster: Option<Box<Roster>>,
    /// Polls and in-process subscriptions that count on deliveries.
    pub watchers: usize,
    /// Subscribing tasks between look-up and registration.
    pub joining: usize,
    /// The epoch that the channel was reset to before its head was known.
    pub reset_to: Option<Epoch>,
    /// Removed from the registry: look the name up again.
    pub closed: bool,
    /// Sweeps since the last reader or watcher left.
    pub idle_sweeps: u32,
    /// Sweeps since the last delivery.
    pub quiet_sweeps: u32,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel({})", self.name)
    }
}

/// The newest of every key may take so many times what the tail may, while there are readers with a rate: with `tail_bytes` of 4 MB some
/// 12,000 small messages of different keys inside two windows. Beyond that such readers are served one by one, from the broker: a keyed
/// channel's knows its keys, of others the log is read through; and what the log has lost meanwhile is a gap.
const NEWEST_TIMES: usize = 2;
/// Bytes for it before the first message tells what the rules allow.
const NEWEST_BYTES: usize = 8 << 20;

/// What to do after messages were taken.
#[derive(Default)]
pub struct Taken {
    /// Shards whose round must be scheduled.
    pub kick: Vec<Arc<Shard>>,
    /// Rounds that wait for as many messages as there are now.
    pub wake: Vec<Waker>,
    /// The deliveries have a hole: this range must be read from the broker first.
    pub hole: bool,
    /// Bytes by which the tail grew (or shrank).
    pub grown: isize,
}

impl Channel {
    /// A channel whose head is not known yet.
    pub fn new(name: ChannelName) -> Self {
        let state = ChannelState {
            tail: None,
            early: Vec::new(),
            shards: Vec::new(),
            lockstep: Lockstep::default(),
            roster: None,
            watchers: 0,
            joining: 0,
            reset_to: None,
            closed: false,
            idle_sweeps: 0,
            quiet_sweeps: 0,
        };
        Self {
            name,
            ready: OnceCell::new(),
            room: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            watch: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// The channel lock.
    pub fn lock(&self) -> crate::sync::MutexGuard<'_, ChannelState> {
        self.state.lock()
    }

    /// How many bytes of the tail, wire forms included, the slowest shard is behind the head.
    pub fn lag(&self) -> u64 {
        let state = self.lock();
        let Some(tail) = &state.tail else { return 0 };
        let head = tail.weight();
        let live = state.shards.iter().filter(|s| s.pace == Pace::Live);
        let behind = live.map(|s| head - s.state.lock().weight.min(head)).max().unwrap_or(0);
        tail.held_by(behind)
    }

    /// Decides under the shard lock whether a reader that has caught up is in step again.
    pub fn rejoin(&self, connection: &Arc<Connection>, key: ReaderKey) -> bool {
        let state = self.lock();
        let Some(tail) = &state.tail else { return false };
        let (epoch, held) = (tail.epoch(), (tail.start(), tail.head()));
        let Some(shard) = connection.shard_of(key) else { return true };
        let mut shard_state = shard.state.lock();
        // Under the shard lock: a round that is about to end looks for readers that are owed something under it, after it has said so.
        let running = shard.running.load(Ordering::Acquire);
        match connection.join_at(key, epoch, held, shard_state.at, running) {
            Rejoined::Yes => true,
            Rejoined::No => false,
            Rejoined::Owed(until) => {
                shard_state.owed.push((until, Entry { connection: connection.clone(), key }));
                true
            }
        }
    }
}

impl ChannelState {
    /// Takes deliveries in order: head + 1 is taken, lower dropped, higher is a hole.
    pub fn take(&mut self, messages: &[Arc<Message>], tail_bytes: usize) -> Taken {
        if self.closed {
            return Taken::default();
        }
        let Some(tail) = &mut self.tail else {
            self.early.extend_from_slice(messages);
            return Taken::default();
        };
        let before = tail.held() as isize;
        let mut taken = Taken::default();
        let head_before = tail.head();
        for message in messages {
            let next = tail.head().offset + 1;
            if !message.is_ephemeral() {
                if message.epoch != tail.epoch() || message.offset < next {
                    continue;
                }
                if message.offset > next {
                    taken.hole = true;
                    break;
                }
            }
            if let Some(roster) = &mut self.roster {
                roster.apply(message);
            }
            tail.push(message.clone());
        }
        if tail.head() != head_before {
            self.quiet_sweeps = 0;
            // Members are read from the roster: of such a channel only the head counts.
            tail.trim(if self.roster.is_some() { 0 } else { tail_bytes });
            if let Some(newest) = tail.newest_mut() {
                newest.bound(tail_bytes.saturating_mul(NEWEST_TIMES));
            }
            for shard in &self.shards {
                if !shard.running.swap(true, Ordering::AcqRel) {
                    taken.kick.push(shard.clone());
                }
            }
            taken.wake = self.lockstep.published(|from| tail.count_after(from));
        }
        taken.grown = tail.held() as isize - before;
        taken
    }

    /// The head is known: what was delivered meanwhile follows it. After a reset that came since the head was asked for, that head is
    /// worth nothing.
    pub fn open(&mut self, epoch: Epoch, head: u64, tail_bytes: usize) -> Taken {
        let (epoch, head) = match self.reset_to.take() {
            Some(reset_to) if reset_to != epoch => {
                if let Some(roster) = &mut self.roster {
                    roster.clear();
                }
                (reset_to, 0)
            }
            _ => (epoch, head),
        };
        let mut tail = Tail::new(epoch, head);
        if self.shards.iter().any(|shard| shard.window().is_some()) {
            tail.track(tail_bytes.saturating_mul(NEWEST_TIMES));
        }
        self.tail = Some(tail);
        let early = std::mem::take(&mut self.early);
        self.take(&early, tail_bytes)
    }

    /// A shard with room for one more reader.
    pub fn shard(&mut self, form: crate::form::Form, kind: crate::reader::Kind, pace: Pace) -> Arc<Shard> {
        let roomy =
            |shard: &&Arc<Shard>| shard.fits(form, kind, pace) && shard.state.lock().len() < SHARD_READERS;
        // The last of its kind is the one with room, if any has: look there first.
        if let Some(shard) = self.shards.iter().rev().find(roomy) {
            return shard.clone();
        }
        let (head, weight) =
            self.tail.as_ref().map_or((Place::default(), 0), |tail| (tail.head(), tail.weight()));
        let shard = Shard::new(form, kind, pace, head, weight);
        if shard.window().is_some()
            && let Some(tail) = &mut self.tail
        {
            tail.track(NEWEST_BYTES);
        }
        self.shards.push(shard.clone());
        shard
    }

    /// Registers a reader: from here on rounds find it.
    pub fn attach(&mut self, shard: &Shard, connection: &Arc<Connection>, key: ReaderKey) {
        self.idle_sweeps = 0;
        shard.state.lock().add(Entry { connection: connection.clone(), key });
    }

    /// Takes a reader out; a shard without readers goes too, and with the last that has a rate what was kept for it. Returns the bytes that
    /// were freed.
    pub fn detach(&mut self, shard: &Arc<Shard>, connection: &Connection, key: ReaderKey) -> usize {
        let left = {
            let mut state = shard.state.lock();
            state.remove(connection, key);
            state.len()
        };
        if left == 0 {
            self.shards.retain(|other| !Arc::ptr_eq(other, shard));
        }
        if left > 0 || shard.window().is_none() || self.shards.iter().any(|other| other.window().is_some()) {
            return 0;
        }
        let Some(tail) = &mut self.tail else { return 0 };
        let held = tail.held();
        tail.untrack();
        held - tail.held()
    }

    /// Whether so much is kept for readers with a rate that letting go of what none of them needs is worth the effort.
    pub fn is_newest_worth_pruning(&mut self) -> bool {
        self.tail.as_mut().and_then(Tail::newest_mut).is_some_and(|newest| newest.is_worth_pruning())
    }

    /// Lets go of what no reader with a rate needs any more: everybody stands behind it. Returns the bytes that were
    /// freed.
    pub fn prune_newest(&mut self) -> usize {
        let Some(newest) = self.tail.as_mut().and_then(Tail::newest_mut) else { return 0 };
        let held = newest.held();
        let paced = self.shards.iter().filter(|shard| shard.window().is_some());
        if let Some([floor, _]) = paced.map(|shard| shard.state.lock().ticks).min() {
            newest.prune(floor);
        }
        held - newest.held()
    }

    /// Lets go of the tail when every shard has passed it; the broker has it all. Returns the bytes that were freed.
    pub fn drop_tail(&mut self) -> usize {
        let Some(tail) = &mut self.tail else { return 0 };
        let head = tail.head();
        if self.shards.iter().any(|shard| shard.state.lock().at < head) {
            return 0;
        }
        let held = tail.held();
        tail.trim(0);
        held - tail.held()
    }

    /// Whether anybody counts on this channel.
    pub fn is_idle(&self) -> bool {
        self.shards.is_empty() && self.watchers == 0 && self.joining == 0
    }
}
