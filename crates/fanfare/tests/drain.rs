//! Stopping: every client is told to come back, what was asked is answered, and the process ends in time with 0.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod serve_support;

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{StreamBody, combinators::BoxBody};
use serde_json::json;
use serve_support::*;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream, sync::mpsc};

const OPEN: &str = r#"
[namespaces.default]
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
"#;

fn retry_of(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("retry: "));
    line.unwrap_or_else(|| panic!("no retry in {text:?}")).parse().unwrap()
}

#[tokio::test]
async fn every_transport_is_told_and_the_process_ends_with_zero() {
    let mut process = Process::start(OPEN);
    let way = Way::plain(process.address);
    let h2 = Way { h2: true, ..way.clone() };
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = way.websocket("/v1/ws?channel=a").await;
        frame_of(&mut socket, "subscribed").await;
        sockets.push(socket);
    }
    let mut texts = Vec::new();
    // The first request of a connection is lean, a later one and HTTP/2 are pulled.
    let mut kept = way.http().await;
    json_of(&mut kept, "/health/live").await;
    let mut clients = vec![way.http().await, kept, h2.http().await];
    for client in &mut clients {
        let mut text = Text::new(client.get("/v1/sse?channel=a").await);
        text.until("fanfare.subscribed").await;
        texts.push(text);
    }
    let mut lines = Text::new(h2.http().await.get("/v1/stream?channel=a").await);
    lines.until("subscribed").await;
    let cursor = json_of(&mut way.http().await, "/v1/poll?channel=a").await["cursor"].clone();
    let path = format!("/v1/poll?channel=a&wait=60&since={}", cursor.as_str().unwrap());
    let mut polling = way.http().await;
    let poll = tokio::spawn(async move { json_of(&mut polling, &path).await });
    // The poll is parked once the server has answered something that came later.
    json_of(&mut way.http().await, "/health/ready").await;

    process.signal("TERM");
    let begun = Instant::now();
    let mut waits = Vec::new();
    for socket in &mut sockets {
        let (frames, close) = end_of(socket).await;
        assert_eq!((frames.len(), close), (1, 1012), "{frames:?}");
        assert_eq!((&frames[0]["type"], &frames[0]["code"]), (&json!("disconnect"), &json!("draining")));
        waits.push(frames[0]["retry_after_ms"].as_u64().unwrap());
    }
    for text in texts {
        let text = text.rest().await;
        assert!(text.contains("event: fanfare.disconnect\ndata: "), "{text:?}");
        waits.push(retry_of(&text));
    }
    let lines = lines.rest().await;
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["code"]), (&json!("disconnect"), &json!("draining")));
    assert_eq!(poll.await.unwrap()["messages"], json!([]));
    drop((sockets, clients));
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "clients come back together: {waits:?}");
    assert!(TcpStream::connect(process.address).await.is_err());
}

async fn json_of(client: &mut Http, path: &str) -> serde_json::Value {
    json(client.get(path).await).await
}

#[tokio::test]
async fn a_request_under_way_is_answered() {
    let mut process = Process::start(OPEN);
    let mut way = Way::plain(process.address);
    let mut watching = way.websocket("/v1/ws?channel=a").await;
    frame_of(&mut watching, "subscribed").await;
    let mut clients = Vec::new();
    for h2 in [false, true] {
        way.h2 = h2;
        let (body, rest) = mpsc::channel::<Bytes>(1);
        let frames = futures_util::stream::unfold(rest, |mut rest| async {
            let bytes = rest.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes)), rest))
        });
        let mut client = way.http().await;
        let request = client.request("POST", "/v1/channels/a/messages");
        let request = request.body(Body::new(BoxBody::new(StreamBody::new(Box::pin(frames))))).unwrap();
        body.send("{\"data\":".into()).await.unwrap();
        let answer = tokio::spawn(async move { json(client.send(request).await).await });
        clients.push((body, answer));
    }
    // A second h2 request shows that the connection is up; the body's first half left before it.
    let mut ready = Way { h2: true, ..way.clone() }.http().await;
    assert_eq!(ready.get("/health/ready").await.status(), 200);
    process.signal("TERM");
    assert_eq!(end_of(&mut watching).await.1, 1012);
    for (body, answer) in clients {
        body.send("1}".into()).await.unwrap();
        drop(body);
        let published = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
        assert!(published["offset"].is_u64(), "{published}");
    }
    assert!(process.ended().await.0.success());
}

#[tokio::test]
async fn clients_that_do_not_read_or_do_not_leave_cannot_hold_it_up() {
    let mut process = Process::start(&format!("[limits]\ndrain = \"1s\"\n{OPEN}"));
    let way = Way::plain(process.address);
    let mut publisher = way.http().await;
    // One reads nothing although megabytes wait for it.
    let mut stuck = way.dial().await;
    let head = format!("GET /v1/sse?channel=a HTTP/1.1\r\nHost: {}\r\n\r\n", process.address);
    stuck.write_all(head.as_bytes()).await.unwrap();
    let mut beginning = vec![0; 64];
    stuck.read_exact(&mut beginning).await.unwrap();
    let big = "x".repeat(60_000);
    for _ in 0..200 {
        publisher.publish("a", json!(big)).await;
    }
    // One never finishes its request, one has sent half a head, one nothing.
    let mut half = way.dial().await;
    let head = format!(
        "POST /v1/channels/a/messages HTTP/1.1\r\nHost: {}\r\nContent-Length: 9\r\n\r\n1",
        process.address
    );
    half.write_all(head.as_bytes()).await.unwrap();
    let mut quarter = way.dial().await;
    quarter.write_all(b"GET / HT").await.unwrap();
    let silent = way.dial().await;
    process.signal("TERM");
    let (status, took) = process.ended().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop((stuck, half, quarter, silent));
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up_at_all() {
    let mut process = Process::start(OPEN);
    let way = Way::plain(process.address);
    let mut kept = Vec::new();
    for h2 in [false, true] {
        let mut client = Way { h2, ..way.clone() }.http().await;
        json_of(&mut client, "/health/live").await;
        kept.push(client);
    }
    let silent = way.dial().await;
    process.signal("INT");
    let (status, took) = process.ended().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop((kept, silent));
}
