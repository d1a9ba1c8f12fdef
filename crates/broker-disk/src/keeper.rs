//! Retention on disk: whole segments go when nobody needs anything in them, and are squeezed when little of them is needed.
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_broker::ChannelPolicy;
use parking_lot::{Condvar, Mutex};

use crate::{channels::Channel, log::Log, segment::Segment, shared::Shared, squeeze::squeeze};

/// What segments hold that is needed.
#[derive(Default)]
struct Census {
    /// Bytes (by weight) that are needed, by segment.
    live: HashMap<u32, u64>,
    /// Channels with something in a segment, or whose place it names.
    channels: HashMap<u32, Vec<Arc<Channel>>>,
}

/// The thread that carries out retention, and how it is stopped.
#[derive(Default)]
pub(crate) struct Keeper {
    stopped: Mutex<bool>,
    stop: Condvar,
    /// One pass at a time.
    passing: Mutex<()>,
}

impl Keeper {
    /// Makes a pass every so often until it is stopped.
    pub fn run(&self, shared: &Shared, every: Duration) {
        loop {
            let deadline = Instant::now() + every;
            let mut stopped = self.stopped.lock();
            while !*stopped {
                if self.stop.wait_until(&mut stopped, deadline).timed_out() {
                    break;
                }
            }
            if *stopped {
                return;
            }
            drop(stopped);
            self.pass(shared, false);
        }
    }

    pub fn stop(&self) {
        *self.stopped.lock() = true;
        self.stop.notify_all();
    }

    /// Lets go of what retention does not need: where it frees much, or (`all`) wherever it frees anything.
    pub fn pass(&self, shared: &Shared, all: bool) {
        let _one_at_a_time = self.passing.lock();
        let ripe: Vec<Arc<Segment>> = {
            let sealed = shared.sealed.lock();
            // Ids of publishers are found again in the log after a restart: their segments stay for the window.
            let ripe =
                |filled_ms: u64| filled_ms.saturating_add(shared.settings.idempotency_ms) <= shared.now_ms();
            sealed.iter().filter(|(_, ms)| ripe(*ms)).map(|(segment, _)| segment.clone()).collect()
        };
        let mut census = Census::default();
        shared.channels.each(|channel| count(shared, channel, &ripe, &mut census));
        for segment in ripe {
            if *self.stopped.lock() {
                return;
            }
            let live = census.live.get(&segment.id).copied().unwrap_or(0);
            // A message weighs at most a few times its bytes in the file: less than a third by weight is little on any count.
            if live > segment.len() / 3 && !all {
                continue;
            }
            let channels = census.channels.remove(&segment.id).unwrap_or_default();
            if let Err(error) = squeeze(shared, &segment, &channels, all) {
                tracing::warn!(%error, segment = %segment.path.display(), "a segment could not be squeezed");
            }
        }
    }
}

/// Trims a channel and counts what it needs.
fn count(shared: &Shared, channel: &Arc<Channel>, ripe: &[Arc<Segment>], census: &mut Census) {
    let cx = shared.context(&channel.name);
    let mut log = channel.log.lock();
    if !log.used {
        log.window = None;
    }
    log.used = false;
    log.forget_ids(&cx);
    if ripe.is_empty() {
        return;
    }
    trim(&mut log, &cx.policy, cx.now_ms);
    let is_ripe = |id: u32| ripe.iter().any(|segment| segment.id == id);
    let mut of: Vec<u32> = Vec::new();
    for run in log.runs.iter().filter(|run| is_ripe(run.segment.id)) {
        of.push(run.segment.id);
        if run.last >= log.first {
            *census.live.entry(run.segment.id).or_default() += run.weight;
        } else if let Some(keys) = &log.keys {
            let keys = keys.range(run.first - 1, run.last).count() as u64;
            *census.live.entry(run.segment.id).or_default() += keys * (run.weight / run.count.max(1));
        }
    }
    if is_ripe(log.carrier) && !of.contains(&log.carrier) {
        of.push(log.carrier);
    }
    for id in of {
        census.channels.entry(id).or_default().push(channel.clone());
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
