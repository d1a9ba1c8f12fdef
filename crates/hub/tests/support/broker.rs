//! A memory broker whose answers come late, whose deliveries come later than its commits, and whose channels can lose their past.
use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, OnceLock},
    task::Poll,
};

use fanfare_broker::{
    Answer, Append, Appending, Bounds, Broker, Budget, ChannelInfo, Keyed, KeyedSlice, Lost, MemoryBroker,
    MemorySettings, Policies, Read, ReadBack, Sink, Slice,
};
use fanfare_protocol::{ChannelName, Epoch, Message, Problem};
use fanfare_testkit::Random;

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<(ChannelName, Vec<Arc<Message>>)>>,
    to: OnceLock<Arc<dyn Sink>>,
    /// Hands on at once.
    prompt: bool,
}

impl Queue {
    fn hand_on(&self) -> bool {
        let next = self.waiting.lock().unwrap().pop_front();
        let Some((channel, messages)) = next else { return false };
        if let Some(sink) = self.to.get() {
            sink.deliver(&channel, &messages);
        }
        true
    }
}

struct QueueSink(Arc<Queue>);

impl Sink for QueueSink {
    fn deliver(&self, channel: &ChannelName, messages: &[Arc<Message>]) {
        self.0.waiting.lock().unwrap().push_back((channel.clone(), messages.to_vec()));
        if self.0.prompt {
            self.0.hand_on();
        }
    }
    fn reset(&self, _: &ChannelName, _: Epoch) {}
}

struct Inner {
    logs: HashMap<ChannelName, Arc<MemoryBroker>>,
    interest: HashMap<ChannelName, bool>,
    epochs: u64,
    random: Random,
}

/// One memory broker a channel, so that each can be replaced by an empty one of another epoch.
pub struct LateBroker {
    inner: Mutex<Inner>,
    queue: Arc<Queue>,
    policies: Arc<dyn Policies>,
    budget: Arc<Budget>,
    /// Answers wait at most so many polls, before and after they are found.
    late: u64,
}

impl LateBroker {
    pub fn new(
        seed: u64,
        policies: Arc<dyn Policies>,
        budget: Arc<Budget>,
        late: u64,
        prompt: bool,
    ) -> Arc<Self> {
        let inner = Inner {
            logs: HashMap::new(),
            interest: HashMap::new(),
            epochs: 0,
            random: Random::new(seed ^ 0x5EED),
        };
        let queue = Arc::new(Queue { prompt, ..Queue::default() });
        Arc::new(Self { inner: Mutex::new(inner), queue, policies, budget, late })
    }

    fn make(&self, inner: &mut Inner, channel: &ChannelName) -> Arc<MemoryBroker> {
        inner.epochs += 1;
        let epoch: Epoch = format!("e{}", inner.epochs).parse().unwrap();
        let log = MemoryBroker::new(MemorySettings::new(epoch), self.policies.clone(), self.budget.clone());
        log.start(Arc::new(QueueSink(self.queue.clone())));
        let log = Arc::new(log);
        inner.logs.insert(channel.clone(), log.clone());
        log
    }

    pub fn log(&self, channel: &ChannelName) -> Arc<MemoryBroker> {
        let mut inner = self.inner.lock().unwrap();
        match inner.logs.get(channel) {
            Some(log) => log.clone(),
            None => self.make(&mut inner, channel),
        }
    }

    /// Hands the oldest delivery on; false when there is none.
    pub fn hand_on(&self) -> bool {
        self.queue.hand_on()
    }

    pub fn has_deliveries(&self) -> bool {
        !self.queue.waiting.lock().unwrap().is_empty()
    }

    /// The channel loses its past.
    pub fn reset(&self, channel: &ChannelName) {
        while self.queue.hand_on() {}
        let (log, interest) = {
            let mut inner = self.inner.lock().unwrap();
            let log = self.make(&mut inner, channel);
            (log, inner.interest.get(channel).copied().unwrap_or(false))
        };
        if interest {
            poll_once(log.interest(channel)).unwrap();
            let bounds = poll_once(log.bounds(channel)).unwrap();
            self.queue.to.get().unwrap().reset(channel, bounds.epoch);
        }
    }

    fn later<'a, T: Send + 'a>(&'a self, find: impl FnOnce() -> T + Send + 'a) -> Answer<'a, T> {
        let (before, after) = {
            let random = &mut self.inner.lock().unwrap().random;
            (random.below(self.late + 1), random.below(self.late + 1))
        };
        Box::pin(async move {
            let yields = |mut left: u64| {
                poll_fn(move |cx| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
            };
            yields(before).await;
            let found = find();
            yields(after).await;
            found
        })
    }
}

/// The answer of a future that is ready at once.
pub fn poll_once<T>(answer: Answer<'_, T>) -> T {
    let mut answer = answer;
    match answer.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready at once"),
    }
}

impl Broker for LateBroker {
    fn start(&self, sink: Arc<dyn Sink>) {
        let _ = self.queue.to.set(sink);
    }

    fn append(&self, append: Append) -> Appending {
        self.log(&append.publish.channel).append(append)
    }

    fn bounds<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<Bounds, Problem>> {
        self.later(move || poll_once(self.log(channel).bounds(channel)))
    }

    fn read<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Read,
    ) -> Answer<'a, Result<Result<Slice, Lost>, Problem>> {
        self.later(move || poll_once(self.log(channel).read(channel, read)))
    }

    fn read_back<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: ReadBack,
    ) -> Answer<'a, Result<Slice, Problem>> {
        self.later(move || poll_once(self.log(channel).read_back(channel, read)))
    }

    fn read_keyed<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Keyed,
    ) -> Answer<'a, Result<KeyedSlice, Problem>> {
        self.later(move || poll_once(self.log(channel).read_keyed(channel, read)))
    }

    fn renew<'a>(
        &'a self,
        channel: &'a ChannelName,
        keys: &'a [Arc<str>],
        ttl_ms: u64,
    ) -> Answer<'a, Result<Vec<Arc<str>>, Problem>> {
        self.later(move || poll_once(self.log(channel).renew(channel, keys, ttl_ms)))
    }

    fn interest<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<(), Problem>> {
        self.later(move || {
            let log = self.log(channel);
            self.inner.lock().unwrap().interest.insert(channel.clone(), true);
            poll_once(log.interest(channel))
        })
    }

    fn disinterest(&self, channel: &ChannelName) {
        let log = self.log(channel);
        self.inner.lock().unwrap().interest.insert(channel.clone(), false);
        log.disinterest(channel);
    }

    fn delivers_all(&self) -> bool {
        true
    }

    fn channels<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
        _: usize,
    ) -> Answer<'a, Result<Vec<ChannelInfo>, Problem>> {
        self.later(|| Ok(Vec::new()))
    }

    fn tick(&self, unix_ms: u64) {
        let logs: Vec<_> = self.inner.lock().unwrap().logs.values().cloned().collect();
        logs.iter().for_each(|log| log.tick(unix_ms));
    }

    fn stop<'a>(&'a self) -> Answer<'a, Result<(), Problem>> {
        self.later(|| Ok(()))
    }
}
