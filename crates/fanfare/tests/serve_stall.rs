//! Clients that do not read: one that takes nothing is closed after `limits.stall`, one that takes some now and then is not, and hears
//! everything. Over sockets that rounds write to (TCP, TLS) and over one that an HTTP server pulls for (HTTP/2).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod serve_support;

use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::StreamExt;
use serde_json::json;
use serve_support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

const STALL: Duration = Duration::from_secs(2);
const MESSAGES: u64 = 400;
/// All of them are more than everything on the way holds.
const MESSAGE_BYTES: usize = 20_000;

const CONFIG: &str = r#"
[limits]
stall = "2s"
[auth]
api_keys = [{ name = "operator", key = "operator-key-0123456789" }]
[namespaces.default]
history = { size = 10000, ttl = "1h", bytes = "256MB" }
anonymous = ["subscribe", "publish"]
"#;

/// How a test's reader is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    WebSocket,
    WebSocketOverTls,
    SseOverTls,
    SseOverHttp2,
}

/// A reader of the channel `c` that has been told `subscribed` and reads only when asked.
enum Reader {
    WebSocket(WebSocketStream<BoxStream>),
    Sse {
        text: Text,
        /// Keeps its connection open.
        _http: Http,
    },
}

struct Server {
    /// Killed at the end.
    _process: Process,
    way: Way,
}

impl Server {
    fn start(how: How) -> Self {
        let directory = Directory::new();
        let tls = matches!(how, How::WebSocketOverTls | How::SseOverTls);
        let certificate = tls.then(|| certificate(&directory));
        let files = if tls { "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n" } else { "" };
        let process = Process::start_in(directory, &format!("{files}{CONFIG}"));
        let way = Way { address: process.address, certificate, h2: how == How::SseOverHttp2 };
        Self { _process: process, way }
    }

    async fn reader(&self, how: How) -> Reader {
        let stream = self.way.dial_small().await;
        match how {
            How::WebSocket | How::WebSocketOverTls => {
                let mut socket = self.way.websocket_over(stream, "/v1/ws?channel=c").await;
                frame_of(&mut socket, "subscribed").await;
                Reader::WebSocket(socket)
            }
            How::SseOverTls | How::SseOverHttp2 => {
                let mut http = self.way.http_over(stream).await;
                let mut text = Text::new(http.get("/v1/sse?channel=c").await);
                text.until("event: fanfare.subscribed").await;
                Reader::Sse { text, _http: http }
            }
        }
    }

    async fn slow_closes(&self) -> u64 {
        let mut http = self.way.http().await;
        let request =
            http.request("GET", "/metrics").header("authorization", "Bearer operator-key-0123456789");
        let text = Text::new(http.send(request.body(Body::empty()).unwrap()).await).rest().await;
        let line = text.lines().find_map(|line| line.strip_prefix("fanfare_slow_closes_total "));
        line.expect("the metric is there").parse().unwrap()
    }
}

async fn publish_all(way: Way) {
    let mut http = way.http().await;
    let filler = "x".repeat(MESSAGE_BYTES);
    let numbers: Vec<u64> = (1..=MESSAGES).collect();
    for part in numbers.chunks(100) {
        let messages: Vec<_> = part.iter().map(|n| json!({ "channel": "c", "data": [n, filler] })).collect();
        let body = json!({ "messages": messages }).to_string();
        let request = http.request("POST", "/v1/messages").body(Body::from(body)).unwrap();
        let answer = serve_support::json(http.send(request).await).await;
        assert_eq!(answer["results"][99]["offset"], part[99]);
    }
}

impl Reader {
    /// Reads a little; false when the server has ended the connection.
    async fn read(&mut self, heard: &mut Vec<u64>) -> bool {
        match self {
            Self::WebSocket(socket) => loop {
                match tokio::time::timeout(SOON, socket.next()).await.expect("a frame in time") {
                    Some(Ok(Message::Text(text))) => {
                        let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                        heard.extend(frame["offset"].as_u64().filter(|_| frame["type"] == "message"));
                        return frame["type"] != "disconnect";
                    }
                    Some(Ok(Message::Ping(_))) => {}
                    _ => return false,
                }
            },
            Self::Sse { text, .. } => {
                let more = text.more().await;
                let more = more && !text.read.contains("fanfare.disconnect");
                let whole = text.read.rfind("\n\n").map_or(0, |end| end + 2);
                let blocks: String = text.read.drain(..whole).collect();
                let offsets = blocks.lines().filter_map(|line| line.strip_prefix("data: ["));
                heard.extend(offsets.map(|data| data.split(',').next().unwrap().parse::<u64>().unwrap()));
                more
            }
        }
    }
}

async fn who_takes_nothing_is_closed(how: How) {
    let server = Server::start(how);
    let mut reader = server.reader(how).await;
    let begun = Instant::now();
    publish_all(server.way.clone()).await;
    while server.slow_closes().await == 0 {
        assert!(begun.elapsed() < SOON, "{how:?}: it is never closed");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= STALL, "{how:?}: closed after {:?}", begun.elapsed());
    // What was on the way still comes, then the end.
    let mut heard = Vec::new();
    while reader.read(&mut heard).await {}
    assert!((1..MESSAGES).contains(&(heard.len() as u64)), "{how:?}: {} messages", heard.len());
}

async fn who_takes_some_now_and_then_hears_everything(how: How) {
    let server = Server::start(how);
    let mut reader = server.reader(how).await;
    let (begun, mut heard) = (Instant::now(), Vec::new());
    let publishing = tokio::spawn(publish_all(server.way.clone()));
    while !publishing.is_finished() || begun.elapsed() < STALL * 5 / 2 {
        for _ in 0..6 {
            assert!(reader.read(&mut heard).await, "{how:?}: closed after {:?}", begun.elapsed());
        }
        sleep(STALL / 8).await;
    }
    publishing.await.unwrap();
    assert!((heard.len() as u64) < MESSAGES / 2, "{how:?}: it was not slow: {}", heard.len());
    while (heard.len() as u64) < MESSAGES {
        assert!(reader.read(&mut heard).await, "{how:?}: closed after {} messages", heard.len());
    }
    assert_eq!(heard, (1..=MESSAGES).collect::<Vec<_>>(), "{how:?}");
    assert_eq!(server.slow_closes().await, 0, "{how:?}");
}

#[tokio::test]
async fn who_asks_and_does_not_read_the_answers_is_cut_off() {
    let server = Server::start(How::WebSocket);
    publish_all(server.way.clone()).await;
    let mut stream = server.way.dial_small().await;
    // Answers of 200 KB and more each: far beyond what the kernel takes.
    let ask = "GET /v1/channels/c/messages?limit=100 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer operator-key-0123456789\r\n\r\n";
    let asked = 100;
    for _ in 0..asked {
        stream.write_all(ask.as_bytes()).await.unwrap();
    }
    sleep(STALL * 3).await;
    let mut answers = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answers)).await.expect("an end");
    let whole = answers.windows(12).filter(|twelve| twelve == b"HTTP/1.1 200").count();
    assert!((1..asked / 2).contains(&whole), "{whole} answers, {read:?}");
}

macro_rules! each {
    ($($name:ident: $how:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn who_takes_nothing_is_closed_after_the_stall() {
                who_takes_nothing_is_closed($how).await;
            }

            #[tokio::test]
            async fn who_takes_some_now_and_then_is_not_closed() {
                who_takes_some_now_and_then_hears_everything($how).await;
            }
        }
    )*};
}

each! {
    websocket: How::WebSocket;
    websocket_over_tls: How::WebSocketOverTls;
    sse_over_tls: How::SseOverTls;
    sse_over_http2: How::SseOverHttp2;
}
