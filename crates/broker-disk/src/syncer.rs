//! The one thread that syncs. While it does, the writer goes on; the next sync takes all that came meanwhile.
use std::{sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    Witness,
    counters::Counters,
    directory::Directory,
    queue::{Pending, What, broken, same_channel},
    segment::Segment,
    shared::Shared,
};

/// Something that is written and waits for a sync.
pub(crate) struct ToSync {
    pub pending: Pending,
    /// Readers see it with the sync.
    pub show: bool,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Arc<Segment>, Vec<ToSync>)>,
    /// Id and synced bytes of the newest segment that was synced.
    synced: (u32, u64),
    closed: bool,
}

/// What the writer hands to the syncer.
#[derive(Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
    more: Condvar,
}

impl Syncing {
    /// Hands over what was written to a segment.
    pub fn push(&self, segment: Arc<Segment>, to_sync: Vec<ToSync>) {
        self.state.lock().waiting.push((segment, to_sync));
        self.more.notify_one();
    }

    /// How many bytes of a segment are known to be synced.
    pub fn synced(&self, segment: u32) -> u64 {
        let (id, len) = self.state.lock().synced;
        if id == segment { len } else { 0 }
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
}

/// Syncs until there is nothing more.
pub(crate) fn run(shared: &Shared, syncing: &Syncing, directory: &Directory) {
    let mut failed = false;
    while let Some(waiting) = syncing.take() {
        // Segments come in order and all but the newest were synced when they were full.
        let Some((segment, _)) = waiting.last() else { continue };
        let (id, len) = (segment.id, segment.len());
        let begun = Instant::now();
        if !failed && let Err(error) = segment.sync() {
            shared.counters.write_errors.inc();
            // After a failed sync nobody knows what is on disk, and a second one may lie.
            tracing::error!(%error, segment = %segment.path.display(), "the log cannot be synced: nothing more is accepted");
            shared.queue.break_down();
            failed = true;
        }
        let all: Vec<_> = waiting.into_iter().flat_map(|(_, to_sync)| to_sync).collect();
        if failed {
            shared.counters.refused.add(messages(&all));
            all.into_iter().for_each(refuse);
        } else {
            count(&shared.counters, begun, messages(&all));
            if let Some(Witness(witness)) = &shared.settings.witness {
                witness(id, len);
            }
            syncing.state.lock().synced = (id, len);
            synced(shared, all, directory);
        }
    }
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

fn synced(shared: &Shared, all: Vec<ToSync>, directory: &Directory) {
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
            let marked = directory.mark_clean();
            if let Err(error) = &marked {
                tracing::warn!(%error, "the data directory could not be marked as cleanly stopped");
            }
            reply.send(Ok(()));
        }
    }
}

fn refuse(to_sync: ToSync) {
    if let Some((reply, _)) = to_sync.pending.reply {
        reply.send(Err(broken()));
    }
    if let What::Stop(reply) = to_sync.pending.what {
        reply.send(Err(broken()));
    }
}
