//! A hub, its clients and chance.
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Broker, Budget};
use fanfare_hub::{Entering, Hub, Round};
use fanfare_protocol::{ChannelName, Data, Position, Start, SubscribeOptions};
use fanfare_testkit::Random;

use crate::{
    client::Client,
    support::{self, Draft, broker::LateBroker, broker::poll_once, rules::TestRules},
    truth::{Entry, Truth},
};

/// What happened, so that a test that tests nothing is noticed.
#[derive(Default, Debug)]
pub struct Totals {
    pub messages: u64,
    pub subscribed: u64,
    pub recovered: u64,
    pub gaps: u64,
    pub fetches: u64,
    pub slow: u64,
    pub resets: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.subscribed += other.subscribed;
        self.recovered += other.recovered;
        self.gaps += other.gaps;
        self.fetches += other.fetches;
        self.slow += other.slow;
        self.resets += other.resets;
    }
}

pub struct World {
    random: Random,
    hub: Arc<Hub>,
    broker: Arc<LateBroker>,
    rounds: Arc<Mutex<Vec<Round>>>,
    clients: Vec<Client>,
    channels: Vec<ChannelName>,
    truth: Truth,
    serial: u64,
    /// Nothing is ever lost.
    lossless: bool,
    steps: u64,
    now: u64,
    jobs: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    totals: Totals,
}

impl World {
    /// The seed's last two bits choose the mix: 0 lossless, 1 lossy, 2 crowded.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (lossless, crowded) = (seed % 4 != 1, seed % 4 == 2);
        let tail_bytes = if random.percent(30) { 1 << 20 } else { 500 + random.below(20_000) };
        let rules = Arc::new(TestRules::new(tail_bytes as usize));
        let budget = Arc::new(Budget::new(1 << 30));
        let late = if random.percent(50) { 0 } else { 3 };
        let prompt = random.percent(50);
        let broker = LateBroker::new(seed, rules.clone(), budget.clone(), late, prompt);
        let rounds: Arc<Mutex<Vec<Round>>> = Arc::default();
        let spawned = rounds.clone();
        let spawn = Box::new(move |round| spawned.lock().unwrap().push(round));
        let hub = Hub::new(broker.clone(), rules, budget, spawn);
        let names: &[&str] = if lossless {
            &["log:a", "log:b"]
        } else {
            &["short:a", "none:a", "keyed:a", "conflate:a", "close:a"]
        };
        let channels: Vec<_> = names.iter().map(|name| support::channel(name)).collect();
        let count = if crowded { 80 } else { 1 + random.index(5) };
        let clients = (0..count).map(|n| Client::new(support::client(n), &channels, lossless)).collect();
        let truth = channels.iter().map(|name| (name.clone(), Default::default())).collect();
        let steps = if crowded { 1500 } else { 150 + random.below(500) };
        Self {
            random,
            hub,
            broker,
            rounds,
            clients,
            channels,
            truth,
            serial: 0,
            lossless,
            steps,
            now: 1_000_000,
            jobs: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Runs to the end, and everything to quiescence.
    pub fn run(mut self) -> Totals {
        for _ in 0..self.steps {
            self.step();
        }
        self.settle();
        self.judge();
        self.totals
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..25 => self.publish(),
            25..45 => self.turn_a_round(),
            45..75 => self.act_as_client(),
            75..83 => {
                self.broker.hand_on();
            }
            83..92 => self.poll_a_job(),
            92..95 => self.begin_membership(),
            95 => self.sweep(),
            96 if !self.lossless => self.reset(),
            _ => {}
        }
    }

    fn a_channel(&mut self) -> ChannelName {
        self.random.pick(&self.channels).unwrap().clone()
    }

    fn publish(&mut self) {
        let channel = self.a_channel();
        let burst = if self.random.percent(5) { 60 } else { 1 + self.random.below(4) };
        for _ in 0..burst {
            self.serial += 1;
            let random = &mut self.random;
            let key = random.percent(50).then(|| format!("k{}", random.below(4)));
            let ephemeral = random.percent(15);
            let null = key.is_some() && !ephemeral && random.percent(20);
            let origin = random.percent(50).then(|| support::client(random.index(self.clients.len())));
            let pad = if random.percent(3) { 40_000 } else { random.index(300) };
            let draft = Draft {
                channel: &channel,
                serial: self.serial,
                pad,
                key: key.clone(),
                null,
                ephemeral,
                origin,
                unix_ms: self.now,
            };
            let log = self.truth.get_mut(&channel).unwrap();
            if ephemeral {
                log.ephemeral.insert(self.serial, origin);
            }
            let published = self.hub.publish(draft.append()).now().ok().expect("answered at once").unwrap();
            if let Some(at) = published.position.filter(|_| !ephemeral) {
                // Nobody has read it yet: clients read only in their own steps.
                log.push(at, Entry { serial: self.serial, origin, key, tombstone: null });
            }
        }
    }

    fn turn_a_round(&mut self) {
        let round = {
            let mut rounds = self.rounds.lock().unwrap();
            if rounds.is_empty() {
                return;
            }
            let n = self.random.index(rounds.len());
            rounds.swap_remove(n)
        };
        self.turn(round);
    }

    fn turn(&mut self, mut round: Round) {
        if round.turn().is_pending() {
            self.rounds.lock().unwrap().push(round);
        }
    }

    fn act_as_client(&mut self) {
        let n = self.random.index(self.clients.len());
        let (seed, wide) = (self.random.bits(), self.random.percent(30));
        if self.clients[n].link.is_none() {
            self.clients[n].connect(&self.hub, seed, wide);
            return;
        }
        match self.random.below(100) {
            0..40 => {
                if self.clients[n].link.as_ref().unwrap().is_runnable() {
                    self.drive(n);
                }
            }
            40..62 => {
                let bytes = if self.random.percent(20) { 100_000 } else { self.random.index(3000) };
                self.clients[n].link.as_ref().unwrap().socket.allow(bytes);
            }
            62..68 => self.clients[n].read(&self.truth),
            68..85 => self.subscribe(n),
            85..90 => self.unsubscribe(n),
            90..94 => self.clients[n].link.as_mut().unwrap().reply(),
            94..97 => self.expire_or_renew(n),
            97 => self.clients[n].link.as_ref().unwrap().socket.break_it(),
            98 => {
                self.count_link(n);
                self.clients[n].disconnect(&self.truth);
            }
            _ => self.clients[n].link.as_ref().unwrap().socket.stop(),
        }
    }

    fn count_link(&mut self, n: usize) {
        if let Some(link) = &mut self.clients[n].link {
            self.totals.fetches += std::mem::take(&mut link.fetches);
            self.totals.slow += std::mem::take(&mut link.slow);
        }
    }

    fn drive(&mut self, n: usize) {
        self.clients[n].drive(&self.truth);
        self.count_link(n);
    }

    fn options(&mut self, n: usize, channel: &ChannelName) -> SubscribeOptions {
        let client = &mut self.clients[n];
        let seen = client.subscription(channel).at;
        let epoch = self.truth[channel].epoch;
        let (lossless, head) = (self.lossless, self.head(channel).offset);
        let random = &mut self.random;
        let anywhere = epoch
            .map(|epoch| Position { epoch, offset: random.below(if lossless { head + 1 } else { 200 }) });
        let since = match random.below(10) {
            0..4 => seen,
            4 => anywhere,
            5 => Some(Position::NOWHERE),
            _ => None,
        };
        let last = random.percent(20).then(|| random.below(20));
        let snapshot = random.percent(30) && matches!(channel.namespace(), Some("keyed" | "conflate"));
        SubscribeOptions {
            start: Start { since, last, snapshot },
            presence: random.percent(30),
            rate: random.percent(10).then_some(10.0),
            echo: random.percent(70),
        }
    }

    fn subscribe(&mut self, n: usize) {
        let channel = self.a_channel();
        if self.clients[n].link.as_ref().unwrap().is_subscribing(&channel) {
            return;
        }
        let options = self.options(n, &channel);
        let element = self.channels.iter().position(|name| *name == channel);
        self.clients[n].link.as_mut().unwrap().subscribe(&channel, options, element);
    }

    fn unsubscribe(&mut self, n: usize) {
        let channel = self.a_channel();
        let link = self.clients[n].link.as_mut().unwrap();
        if !link.is_subscribing(&channel) {
            link.unsubscribe(&channel);
        }
    }

    fn expire_or_renew(&mut self, n: usize) {
        let client = &mut self.clients[n];
        // What came meanwhile is judged before the right is back.
        client.read(&self.truth);
        let link = client.link.as_ref().unwrap();
        if client.silent_from.take().is_some() {
            link.connection.set_expiry(None);
            link.flag.raise();
        } else {
            link.connection.set_expiry(Some(0));
            client.silent_from = Some(link.socket.total());
        }
    }

    fn begin_membership(&mut self) {
        let (channel, n) = (self.a_channel(), 1000 + self.random.index(5));
        let (hub, leave) = (self.hub.clone(), self.random.percent(40));
        let entering = Entering {
            client: support::client(n),
            user: None,
            info: None,
            data: Data::NULL,
            connection: Some(n as u64),
            grace_ms: 5000,
        };
        self.jobs.push(Box::pin(async move {
            let done = match leave {
                true => hub.leave(&channel, entering.client, None).await.map(|_| ()),
                false => hub.enter(&channel, entering).await,
            };
            done.unwrap();
        }));
    }

    fn sweep(&mut self) {
        let hub = self.hub.clone();
        self.jobs.push(Box::pin(async move {
            for _ in 0..31 {
                hub.sweep().await;
            }
        }));
    }

    fn poll_a_job(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let n = self.random.index(self.jobs.len());
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(()) = self.jobs[n].as_mut().poll(cx) {
            drop(self.jobs.swap_remove(n));
        }
    }

    fn reset(&mut self) {
        let channel = self.a_channel();
        self.broker.reset(&channel);
        self.totals.resets += 1;
        self.truth.get_mut(&channel).unwrap().epoch = Some(self.head(&channel).epoch);
    }

    fn head(&self, channel: &ChannelName) -> Position {
        poll_once(self.broker.log(channel).bounds(channel)).unwrap().head_position()
    }

    /// Sockets take everything; whoever can run runs until nobody can.
    fn settle(&mut self) {
        for client in &mut self.clients {
            client.read(&self.truth);
            let Some(link) = &client.link else { continue };
            link.socket.allow(usize::MAX);
            if client.silent_from.take().is_some() {
                link.connection.set_expiry(None);
                link.flag.raise();
            }
        }
        for turn in 0.. {
            assert!(turn < 20_000, "the hub spins");
            let mut any = self.broker.hand_on();
            any |= !self.jobs.is_empty();
            for _ in 0..self.jobs.len() {
                self.poll_a_job();
            }
            let rounds = std::mem::take(&mut *self.rounds.lock().unwrap());
            for round in rounds {
                any = true;
                self.turn(round);
            }
            for n in 0..self.clients.len() {
                if self.clients[n].link.as_ref().is_some_and(|link| link.is_runnable()) {
                    any = true;
                    self.drive(n);
                    self.clients[n].read(&self.truth);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn judge(&mut self) {
        for channel in self.channels.clone() {
            let head = self.head(&channel);
            assert!(self.hub.congestion(&channel).is_none(), "{channel} is congested although all is read");
            let members = poll_once(Box::pin(self.members(&channel)));
            for client in &mut self.clients {
                client.read(&self.truth);
                let subscription = client.subscription(&channel);
                subscription.finish(&self.truth[&channel], head);
                if let Some(seen) = &subscription.members {
                    assert_eq!(*seen, members, "another picture of the members of {channel}");
                }
            }
        }
        for client in &mut self.clients {
            client.disconnect(&self.truth);
            self.totals.messages += client.messages;
            self.totals.subscribed += client.subscribed;
            self.totals.recovered += client.recovered;
            self.totals.gaps += client.gaps;
        }
        let counters = self.hub.counters();
        assert_eq!(counters.subscriptions.get(), 0, "readers were left behind");
        assert_eq!(counters.behind.get(), 0, "readers are counted as behind that are gone");
        assert_eq!(counters.connections.get(), 0);
    }

    fn members(
        &self,
        channel: &ChannelName,
    ) -> impl Future<Output = std::collections::HashSet<fanfare_protocol::ClientId>> + Send + use<> {
        let (hub, channel) = (self.hub.clone(), channel.clone());
        async move {
            let mut members = Box::pin(hub.members(&channel, 1000, None));
            let page = std::future::poll_fn(|_| {
                loop {
                    let cx = &mut Context::from_waker(Waker::noop());
                    if let Poll::Ready(page) = members.as_mut().poll(cx) {
                        return Poll::Ready(page.unwrap());
                    }
                }
            })
            .await;
            page.members.into_iter().map(|member| member.client).collect()
        }
    }
}
