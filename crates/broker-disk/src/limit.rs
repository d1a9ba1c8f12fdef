//! Making place for another channel: beyond `limits.channels` the longest idle lose their past.
use fanfare_protocol::{Code, Problem};

use crate::{
    open::fresh_epoch,
    queue::{Pending, What, unwritable},
    shared::Shared,
};

/// Makes place for another channel. When there are as many as may be, those without readers, leases and anything under way are dropped
/// that were longest without a message: their messages too, and whoever has a position of them is told of a gap.
///
/// # Errors
/// `limit_exceeded` when there is none to drop, `unavailable` when it cannot be written down.
pub(crate) fn make_place(shared: &Shared) -> Result<(), Problem> {
    let limit = shared.settings.channels_limit;
    if shared.channels.written() < limit {
        return Ok(());
    }
    let _one_at_a_time = shared.dropping.lock();
    // Writers go on meanwhile: they may take the place made, or write to what was chosen. A channel more for each of them does
    // less harm than a refusal.
    for _ in 0..8 {
        let written = shared.channels.written();
        if written < limit {
            break;
        }
        // A few more than needed, so that the search is not made for each new channel.
        drop_idle(shared, (written + 1 - limit).max(limit / 32))?;
    }
    Ok(())
}

fn drop_idle(shared: &Shared, count: usize) -> Result<(), Problem> {
    let idle = shared.channels.longest_idle(count, shared.now_ms());
    if idle.is_empty() {
        return Err(too_many_channels());
    }
    // On disk before the first one goes: whoever makes a dropped channel again finds the new epoch, after a crash too.
    let epoch = fresh_epoch();
    if let Err(error) = shared.store.begin_epoch(epoch) {
        tracing::warn!(%error, "idle channels could not be dropped for new ones");
        return Err(unwritable(&error.to_string()));
    }
    shared.channels.stand_in(epoch);
    for found in &idle {
        // After all that the log has of it, and before anything of its next life. Should it be lost, the channel is there again after a
        // restart as it was, or gives way to its next life.
        let what = What::Gone(found.1);
        let pending = Pending { channel: None, what, answer_at_sync: false, reply: None, synced: None };
        shared.channels.drop_idle(found, || shared.queue.push_quietly(pending).map(|_| ()))?;
    }
    shared.queue.tell_all();
    Ok(())
}

fn too_many_channels() -> Problem {
    Problem::new(
        Code::LimitExceeded,
        "there are as many channels as limits.channels allows, all with readers or leases",
    )
    .remedy("raise limits.channels, or use fewer channels")
}
