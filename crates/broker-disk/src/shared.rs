//! What the broker's threads share.
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use fanfare_broker::{ChannelPolicy, Policies, Sink};
use fanfare_protocol::{ChannelName, Message};
use parking_lot::Mutex;

use crate::{
    DiskSettings, Doing, Witness,
    channels::{Channel, Channels},
    counters::Counters,
    directory::Directory,
    log::{Context, Log},
    queue::{Entry, Pending, Queue},
    segment::Segment,
    spare::Spare,
};

pub(crate) struct Shared {
    pub settings: DiskSettings,
    pub store: Directory,
    pub spare: Spare,
    /// Where the segments are.
    pub directory: PathBuf,
    pub policies: Arc<dyn Policies>,
    pub channels: Channels,
    /// Held while channels are dropped for another.
    pub dropping: Mutex<()>,
    pub queue: Queue,
    pub sink: OnceLock<Arc<dyn Sink>>,
    pub now_ms: AtomicU64,
    pub counters: Arc<Counters>,
    /// Full segments, and when (by [`Shared::now_ms`]) each was filled.
    pub sealed: Mutex<Vec<(Arc<Segment>, u64)>>,
}

impl Shared {
    /// The last time seen, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    pub fn see(&self, unix_ms: u64) {
        if unix_ms > self.now_ms() {
            self.now_ms.fetch_max(unix_ms, Relaxed);
        }
    }

    pub fn context(&self, channel: &ChannelName) -> Context {
        self.context_of(self.policies.policy(channel))
    }

    pub fn context_of(&self, policy: ChannelPolicy) -> Context {
        Context {
            policy,
            now_ms: self.now_ms(),
            idempotency_ms: self.settings.idempotency_ms,
            idempotency_ids: self.settings.idempotency_ids,
        }
    }

    /// Makes everything durable that was written to a segment.
    pub fn sync(&self, segment: &Segment) -> io::Result<()> {
        let len = segment.len();
        self.settings.ask(&segment.path, Doing::Sync)?;
        segment.sync()?;
        if let Some(Witness(witness)) = &self.settings.witness {
            witness(segment.id, len);
        }
        Ok(())
    }

    /// The disk takes nothing: what waits to be written is given back, to be refused. Told in the log when it begins.
    pub fn fill_up(&self, error: &io::Error, segment: &Segment) -> Vec<Pending> {
        self.counters.write_errors.inc();
        let (begins, waiting) = self.queue.fill_up(&error.to_string());
        if begins {
            tracing::error!(%error, segment = %segment.path.display(),
                "the log cannot be written: publishes are refused until it can");
        }
        waiting
    }

    /// Lets readers see messages of a channel, in order.
    pub fn show<'a>(
        &self,
        channel: &Arc<Channel>,
        log: &mut Log,
        cx: &Context,
        entries: impl Iterator<Item = &'a Entry>,
    ) {
        let mut messages = Vec::new();
        for entry in entries {
            log.show(&entry.message, entry.weight, entry.expires_ms, cx);
            if log.interested {
                messages.push(entry.message.clone());
            }
        }
        self.arm_sooner(channel, log, cx);
        self.deliver(channel, log, &messages);
    }

    /// Hands messages to the sink, under the log's lock and so in order.
    pub fn deliver(&self, channel: &Channel, log: &Log, messages: &[Arc<Message>]) {
        if log.interested
            && !messages.is_empty()
            && let Some(sink) = self.sink.get()
        {
            sink.deliver(&channel.name, messages);
        }
    }

    /// Sets the channel's timer if something is due sooner than it says; later is seen when it goes off.
    pub fn arm_sooner(&self, channel: &Arc<Channel>, log: &mut Log, cx: &Context) {
        let due_ms = log.due_ms(cx);
        if due_ms < log.armed_ms {
            self.channels.arm(channel, log, due_ms);
        }
    }
}
