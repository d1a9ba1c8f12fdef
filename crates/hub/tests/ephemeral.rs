//! Who gets ephemeral messages: whoever stands at the head, be it that it waits for its connection's turn; never who reads the past, or
//! whose client does not read.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Connection, Hub, Pulled, Pumped, Round, Socket, TURN_WRITES};
use fanfare_protocol::{ChannelName, Position, Start, SubscribeOptions};
use support::{
    Draft, Flag,
    form::{Decoder, Frame, PLAIN, reply},
    rules::TestRules,
    socket::FakeSocket,
};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory broker answers at once"),
    }
}

struct Rig {
    hub: Arc<Hub>,
    rounds: Arc<Mutex<Vec<Round>>>,
    name: ChannelName,
}

struct Reader {
    connection: Arc<Connection>,
    /// What its client takes, whether rounds write to it or its driver alone.
    socket: FakeSocket,
    flag: Arc<Flag>,
    decoder: Decoder,
}

impl Rig {
    fn new() -> Self {
        let rules = Arc::new(TestRules::new(64 << 10));
        let budget = Arc::new(Budget::new(1 << 30));
        let broker = Arc::new(MemoryBroker::new(
            MemorySettings::new("e".parse().unwrap()),
            rules.clone(),
            budget.clone(),
        ));
        let rounds: Arc<Mutex<Vec<Round>>> = Arc::default();
        let spawned = rounds.clone();
        let hub = Hub::new(broker, rules, budget, Box::new(move |round| spawned.lock().unwrap().push(round)));
        Self { hub, rounds, name: support::channel("log:a") }
    }

    fn reader(&self, n: usize, pulled: bool, options: &SubscribeOptions) -> Reader {
        let socket = FakeSocket::open();
        let round: Box<dyn Socket> = if pulled { Box::new(Pulled) } else { Box::new(socket.clone()) };
        let connection = self.hub.connect(PLAIN, support::client(n), round);
        let flag = Arc::new(Flag::default());
        connection.register(&Waker::from(flag.clone()));
        now(self.hub.subscribe(&connection, &self.name, options, None)).unwrap();
        connection.release(&self.name);
        Reader { connection, socket, flag, decoder: Decoder::default() }
    }

    fn publish(&self, serial: u64, ephemeral: bool) {
        let channel = &self.name;
        let draft =
            Draft { channel, serial, pad: 10, key: None, null: false, ephemeral, origin: None, unix_ms: 1 };
        now(self.hub.publish(draft.append())).unwrap();
    }

    /// Everything that rounds can do, with the windows of readers with a rate over.
    fn rest(&self) {
        for turn in 0..100 {
            let rounds = std::mem::take(&mut *self.rounds.lock().unwrap());
            if rounds.is_empty() || turn == 99 {
                return;
            }
            for mut round in rounds {
                if round.turn().is_pending() {
                    self.rounds.lock().unwrap().push(round);
                }
            }
        }
    }
}

impl Reader {
    /// A driver's turns, when it was woken, until it has nothing to do or its client takes nothing; a page of the broker's among them.
    fn drive(&mut self, rig: &Rig) {
        if !self.flag.take() {
            return;
        }
        self.connection.register(&Waker::from(self.flag.clone()));
        let socket = self.socket.clone();
        let write = &mut |bytes: &[u8]| socket.try_write(bytes);
        let mut pumped = self.connection.pump(0, TURN_WRITES, write);
        for _ in 0..100 {
            pumped = match pumped {
                Pumped::Idle => return,
                Pumped::Blocked if !socket.is_writable() => return self.connection.stalled(),
                Pumped::Fetch(fetch) => {
                    let fetched = now(rig.hub.fetch(&fetch)).unwrap();
                    self.connection.fetched(0, &fetch, fetched, write)
                }
                _ => self.connection.pump(0, TURN_WRITES, write),
            };
        }
        panic!("the driver does not come to rest");
    }

    /// Serials that came since this was last asked.
    fn read(&mut self) -> Vec<u64> {
        let frames = self.decoder.feed(&self.socket.take());
        let serial = |(_, frame)| match frame {
            Frame::Message { serial, .. } => Some(serial),
            _ => None,
        };
        frames.into_iter().filter_map(serial).collect()
    }
}

#[test]
fn who_is_only_woken_by_rounds_gets_them_too() {
    for rate in [None, Some(10.0)] {
        let rig = Rig::new();
        let options = SubscribeOptions { rate, ..SubscribeOptions::default() };
        let mut pulled = rig.reader(1, true, &options);
        pulled.drive(&rig);
        let mut all = Vec::new();
        for serial in 1..=6 {
            rig.publish(serial, serial % 3 != 0);
            rig.rest();
            pulled.drive(&rig);
            all.extend(pulled.read());
        }
        assert_eq!(all, [1, 2, 3, 4, 5, 6], "rate {rate:?}");
        assert_eq!(rig.hub.counters().behind.get(), 0);
    }
}

#[test]
fn an_answer_that_stands_in_the_way_costs_none() {
    let rig = Rig::new();
    let mut reader = rig.reader(1, false, &SubscribeOptions::default());
    reader.drive(&rig);
    reader.connection.send(|out| reply(1, out));
    rig.publish(1, true);
    rig.rest();
    reader.drive(&rig);
    assert_eq!(reader.read(), [1]);
}

#[test]
fn who_begins_at_the_head_misses_none_before_its_first_turn() {
    let rig = Rig::new();
    for pulled in [false, true] {
        let mut reader = rig.reader(1, pulled, &SubscribeOptions::default());
        rig.publish(1, true);
        rig.rest();
        reader.drive(&rig);
        assert_eq!(reader.read(), [1]);
    }
}

#[test]
fn who_reads_the_past_gets_none_of_it() {
    let rig = Rig::new();
    let mut other = rig.reader(1, false, &SubscribeOptions::default());
    other.drive(&rig);
    for serial in 1..=6 {
        rig.publish(serial, serial % 2 == 0);
    }
    for pulled in [false, true] {
        let since = Some(Position { epoch: "e".parse().unwrap(), offset: 1 });
        let options =
            SubscribeOptions { start: Start { since, ..Start::default() }, ..SubscribeOptions::default() };
        let mut late = rig.reader(2, pulled, &options);
        late.drive(&rig);
        assert_eq!(late.read(), [3, 5]);
        rig.publish(7, true);
        rig.rest();
        late.drive(&rig);
        assert_eq!(late.read(), [7], "at the head now");
    }
}

#[test]
fn whose_client_reads_nothing_gets_none_of_meanwhile() {
    for pulled in [false, true] {
        let rig = Rig::new();
        let mut reader = rig.reader(1, pulled, &SubscribeOptions::default());
        reader.drive(&rig);
        reader.socket.stop();
        for serial in 1..=6 {
            rig.publish(serial, serial % 2 == 0);
            rig.rest();
            reader.drive(&rig);
        }
        assert_eq!(reader.read(), [0; 0]);
        reader.socket.allow(usize::MAX);
        reader.flag.raise();
        reader.drive(&rig);
        assert_eq!(reader.read(), [1, 3, 5]);
        rig.publish(7, true);
        rig.rest();
        reader.drive(&rig);
        assert_eq!(reader.read(), [7], "at the head again");
        assert_eq!(rig.hub.counters().behind.get(), 0);
    }
}
