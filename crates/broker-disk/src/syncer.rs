//! Syncs, one at a time. The syncer's thread makes them while the writer goes on, and the next sync takes all that came meanwhile; a message
//! that comes alone is synced by the writer itself, without waking another thread for it.
use std::{collections::HashMap, io, sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    counters::Counters,
    queue::{Pending, broken, unwritable},
    refuse::{refuse, take_back},
    segment::Segment,
    shared::Shared,
    tail::{Tail, void},
    teller::Telling,
};

/// Groups up to so many are told by the thread that synced them, if nothing waits to be synced: to wake another takes as long.
const FEW: usize = 2;

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
    /// A sync is under way, or what follows from it.
    busy: bool,
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
    /// What is synced and not yet told.
    pub telling: Telling,
}

impl Syncing {
    /// Hands over what was written to a segment.
    pub fn push(&self, segment: Arc<Segment>, to_sync: Vec<ToSync>) {
        self.state.lock().waiting.push((segment, to_sync));
        self.more.notify_one();
    }

    /// Takes the syncer's part, if there is nothing for it to do: the caller calls [`sync`] and then [`Syncing::rest`].
    pub fn begin_here(&self) -> bool {
        let mut state = self.state.lock();
        let is_free = !state.busy && state.waiting.is_empty() && state.health == Health::Good;
        state.busy |= is_free;
        is_free
    }

    /// A sync and what follows from it are over.
    pub fn rest(&self) {
        let mut state = self.state.lock();
        state.busy = false;
        if !state.waiting.is_empty() {
            self.more.notify_one();
        }
    }

    /// Whether something waits for the next sync.
    fn is_waited_for(&self) -> bool {
        !self.state.lock().waiting.is_empty()
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
        while state.busy || state.waiting.is_empty() {
            if state.closed && !state.busy {
                return None;
            }
            self.more.wait(&mut state);
        }
        state.busy = true;
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
        if let Some((segment, _)) = waiting.last() {
            let segment = segment.clone();
            sync(shared, syncing, &segment, waiting.into_iter().flat_map(|(_, to_sync)| to_sync).collect());
        }
        syncing.rest();
    }
    syncing.telling.close();
}

/// Makes durable what was written to a segment, and has those told who wait for it.
pub(crate) fn sync(shared: &Shared, syncing: &Syncing, segment: &Segment, all: Vec<ToSync>) {
    let (len, begun) = (segment.len(), Instant::now());
    if syncing.health() != Health::Good {
        // A sync failed before: nothing was written since.
        all.into_iter().for_each(|to_sync| refuse(to_sync.pending, &broken()));
        return;
    }
    // Unless it was by the sync that all before it waited for. Only the newest segment is ever synced again.
    if syncing.state.lock().synced < (segment.id, len) {
        if let Err(error) = shared.sync(segment) {
            // What readers have seen is to be known before anything is taken back.
            syncing.telling.wait_told();
            match wants_space(&error) {
                true => tear(shared, syncing, segment, all, &error),
                false => break_down(shared, syncing, segment, all, &error),
            }
            return;
        }
        count(&shared.counters, begun, messages(&all));
        syncing.is_synced(segment.id, len);
    }
    let told = match all.len() <= FEW && !syncing.is_waited_for() && !shared.queue.is_told() {
        true => syncing.telling.tell_here(shared, all),
        false => Err(all),
    };
    if let Err(all) = told {
        syncing.telling.push(all);
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
