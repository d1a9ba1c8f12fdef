//! A hub with very many readers and no sockets: memory and fan-out time must grow in a straight line, and a second core must help.
//!
//! `cargo run --release -p fanfare-bench --example scaling [READERS...]` (default: 10,000 100,000 1,000,000) prints the simulation's tables of
//! docs/scaling.md, and fails when growth is no straight line. Readers are connections of the real hub, with real cursors in real shards; only the write ends in a counter instead of
//! the kernel.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program for measuring")]

#[path = "../../hub/tests/support/rules.rs"]
mod rules;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fanfare_bench::process::Processes;
use fanfare_broker::{Append, Author, Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Connection, Form, Hub, Pumped, Socket, TURN_WRITES, WireForm};
use fanfare_protocol::{ChannelName, ClientId, Data, Event, EventName, Message, Publish, SubscribeOptions};
use rules::TestRules;

/// The allocator of the `fanfare` binary.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Times that one worker and two are measured in turns; the median counts.
const ROUNDS: usize = 5;

/// A WebSocket frame of a JSON message of the usual size.
struct Frame;

impl WireForm for Frame {
    fn id(&self) -> u16 {
        991
    }
    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x81, 126, 0, 0]);
        out.extend_from_slice(&message.offset.to_be_bytes());
        if let Data::Json(json) = &message.data {
            out.extend_from_slice(json);
        }
    }
    fn event(&self, _: &Event, _: &mut Vec<u8>) {}
}

/// Counts writes, spread over lines of cache so that workers do not fight for one counter.
#[derive(Clone)]
struct Sink {
    writes: Arc<[Counter; 64]>,
    mine: usize,
}

#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicU64);

impl Socket for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writes[self.mine].0.fetch_add(1, Relaxed);
        Ok(bytes.len())
    }
}

struct World {
    hub: Arc<Hub>,
    connections: Vec<Arc<Connection>>,
    writes: Arc<[Counter; 64]>,
    channel: ChannelName,
}

impl World {
    fn new() -> Self {
        let rules = Arc::new(TestRules::new(1 << 20));
        let budget = Arc::new(Budget::new(1 << 30));
        let broker =
            MemoryBroker::new(MemorySettings::new("e".parse().unwrap()), rules.clone(), budget.clone());
        let hub = Hub::new(Arc::new(broker), rules, budget, Box::new(|round| drop(tokio::spawn(round))));
        let channel = ChannelName::parse("news").unwrap();
        let writes = Arc::new(std::array::from_fn(|_| Counter::default()));
        Self { hub, connections: Vec::new(), writes, channel }
    }

    async fn fill(&mut self, readers: usize) {
        let options = SubscribeOptions { echo: true, ..SubscribeOptions::default() };
        for n in self.connections.len()..readers {
            let client = ClientId::parse(&format!("c{n:015}")).unwrap();
            // A shard's readers are neighbours: their writes are counted together.
            let sink = Sink { writes: self.writes.clone(), mine: n / 256 % 64 };
            let channel = &self.channel;
            let connection = self.hub.connect(Form(&Frame), client, Box::new(sink.clone()));
            self.hub.subscribe(&connection, channel, &options, None).await.unwrap();
            connection.release(channel);
            let mut write = |bytes: &[u8]| sink.try_write(bytes);
            while matches!(connection.pump(0, TURN_WRITES, &mut write), Pumped::Again) {}
            self.connections.push(connection);
        }
    }

    fn writes(&self) -> u64 {
        self.writes.iter().map(|counter| counter.0.load(Relaxed)).sum()
    }

    fn deliveries(&self) -> u64 {
        self.hub.counters().deliveries.get()
    }

    /// Publishes; waits for nobody.
    fn publish(&self, data: &Data) {
        let event = EventName::parse("tick").unwrap();
        let publish = Publish { event, ..Publish::new(self.channel.clone(), data.clone()) };
        let append = Append { publish, author: Author::default(), unix_ms: 1 };
        // In memory an append is done when it was queued.
        self.hub.publish(append).now().ok().unwrap().unwrap();
    }

    async fn until_delivered(&self, target: u64) {
        while self.deliveries() < target {
            tokio::task::yield_now().await;
        }
    }

    /// Publishes one after another, each when the last has reached everybody; gives the time and processor time of one.
    async fn fan_out(&self, publications: u64, data: &Data) -> (Duration, f64) {
        let me = Processes::new(vec![std::process::id()]);
        let (began, cpu) = (Instant::now(), me.cpu());
        let before = self.deliveries();
        for n in 1..=publications {
            self.publish(data);
            self.until_delivered(before + n * self.connections.len() as u64).await;
        }
        (began.elapsed() / publications as u32, (me.cpu() - cpu) / publications as f64)
    }
}

fn rss() -> f64 {
    Processes::new(vec![std::process::id()]).rss() as f64
}

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// Memory and time of one fan-out by the number of readers of one channel.
fn growth(sizes: &[usize]) {
    println!("| readers | bytes each | one fan-out | ns a reader | processor ns a reader |");
    println!("|---|---|---|---|---|");
    let runtime = runtime(1);
    let start = rss();
    let mut world = runtime.block_on(async { World::new() });
    let (mut bytes_each, mut ns_each) = (Vec::new(), Vec::new());
    for &size in sizes {
        // On the worker itself, so that publishing and rounds take turns on one core.
        let step = runtime.spawn(async move {
            let data = Data::Json(vec![b'1'; 128].into());
            world.fill(size).await;
            let bytes = (rss() - start) / size as f64;
            world.fan_out(3, &data).await;
            let publications = (20_000_000 / size as u64).clamp(20, 1000);
            let (took, cpu) = world.fan_out(publications, &data).await;
            let each = |seconds: f64| seconds * 1e9 / size as f64;
            println!(
                "| {size} | {bytes:.0} | {took:.2?} | {:.0} | {:.0} |",
                each(took.as_secs_f64()),
                each(cpu)
            );
            (world, bytes, each(cpu))
        });
        let (back, bytes, ns) = runtime.block_on(step).unwrap();
        world = back;
        bytes_each.push(bytes);
        ns_each.push(ns);
    }
    for connection in world.connections.drain(..) {
        world.hub.disconnect(&connection);
    }
    assert_eq!(world.hub.counters().connections.get(), 0);
    // The allocator gives back what nobody has used for a second or two.
    std::thread::sleep(Duration::from_secs(5));
    straight("memory", &bytes_each, 1.3);
    // Ten times the readers no longer fit the processor's caches: a constant factor, not a growing one.
    straight("time", &ns_each, 6.0);
    println!("\nAfter all have left: {:.0} MB more than at the start.", (rss() - start) / 1048576.0);
}

/// What one reader costs must not depend on how many there are: the dearest within `factor` of the cheapest.
fn straight(what: &str, each: &[f64], factor: f64) {
    let (least, most) =
        each.iter().fold((f64::MAX, 0.0_f64), |(least, most), &one| (least.min(one), most.max(one)));
    assert!(most <= factor * least, "{what} a reader grows with their number: {each:?}");
}

/// Deliveries a second and writes a delivery with so many workers, when writes cost nothing.
fn rate(readers: usize, in_flight: u64, workers: usize) -> (f64, f64) {
    let runtime = runtime(workers);
    let run = runtime.spawn(async move {
        let data = Data::Json(vec![b'1'; 128].into());
        let mut world = World::new();
        world.fill(readers).await;
        let (began, mut published) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(1) {
            if published * readers as u64 <= world.deliveries() + (in_flight - 1) * readers as u64 {
                world.publish(&data);
                published += 1;
            } else {
                tokio::task::yield_now().await;
            }
        }
        let deliveries = world.deliveries() as f64;
        (deliveries / began.elapsed().as_secs_f64(), world.writes() as f64 / deliveries)
    });
    runtime.block_on(run).unwrap()
}

/// What a second worker is worth: what the hub's own locks and queues allow. A fan-out to few readers is over before another worker has woken up.
fn workers(readers: usize, in_flight: u64) {
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rates, workers) in rates.iter_mut().zip([1, 2]) {
            rates.push(rate(readers, in_flight, workers));
        }
    }
    let [one, two] = rates.map(|mut rates| {
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        rates[ROUNDS / 2]
    });
    for (workers, (rate, writes)) in [(1, one), (2, two)] {
        let of_one = rate / one.0;
        println!("| {readers} | {in_flight} | {workers} | {:.1} M | {of_one:.2} | {writes:.2} |", rate / 1e6);
    }
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![10_000, 100_000, 1_000_000] } else { asked };
    growth(&sizes);
    println!("\n| readers | in flight | workers | deliveries a second | of one worker | writes a delivery |");
    println!("|---|---|---|---|---|---|");
    workers(1_000, 1);
    workers(10_000, 1);
    workers(10_000, 8);
    workers(100_000, 1);
    workers(100_000, 8);
}
