//! Readers that cannot keep up: they hold up nobody, cost what was promised, and get everything in the end.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Connection, Fetched, Hub, Pumped, Round, Socket, TURN_WRITES};
use fanfare_protocol::{ChannelName, SubscribeOptions};
use support::{
    Flag,
    form::{Decoder, Frame, PLAIN},
    rules::TestRules,
    socket::FakeSocket,
};

const TAIL: usize = 128 << 10;
const PAD: usize = 400;

struct Reader {
    connection: Arc<Connection>,
    socket: FakeSocket,
    flag: Arc<Flag>,
    decoder: Decoder,
    seen: u64,
}

impl Reader {
    /// What came is the next messages, each once.
    fn read(&mut self) -> u64 {
        for (_, frame) in self.decoder.feed(&self.socket.take()) {
            let Frame::Message { at, .. } = frame else { panic!("{frame:?} came") };
            assert_eq!(at.offset, self.seen + 1);
            self.seen += 1;
        }
        self.seen
    }
}

struct Rig {
    hub: Arc<Hub>,
    budget: Arc<Budget>,
    rounds: Arc<Mutex<Vec<Round>>>,
    name: ChannelName,
    serial: u64,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory broker answers at once"),
    }
}

impl Rig {
    fn new() -> Self {
        let rules = Arc::new(TestRules::new(TAIL));
        let budget = Arc::new(Budget::new(1 << 30));
        let settings = MemorySettings::new("e".parse().unwrap());
        let broker = Arc::new(MemoryBroker::new(settings, rules.clone(), budget.clone()));
        let rounds: Arc<Mutex<Vec<Round>>> = Arc::default();
        let spawned = rounds.clone();
        let spawn = Box::new(move |round| spawned.lock().unwrap().push(round));
        let hub = Hub::new(broker, rules, budget.clone(), spawn);
        Self { hub, budget, rounds, name: support::channel("log:a"), serial: 0 }
    }

    fn reader(&self, n: usize) -> Reader {
        let socket = FakeSocket::open();
        let connection = self.hub.connect(PLAIN, support::client(n), Box::new(socket.clone()));
        let flag = Arc::new(Flag::default());
        connection.register(&Waker::from(flag.clone()));
        now(self.hub.subscribe(&connection, &self.name, &SubscribeOptions::default(), None)).unwrap();
        connection.release(&self.name);
        let mut reader = Reader { connection, socket, flag, decoder: Decoder::default(), seen: 0 };
        self.pump(&mut reader);
        reader
    }

    fn publish(&mut self) {
        self.serial += 1;
        now(self.hub.publish(support::say(&self.name, self.serial, PAD))).unwrap();
    }

    /// One turn of every round; returns how many turns that were.
    fn turn(&self) -> usize {
        let rounds = std::mem::take(&mut *self.rounds.lock().unwrap());
        let count = rounds.len();
        for mut round in rounds {
            if round.turn().is_pending() {
                self.rounds.lock().unwrap().push(round);
            }
        }
        count
    }

    fn rest(&self) {
        for turn in 0.. {
            assert!(turn < 10_000, "rounds spin");
            if self.turn() == 0 {
                return;
            }
        }
    }

    /// What a driver does until it has nothing to do or is blocked; returns how often it asked the broker.
    fn pump(&self, reader: &mut Reader) -> usize {
        let mut fetches = 0;
        reader.flag.take();
        reader.connection.register(&Waker::from(reader.flag.clone()));
        let socket = reader.socket.clone();
        let write = &mut |bytes: &[u8]| -> io::Result<usize> { socket.try_write(bytes) };
        let mut pumped = reader.connection.pump(0, TURN_WRITES, write);
        loop {
            pumped = match pumped {
                Pumped::Idle => return fetches,
                Pumped::Blocked if !socket.is_writable() => return fetches,
                Pumped::Again | Pumped::Blocked => reader.connection.pump(0, TURN_WRITES, write),
                Pumped::Fetch(fetch) => {
                    fetches += 1;
                    let fetched: Fetched = now(self.hub.fetch(&fetch)).unwrap();
                    reader.connection.fetched(0, &fetch, fetched, write)
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_stopped_reader_holds_up_nobody_grows_no_memory_and_then_gets_everything() {
    let mut rig = Rig::new();
    let mut others: Vec<_> = (0..50).map(|n| rig.reader(n)).collect();
    let mut stopped = rig.reader(1000);
    stopped.socket.stop();
    let mut writes_when_stopped = None;
    for n in 1..=1500_u64 {
        rig.publish();
        rig.rest();
        if stopped.flag.take() {
            rig.pump(&mut stopped);
        }
        writes_when_stopped.get_or_insert(stopped.socket.writes());
        if n.is_multiple_of(300) {
            for reader in &mut others {
                if reader.flag.is_up() {
                    rig.pump(reader);
                }
                assert_eq!(reader.read(), n, "a reader was held up");
            }
        }
        assert!(rig.hub.congestion(&rig.name).is_none(), "a slow reader is no reason for publishers to wait");
        let tail = rig.hub.counters().tail_bytes.get() as usize;
        // Segments of the newest message may stand beside a full tail until the next trim.
        assert!(tail <= TAIL + (64 << 10), "{tail} bytes in the tail");
        assert!(stopped.connection.control_bytes() <= 2 * PAD, "it is queued for a stopped reader");
    }
    assert_eq!(stopped.read(), 0);
    assert_eq!(Some(stopped.socket.writes()), writes_when_stopped, "rounds write to a socket that is full");
    assert_eq!(rig.hub.counters().behind.get(), 1);
    stopped.socket.allow(usize::MAX);
    let fetches = rig.pump(&mut stopped);
    assert!(fetches > 0, "what the tail let go of comes from the broker");
    assert_eq!(stopped.read(), 1500);
    assert_eq!(rig.hub.counters().behind.get(), 0);
    rig.publish();
    rig.rest();
    assert_eq!(stopped.read() + u64::from(stopped.flag.is_up()), 1501, "in step again, or woken");
}

#[test]
fn publishing_faster_than_rounds_can_write_ends_in_a_wait_that_rounds_end() {
    let mut rig = Rig::new();
    let mut readers: Vec<_> = (0..260).map(|n| rig.reader(n)).collect();
    let (mut waits, mut published) = (0, 0_u64);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    while published < 1500 {
        let Some(congestion) = rig.hub.congestion(&rig.name) else {
            rig.publish();
            published += 1;
            continue;
        };
        waits += 1;
        let mut clear = pin!(congestion.clear());
        let mut turns = 0;
        while clear.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            // Whoever waits sleeps until a round has moved: it is woken, or rounds have more to do.
            while !flag.take() {
                assert!(rig.turn() > 0, "a publisher waits, and nobody will wake it");
                turns += 1;
            }
        }
        assert!(turns < 1000, "{turns} turns to make room");
    }
    assert!(waits > 5, "nobody had to wait: {waits}");
    assert_eq!(rig.hub.counters().waits.get(), waits);
    rig.rest();
    let mut fetches = 0;
    for reader in &mut readers {
        fetches += rig.pump(reader);
    }
    let bytes = readers[0].socket.total();
    for reader in &mut readers {
        assert_eq!(reader.socket.total(), bytes, "a reader got another number of bytes");
    }
    for reader in [0, 249, 250, 259] {
        assert_eq!(readers[reader].read(), published);
    }
    assert_eq!(fetches, 0, "shards fell off the tail although publishers waited");
    assert!(rig.hub.congestion(&rig.name).is_none());
}

/// Half of the memory is gone when the last reader is: nothing is kept for those who left.
#[test]
fn what_was_held_is_given_back() {
    let mut rig = Rig::new();
    let before = rig.budget.used();
    let readers: Vec<_> = (0..10).map(|n| rig.reader(n)).collect();
    (0..100).for_each(|_| rig.publish());
    rig.rest();
    assert!(rig.hub.counters().tail_bytes.get() > 0);
    readers.iter().for_each(|reader| rig.hub.disconnect(&reader.connection));
    (0..31).for_each(|_| now(rig.hub.sweep()));
    assert_eq!(rig.hub.counters().tail_bytes.get(), 0);
    assert_eq!(rig.hub.channels_read(), 0);
    assert!(rig.budget.used() >= before, "given back more than was taken");
}
