//! Finding a channel by name: 64 mutexes over maps, so that appends on different channels do not contend.
//!
//! Lock order: shard -> log -> timers. A channel leaves its map only under its shard's and its log's lock, marked closed.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use fanfare_protocol::{ChannelName, Epoch};
use parking_lot::{Mutex, MutexGuard};

use super::log::Log;
use crate::Budget;

const SHARDS: usize = 64;
/// Milliseconds between two searches in vain for something to drop, which look at each channel.
const SEARCH_MS: u64 = 250;

/// A channel with a log, or with interest and no log yet.
pub(super) struct Channel {
    pub name: ChannelName,
    number: u64,
    shard: usize,
    /// Whether it counts as a channel: something was appended, and it is listed.
    pub written: AtomicBool,
    /// Mirrors the log's flag, for choosing what to drop without taking every lock.
    pub interested: AtomicBool,
    /// When something was last appended.
    pub used_ms: AtomicU64,
    pub log: Mutex<Log>,
}

/// What is found by name under one mutex.
#[derive(Default)]
struct Names {
    channels: HashMap<ChannelName, Arc<Channel>, ahash::RandomState>,
    /// Those that were written, in order, for listings.
    written: BTreeSet<ChannelName>,
}

#[derive(Default)]
struct Shard {
    names: Mutex<Names>,
    /// By time due and the channel's number: one entry a channel at most.
    timers: Mutex<BTreeMap<(u64, u64), Arc<Channel>>>,
}

/// Every channel of a broker.
pub(super) struct Shards {
    shards: [Shard; SHARDS],
    hasher: ahash::RandomState,
    next_number: AtomicU64,
    written: AtomicUsize,
    /// The epoch in which every channel without a log stands.
    ///
    /// It is the store's own until a channel is dropped for [`Shards::drop_idle`]; then it is drawn anew, before the channel
    /// leaves its map, and never returns to an old value. So no channel ever has two lives in one epoch, and a position of
    /// the life that was dropped is told from every position of the next, without remembering anything of the dropped
    /// channel. Channels that were not dropped keep the epoch of their log. The price: a position `<epoch>-0` of a channel
    /// that never had a message or a reader is answered as lost after a drop, although nothing was.
    standing: Mutex<Epoch>,
    dropping: Mutex<()>,
    /// The last search found nothing to drop; until then (milliseconds since 1970) there is no other unless something tells.
    none_idle_until: AtomicU64,
    budget: Arc<Budget>,
}

impl Shards {
    pub(super) fn new(epoch: Epoch, budget: Arc<Budget>) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            hasher: ahash::RandomState::new(),
            next_number: AtomicU64::new(0),
            written: AtomicUsize::new(0),
            standing: Mutex::new(epoch),
            dropping: Mutex::new(()),
            none_idle_until: AtomicU64::new(0),
            budget,
        }
    }

    /// The channel, if it has a log or interest; else the epoch in which it stands.
    pub(super) fn find(&self, name: &ChannelName) -> Result<Arc<Channel>, Epoch> {
        let names = self.names(self.shard_of(name));
        names.channels.get(name).cloned().ok_or_else(|| *self.standing.lock())
    }

    /// The channel, made if it is not there. What makes it must [`Shards::settle`] it once it has done with it.
    pub(super) fn find_or_make(&self, name: &ChannelName) -> Arc<Channel> {
        let shard = self.shard_of(name);
        let mut names = self.names(shard);
        if let Some(channel) = names.channels.get(name) {
            return channel.clone();
        }
        let channel = Arc::new(Channel {
            name: name.clone(),
            number: self.next_number.fetch_add(1, Relaxed),
            shard,
            written: AtomicBool::new(false),
            interested: AtomicBool::new(false),
            used_ms: AtomicU64::new(0),
            log: Mutex::new(Log::new(*self.standing.lock(), self.budget.clone())),
        });
        names.channels.insert(name.clone(), channel.clone());
        channel
    }

    /// Lists a channel that has just been written to, or takes it out if it has neither messages nor interest.
    pub(super) fn settle(&self, channel: &Arc<Channel>) {
        let mut names = self.names(channel.shard);
        if !names.channels.get(&channel.name).is_some_and(|found| Arc::ptr_eq(found, channel)) {
            return;
        }
        let mut log = channel.log.lock();
        if log.is_written() {
            if names.written.insert(channel.name.clone()) {
                self.written.fetch_add(1, Relaxed);
                channel.written.store(true, Relaxed);
                self.may_be_idle();
            }
        } else if !log.interested {
            log.closed = true;
            names.channels.remove(&channel.name);
        }
    }

    /// Tells that a channel has lost its interest, and so may be dropped.
    pub(super) fn may_be_idle(&self) {
        self.none_idle_until.store(0, Relaxed);
    }

    /// Sets when a channel's log next has something to do. Called with the log's lock held.
    pub(super) fn arm(&self, channel: &Arc<Channel>, log: &mut Log, due_ms: u64) {
        if due_ms == log.armed_ms {
            return;
        }
        let Some(shard) = self.shards.get(channel.shard) else { return };
        let mut timers = shard.timers.lock();
        timers.remove(&(log.armed_ms, channel.number));
        if due_ms != u64::MAX {
            timers.insert((due_ms, channel.number), channel.clone());
        }
        log.armed_ms = due_ms;
    }

    /// Takes a batch of the channels that are due; empty when nothing is.
    pub(super) fn due(&self, shard: usize, now_ms: u64) -> Vec<Arc<Channel>> {
        let mut due = Vec::new();
        let Some(shard) = self.shards.get(shard) else { return due };
        let mut timers = shard.timers.lock();
        while due.len() < 256
            && let Some(first) = timers.first_entry()
            && first.key().0 <= now_ms
        {
            due.push(first.remove());
        }
        due
    }

    /// The numbers of the shards, for going through all of them.
    pub(super) fn each(&self) -> std::ops::Range<usize> {
        0..SHARDS
    }

    /// Every channel of a shard.
    pub(super) fn channels(&self, shard: usize) -> Vec<Arc<Channel>> {
        self.names(shard).channels.values().cloned().collect()
    }

    /// At most `limit` written channels by name, that begin with `prefix` and stand after `after`. Names that begin with `$`
    /// only where the prefix does.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Arc<Channel>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let hidden = |name: &ChannelName| name.is_internal() && !prefix.starts_with('$');
        let begin = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let mut found = Vec::new();
        for shard in self.each() {
            let names = self.names(shard);
            let matching = names
                .written
                .range::<str, _>((begin, Unbounded))
                .take_while(|name| name.starts_with(prefix))
                .filter(|name| !hidden(name))
                .filter_map(|name| names.channels.get(name))
                .take(limit);
            found.extend(matching.cloned());
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit);
        found
    }

    /// Makes place for another channel among `limit`: when there are so many, the longest idle without interest are dropped.
    /// False when there is none to drop.
    pub(super) fn make_place(&self, limit: usize, now_ms: u64) -> bool {
        if self.written.load(Relaxed) < limit {
            return true;
        }
        let _one_at_a_time = self.dropping.lock();
        // Writers go on meanwhile: they may take the place made, or write to what was chosen. A channel more for each of them
        // does less harm than a refusal.
        for _ in 0..8 {
            let written = self.written.load(Relaxed);
            if written < limit {
                break;
            }
            // A few more than needed, so that the search for the idle is not made for each new channel.
            let count = (written + 1 - limit).max(limit / 32);
            if self.none_idle_until.load(Relaxed) > now_ms || !self.drop_idle(count, now_ms) {
                return false;
            }
        }
        true
    }

    /// Drops the `count` longest idle channels without interest and leases, which counts as losing their past. False if there are none.
    fn drop_idle(&self, count: usize, now_ms: u64) -> bool {
        let droppable = |channel: &Arc<Channel>| {
            let idle = channel.written.load(Relaxed)
                && !channel.interested.load(Relaxed)
                && !channel.log.lock().has_leases();
            idle.then(|| (channel.used_ms.load(Relaxed), channel.number, channel.clone()))
        };
        self.none_idle_until.store(now_ms.saturating_add(SEARCH_MS), Relaxed);
        let mut idle = Vec::new();
        for shard in self.each() {
            idle.extend(self.names(shard).channels.values().filter_map(droppable));
        }
        if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |(used_ms, number, _)| (*used_ms, *number));
            idle.truncate(count);
        }
        if idle.is_empty() {
            return false;
        }
        self.may_be_idle();
        // Before the first one goes: whoever makes a dropped channel again finds the new epoch.
        self.draw_epoch();
        for (used_ms, _, channel) in idle {
            let mut names = self.names(channel.shard);
            let mut log = channel.log.lock();
            if log.closed || log.interested || channel.used_ms.load(Relaxed) != used_ms {
                continue;
            }
            self.arm(&channel, &mut log, u64::MAX);
            *log = Log::new(log.epoch(), self.budget.clone());
            log.closed = true;
            names.channels.remove(&channel.name);
            if names.written.remove(&channel.name) {
                self.written.fetch_sub(1, Relaxed);
            }
        }
        true
    }

    fn draw_epoch(&self) {
        let mut standing = self.standing.lock();
        let old = *standing;
        while *standing == old {
            // A fresh `RandomState` has keys of its own: random bits enough, for an epoch is no secret.
            *standing = Epoch::from_random(RandomState::new().hash_one(old));
        }
    }

    fn shard_of(&self, name: &ChannelName) -> usize {
        self.hasher.hash_one(name) as usize % SHARDS
    }

    #[allow(clippy::indexing_slicing, reason = "every number of a shard comes from shard_of or each")]
    fn names(&self, shard: usize) -> MutexGuard<'_, Names> {
        self.shards[shard % SHARDS].names.lock()
    }
}
