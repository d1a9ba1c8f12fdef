//! Publishing far faster than readers can be written to: the publishers are held back, nobody is lost, memory is bounded, and when it is
//! over the hub is quiet.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use fanfare_tests::{
    scenario::{
        Crowd, Process, client,
        crowd::subscribe,
        publisher::positions,
        websocket::{Subprotocol, WebSocket},
    },
    server::Server,
    wait::within,
};
use serde_json::json;
use tokio::net::TcpSocket;

/// Retention covers the whole flood, for readers that fall behind in it. Pings are frequent: a publisher that is held back is not silent.
const CONFIG: &str = r#"
[limits]
ping = "2s"
pong = "5s"
[auth]
api_keys = [{ name = "metrics", key = "metrics-key-0123456789" }]
[namespaces.default]
history = { size = 10000000, ttl = "24h", bytes = "512MB" }
anonymous = ["subscribe", "publish", "history"]
"#;

const READERS: usize = 500;
const PUBLISHERS: usize = 4;
const FLOOD: Duration = Duration::from_secs(3);

/// Writes publishes as fast as the server takes them, without waiting for anything; the last one asks for an answer, which comes when all
/// before it were applied.
async fn flood(server: SocketAddr, channel: &'static str, time: Duration) {
    // Little room in this kernel: what is held back is not said yet, instead of waiting there for minutes.
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_send_buffer_size(32 << 10).unwrap();
    let stream = narrow.connect(server).await.unwrap();
    let mut socket = WebSocket::over(stream, Subprotocol::Json, "").await.unwrap();
    let mut frames = Vec::new();
    let command = json!({"type": "publish", "channel": channel, "data": "x".repeat(128)}).to_string();
    for _ in 0..100 {
        socket.frame(command.as_bytes(), &mut frames);
    }
    let began = Instant::now();
    while began.elapsed() < time {
        socket.send_raw(&frames).await.unwrap();
    }
    let last = json!({"type": "publish", "ref": 1, "channel": channel, "data": "last"}).to_string();
    socket.send(last.as_bytes()).await.unwrap();
    loop {
        let payload = socket.next().await.unwrap();
        match client::json(&payload).unwrap().kind {
            "ok" => return,
            "welcome" => {}
            _ => panic!("{}", String::from_utf8_lossy(&payload)),
        }
    }
}

/// Messages that a second of flooding publishes, and the most memory that the server held meanwhile.
async fn flood_by_all(server: &Server, channel: &'static str, time: Duration) -> (u64, f64, u64) {
    let process = Process(server.id());
    let began = Instant::now();
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..PUBLISHERS {
        floods.spawn(flood(server.address(), channel, time));
    }
    let mut most = 0;
    loop {
        most = most.max(process.resident_bytes());
        match tokio::time::timeout(Duration::from_millis(50), floods.join_next()).await {
            Ok(Some(done)) => done.unwrap(),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    let took = began.elapsed().as_secs_f64();
    let head = positions(server.address(), &[channel.to_owned()]).await.unwrap()[0].offset;
    (head, head as f64 / took, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_are_held_back_and_nobody_is_lost() {
    let server = Server::start(CONFIG);
    let process = Process(server.id());
    let (_, alone, _) = flood_by_all(&server, "unheard", Duration::from_secs(1)).await;

    let crowd = Crowd::gather(server.address(), "heard", READERS).await.unwrap();
    let memory = process.resident_bytes();
    let (published, rate, most) = flood_by_all(&server, "heard", FLOOD).await;
    let grown = most.saturating_sub(memory);
    println!(
        "{alone:.0}/s unheard; {rate:.0}/s with {READERS} readers, {published} published, grown by {grown}"
    );
    assert!(published > 1000, "hardly a flood: {published}");
    assert!(
        rate * 2.0 < alone,
        "{rate:.0}/s with {READERS} readers, {alone:.0}/s with none: nobody was held back"
    );
    let figures = server.get("/metrics").bearer("metrics-key-0123456789").send().await.text();
    let waits = figures.lines().find_map(|line| line.strip_prefix("fanfare_publish_waits_total "));
    assert!(waits.is_some_and(|waits| waits != "0"), "no publisher ever waited: {waits:?}");
    // A queue for each reader would hold some 100 KB a message.
    let bound = published * 1024 + (64 << 20);
    assert!(grown <= bound, "grown by {grown} bytes in {published} messages");

    let began = Instant::now();
    crowd.hears(published, Duration::from_secs(60)).await.unwrap();
    println!("all heard {:?} after the flood", began.elapsed());
    assert_eq!(crowd.deliveries(), published * READERS as u64);
    is_quiet(process).await;
    let began = Instant::now();
    for _ in 0..20 {
        within(subscribe(server.address(), "heard")).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "20 new subscribers took {:?}", began.elapsed());
}

/// Within two seconds it uses next to no processor time: under a tenth of one core.
async fn is_quiet(process: Process) {
    let mut used = Duration::MAX;
    for _ in 0..4 {
        used = process.cpu_during(Duration::from_millis(500)).await;
        if used <= Duration::from_millis(50) {
            return;
        }
    }
    panic!("still busy after two seconds: {used:?} in the last half second");
}
