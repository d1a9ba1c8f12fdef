//! Showing and answering what is synced, while the next sync is under way already: to wake publishers by the dozen takes about as long
//! as a quarter of a sync, and the disk need not wait for it.
use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use crate::{
    queue::{What, same_channel},
    shared::Shared,
    syncer::ToSync,
};

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<ToSync>>,
    /// A group is being told.
    telling: bool,
    closed: bool,
}

/// Groups that are synced and not yet told, in the order of their syncs.
///
/// Invariant: one thread tells at a time, so that each channel's messages are shown in order.
#[derive(Default)]
pub(crate) struct Telling {
    state: Mutex<State>,
    more: Condvar,
    done: Condvar,
}

impl Telling {
    /// Has the thread of [`run`] tell a group.
    pub fn push(&self, group: Vec<ToSync>) {
        self.state.lock().waiting.push_back(group);
        self.more.notify_one();
    }

    /// Tells a group on this thread, if all before it are told; gives it back if not. Only who syncs calls this.
    pub fn tell_here(&self, shared: &Shared, group: Vec<ToSync>) -> Result<(), Vec<ToSync>> {
        if !self.is_idle() {
            return Err(group);
        }
        // Nobody else pushes meanwhile.
        tell(shared, group);
        Ok(())
    }

    /// Waits until all that was synced is told.
    pub fn wait_told(&self) {
        let mut state = self.state.lock();
        while state.telling || !state.waiting.is_empty() {
            self.done.wait(&mut state);
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.state.lock();
        !state.telling && state.waiting.is_empty()
    }

    /// No more comes.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.more.notify_one();
    }

    fn take(&self) -> Option<Vec<ToSync>> {
        let mut state = self.state.lock();
        state.telling = false;
        loop {
            if let Some(group) = state.waiting.pop_front() {
                state.telling = true;
                return Some(group);
            }
            self.done.notify_all();
            if state.closed {
                return None;
            }
            self.more.wait(&mut state);
        }
    }
}

/// Tells until there is nothing more.
pub(crate) fn run(shared: &Shared, telling: &Telling) {
    while let Some(group) = telling.take() {
        tell(shared, group);
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
