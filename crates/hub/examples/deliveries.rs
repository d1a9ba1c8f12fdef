//! Publications through the hub to readers whose sockets take everything, for counting instructions: `deliveries SHAPE TIMES`, under callgrind.
//! What one delivery costs is the difference of two runs with different TIMES. `cargo xtask gates` does that and compares.
//!
//! SHAPE is `one` (a channel of 1,000 readers, one message in each round), `eight` (the same, eight messages in each round) or `many`
//! (1,000 channels of one reader, one message each).
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

#[path = "../tests/support/rules.rs"]
mod rules;

use std::{
    cell::RefCell,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Append, Author, Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Form, Hub, Pumped, Round, Socket, TURN_WRITES, WireForm};
use fanfare_protocol::{ChannelName, ClientId, Data, Event, Format, Message, Publish, SubscribeOptions};

const READERS: usize = 1000;

/// Lines of JSON, as streams have them.
struct Lines;

impl WireForm for Lines {
    fn id(&self) -> u16 {
        990
    }
    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        Format::Json.message_frame(message, out);
        out.push(b'\n');
    }
    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        Format::Json.encode(event, out);
        out.push(b'\n');
    }
}

/// Takes everything.
struct Sink;

impl Socket for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

thread_local! {
    static ROUNDS: RefCell<Vec<Round>> = const { RefCell::new(Vec::new()) };
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory broker answers at once"),
    }
}

fn hub() -> Arc<Hub> {
    let rules = Arc::new(rules::TestRules::new(1 << 20));
    let budget = Arc::new(Budget::new(1 << 30));
    let settings = MemorySettings::new("e".parse().unwrap());
    let broker = Arc::new(MemoryBroker::new(settings, rules.clone(), budget.clone()));
    let spawn = Box::new(|round| ROUNDS.with_borrow_mut(|rounds| rounds.push(round)));
    Hub::new(broker, rules, budget, spawn)
}

/// One reader, at the head and in step.
fn read(hub: &Arc<Hub>, n: usize, channel: &ChannelName) {
    let client = ClientId::parse(&format!("client{n:010}")).unwrap();
    let connection = hub.connect(Form(&Lines), client, Box::new(Sink));
    now(hub.subscribe(&connection, channel, &SubscribeOptions::default(), None)).unwrap();
    connection.release(channel);
    while !matches!(connection.pump(1, TURN_WRITES, &mut |bytes| Ok(bytes.len())), Pumped::Idle) {}
    // The hub holds it by its reader.
}

fn publish(hub: &Hub, channel: &ChannelName, data: &Data) {
    let publish = Publish::new(channel.clone(), data.clone());
    let append = Append { publish, author: Author { user: None, client: None }, unix_ms: 1 };
    now(hub.publish(append)).unwrap();
}

fn run_rounds() {
    loop {
        let rounds = ROUNDS.take();
        if rounds.is_empty() {
            return;
        }
        for mut round in rounds {
            if round.turn().is_pending() {
                ROUNDS.with_borrow_mut(|rounds| rounds.push(round));
            }
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let shape = args.next().unwrap_or_else(|| "one".to_owned());
    let times: usize = args.next().map_or(1, |times| times.parse().unwrap());
    let (channels, together) = match shape.as_str() {
        "one" => (1, 1),
        "eight" => (1, 8),
        "many" => (READERS, 1),
        other => panic!("{other:?} is none of one, eight, many"),
    };
    let hub = hub();
    let names: Vec<_> = (0..channels).map(|n| ChannelName::parse(&format!("log:{n}")).unwrap()).collect();
    for n in 0..READERS {
        read(&hub, n, &names[n % channels]);
    }
    let data = Data::Json(format!("\"{}\"", "x".repeat(126)).into_bytes().into());
    for _ in 0..times {
        for name in &names {
            (0..together).for_each(|_| publish(&hub, name, &data));
        }
        run_rounds();
    }
    // So that nobody can count what was not done.
    let wanted = (times * together * READERS) as u64;
    assert_eq!(hub.counters().deliveries.get(), wanted);
    println!("{wanted}");
}
