//! Polls on one kept HTTP/1.1 connection: answered by the hub's own listener, in order, until another request comes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod serve_support;

use std::time::{Duration, Instant};

use serve_support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const OPEN: &str = r#"
[namespaces.default]
history = { size = 100 }
anonymous = ["subscribe", "publish"]
[auth]
allowed_origins = ["https://app.example"]
"#;

struct Raw(TcpStream, Vec<u8>);

/// Head and body of one answer.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn cursor(&self) -> &str {
        self.body.split("\"cursor\":\"").nth(1).unwrap().split('"').next().unwrap()
    }
}

impl Raw {
    async fn open(process: &Process) -> Self {
        Self(TcpStream::connect(process.address).await.unwrap(), Vec::new())
    }

    async fn ask(&mut self, target: &str, headers: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    async fn more(&mut self) -> usize {
        timeout(SOON, self.0.read_buf(&mut self.1)).await.expect("an answer in time").unwrap()
    }

    async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.1.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await > 0, "closed after {:?}", String::from_utf8_lossy(&self.1));
        };
        let mut answer =
            Answer { head: String::from_utf8(self.1[..end].to_vec()).unwrap(), body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.1.len() < end + length {
            assert!(self.more().await > 0, "closed inside a body");
        }
        answer.body = String::from_utf8(self.1[end..end + length].to_vec()).unwrap();
        self.1.drain(..end + length);
        answer
    }

    async fn is_closed(&mut self) -> bool {
        self.1.is_empty() && self.more().await == 0
    }
}

async fn publish(process: &Process, data: &str) {
    let mut socket = TcpStream::connect(process.address).await.unwrap();
    let data = format!("{{\"data\":{data}}}");
    let (path, length) = ("/v1/messages?channel=a", data.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(format!("{head}{data}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_kept_connection_polls_then_does_anything_else_then_polls() {
    let process = Process::start(OPEN);
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "").await;
    let first = raw.answer().await;
    assert!(first.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", first.head);
    assert!(
        first.header("date").is_some()
            && first.header("etag").is_some()
            && first.header("connection").is_none()
    );
    assert_eq!(first.header("content-type"), Some("application/json"));
    raw.ask(&format!("/v1/poll?channel=a&wait=20&since={}", first.cursor()), "").await;
    publish(&process, "{\"n\":1}").await;
    let second = raw.answer().await;
    assert!(second.body.contains("\"data\":{\"n\":1}"), "{}", second.body);
    let etag = second.header("etag").unwrap().to_owned();
    raw.ask(&format!("/v1/poll?channel=a&since={}", first.cursor()), &format!("If-None-Match: {etag}\r\n"))
        .await;
    let unchanged = raw.answer().await;
    assert!(unchanged.head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{}", unchanged.head);
    assert!(unchanged.header("content-length").is_none() && unchanged.body.is_empty());
    raw.ask("/v1/poll", "").await;
    let refused = raw.answer().await;
    assert!(refused.head.starts_with("HTTP/1.1 400 Bad Request\r\n") && refused.body.contains("bad_request"));
    // Something else, and a poll after it on the same connection.
    raw.ask("/health/ready", "").await;
    assert!(raw.answer().await.head.starts_with("HTTP/1.1 200"));
    raw.ask(&format!("/v1/poll?channel=a&since={}", first.cursor()), "").await;
    assert!(raw.answer().await.body.contains("\"n\":1"));
}

#[tokio::test]
async fn requests_behind_a_poll_that_waits_are_answered_in_order() {
    let process = Process::start(OPEN);
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "").await;
    let cursor = raw.answer().await.cursor().to_owned();
    let poll = format!("/v1/poll?channel=a&wait=20&since={cursor}");
    raw.ask(&poll, "").await;
    raw.ask(&poll, "Origin: https://app.example\r\n").await;
    raw.ask("/health/live", "").await;
    // More than is read ahead waits in the socket.
    raw.ask("/health/live", &format!("X-Long: {}\r\n", "x".repeat(6000))).await;
    publish(&process, "[1]").await;
    for n in 0..2 {
        let answer = raw.answer().await;
        assert!(answer.body.contains("\"data\":[1]"), "{}", answer.body);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (n == 1).then_some("https://app.example"), "{}", answer.head);
    }
    for _ in 0..2 {
        let answer = raw.answer().await;
        assert!(
            answer.head.starts_with("HTTP/1.1 200") && !answer.body.contains("cursor"),
            "{}",
            answer.head
        );
    }
}

#[tokio::test]
async fn a_client_that_wants_no_more_is_told_goodbye() {
    let process = Process::start(OPEN);
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "Connection: keep-alive, Close\r\n").await;
    assert_eq!(raw.answer().await.header("connection"), Some("close"));
    assert!(raw.is_closed().await);
    // Who has ended its side as soon as it had asked still gets its answer.
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "").await;
    raw.0.shutdown().await.unwrap();
    assert!(raw.answer().await.body.contains("cursor"));
    // One that waits and is gone does not keep its place.
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "").await;
    let cursor = raw.answer().await.cursor().to_owned();
    raw.ask(&format!("/v1/poll?channel=a&wait=60&since={cursor}"), "").await;
    until_polls(&process, 1).await;
    drop(raw);
    until_polls(&process, 0).await;
}

#[tokio::test]
async fn polls_that_wait_are_answered_when_the_server_stops() {
    let mut process = Process::start(OPEN);
    let mut raw = Raw::open(&process).await;
    raw.ask("/v1/poll?channel=a", "").await;
    let cursor = raw.answer().await.cursor().to_owned();
    raw.ask(&format!("/v1/poll?channel=a&wait=60&since={cursor}"), "").await;
    let mut idle = Raw::open(&process).await;
    idle.ask("/v1/poll?channel=a", "").await;
    idle.answer().await;
    until_polls(&process, 1).await;
    process.signal("TERM");
    let last = raw.answer().await;
    assert!(last.head.starts_with("HTTP/1.1 200") && last.cursor() == cursor, "{}", last.head);
    assert!(raw.is_closed().await && idle.is_closed().await);
    assert!(process.ended().await.0.success());
}

async fn until_polls(process: &Process, count: usize) {
    let begun = Instant::now();
    loop {
        let mut raw = Raw::open(process).await;
        raw.ask("/metrics", "").await;
        let page = raw.answer().await.body;
        let line =
            page.lines().find_map(|line| line.strip_prefix("fanfare_connections{transport=\"poll\"} "));
        if line.unwrap_or("0") == count.to_string() {
            return;
        }
        assert!(begun.elapsed() < SOON, "{page}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
