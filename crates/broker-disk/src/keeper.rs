//! Retention on disk: whole segments go when nobody needs anything in them, and are squeezed when little of them is needed.
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_broker::ChannelPolicy;
use parking_lot::{Condvar, Mutex};

use crate::{
    log::{Context, Log},
    segment::Segment,
    shared::Shared,
    squeeze::squeeze,
};

/// Bytes (by weight) that are needed, by segment.
type Live = HashMap<u32, u64>;

/// The thread that carries out retention, and how it is stopped.
#[derive(Default)]
pub(crate) struct Keeper {
    stopped: Mutex<bool>,
    stop: Condvar,
    /// One pass at a time. What was needed of each segment, and whether it was the oldest, when it was last squeezed: as long as
    /// that is so there is nothing to squeeze.
    passing: Mutex<HashMap<u32, (u64, bool)>>,
}

/// Every so many passes go through idle channels too, of which there may be very many.
const THOROUGH: u64 = 6;
/// How often it is seen whether the disk is full.
const LOOK: Duration = Duration::from_secs(1);

impl Keeper {
    /// Makes a pass every so often until it is stopped.
    pub fn run(&self, shared: &Shared, every: Duration) {
        let mut was_full = false;
        for count in 1_u64.. {
            let deadline = Instant::now() + every;
            let mut stopped = self.stopped.lock();
            // At once when the disk has become full, and each time as long as it is.
            while !*stopped && (was_full || !shared.queue.is_full()) && Instant::now() < deadline {
                self.stop.wait_until(&mut stopped, deadline.min(Instant::now() + LOOK));
            }
            if *stopped {
                return;
            }
            drop(stopped);
            was_full = shared.queue.is_full();
            if was_full || count.is_multiple_of(THOROUGH) {
                self.pass(shared, false);
            } else {
                shared.channels.each_active(|name, log| rest(log, &shared.context(name)));
            }
            if !was_full && let Err(error) = shared.spare.fill() {
                tracing::debug!(%error, "there is no room for the reserve");
            }
        }
    }

    pub fn stop(&self) {
        *self.stopped.lock() = true;
        self.stop.notify_all();
    }

    /// Lets go of what retention does not need: where it frees much, or (`all`) wherever it frees anything.
    pub fn pass(&self, shared: &Shared, all: bool) {
        let mut squeezed = self.passing.lock();
        let ripe: Vec<Arc<Segment>> = {
            let sealed = shared.sealed.lock();
            // Ids of publishers are found again in the log after a restart: their segments stay for the window.
            let ripe =
                |filled_ms: u64| filled_ms.saturating_add(shared.settings.idempotency_ms) <= shared.now_ms();
            sealed.iter().filter(|(_, ms)| ripe(*ms)).map(|(segment, _)| segment.clone()).collect()
        };
        let mut live = Live::new();
        shared.channels.each(|name, log| {
            let cx = shared.context(name);
            count(log, &cx, &ripe, &mut live);
        });
        let oldest = shared.sealed.lock().iter().map(|(segment, _)| segment.id).min();
        let (mut ripe, is_full) = (ripe, shared.queue.is_full());
        if is_full {
            // What frees much and needs little goes first, and may say where channels stand in the reserve's place.
            ripe.sort_by_key(|segment| live.get(&segment.id).copied().unwrap_or(0));
            shared.spare.release();
        }
        squeezed.retain(|id, _| live.contains_key(id) || ripe.iter().any(|segment| segment.id == *id));
        for segment in ripe {
            if *self.stopped.lock() {
                return;
            }
            let needed = (live.get(&segment.id).copied().unwrap_or(0), oldest == Some(segment.id));
            if squeezed.get(&segment.id) == Some(&needed) && !all {
                continue;
            }
            // A message weighs at most a few times its bytes in the file: less than a third by weight is little on any count.
            if needed.0 > segment.len() / 3 && !all {
                continue;
            }
            // Keyed channels all: a tombstone that nobody asks for any more still keeps down what an older segment holds.
            let in_it = |log: &Log| {
                let has_run = || log.runs.iter().any(|run| run.segment.id == segment.id);
                log.carrier == segment.id || log.keys.is_some() || has_run()
            };
            let channels = shared.channels.pick(in_it);
            match squeeze(shared, &segment, &channels, all) {
                Ok(()) => {
                    squeezed.insert(segment.id, needed);
                }
                // That the disk is full has been said.
                Err(error) if is_full || shared.queue.is_full() => {
                    tracing::debug!(%error, segment = %segment.path.display(), "a segment could not be squeezed");
                }
                Err(error) => {
                    tracing::warn!(%error, segment = %segment.path.display(), "a segment could not be squeezed");
                }
            }
        }
    }
}

/// Lets go of what only readers need, when none came since the last pass.
fn rest(log: &mut Log, cx: &Context) {
    if !log.used {
        log.window = None;
    }
    log.used = false;
    log.forget_ids(cx);
}

/// Trims a channel and counts what it needs.
fn count(log: &mut Log, cx: &Context, ripe: &[Arc<Segment>], live: &mut Live) {
    rest(log, cx);
    if ripe.is_empty() {
        return;
    }
    trim(log, &cx.policy, cx.now_ms);
    let is_ripe = |id: u32| ripe.binary_search_by_key(&id, |segment| segment.id).is_ok();
    for run in log.runs.iter().filter(|run| is_ripe(run.segment.id)) {
        let needed = if run.last >= log.first {
            run.weight
        } else if let Some(keys) = &log.keys {
            keys.range(run.first - 1, run.last).count() as u64 * (run.weight / run.count.max(1))
        } else {
            0
        };
        *live.entry(run.segment.id).or_default() += needed;
    }
}

/// Moves the log's beginning past every run that retention does not need, and drops those without a key's newest message.
fn trim(log: &mut Log, policy: &ChannelPolicy, now_ms: u64) {
    let held = log.held(policy);
    let mut after: u64 = 0;
    let mut first = log.first;
    for run in log.runs.iter().rev() {
        let expired = run.latest_ms.saturating_add(policy.ttl_ms) <= now_ms;
        let pushed_out = run.last < held || after > policy.bytes;
        // What is not visible yet is not old.
        if (expired || pushed_out) && run.last <= log.head {
            first = first.max(run.last + 1);
            break;
        }
        after = after.saturating_add(run.weight);
    }
    log.first = first;
    let keys = log.keys.as_deref();
    let needed =
        |first: u64, last: u64| keys.and_then(|keys| keys.next(first)).is_some_and(|next| next <= last);
    log.runs.retain(|run| run.last >= first || needed(run.first, run.last));
}
