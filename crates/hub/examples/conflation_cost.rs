//! What a publish costs in the hub while readers with a rate listen: `cargo run --release -p fanfare-hub --example conflation_cost`.
//!
//! One thread publishes as fast as it can; sockets take everything and cost nothing, so that what is measured is the hub alone.
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fanfare_broker::{Append, Author, Budget, ChannelPolicy, MemoryBroker, MemorySettings, Policies};
use fanfare_hub::{Connection, Form, Hub, HubRules, Pumped, Slow, Socket, TURN_WRITES, WireForm};
use fanfare_protocol::{ChannelName, ClientId, Data, Event, EventName, Message, Publish, SubscribeOptions};

struct Rules;

impl Policies for Rules {
    fn policy(&self, _: &ChannelName) -> ChannelPolicy {
        ChannelPolicy::default()
    }
}

impl HubRules for Rules {
    fn slow(&self, _: &ChannelName) -> Slow {
        Slow::Skip
    }
    fn tail_bytes(&self) -> usize {
        1 << 20
    }
    fn presence_grace_ms(&self) -> u64 {
        5000
    }
    fn presence_lease_ms(&self) -> u64 {
        30_000
    }
}

/// Length and data, which is what a WebSocket frame of a message comes to.
struct Plain;

impl WireForm for Plain {
    fn id(&self) -> u16 {
        990
    }
    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        out.extend_from_slice(&message.offset.to_be_bytes());
        if let Data::Json(json) = &message.data {
            out.extend_from_slice(json);
        }
    }
    fn event(&self, _: &Event, _: &mut Vec<u8>) {}
}

#[derive(Clone, Default)]
struct Sink(Arc<AtomicU64>);

impl Socket for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Relaxed);
        Ok(bytes.len())
    }
}

fn publish(channel: &ChannelName, key: &Arc<str>, data: &Data) -> Append {
    let (event, key) = (EventName::parse("tick").unwrap(), Some(key.clone()));
    let publish = Publish { event, key, ..Publish::new(channel.clone(), data.clone()) };
    Append { publish, author: Author::default(), unix_ms: 1 }
}

async fn drive(hub: &Hub, connection: &Arc<Connection>, sink: &Sink) {
    let write = &mut |bytes: &[u8]| sink.try_write(bytes);
    let mut pumped = connection.pump(0, TURN_WRITES, write);
    loop {
        pumped = match pumped {
            Pumped::Again => connection.pump(0, TURN_WRITES, write),
            Pumped::Fetch(fetch) => {
                let fetched = hub.fetch(&fetch).await.unwrap();
                connection.fetched(0, &fetch, fetched, write)
            }
            Pumped::Slow(slow) => {
                hub.fell_off(connection, &slow).await.unwrap();
                Pumped::Again
            }
            _ => return,
        };
    }
}

/// Processor time of this process, which other processes do not disturb: fields 14 and 15 of proc(5) in ticks of 10 ms. Zero where there is no
/// such file.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn measure(keys: usize, readers: usize, rate: Option<f64>) {
    const MESSAGES: u64 = 400_000;
    let rules = Arc::new(Rules);
    let budget = Arc::new(Budget::new(1 << 30));
    let broker = MemoryBroker::new(MemorySettings::new("e".parse().unwrap()), rules.clone(), budget.clone());
    let hub = Hub::new(Arc::new(broker), rules, budget, Box::new(|round| drop(tokio::spawn(round))));
    let channel = ChannelName::parse("trades").unwrap();
    let sink = Sink::default();
    let options = SubscribeOptions { rate, echo: true, ..SubscribeOptions::default() };
    let mut connections = Vec::new();
    for n in 0..readers {
        let client = ClientId::parse(&format!("client{n:010}")).unwrap();
        let connection = hub.connect(Form(&Plain), client, Box::new(sink.clone()));
        hub.subscribe(&connection, &channel, &options, None).await.unwrap();
        connection.release(&channel);
        drive(&hub, &connection, &sink).await;
        connections.push(connection);
    }
    let names: Vec<Arc<str>> = (0..keys).map(|n| format!("key-{n}").into()).collect();
    let data = Data::Json(vec![b'1'; 128].into());
    let (began, before, mut longest) = (Instant::now(), cpu_time(), Duration::ZERO);
    for n in 0..MESSAGES {
        let key = &names[(n as usize * 7919) % keys];
        hub.publish(publish(&channel, key, &data)).now().ok().unwrap().unwrap();
        // Eight a turn, as connections read: rounds run between.
        if n % 8 == 0 {
            let turn = Instant::now();
            tokio::task::yield_now().await;
            longest = longest.max(turn.elapsed());
        }
        // Who reads by itself is driven as a transport drives it.
        if n % 1024 == 0 {
            for connection in connections.iter().filter(|connection| connection.has_work()) {
                drive(&hub, connection, &sink).await;
            }
        }
    }
    let (took, used) = (began.elapsed(), cpu_time() - before);
    let deliveries = hub.counters().deliveries.get();
    println!(
        "{keys:>6} keys, {readers:>4} readers{}: {:>5.0} ns of processor time a publish ({:.0}/s), {deliveries} deliveries in {} writes, longest turn {longest:?}",
        rate.map_or(", every message".to_owned(), |rate| format!(" at {rate}/s")),
        used.as_nanos() as f64 / MESSAGES as f64,
        MESSAGES as f64 / took.as_secs_f64(),
        sink.0.load(Relaxed),
    );
    for connection in &connections {
        hub.disconnect(connection);
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for keys in [1, 100, 5_000, 20_000] {
        for (readers, rate) in [(0, None), (1, None), (100, None), (1, Some(20.0)), (100, Some(20.0))] {
            runtime.block_on(measure(keys, readers, rate));
        }
    }
}
