//! The hub's locks under shuttle's scheduler: every lock and atomic is a place where another thread may run. What a client may conclude
//! from its bytes is checked as in the simulator. A failure prints the schedule that leads to it.
//!
//! `cargo test -p fanfare-hub --features shuttle --test races`
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "simulator/client.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod client;
#[path = "simulator/subscription.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod subscription;
mod support;
#[path = "simulator/truth.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod truth;

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use client::Client;
use fanfare_broker::{Broker, Budget};
use fanfare_hub::{Hub, Round};
use fanfare_protocol::{ChannelName, Position, Start, SubscribeOptions};
use shuttle::{
    check_pct, check_random,
    rand::{Rng, thread_rng},
    sync::Mutex,
    thread,
};
use support::{
    broker::{LateBroker, poll_once},
    rules::TestRules,
};
use truth::{Entry, Truth};

const SCHEDULES: usize = 400;
/// Switches that matter at most, for the scheduler that looks for rare orders: a thread that runs long while another stands.
const DEPTH: usize = 4;

type Threads = Arc<std::sync::Mutex<Vec<thread::JoinHandle<()>>>>;

#[derive(Clone)]
struct Rig {
    hub: Arc<Hub>,
    broker: Arc<LateBroker>,
    /// Deliveries are never concurrent.
    post: Arc<Mutex<()>>,
    rounds: Threads,
    truth: Arc<std::sync::Mutex<Truth>>,
    channels: Vec<ChannelName>,
}

impl Rig {
    fn new(names: &[&str], tail_bytes: usize) -> Self {
        let rules = Arc::new(TestRules::new(tail_bytes));
        let budget = Arc::new(Budget::new(1 << 30));
        let broker = LateBroker::new(1, rules.clone(), budget.clone(), 1, false);
        let rounds = Threads::default();
        let spawned = rounds.clone();
        let spawn = Box::new(move |round: Round| {
            let mut round = round;
            let step = move || {
                while round.turn().is_pending() {
                    thread::yield_now();
                }
            };
            spawned.lock().unwrap().push(thread::spawn(step));
        });
        let hub = Hub::new(broker.clone(), rules, budget, spawn);
        let channels: Vec<_> = names.iter().map(|name| support::channel(name)).collect();
        let truth = channels.iter().map(|name| (name.clone(), Default::default())).collect();
        let truth = Arc::new(std::sync::Mutex::new(truth));
        Self { hub, broker, post: Arc::new(Mutex::new(())), rounds, truth, channels }
    }

    fn publish(&self, channel: &ChannelName, serial: u64) {
        let pad = 50;
        let published = self.hub.publish(support::say(channel, serial, pad)).now().ok().unwrap().unwrap();
        let entry = Entry { serial, origin: None, key: None, tombstone: false };
        let mut truth = self.truth.lock().unwrap();
        truth.get_mut(channel).unwrap().push(published.position.unwrap(), entry);
        drop(truth);
        let _turn = self.post.lock().unwrap();
        while self.broker.hand_on() {}
    }

    fn client(&self, n: usize) -> Client {
        let mut client = Client::new(support::client(n), &self.channels, true);
        client.connect(&self.hub, thread_rng().r#gen(), false);
        client
    }

    fn start(&self, channel: &ChannelName, since: Option<u64>) -> SubscribeOptions {
        let epoch = poll_once(self.broker.log(channel).bounds(channel)).unwrap().epoch;
        let since = since.map(|offset| Position { epoch, offset });
        SubscribeOptions { start: Start { since, ..Start::default() }, ..SubscribeOptions::default() }
    }

    fn subscribe(&self, client: &mut Client, channel: &ChannelName, since: Option<u64>) {
        client.link.as_mut().unwrap().subscribe(channel, self.start(channel, since), None);
    }

    /// Until nobody can run any more: all rounds have ended and all drivers rest.
    fn settle(&self, clients: &mut [Client]) {
        for turn in 0.. {
            assert!(turn < 1000, "the hub spins");
            let rounds = std::mem::take(&mut *self.rounds.lock().unwrap());
            let mut any = !rounds.is_empty();
            for round in rounds {
                round.join().unwrap();
            }
            for link in clients.iter_mut().filter_map(|client| client.link.as_mut()) {
                while link.is_runnable() {
                    any = true;
                    assert!(link.drive() == client::Alive::Yes, "the connection ended");
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Everything was delivered, and every client saw a history it may have seen.
    fn judge(&self, clients: &mut [Client]) {
        for client in clients.iter() {
            client.link.as_ref().unwrap().socket.allow(usize::MAX);
        }
        self.settle(clients);
        let truth = self.truth.lock().unwrap();
        for client in clients {
            client.read(&truth);
            for channel in &self.channels {
                let head = poll_once(self.broker.log(channel).bounds(channel)).unwrap().head_position();
                client.subscription(channel).finish(&truth[channel], head);
            }
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::yield_now(),
        }
    }
}

/// Some turns of a driver while others run.
fn drive(client: &mut Client, turns: usize) {
    for _ in 0..turns {
        if let Some(link) = client.link.as_mut().filter(|link| link.is_runnable()) {
            assert!(link.drive() == client::Alive::Yes, "the connection ended");
        }
        thread::yield_now();
    }
}

fn publisher(rig: &Rig, channel: &ChannelName, serials: std::ops::Range<u64>) -> thread::JoinHandle<()> {
    let (rig, channel) = (rig.clone(), channel.clone());
    thread::spawn(move || serials.for_each(|serial| rig.publish(&channel, serial)))
}

#[test]
fn a_publish_racing_a_subscribe_with_since() {
    let race = || {
        let rig = Rig::new(&["log:a"], 1 << 20);
        let name = rig.channels[0].clone();
        (1..3).for_each(|serial| rig.publish(&name, serial));
        let publishing = publisher(&rig, &name, 3..6);
        let mut clients = vec![rig.client(1), rig.client(2)];
        clients.iter().for_each(|client| client.link.as_ref().unwrap().socket.allow(usize::MAX));
        let mut second = clients.pop().unwrap();
        let other = {
            let (rig, name) = (rig.clone(), name.clone());
            thread::spawn(move || {
                rig.subscribe(&mut second, &name, None);
                drive(&mut second, 8);
                second
            })
        };
        rig.subscribe(&mut clients[0], &name, Some(1));
        drive(&mut clients[0], 8);
        publishing.join().unwrap();
        clients.push(other.join().unwrap());
        rig.judge(&mut clients);
        assert_eq!((clients[0].messages, clients[0].recovered), (4, 1));
    };
    check_random(race, SCHEDULES);
    check_pct(race, SCHEDULES, DEPTH);
}

#[test]
fn an_unsubscribe_racing_a_round() {
    let race = || {
        let rig = Rig::new(&["log:a"], 1 << 20);
        let name = rig.channels[0].clone();
        let mut clients = vec![rig.client(1), rig.client(2)];
        for client in &mut clients {
            client.link.as_ref().unwrap().socket.allow(usize::MAX);
            rig.subscribe(client, &name, None);
        }
        rig.settle(&mut clients);
        let publishing = publisher(&rig, &name, 1..4);
        drive(&mut clients[0], 1);
        // A frame of this channel behind the end fails the check of the stream.
        clients[0].link.as_mut().unwrap().unsubscribe(&name);
        drive(&mut clients[0], 3);
        publishing.join().unwrap();
        rig.judge(&mut clients);
        assert_eq!(clients[1].messages, 3);
    };
    check_random(race, SCHEDULES);
}

#[test]
fn a_seek_racing_a_round() {
    let race = || {
        let rig = Rig::new(&["log:a"], 1 << 20);
        let name = rig.channels[0].clone();
        let mut clients = vec![rig.client(1)];
        clients[0].link.as_ref().unwrap().socket.allow(usize::MAX);
        rig.subscribe(&mut clients[0], &name, None);
        rig.settle(&mut clients);
        let publishing = publisher(&rig, &name, 1..4);
        drive(&mut clients[0], 1);
        rig.subscribe(&mut clients[0], &name, None);
        drive(&mut clients[0], 3);
        publishing.join().unwrap();
        rig.judge(&mut clients);
        assert_eq!(clients[0].messages, 3, "a seek without a start goes on exactly where it was");
    };
    check_random(race, SCHEDULES);
}

/// Rounds of two channels write to one connection, in pieces, while its driver pumps and answers.
#[test]
fn a_partial_write_racing_a_reply_and_the_pump() {
    let race = || {
        let rig = Rig::new(&["log:a", "log:b"], 1 << 20);
        let mut clients = vec![rig.client(1)];
        clients[0].link.as_ref().unwrap().socket.allow(200);
        for name in &rig.channels {
            rig.subscribe(&mut clients[0], name, None);
        }
        rig.settle(&mut clients);
        let threads: Vec<_> = rig.channels.iter().map(|name| publisher(&rig, name, 1..4)).collect();
        for _ in 0..5 {
            let link = clients[0].link.as_mut().unwrap();
            link.reply();
            link.socket.allow(thread_rng().gen_range(1..150));
            drive(&mut clients[0], 2);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        rig.judge(&mut clients);
        assert_eq!(clients[0].messages, 6);
    };
    check_random(race, SCHEDULES);
}

/// A reader falls behind and catches up, from memory and from the broker, while rounds run and messages are appended.
#[test]
fn coming_back_in_step_racing_a_round_and_an_append() {
    for tail_bytes in [1 << 20, 700] {
        let race = move || {
            let rig = Rig::new(&["log:a"], tail_bytes);
            let name = rig.channels[0].clone();
            let mut clients = vec![rig.client(1)];
            clients[0].link.as_ref().unwrap().socket.allow(100);
            rig.subscribe(&mut clients[0], &name, None);
            rig.settle(&mut clients);
            let publishing = publisher(&rig, &name, 1..6);
            for _ in 0..5 {
                clients[0].link.as_ref().unwrap().socket.allow(thread_rng().gen_range(1..300));
                drive(&mut clients[0], 2);
            }
            publishing.join().unwrap();
            rig.judge(&mut clients);
            assert_eq!(clients[0].messages, 5);
        };
        check_random(race, SCHEDULES);
    }
}

#[test]
fn a_sweep_racing_a_join_and_a_publish() {
    let race = || {
        let rig = Rig::new(&["log:a"], 1 << 20);
        let name = rig.channels[0].clone();
        let mut first = vec![rig.client(1)];
        first[0].link.as_ref().unwrap().socket.allow(usize::MAX);
        rig.subscribe(&mut first[0], &name, None);
        rig.settle(&mut first);
        first[0].link.as_mut().unwrap().unsubscribe(&name);
        rig.settle(&mut first);
        (0..29).for_each(|_| wait(rig.hub.sweep()));
        assert_eq!(rig.hub.channels_read(), 1, "swept before the race");
        let sweeping = {
            let hub = rig.hub.clone();
            thread::spawn(move || wait(hub.sweep()))
        };
        let publishing = publisher(&rig, &name, 1..4);
        let mut clients = vec![rig.client(2)];
        clients[0].link.as_ref().unwrap().socket.allow(usize::MAX);
        rig.subscribe(&mut clients[0], &name, Some(0));
        drive(&mut clients[0], 8);
        sweeping.join().unwrap();
        publishing.join().unwrap();
        rig.judge(&mut clients);
        assert_eq!(clients[0].messages, 3);
    };
    check_random(race, SCHEDULES);
    check_pct(race, 4 * SCHEDULES, DEPTH);
}
