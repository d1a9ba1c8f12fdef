//! The one thread that syncs. While it does, the writer goes on; the next sync takes all that came meanwhile.
use std::{collections::HashMap, io, sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    counters::Counters,
    queue::{Pending, What, broken, same_channel, unwritable},
    refuse::{refuse, take_back},
    segment::Segment,
    shared::Shared,
    tail::{Tail, void},
};

/// Something that is written and waits for a sync.
pub(crate) struct ToSync {
    pub pending: Pending,
    /// Readers see it with the sync.
    pub show: bool,
}

/// How far syncing can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Health {
    #[default]
    Good,
    /// A sync failed for want of space: the tail has to be written again before anything else is.
    Torn,
    /// A sync failed otherwise.
    Broken,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Arc<Segment>, Vec<ToSync>)>,
    /// Id and synced bytes of the newest segment that was synced.
    synced: (u32, u64),
    tail: Tail,
    health: Health,
    closed: bool,
}

/// What the writer hands to the syncer.
#[derive(Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
    more: Condvar,
    done: Condvar,
    /// Held while something is written and handed over, and while a failed sync is cleared up.
    pub writing: Mutex<()>,
}

impl Syncing {
    /// Hands over what was written to a segment.
    pub fn push(&self, segment: Arc<Segment>, to_sync: Vec<ToSync>) {
        self.state.lock().waiting.push((segment, to_sync));
        self.more.notify_one();
    }

    /// Keeps what was written to the newest segment until it is synced, and returns an empty buffer.
    pub fn keep(&self, at: u64, write: Vec<u8>) -> Vec<u8> {
        self.state.lock().tail.keep(at, write)
    }

    /// Bytes that are written and not known to be synced.
    pub fn unsynced(&self) -> usize {
        self.state.lock().tail.bytes()
    }

    /// Waits until no more than so many bytes are unsynced, or syncing fails.
    pub fn wait_room(&self, bytes: usize) {
        let mut state = self.state.lock();
        while state.tail.bytes() > bytes && state.health == Health::Good {
            self.done.wait(&mut state);
        }
    }

    /// Waits until a segment is synced so far; false when that fails.
    pub fn wait_synced(&self, id: u32, len: u64) -> bool {
        let mut state = self.state.lock();
        while state.synced < (id, len) && state.health == Health::Good {
            self.done.wait(&mut state);
        }
        state.synced >= (id, len)
    }

    /// How many bytes of a segment are known to be synced.
    pub fn synced(&self, segment: u32) -> u64 {
        let (id, len) = self.state.lock().synced;
        if id == segment { len } else { 0 }
    }

    pub fn health(&self) -> Health {
        self.state.lock().health
    }

    /// The tail was written again and synced.
    pub fn mended(&self, id: u32, len: u64) {
        let mut state = self.state.lock();
        (state.health, state.synced) = (Health::Good, (id, len));
    }

    /// No more comes.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.more.notify_one();
    }

    fn take(&self) -> Option<Vec<(Arc<Segment>, Vec<ToSync>)>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.more.wait(&mut state);
        }
        Some(std::mem::take(&mut state.waiting))
    }

    fn is_synced(&self, id: u32, len: u64) {
        let mut state = self.state.lock();
        state.synced = (id, len);
        state.tail.synced(len);
        self.done.notify_all();
    }

    /// Nothing is synced from now on: takes what waits.
    fn fail(&self, health: Health) -> Vec<ToSync> {
        let mut state = self.state.lock();
        state.health = health;
        self.done.notify_all();
        std::mem::take(&mut state.waiting).into_iter().flat_map(|(_, to_sync)| to_sync).collect()
    }
}

/// Syncs until there is nothing more.
pub(crate) fn run(shared: &Shared, syncing: &Syncing) {
    while let Some(waiting) = syncing.take() {
        // Segments come in order and all but the newest were synced when they were full.
        let Some((segment, _)) = waiting.last() else { continue };
        let (segment, len, begun) = (segment.clone(), segment.len(), Instant::now());
        let all: Vec<_> = waiting.into_iter().flat_map(|(_, to_sync)| to_sync).collect();
        if syncing.health() != Health::Good {
            // A sync failed before: nothing was written since.
            all.into_iter().for_each(|to_sync| refuse(to_sync.pending, &broken()));
            continue;
        }
        if syncing.state.lock().synced >= (segment.id, len) {
            // By the sync that all before it waited for. Only the newest segment is ever synced again.
            tell(shared, all);
            continue;
        }
        match shared.sync(&segment) {
            Ok(()) => {
                count(&shared.counters, begun, messages(&all));
                syncing.is_synced(segment.id, len);
                tell(shared, all);
            }
            Err(error) if wants_space(&error) => tear(shared, syncing, &segment, all, &error),
            Err(error) => break_down(shared, syncing, &segment, all, &error),
        }
    }
}

fn wants_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// There was no room for what was written: what nobody has seen of it is taken back, the rest is to be written again.
fn tear(shared: &Shared, syncing: &Syncing, segment: &Segment, mut all: Vec<ToSync>, error: &io::Error) {
    let _nothing_is_written = syncing.writing.lock();
    all.extend(syncing.fail(Health::Torn));
    let behind = shared.fill_up(error, segment);
    let mut heads = HashMap::new();
    for channel in
        all.iter().filter(|to_sync| to_sync.show).filter_map(|to_sync| to_sync.pending.channel.as_ref())
    {
        let mut log = channel.log.lock();
        log.written = log.head;
        heads.insert(log.number, (log.head, channel.clone()));
    }
    let synced = syncing.synced(segment.id);
    let (at, mut bytes) = syncing.state.lock().tail.take(synced, segment.len());
    let losses =
        void(segment.id, &mut bytes, &heads.iter().map(|(number, (head, _))| (*number, *head)).collect());
    for (number, loss) in &losses {
        if let Some((head, channel)) = heads.get(number) {
            channel.log.lock().runs.take_back(segment.id, *head, loss);
        }
    }
    segment.tear(at, bytes);
    let problem = unwritable(&error.to_string());
    for ToSync { pending, show } in all {
        if show { take_back(shared, pending, true, &problem) } else { refuse(pending, &problem) }
    }
    behind.into_iter().for_each(|pending| take_back(shared, pending, false, &problem));
    if let Err(error) = shared.store.distrust() {
        tracing::warn!(%error, "it could not be written down that a sync failed");
    }
}

/// Nobody knows what is on disk, nor whether anything written again would be.
fn break_down(
    shared: &Shared,
    syncing: &Syncing,
    segment: &Segment,
    mut all: Vec<ToSync>,
    error: &io::Error,
) {
    let _nothing_is_written = syncing.writing.lock();
    if syncing.health() == Health::Good {
        shared.counters.write_errors.inc();
        tracing::error!(%error, segment = %segment.path.display(), "the log cannot be synced: nothing more is accepted");
        if let Err(error) = shared.store.distrust() {
            tracing::warn!(%error, "it could not be written down that a sync failed");
        }
    }
    all.extend(syncing.fail(Health::Broken));
    shared.counters.refused.add(messages(&all));
    // Before anybody is answered: who is refused for this finds everything refused for it.
    let behind = shared.queue.break_down();
    let problem = broken();
    all.into_iter().for_each(|to_sync| refuse(to_sync.pending, &problem));
    behind.into_iter().for_each(|pending| take_back(shared, pending, false, &problem));
}

fn messages(all: &[ToSync]) -> u64 {
    all.iter().filter(|to_sync| to_sync.pending.entry().is_some()).count() as u64
}

fn count(counters: &Counters, begun: Instant, messages: u64) {
    counters.commits.inc();
    counters.sync_us.record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    if messages > 0 {
        counters.commit_messages.record(messages);
    }
}

/// Shows and answers what is synced.
fn tell(shared: &Shared, all: Vec<ToSync>) {
    for group in all.chunk_by(|a, b| same_channel(&a.pending, &b.pending)) {
        let Some(channel) = group.first().and_then(|first| first.pending.channel.as_ref()) else { continue };
        let shown = || group.iter().filter(|to_sync| to_sync.show);
        let count = shown().count();
        if count == 0 {
            continue;
        }
        let cx = shared.context(&channel.name);
        let mut log = channel.log.lock();
        log.unsynced -= count as u32;
        log.loose |= shown().any(|to_sync| to_sync.pending.entry().is_some_and(|entry| entry.loose));
        shared.show(channel, &mut log, &cx, shown().filter_map(|to_sync| to_sync.pending.entry()));
    }
    for ToSync { pending, .. } in all {
        if let Some((reply, published)) = pending.reply {
            reply.send(Ok(published));
        }
        if let Some(reply) = pending.synced {
            reply.send(());
        }
        if let What::Stop(reply) = pending.what {
            let marked = shared.store.mark_clean();
            if let Err(error) = &marked {
                tracing::warn!(%error, "the data directory could not be marked as cleanly stopped");
            }
            reply.send(Ok(()));
        }
    }
}
