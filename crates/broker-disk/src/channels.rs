//! Finding a channel by name: 64 mutexes over ordered maps, so that appends on different channels do not contend.
//!
//! Lock order: names -> log -> timers. A channel leaves its map only under its names' and its log's lock, marked closed.
use std::{
    collections::{BTreeMap, BinaryHeap, hash_map::RandomState},
    hash::BuildHasher,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use fanfare_protocol::{ChannelName, Epoch, Problem};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    found::{State, Table},
    idle::Idle,
    log::Log,
};

const SHARDS: usize = 64;
/// Milliseconds between two searches in vain for something to drop, which look at each channel.
const SEARCH_MS: u64 = 250;
/// Channels that are gone through under one lock.
const STEP: usize = 256;

/// A channel with a log, or with interest and no log yet.
pub(crate) struct Channel {
    pub name: ChannelName,
    pub log: Mutex<Log>,
}

/// A channel in its map. It is laid down by [`Channels::each`] and gets up when it is asked for.
enum Slot {
    Active(Arc<Channel>),
    Idle(Box<Idle>),
    /// For as long as it changes from one to the other under the map's lock.
    Changing,
}

impl Slot {
    fn new(name: &ChannelName, log: Log) -> Self {
        match Idle::of(log) {
            Ok(idle) => Self::Idle(Box::new(idle)),
            Err(log) => Self::Active(Arc::new(Channel { name: name.clone(), log: Mutex::new(*log) })),
        }
    }

    fn channel(&mut self, name: &ChannelName, standing: &Mutex<Epoch>) -> Arc<Channel> {
        let log = match std::mem::replace(self, Self::Changing) {
            Self::Active(channel) => {
                *self = Self::Active(channel.clone());
                return channel;
            }
            Self::Idle(idle) => idle.log(),
            Self::Changing => Log::new(*standing.lock()),
        };
        let channel = Arc::new(Channel { name: name.clone(), log: Mutex::new(log) });
        *self = Self::Active(channel.clone());
        channel
    }

    fn is_written(&self) -> bool {
        match self {
            Self::Active(channel) => channel.log.lock().head > 0,
            Self::Idle(idle) => idle.is_written(),
            Self::Changing => false,
        }
    }
}

type Names = BTreeMap<ChannelName, Slot>;

/// Every channel of a broker.
pub(crate) struct Channels {
    shards: [Mutex<Names>; SHARDS],
    hasher: RandomState,
    /// The epoch in which every channel without a log stands.
    ///
    /// It is the store's own until a channel is dropped for [`crate::limit`]; then it is drawn anew and written down before the channel
    /// leaves its map, and never returns to an old value. So no channel ever has two lives in one epoch.
    standing: Mutex<Epoch>,
    next_number: AtomicU32,
    /// Channels with a message.
    written: AtomicUsize,
    timers: Mutex<BTreeMap<(u64, u32), Arc<Channel>>>,
    /// The last search found nothing to drop; until then (milliseconds since 1970) there is no other unless something tells.
    none_idle_until: AtomicU64,
}

impl Channels {
    /// No channels yet; numbers begin at `next_number`.
    pub fn new(epoch: Epoch, next_number: u32) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            standing: Mutex::new(epoch),
            next_number: AtomicU32::new(next_number.max(1)),
            written: AtomicUsize::new(0),
            timers: Mutex::default(),
            none_idle_until: AtomicU64::new(0),
        }
    }

    /// The epoch in which channels without a log stand.
    pub fn epoch(&self) -> Epoch {
        *self.standing.lock()
    }

    /// Takes in what a start found, after `f` of each log that is not laid down, and returns the channels that are in use. Of two of one name the
    /// older one gives way: it was dropped before, and only the frame that says so is missing.
    ///
    /// All at once, because a map that is built in order has full nodes, and one that grows in order has nodes half full.
    pub fn fill(&self, table: Table, mut f: impl FnMut(&mut Log)) -> Vec<Arc<Channel>> {
        let room = table.len() as usize / SHARDS;
        let mut parts: Vec<Vec<(ChannelName, Slot)>> =
            (0..SHARDS).map(|_| Vec::with_capacity(room + room / 8)).collect();
        for found in table.into_iter() {
            let (name, state) = found.into_parts();
            let slot = match state {
                State::Awake(mut log) => {
                    f(&mut log);
                    Slot::new(&name, *log)
                }
                State::Laid(idle) => Slot::Idle(idle),
                State::Changing => continue,
            };
            if let Some(part) = parts.get_mut(self.shard(&name)) {
                part.push((name, slot));
            }
        }
        let mut active = Vec::new();
        for (mut part, shard) in parts.into_iter().zip(&self.shards) {
            // By name, and of one name by number.
            part.sort_by(|a, b| a.0.cmp(&b.0));
            part.dedup_by(|newer, older| {
                let same = newer.0 == older.0;
                if same {
                    std::mem::swap(newer, older);
                }
                same
            });
            let written = part.iter().filter(|(_, slot)| slot.is_written()).count();
            self.written.fetch_add(written, Relaxed);
            active.extend(part.iter().filter_map(|(_, slot)| match slot {
                Slot::Active(channel) => Some(channel.clone()),
                _ => None,
            }));
            *shard.lock() = part.into_iter().collect();
        }
        active
    }

    pub fn next_number(&self) -> u32 {
        self.next_number.fetch_add(1, Relaxed)
    }

    /// Channels with a message.
    pub fn written(&self) -> usize {
        self.written.load(Relaxed)
    }

    /// A channel got its first message, or lost it again.
    pub fn count(&self, came: bool) {
        if came {
            self.written.fetch_add(1, Relaxed);
        } else {
            self.written.fetch_sub(1, Relaxed);
        }
    }

    /// The channel, if it has a log or interest.
    pub fn find(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.names(name).get_mut(name).map(|slot| slot.channel(name, &self.standing))
    }

    /// The channel, made if it is not there. What makes it must [`Channels::settle`] it if it leaves it empty.
    pub fn find_or_make(&self, name: &ChannelName) -> Arc<Channel> {
        let mut names = self.names(name);
        if let Some(slot) = names.get_mut(name) {
            return slot.channel(name, &self.standing);
        }
        let mut slot = Slot::Changing;
        let channel = slot.channel(name, &self.standing);
        names.insert(name.clone(), slot);
        channel
    }

    /// Takes a channel out if it has neither messages nor interest.
    pub fn settle(&self, channel: &Arc<Channel>) {
        let mut names = self.names(&channel.name);
        let mut log = channel.log.lock();
        if log.assigned == 0 && log.number == 0 && !log.interested && !log.closed {
            log.closed = true;
            names.remove(&channel.name);
        }
    }

    /// A channel may have come to rest, and so may be dropped.
    pub fn may_be_idle(&self) {
        self.none_idle_until.store(0, Relaxed);
    }

    /// The longest idle of the channels that may be dropped, at most so many: when something was last published, number and name.
    pub fn longest_idle(&self, count: usize, now_ms: u64) -> Vec<(u64, u32, ChannelName)> {
        if self.none_idle_until.load(Relaxed) > now_ms {
            return Vec::new();
        }
        self.none_idle_until.store(now_ms.saturating_add(SEARCH_MS), Relaxed);
        let mut found = BinaryHeap::with_capacity(count + 1);
        self.step_through(|name, slot| {
            let age = match slot {
                Slot::Idle(idle) => idle.is_written().then(|| idle.age()),
                Slot::Active(channel) => {
                    let log = channel.log.lock();
                    log.is_droppable().then_some((log.newest_ms, log.number))
                }
                Slot::Changing => None,
            };
            let Some((newest_ms, number)) = age else { return };
            let is_among = |newest: &(u64, u32, ChannelName)| (newest_ms, number) < (newest.0, newest.1);
            if found.len() < count || found.peek().is_some_and(is_among) {
                found.push((newest_ms, number, name.clone()));
            }
            if found.len() > count {
                found.pop();
            }
        });
        if !found.is_empty() {
            self.may_be_idle();
        }
        found.into_vec()
    }

    /// Has every channel without a log stand in another epoch from now on.
    pub fn stand_in(&self, epoch: Epoch) {
        *self.standing.lock() = epoch;
    }

    /// Drops a channel, if it is as it was found and `say`, called with its lock held, succeeds.
    pub fn drop_idle(
        &self,
        (newest_ms, number, name): &(u64, u32, ChannelName),
        say: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut names = self.names(name);
        let Some(slot) = names.get_mut(name) else { return Ok(()) };
        let channel = slot.channel(name, &self.standing);
        let mut log = channel.log.lock();
        if (log.newest_ms, log.number) != (*newest_ms, *number) || !log.is_droppable() {
            return Ok(());
        }
        say()?;
        self.arm(&channel, &mut log, u64::MAX);
        *log = Log { closed: true, ..Log::new(self.epoch()) };
        names.remove(name);
        self.count(false);
        Ok(())
    }

    /// Sets when a channel next has something to do. Called with the log's lock held.
    pub fn arm(&self, channel: &Arc<Channel>, log: &mut Log, due_ms: u64) {
        if due_ms == log.armed_ms || log.number == 0 {
            return;
        }
        let mut timers = self.timers.lock();
        timers.remove(&(log.armed_ms, log.number));
        if due_ms != u64::MAX {
            timers.insert((due_ms, log.number), channel.clone());
        }
        log.armed_ms = due_ms;
    }

    /// Takes a batch of the channels that are due; empty when nothing is.
    pub fn due(&self, now_ms: u64) -> Vec<Arc<Channel>> {
        let mut due = Vec::new();
        let mut timers = self.timers.lock();
        while due.len() < 256
            && let Some(first) = timers.first_entry()
            && first.key().0 <= now_ms
        {
            due.push(first.remove());
        }
        due
    }

    /// Calls `f` with every channel's log, and lays down those that are not in use after it.
    pub fn each(&self, f: impl FnMut(&ChannelName, &mut Log)) {
        self.lay_down(true, f);
    }

    /// The same without those that are laid down already.
    pub fn each_active(&self, f: impl FnMut(&ChannelName, &mut Log)) {
        self.lay_down(false, f);
    }

    fn lay_down(&self, idle_too: bool, mut f: impl FnMut(&ChannelName, &mut Log)) {
        self.step_through(|name, slot| {
            if matches!(slot, Slot::Idle(_)) && !idle_too {
                return;
            }
            let log = match std::mem::replace(slot, Slot::Changing) {
                Slot::Idle(idle) => Some(idle.log()),
                Slot::Active(channel) => match Arc::try_unwrap(channel) {
                    // Nobody else has it, and under the map's lock nobody gets it.
                    Ok(channel) => Some(channel.log.into_inner()),
                    Err(channel) => {
                        f(name, &mut channel.log.lock());
                        *slot = Slot::Active(channel);
                        None
                    }
                },
                Slot::Changing => None,
            };
            if let Some(mut log) = log {
                f(name, &mut log);
                *slot = Slot::new(name, log);
            }
        });
    }

    /// The channels whose logs `f` picks.
    pub fn pick(&self, mut f: impl FnMut(&Log) -> bool) -> Vec<Arc<Channel>> {
        let mut picked = Vec::new();
        self.step_through(|name, slot| {
            let (is_picked, laid) = match std::mem::replace(slot, Slot::Changing) {
                Slot::Active(channel) => {
                    let is_picked = f(&channel.log.lock());
                    (is_picked, Slot::Active(channel))
                }
                Slot::Idle(idle) => {
                    let log = idle.log();
                    (f(&log), Slot::new(name, log))
                }
                Slot::Changing => (false, Slot::Changing),
            };
            *slot = laid;
            if is_picked {
                picked.push(slot.channel(name, &self.standing));
            }
        });
        picked
    }

    /// Goes through all slots, a few under each lock.
    fn step_through(&self, mut f: impl FnMut(&ChannelName, &mut Slot)) {
        for shard in &self.shards {
            let mut after: Option<ChannelName> = None;
            loop {
                let mut names = shard.lock();
                let begin = after.take().map_or(Unbounded, Excluded);
                let mut last = None;
                for (name, slot) in names.range_mut((begin, Unbounded)).take(STEP) {
                    f(name, slot);
                    last = Some(name);
                }
                match last {
                    Some(name) => after = Some(name.clone()),
                    None => break,
                }
            }
        }
    }

    /// At most `limit` channels with messages, by name, that begin with `prefix` and stand after `after`. Names that begin with
    /// `$` only where the prefix does.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Arc<Channel>> {
        let hidden = |name: &ChannelName| name.is_internal() && !prefix.starts_with('$');
        let begin = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let mut found = Vec::new();
        for shard in &self.shards {
            let names = shard.lock();
            let matching = names
                .range::<str, _>((begin, Unbounded))
                .take_while(|(name, _)| name.starts_with(prefix))
                .filter(|(name, slot)| !hidden(name) && slot.is_written())
                .map(|(name, _)| name.clone())
                .take(limit);
            found.extend(matching);
        }
        found.sort_unstable();
        found.truncate(limit);
        found.iter().filter_map(|name| self.find(name)).collect()
    }

    fn shard(&self, name: &ChannelName) -> usize {
        self.hasher.hash_one(name) as usize % SHARDS
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder is below what it was divided by")]
    fn names(&self, name: &ChannelName) -> MutexGuard<'_, Names> {
        self.shards[self.shard(name)].lock()
    }
}
