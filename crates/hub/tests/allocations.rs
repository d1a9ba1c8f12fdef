//! Allocations, counted: what a publication costs grows with the wire forms and with shards of 250 readers, never with readers. One test in
//! this binary, so that nothing else allocates meanwhile.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    alloc::System,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Form, Hub, Pumped, Round, Socket, TURN_WRITES, WireForm};
use fanfare_protocol::{ChannelName, Cursor, Event, Message, SubscribeOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::rules::TestRules;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one publication to readers of one form in one shard, history included: what it is now and two more.
const PUBLICATION: usize = 8;
/// More for one form more.
const FORM: usize = 5;
/// More for one shard more: its round.
const SHARD: usize = 1;

/// Takes everything.
struct Sink;

impl Socket for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

struct Bytes(u16);

impl WireForm for Bytes {
    fn id(&self) -> u16 {
        self.0
    }
    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 20]);
        if let fanfare_protocol::Data::Json(json) = &message.data {
            out.extend_from_slice(json);
        }
    }
    fn event(&self, _: &Event, _: &mut Vec<u8>) {}
    fn cursor(&self, _: &Cursor, _: &mut Vec<u8>) {}
}

const FORMS: [Form; 3] = [Form(&Bytes(981)), Form(&Bytes(982)), Form(&Bytes(983))];

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory broker answers at once"),
    }
}

type Rounds = Arc<Mutex<Vec<Round>>>;

fn read(hub: &Arc<Hub>, n: usize, form: Form, channel: &ChannelName) {
    let connection = hub.connect(form, support::client(n), Box::new(Sink));
    now(hub.subscribe(&connection, channel, &SubscribeOptions::default(), None)).unwrap();
    connection.release(channel);
    while !matches!(connection.pump(1, TURN_WRITES, &mut |bytes| Ok(bytes.len())), Pumped::Idle) {}
}

/// Runs every round; two vectors change places, so that this allocates nothing.
fn run(rounds: &Rounds, spare: &mut Vec<Round>) {
    loop {
        std::mem::swap(spare, &mut *rounds.lock().unwrap());
        if spare.is_empty() {
            return;
        }
        for mut round in spare.drain(..) {
            if round.turn().is_pending() {
                rounds.lock().unwrap().push(round);
            }
        }
    }
}

/// Allocations of one publication, the most of many but for the few in which something that is kept grows.
fn allocations(readers: usize, forms: usize) -> usize {
    let rules = Arc::new(TestRules::new(64 << 10));
    let budget = Arc::new(Budget::new(1 << 30));
    let settings = MemorySettings::new("e".parse().unwrap());
    let broker = Arc::new(MemoryBroker::new(settings, rules.clone(), budget.clone()));
    let rounds: Rounds = Arc::new(Mutex::new(Vec::with_capacity(100)));
    let (spawned, mut spare) = (rounds.clone(), Vec::with_capacity(100));
    let hub = Hub::new(broker, rules, budget, Box::new(move |round| spawned.lock().unwrap().push(round)));
    let name = support::channel("short:a");
    for n in 0..readers {
        read(&hub, n, FORMS[n % forms], &name);
    }
    let mut counts: Vec<usize> = (1..=200)
        .map(|serial| {
            let append = support::say(&name, serial, 100);
            let region = Region::new(ALLOCATOR);
            now(hub.publish(append)).unwrap();
            run(&rounds, &mut spare);
            let change = region.change();
            change.allocations + change.reallocations
        })
        .collect();
    assert_eq!(hub.counters().deliveries.get(), 200 * readers as u64);
    counts.sort_unstable();
    counts[counts.len() * 9 / 10]
}

#[test]
fn a_publication_allocates_by_forms_and_shards_and_not_by_readers() {
    let one = allocations(1, 1);
    println!("one reader {one}");
    assert!((1..=PUBLICATION).contains(&one), "{one} allocations for one reader");
    for readers in [2, 100, 250] {
        assert_eq!(allocations(readers, 1), one, "{readers} readers in one shard");
    }
    let shards = allocations(2000, 1);
    println!("eight shards {shards}");
    assert!(shards <= one + 7 * SHARD, "{shards} allocations for 2,000 readers, {one} for one");
    let forms = allocations(3, 3);
    println!("three forms {forms}");
    assert!(forms <= one + 2 * (FORM + SHARD), "{forms} allocations for three forms, {one} for one");
    assert_eq!(allocations(750, 3), forms, "750 readers of three forms");
}
