//! Slow readers of a stored channel: each reads from the disk at its own pace, loses nothing, and costs nobody else anything; given the
//! room, all catch up at once.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fanfare_tests::{
    scenario::{
        Process, client,
        crowd::subscribe,
        publisher::positions,
        websocket::{Subprotocol, WebSocket},
    },
    server::Server,
    wait::{PATIENCE, within},
};
use serde_json::{Value, json};
use tokio::{net::TcpSocket, task::JoinSet};

/// Memory holds a second of the channel, the disk all of it.
const CONFIG: &str = r#"
data = "data"
[limits]
tail_bytes = 1048576
stall = "120s"
[namespaces.default]
history = { size = 10000000, ttl = "24h", bytes = "4GB" }
ack = "stored"
anonymous = ["subscribe", "publish", "history"]
"#;
const CHANNEL: &str = "news";
const MESSAGE_BYTES: usize = 4096;
/// A batch of five each 20 ms: 1 MB a second.
const BATCH: u64 = 5;
const PACE: Duration = Duration::from_millis(20);
/// 10 KB a second: a message each 400 ms.
const CRAWL: Duration = Duration::from_millis(400);

struct Scale {
    readers: usize,
    time: Duration,
    /// In which all must have caught up.
    patience: Duration,
}

/// What all slow readers know.
#[derive(Default)]
struct Told {
    /// They may read as fast as they can.
    go_on: AtomicBool,
    /// The last offset, once it is known.
    last: AtomicU64,
    deliveries: AtomicU64,
}

/// A reader that takes little before it reads.
async fn slow(server: SocketAddr) -> WebSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let stream = socket.connect(server).await.unwrap();
    let query = format!("?channel={CHANNEL}");
    let mut socket = WebSocket::over(stream, Subprotocol::Json, &query).await.unwrap();
    while client::json(&socket.next().await.unwrap()).unwrap().kind != "subscribed" {}
    socket
}

/// Every offset behind `at` without a hole, a message each [`CRAWL`] at first.
async fn crawl(mut socket: WebSocket, told: Arc<Told>, mut at: u64) {
    let prefix = format!("{{\"type\":\"message\",\"channel\":\"{CHANNEL}\",\"offset\":").into_bytes();
    let mut next = tokio::time::Instant::now();
    loop {
        let last = told.last.load(Relaxed);
        if last > 0 && at >= last {
            return;
        }
        let payload = socket.next().await.unwrap();
        let Some(rest) = payload.strip_prefix(&prefix[..]) else {
            panic!("{}", String::from_utf8_lossy(&payload));
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let offset = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        assert_eq!(offset, at + 1, "lost, repeated or out of order");
        at = offset;
        told.deliveries.fetch_add(1, Relaxed);
        while !told.go_on.load(Relaxed) && tokio::time::Instant::now() < next {
            // In pieces, so that nobody crawls on when all may go on.
            tokio::time::sleep(CRAWL / 8).await;
        }
        next = tokio::time::Instant::now() + CRAWL;
    }
}

/// Publishes a megabyte a second; the time of each batch from its publish to the fast reader that hears it.
async fn publish(server: SocketAddr, time: Duration) -> Vec<Duration> {
    let mut fast = subscribe(server, CHANNEL).await.unwrap();
    let mut publisher = WebSocket::open(server, Subprotocol::Json, "").await.unwrap();
    let began = Instant::now();
    let mut pace = tokio::time::interval(PACE);
    let mut latencies = Vec::new();
    while began.elapsed() < time {
        pace.tick().await;
        let command = json!({"type": "publish", "channel": CHANNEL, "data": "x".repeat(MESSAGE_BYTES)});
        let commands = Value::from(vec![command; BATCH as usize]).to_string();
        let published = Instant::now();
        publisher.send(commands.as_bytes()).await.unwrap();
        for _ in 0..BATCH {
            within(fast.next()).await.unwrap();
        }
        latencies.push(published.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

async fn run(scale: Scale) {
    let server = Server::start(CONFIG);
    let process = Process(server.id());
    let address = server.address();
    let before = publish(address, scale.time / 3).await;

    // They begin behind what was published so far.
    let told = Arc::new(Told::default());
    let mut readers = JoinSet::new();
    let heard = positions(address, &[CHANNEL.to_owned()]).await.unwrap()[0].offset;
    for _ in 0..scale.readers {
        let socket = slow(address).await;
        readers.spawn(crawl(socket, told.clone(), heard));
    }
    let memory = process.resident_bytes();
    let during = publish(address, scale.time).await;
    let grown = process.resident_bytes().saturating_sub(memory);
    let published = positions(address, &[CHANNEL.to_owned()]).await.unwrap()[0].offset - heard;
    let so_far = told.deliveries.load(Relaxed);
    told.last.store(heard + published, Relaxed);
    told.go_on.store(true, Relaxed);
    let began = Instant::now();
    let all = async {
        while let Some(done) = readers.join_next().await {
            done.unwrap()
        }
    };
    tokio::time::timeout(scale.patience, all).await.expect("they did not catch up in time");
    let took = began.elapsed();
    println!(
        "{} readers, {published} messages of {MESSAGE_BYTES} bytes in {:?}, {so_far} heard meanwhile; fast reader p50 {:?} p99 {:?} alone, \
         p50 {:?} p99 {:?} with them; grown by {} KB; caught up in {took:?}",
        scale.readers,
        scale.time,
        percentile(&before, 50),
        percentile(&before, 99),
        percentile(&during, 50),
        percentile(&during, 99),
        grown >> 10,
    );
    let total = told.deliveries.load(Relaxed);
    assert_eq!(total, published * scale.readers as u64);
    assert!(so_far * 2 < total, "they were not slow: {so_far} of {total} before they caught up");
    // What is kept for a slow reader is a cursor; what is published lies on the disk.
    assert!(grown < 48 << 20, "grown by {grown} bytes");
    let bound = percentile(&before, 50) * 10 + Duration::from_millis(50);
    assert!(
        percentile(&during, 50) < bound,
        "{:?}, alone {:?}",
        percentile(&during, 50),
        percentile(&before, 50)
    );
    // And then the reader beside them hears as before.
    let after = tokio::time::timeout(PATIENCE, publish(address, scale.time / 10)).await.unwrap();
    assert!(percentile(&after, 50) < bound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_a_stored_channel_lose_nothing_and_cost_nobody_anything() {
    run(Scale { readers: 20, time: Duration::from_secs(4), patience: Duration::from_secs(60) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "three minutes; best with --release"]
async fn a_hundred_slow_readers_catch_up_with_a_minute_of_a_megabyte_a_second() {
    run(Scale { readers: 100, time: Duration::from_secs(60), patience: Duration::from_secs(60) }).await;
}
