//! A broker under test with its policies, its sink and a clock of its own.
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use fanfare_protocol::{ChannelName, Data, Message, Position, Problem, Publish, event::Published};
use parking_lot::Mutex;

use super::Recorder;
use crate::{
    Append, Appending, Author, Bound, Bounds, Broker, Budget, ChannelPolicy, Keyed, KeyedSlice, Lost,
    Policies, Read, ReadBack, Slice,
};

/// What a broker under test is made of.
#[derive(Clone)]
pub struct Setup {
    /// Policies, which the suite changes as it goes.
    pub policies: Arc<dyn Policies>,
    /// Memory, far more than the suite needs.
    pub budget: Arc<Budget>,
    /// Milliseconds for which a publisher's id is remembered.
    pub idempotency_ms: u64,
    /// Ids that a channel remembers.
    pub idempotency_ids: usize,
    /// Channels with messages.
    pub channels_limit: usize,
}

type Making = Pin<Box<dyn Future<Output = Arc<dyn Broker>> + Send>>;

/// Makes brokers for the cases.
#[derive(Clone)]
pub struct Maker(Arc<dyn Fn(Setup) -> Making + Send + Sync>);

impl Maker {
    pub fn new<F>(make: impl Fn(Setup) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Broker>> + Send + 'static,
    {
        Self(Arc::new(move |setup| Box::pin(make(setup))))
    }

    /// A broker with an idempotency window of 5 minutes and 1,000 ids.
    pub async fn broker(&self) -> Harness {
        self.broker_with(300_000, 1000).await
    }

    pub async fn broker_with(&self, idempotency_ms: u64, idempotency_ids: usize) -> Harness {
        self.make(idempotency_ms, idempotency_ids, 1_000_000).await
    }

    /// A broker of at most so many channels.
    pub async fn broker_of(&self, channels_limit: usize) -> Harness {
        self.make(300_000, 1000, channels_limit).await
    }

    async fn make(&self, idempotency_ms: u64, idempotency_ids: usize, channels_limit: usize) -> Harness {
        let policies = Arc::new(PolicyTable::default());
        let setup = Setup {
            policies: policies.clone(),
            budget: Arc::new(Budget::new(1 << 30)),
            idempotency_ms,
            idempotency_ids,
            channels_limit,
        };
        let broker = (self.0)(setup).await;
        let sink = Arc::new(Recorder::default());
        broker.start(sink.clone());
        let harness = Harness { broker, policies, sink, now_ms: AtomicU64::new(1_760_000_000_000) };
        harness.advance(0);
        harness
    }
}

/// Runs one case on a runtime of its own; a case that hangs fails.
pub fn run<F: Future<Output = ()>>(maker: Maker, case: impl FnOnce(Maker) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), case(maker))
            .await
            .expect("the case ends within 120 s");
    });
}

/// Policies by channel; the default for all others.
#[derive(Default)]
pub struct PolicyTable(Mutex<HashMap<ChannelName, ChannelPolicy>>);

impl PolicyTable {
    /// Changes a channel's policy, as a reload does.
    pub fn set(&self, channel: &ChannelName, policy: ChannelPolicy) {
        self.0.lock().insert(channel.clone(), policy);
    }
}

impl Policies for PolicyTable {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        self.0.lock().get(channel).copied().unwrap_or_default()
    }
}

/// A broker under test.
pub struct Harness {
    pub broker: Arc<dyn Broker>,
    pub sink: Arc<Recorder>,
    policies: Arc<PolicyTable>,
    now_ms: AtomicU64,
}

/// A channel's name.
pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// A message of JSON text `data` for a channel.
pub fn publish(channel: &ChannelName, data: &str) -> Publish {
    Publish::new(channel.clone(), Data::Json(Bytes::copy_from_slice(data.as_bytes())))
}

/// The same with a key; `null` as data removes it.
pub fn keyed(channel: &ChannelName, key: &str, data: &str) -> Publish {
    Publish { key: Some(key.into()), ..publish(channel, data) }
}

/// The JSON texts of messages.
pub fn texts(messages: &[Arc<Message>]) -> Vec<String> {
    messages.iter().map(|message| text(message)).collect()
}

/// The JSON text of a message.
pub fn text(message: &Message) -> String {
    match &message.data {
        Data::Json(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Data::Binary(bytes) => panic!("binary: {bytes:?}"),
    }
}

/// The offsets of messages.
pub fn offsets(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.offset).collect()
}

impl Harness {
    /// Virtual milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(SeqCst)
    }

    /// Lets virtual time pass.
    pub fn advance(&self, ms: u64) {
        self.broker.tick(self.now_ms.fetch_add(ms, SeqCst) + ms);
    }

    /// Changes a channel's policy, as a reload does.
    pub fn set_policy(&self, channel: &ChannelName, policy: ChannelPolicy) {
        self.policies.set(channel, policy);
    }

    /// A channel whose newest messages by key are kept.
    pub fn keyed_channel(&self, name: &str) -> ChannelName {
        let channel = channel(name);
        self.set_policy(&channel, ChannelPolicy { keyed: true, ..ChannelPolicy::default() });
        channel
    }

    /// Queues a message now, without waiting for its commit.
    pub fn queue(&self, publish: Publish) -> Appending {
        self.broker.append(Append { publish, author: Author::default(), unix_ms: self.now_ms() })
    }

    pub async fn try_append(&self, publish: Publish) -> Result<Published, Problem> {
        self.queue(publish).await
    }

    /// Appends a message, which must succeed and be no duplicate.
    pub async fn append(&self, publish: Publish) -> Position {
        let published = self.queue(publish).await.unwrap();
        assert!(!published.duplicate, "{published:?}");
        published.position.unwrap()
    }

    /// Appends `1`, `2`, ... `count`.
    pub async fn append_numbers(&self, channel: &ChannelName, count: usize) -> Vec<Position> {
        let queued: Vec<_> = (1..=count).map(|n| self.queue(publish(channel, &n.to_string()))).collect();
        let mut positions = Vec::new();
        for appending in queued {
            positions.push(appending.await.unwrap().position.unwrap());
        }
        positions
    }

    pub async fn bounds(&self, channel: &ChannelName) -> Bounds {
        self.broker.bounds(channel).await.unwrap()
    }

    /// A new read after an offset of the present epoch, as much as there is.
    pub async fn read(&self, channel: &ChannelName, after: u64) -> Result<Slice, Lost> {
        self.read_some(channel, after, usize::MAX, Bound::Retained).await
    }

    pub async fn read_some(
        &self,
        channel: &ChannelName,
        after: u64,
        limit: usize,
        bound: Bound,
    ) -> Result<Slice, Lost> {
        let after = Position { epoch: self.bounds(channel).await.epoch, offset: after };
        self.read_as(channel, Read { after, limit, bytes: usize::MAX, bound }).await
    }

    pub async fn read_as(&self, channel: &ChannelName, read: Read) -> Result<Slice, Lost> {
        self.broker.read(channel, read).await.unwrap()
    }

    /// Everything that a new read may return.
    pub async fn retained(&self, channel: &ChannelName) -> Vec<Arc<Message>> {
        let oldest = self.bounds(channel).await.oldest;
        self.read(channel, oldest - 1).await.expect("what is retained is there").messages
    }

    pub async fn read_back(&self, channel: &ChannelName, before: Option<Position>, limit: usize) -> Slice {
        self.broker.read_back(channel, ReadBack { before, limit, bytes: usize::MAX }).await.unwrap()
    }

    /// The newest per key of `(after, head]` with every tombstone after `tombstones_after`.
    pub async fn keys(&self, channel: &ChannelName, after: u64, tombstones_after: u64) -> KeyedSlice {
        let until = self.bounds(channel).await.head;
        self.keys_some(
            channel,
            Keyed { after, until, tombstones_after, limit: usize::MAX, bytes: usize::MAX },
        )
        .await
    }

    pub async fn keys_some(&self, channel: &ChannelName, read: Keyed) -> KeyedSlice {
        self.broker.read_keyed(channel, read).await.unwrap()
    }

    pub async fn renew(&self, channel: &ChannelName, keys: &[&str], ttl_ms: u64) -> Vec<String> {
        let keys: Vec<Arc<str>> = keys.iter().map(|key| (*key).into()).collect();
        let missing = self.broker.renew(channel, &keys, ttl_ms).await.unwrap();
        missing.iter().map(ToString::to_string).collect()
    }

    /// Waits until the head is so far, for what a tick does may take a while; fails after 20 seconds.
    pub async fn wait_head(&self, channel: &ChannelName, head: u64) -> Bounds {
        for _ in 0..4000 {
            let bounds = self.bounds(channel).await;
            if bounds.head >= head {
                assert_eq!(bounds.head, head, "more than expected was appended");
                return bounds;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{channel}: the head did not reach {head} within 20 s");
    }
}
