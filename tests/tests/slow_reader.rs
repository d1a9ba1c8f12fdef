//! Readers that stop reading under full fan-out, with retention that covers it: nobody else notices, the server keeps nothing for them but
//! a cursor, and when they go on they hear everything, once.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]

use std::time::{Duration, Instant};

use fanfare_tests::{
    scenario::{
        Crowd, Process,
        websocket::{Subprotocol, WebSocket},
    },
    server::Server,
    wait::PATIENCE,
};
use serde_json::{Value, json};

/// A small tail, so that who stops is soon beyond it and reads history afterwards.
const CONFIG: &str = r#"
[limits]
tail_bytes = 65536
[namespaces.default]
history = { size = 1000000, ttl = "24h", bytes = "512MB" }
anonymous = ["subscribe", "publish", "history"]
"#;

const CHANNEL: &str = "news";
const OTHERS: usize = 200;
/// More than one, so that anything kept for each of them would show in the server's memory.
const STOPPED: usize = 20;
const BATCH: u64 = 5;
const MESSAGE_BYTES: usize = 4096;
/// The time from one batch to the next, at the least.
const PACE: Duration = Duration::from_millis(25);

/// Publishes batches, each as soon as all the others have heard the one before.
struct Publisher {
    socket: WebSocket,
    published: u64,
}

impl Publisher {
    /// The number of batches that all of `others` heard in this time.
    async fn publish_for(&mut self, time: Duration, others: &Crowd) -> u64 {
        let (began, mut batches) = (Instant::now(), 0);
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while began.elapsed() < time {
            pace.tick().await;
            let command = json!({"type": "publish", "channel": CHANNEL, "data": "x".repeat(MESSAGE_BYTES)});
            let commands = Value::from(vec![command; BATCH as usize]).to_string();
            self.socket.send(commands.as_bytes()).await.unwrap();
            self.published += BATCH;
            others.hears(self.published, PATIENCE).await.unwrap();
            batches += 1;
        }
        batches
    }
}

async fn stop_for(time: Duration) {
    let server = Server::start(CONFIG);
    let process = Process(server.id());
    let others = Crowd::gather(server.address(), CHANNEL, OTHERS).await.unwrap();
    let stopped = Crowd::gather(server.address(), CHANNEL, STOPPED).await.unwrap();
    let socket = WebSocket::open(server.address(), Subprotocol::Json, "").await.unwrap();
    let mut publisher = Publisher { socket, published: 0 };

    let normal = publisher.publish_for(time, &others).await;
    stopped.hears(publisher.published, PATIENCE).await.unwrap();
    stopped.stop_reading();
    let (memory, before) = (process.resident_bytes(), publisher.published);
    let meanwhile = publisher.publish_for(time, &others).await;
    let grown = process.resident_bytes().saturating_sub(memory);

    assert!(stopped.least() <= before + BATCH, "they did not stop");
    assert!(
        meanwhile * 10 >= normal * 6,
        "{meanwhile} batches went round with stopped readers, {normal} without"
    );
    let published = (publisher.published - before) * MESSAGE_BYTES as u64;
    println!("{normal} batches, then {meanwhile}; published {published} bytes, grown by {grown}");
    // The history itself is in memory; what is kept for each stopped reader would come on top, 20 times.
    let bound = published * 2 + (24 << 20);
    assert!(grown <= bound, "grown by {grown} bytes while {published} were published");

    stopped.go_on();
    stopped.hears(publisher.published, Duration::from_secs(30)).await.unwrap();
    // Once more round for everybody: nothing of before comes a second time.
    publisher.publish_for(Duration::from_millis(100), &others).await;
    stopped.hears(publisher.published, PATIENCE).await.unwrap();
    let all = publisher.published * (OTHERS + STOPPED) as u64;
    assert_eq!(others.deliveries() + stopped.deliveries(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_for_seconds_cost_nobody_anything() {
    stop_for(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes"]
async fn readers_that_stop_for_a_minute_cost_nobody_anything() {
    stop_for(Duration::from_secs(60)).await;
}
