//! The broker that keeps everything in this process's memory. It needs no runtime: every answer is ready at once.
mod account;
mod draft;
mod idempotency;
mod keyed;
mod log;
mod retention;
mod shards;

use std::{
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use fanfare_protocol::{
    Ack, ChannelName, Code, Epoch, Message, Problem,
    event::{GapReason, Published},
};

use self::{
    draft::Draft,
    log::{Context, Log, Refusal},
    shards::{Channel, Shards},
};
use crate::{
    Answer, Append, Appending, Bounds, Broker, Budget, ChannelInfo, ChannelPolicy, Keyed, KeyedSlice, Lost,
    Policies, Read, ReadBack, Sink, Slice,
};

/// How a [`MemoryBroker`] behaves, beside each channel's policy.
#[derive(Clone, Copy, Debug)]
pub struct MemorySettings {
    /// The store's epoch, from random bits, new at each start.
    pub epoch: Epoch,
    /// Channels whose heads are remembered; beyond it the longest idle without interest lose their past.
    pub channels_limit: usize,
    /// Milliseconds for which a publisher's id is remembered.
    pub idempotency_ms: u64,
    /// Ids that a channel remembers at most.
    pub idempotency_ids: usize,
}

impl MemorySettings {
    /// The defaults, in an epoch that the caller drew.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, channels_limit: 1_000_000, idempotency_ms: 300_000, idempotency_ids: 1_000_000 }
    }
}

/// Milliseconds of (virtual) time between two searches of every log for what nobody may read any more.
const SWEEP_MS: u64 = 250;

/// A [`Broker`] in this process's memory alone.
///
/// Time is what its callers say: the latest of `Append::unix_ms` and `tick`. The sink is called under the log's own lock, and
/// so in order and never concurrently for one channel; callers of the broker hold no lock that their sink takes.
pub struct MemoryBroker {
    settings: MemorySettings,
    policies: Arc<dyn Policies>,
    shards: Shards,
    sink: OnceLock<Arc<dyn Sink>>,
    now_ms: AtomicU64,
    next_id: AtomicU64,
    /// When logs were last swept, plus one; 0 for never.
    swept: AtomicU64,
    stopped: AtomicBool,
}

impl MemoryBroker {
    /// An empty broker. Messages, keys and ids that it holds count against `budget`.
    pub fn new(settings: MemorySettings, policies: Arc<dyn Policies>, budget: Arc<Budget>) -> Self {
        Self {
            settings,
            policies,
            shards: Shards::new(settings.epoch, budget),
            sink: OnceLock::new(),
            now_ms: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// The last time seen, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    fn see(&self, unix_ms: u64) {
        // Mostly nothing new: a load does not make other cores give the cache line up.
        if unix_ms > self.now_ms() {
            self.now_ms.fetch_max(unix_ms, Relaxed);
        }
    }

    fn context(&self, channel: &ChannelName) -> Context {
        self.context_of(self.policies.policy(channel))
    }

    fn context_of(&self, policy: ChannelPolicy) -> Context {
        Context {
            policy,
            now_ms: self.now_ms(),
            idempotency_ms: self.settings.idempotency_ms,
            idempotency_ids: self.settings.idempotency_ids,
        }
    }

    /// An id for a message whose publisher gave none: the store's epoch and a number, unique as long as epochs are.
    fn server_id(&self) -> Arc<str> {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut text = [b'-'; 32];
        let mut at = text.len();
        let mut rest = self.next_id.fetch_add(1, Relaxed);
        loop {
            at -= 1;
            text[at] = DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        let epoch = self.settings.epoch.as_str().as_bytes();
        // 12 characters of epoch, a dash and 13 digits at most.
        let start = at - 1 - epoch.len();
        text[start..at - 1].copy_from_slice(epoch);
        std::str::from_utf8(&text[start..]).unwrap_or_default().into()
    }

    fn append_now(&self, append: Append) -> Result<Published, Problem> {
        if self.stopped.load(Relaxed) {
            return Err(Problem::new(Code::Draining, "the server is stopping"));
        }
        self.see(append.unix_ms);
        let (ephemeral, ack) = (append.publish.ephemeral, append.publish.ack);
        let mut draft = Draft::new(append, || self.server_id());
        if ephemeral {
            return Ok(self.pass_on(draft));
        }
        let mut swept = false;
        loop {
            match self.try_append(&mut draft, ack) {
                Ok(published) => return Ok(published),
                Err(Refusal::Problem(problem)) => return Err(problem),
                Err(Refusal::NoRoom) if !swept => {
                    swept = true;
                    self.sweep();
                }
                Err(Refusal::NoRoom) => return Err(no_room()),
            }
        }
    }

    fn try_append(&self, draft: &mut Draft, ack: Option<Ack>) -> Result<Published, Refusal> {
        // Before the policy: what is told of a generation is of that one or a later one.
        let generation = self.policies.generation();
        loop {
            let channel = match self.shards.find(&draft.message.channel) {
                Ok(channel) if channel.written.load(Relaxed) => channel,
                _ => {
                    check_ack(ack, &self.policies.policy(&draft.message.channel))?;
                    self.place_for(&draft.message.channel)?
                }
            };
            let mut log = channel.log.lock();
            if log.closed {
                continue;
            }
            let cx = self.context_of(log.policy(generation, || self.policies.policy(&channel.name)));
            draft.share_name(&channel.name);
            let unsettled = !log.is_written();
            let result = check_ack(ack, &cx.policy).and_then(|()| log.append(draft, &cx));
            if matches!(&result, Ok(published) if !published.duplicate) {
                channel.used_ms.store(cx.now_ms, Relaxed);
                self.hand_on(&channel, &log, std::slice::from_ref(&draft.message));
            }
            self.arm_sooner(&channel, &mut log, &cx);
            drop(log);
            if unsettled {
                self.shards.settle(&channel);
            }
            return result;
        }
    }

    /// A channel that is to be written to for the first time.
    fn place_for(&self, name: &ChannelName) -> Result<Arc<Channel>, Refusal> {
        if self.shards.make_place(self.settings.channels_limit, self.now_ms()) {
            Ok(self.shards.find_or_make(name))
        } else {
            Err(Refusal::Problem(too_many_channels()))
        }
    }

    /// Hands messages to the sink, under the log's lock.
    fn hand_on(&self, channel: &Channel, log: &Log, messages: &[Arc<Message>]) {
        if log.interested
            && let Some(sink) = self.sink.get()
        {
            sink.deliver(&channel.name, messages);
        }
    }

    /// An ephemeral message: to readers at the head, in the order of the log's own messages; it makes no channel.
    fn pass_on(&self, mut draft: Draft) -> Published {
        while let Ok(channel) = self.shards.find(&draft.message.channel) {
            let log = channel.log.lock();
            if !log.closed {
                draft.place(log.epoch(), 0);
                self.hand_on(&channel, &log, std::slice::from_ref(&draft.message));
                break;
            }
        }
        Published { position: None, id: draft.message.id.clone(), duplicate: false }
    }

    /// Sets the channel's timer if something is due sooner than it says; later is seen when it goes off.
    fn arm_sooner(&self, channel: &Arc<Channel>, log: &mut Log, cx: &Context) {
        let due_ms = log.due_ms(cx);
        if due_ms < log.armed_ms {
            self.shards.arm(channel, log, due_ms);
        }
    }

    /// Lets go of what retention no longer needs in every log; at most every [`SWEEP_MS`], for it looks at each channel.
    fn sweep(&self) {
        let (now_ms, last) = (self.now_ms(), self.swept.load(Relaxed));
        let rested = last == 0 || now_ms >= last - 1 + SWEEP_MS;
        if !rested || self.swept.compare_exchange(last, now_ms + 1, Relaxed, Relaxed).is_err() {
            return;
        }
        for shard in self.shards.each() {
            for channel in self.shards.channels(shard) {
                let cx = self.context(&channel.name);
                channel.log.lock().trim(&cx);
            }
        }
    }

    fn maintain(&self, channel: &Arc<Channel>) {
        let cx = self.context(&channel.name);
        let mut log = channel.log.lock();
        if log.closed {
            return;
        }
        let tombstones = log.maintain(&cx, || self.server_id());
        if !tombstones.is_empty() {
            channel.used_ms.store(cx.now_ms, Relaxed);
            self.hand_on(channel, &log, &tombstones);
        }
        // What a reload makes due at once is done on the next tick, never again within this one.
        let due_ms = log.due_ms(&cx).max(cx.now_ms.saturating_add(1));
        self.shards.arm(channel, &mut log, due_ms);
    }

    /// Does something with a channel's log, if it has one; else says in which epoch the channel stands.
    fn with_log<T>(&self, name: &ChannelName, f: impl FnOnce(&mut Log, &Context) -> T) -> Result<T, Bounds> {
        let cx = self.context(name);
        loop {
            let channel = self.shards.find(name).map_err(nothing)?;
            let mut log = channel.log.lock();
            if !log.closed {
                return Ok(f(&mut log, &cx));
            }
        }
    }

    fn read_now(&self, channel: &ChannelName, read: &Read) -> Result<Slice, Lost> {
        match self.with_log(channel, |log, cx| log.read(read, cx)) {
            Ok(result) => result,
            Err(bounds) if read.after == bounds.head_position() => Ok(Slice { messages: Vec::new(), bounds }),
            Err(bounds) => Err(Lost { reason: GapReason::Epoch, bounds }),
        }
    }
}

impl Broker for MemoryBroker {
    fn start(&self, sink: Arc<dyn Sink>) {
        // Named once, as the trait says; a second call changes nothing.
        let _ = self.sink.set(sink);
    }

    fn append(&self, append: Append) -> Appending {
        Appending::ready(self.append_now(append))
    }

    fn bounds<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<Bounds, Problem>> {
        let bounds = self.with_log(channel, |log, cx| log.bounds(cx));
        Box::pin(ready(Ok(bounds.unwrap_or_else(|bounds| bounds))))
    }

    fn read<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Read,
    ) -> Answer<'a, Result<Result<Slice, Lost>, Problem>> {
        Box::pin(ready(Ok(self.read_now(channel, &read))))
    }

    fn read_back<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: ReadBack,
    ) -> Answer<'a, Result<Slice, Problem>> {
        let slice = self.with_log(channel, |log, cx| log.read_back(&read, cx));
        Box::pin(ready(Ok(slice.unwrap_or_else(|bounds| Slice { messages: Vec::new(), bounds }))))
    }

    fn read_keyed<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Keyed,
    ) -> Answer<'a, Result<KeyedSlice, Problem>> {
        let slice = self.with_log(channel, |log, cx| log.read_keyed(&read, cx));
        let none = |bounds| KeyedSlice { messages: Vec::new(), next: read.until, bounds };
        Box::pin(ready(Ok(slice.unwrap_or_else(none))))
    }

    fn renew<'a>(
        &'a self,
        channel: &'a ChannelName,
        keys: &'a [Arc<str>],
        ttl_ms: u64,
    ) -> Answer<'a, Result<Vec<Arc<str>>, Problem>> {
        let missing = self.with_log(channel, |log, cx| log.renew(keys, ttl_ms, cx));
        Box::pin(ready(Ok(missing.unwrap_or_else(|_| keys.to_vec()))))
    }

    fn interest<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<(), Problem>> {
        loop {
            // Holds the channel's epoch while there is interest, messages or not.
            let found = self.shards.find_or_make(channel);
            let mut log = found.log.lock();
            if !log.closed {
                log.interested = true;
                found.interested.store(true, Relaxed);
                return Box::pin(ready(Ok(())));
            }
        }
    }

    fn disinterest(&self, channel: &ChannelName) {
        let Ok(found) = self.shards.find(channel) else { return };
        let mut log = found.log.lock();
        log.interested = false;
        found.interested.store(false, Relaxed);
        let unsettled = !log.is_written();
        drop(log);
        self.shards.may_be_idle();
        if unsettled {
            self.shards.settle(&found);
        }
    }

    /// The sink is called inside the append itself.
    fn delivers_all(&self) -> bool {
        true
    }

    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ChannelInfo>, Problem>> {
        let info = |channel: Arc<Channel>| {
            let cx = self.context(&channel.name);
            let mut log = channel.log.lock();
            (!log.closed).then(|| ChannelInfo { channel: channel.name.clone(), bounds: log.bounds(&cx) })
        };
        let channels = self.shards.list(prefix, after, limit).into_iter().filter_map(info).collect();
        Box::pin(ready(Ok(channels)))
    }

    fn tick(&self, unix_ms: u64) {
        self.see(unix_ms);
        let now_ms = self.now_ms();
        for shard in self.shards.each() {
            loop {
                let due = self.shards.due(shard, now_ms);
                if due.is_empty() {
                    break;
                }
                due.iter().for_each(|channel| self.maintain(channel));
            }
        }
    }

    fn stop<'a>(&'a self) -> Answer<'a, Result<(), Problem>> {
        self.stopped.store(true, Relaxed);
        Box::pin(ready(Ok(())))
    }
}

/// The bounds of a channel without messages.
fn nothing(epoch: Epoch) -> Bounds {
    Bounds { epoch, oldest: 1, held: 1, head: 0, newest_ms: 0, tombstones_after: 0 }
}

fn no_room() -> Problem {
    Problem::new(Code::Unavailable, "the memory for messages is used up")
        .remedy("raise limits.memory_bytes, or keep less history (size, ttl, bytes)")
        .retry_after_ms(1000)
}

fn too_many_channels() -> Problem {
    Problem::new(
        Code::LimitExceeded,
        "there are as many channels as limits.channels allows, all with readers or leases",
    )
    .remedy("raise limits.channels, or use fewer channels")
}

fn check_ack(asked: Option<Ack>, policy: &ChannelPolicy) -> Result<(), Refusal> {
    if asked.unwrap_or(policy.ack) != Ack::Stored {
        return Ok(());
    }
    let problem =
        Problem::new(Code::BadRequest, "ack is \"stored\", but this server keeps messages in memory only")
            .remedy("publish with ack \"memory\", or start the server with a data directory");
    Err(Refusal::Problem(problem))
}
