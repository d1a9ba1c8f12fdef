//! Finding a channel by name: 64 mutexes over ordered maps, so that appends on different channels do not contend.
//!
//! Lock order: names -> log -> timers. A channel leaves its map only under its names' and its log's lock, marked closed.
use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::BuildHasher,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use fanfare_protocol::{ChannelName, Epoch};
use parking_lot::{Mutex, MutexGuard};

use crate::log::Log;

const SHARDS: usize = 64;

/// A channel with a log, or with interest and no log yet.
pub(crate) struct Channel {
    pub name: ChannelName,
    pub log: Mutex<Log>,
}

type Names = BTreeMap<ChannelName, Arc<Channel>>;

/// Every channel of a broker.
pub(crate) struct Channels {
    shards: [Mutex<Names>; SHARDS],
    hasher: RandomState,
    /// The epoch in which every channel without a log stands.
    pub epoch: Epoch,
    next_number: AtomicU32,
    /// Channels with a message.
    written: AtomicUsize,
    timers: Mutex<BTreeMap<(u64, u32), Arc<Channel>>>,
}

impl Channels {
    /// No channels yet; numbers begin at `next_number`.
    pub fn new(epoch: Epoch, next_number: u32) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            epoch,
            next_number: AtomicU32::new(next_number.max(1)),
            written: AtomicUsize::new(0),
            timers: Mutex::default(),
        }
    }

    /// A channel of the past.
    pub fn insert(&self, name: ChannelName, log: Log) -> Arc<Channel> {
        if log.assigned > 0 {
            self.written.fetch_add(1, Relaxed);
        }
        let channel = Arc::new(Channel { name: name.clone(), log: Mutex::new(log) });
        self.names(&name).insert(name, channel.clone());
        channel
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
        self.names(name).get(name).cloned()
    }

    /// The channel, made if it is not there. What makes it must [`Channels::settle`] it if it leaves it empty.
    pub fn find_or_make(&self, name: &ChannelName) -> Arc<Channel> {
        let mut names = self.names(name);
        if let Some(channel) = names.get(name) {
            return channel.clone();
        }
        let channel = Arc::new(Channel { name: name.clone(), log: Mutex::new(Log::new(self.epoch)) });
        names.insert(name.clone(), channel.clone());
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

    /// Every channel, a shard at a time.
    pub fn each(&self, mut f: impl FnMut(&Arc<Channel>)) {
        for shard in &self.shards {
            let channels: Vec<_> = shard.lock().values().cloned().collect();
            channels.iter().for_each(&mut f);
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
                .filter(|(name, channel)| !hidden(name) && channel.log.lock().head > 0)
                .map(|(_, channel)| channel.clone())
                .take(limit);
            found.extend(matching);
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit);
        found
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder is below what it was divided by")]
    fn names(&self, name: &ChannelName) -> MutexGuard<'_, Names> {
        self.shards[self.hasher.hash_one(name) as usize % SHARDS].lock()
    }
}
