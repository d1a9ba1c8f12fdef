//! One hub over every network: HTTP/1.1 and HTTP/2, plain and TLS, each with requests, SSE and WebSocket.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod serve_support;

use axum::body::Body;
use http::{StatusCode, Version};
use hyper_util::rt::TokioIo;
use serde_json::json;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode},
};

const OPEN: &str = r#"
[namespaces.default]
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
"#;

/// The four ways to a hub, which is running as long as the processes are.
fn ways() -> (Vec<Process>, Vec<Way>) {
    let plain = Process::start(OPEN);
    assert_eq!(plain.scheme, "http");
    let directory = Directory::new();
    let certificate = certificate(&directory);
    let tls = format!("[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{OPEN}");
    let secure = Process::start_in(directory, &tls);
    assert_eq!(secure.scheme, "https");
    let mut ways = Vec::new();
    for h2 in [false, true] {
        ways.push(Way { h2, ..Way::plain(plain.address) });
        ways.push(Way { h2, address: secure.address, certificate: Some(certificate.clone()) });
    }
    (vec![plain, secure], ways)
}

fn name(way: &Way) -> String {
    format!(
        "{}-{}",
        if way.certificate.is_some() { "tls" } else { "plain" },
        if way.h2 { "h2" } else { "h1" }
    )
}

#[tokio::test]
async fn requests_and_sse_work_over_every_network() {
    let (_processes, ways) = ways();
    for way in ways {
        let name = name(&way);
        let mut http = way.http().await;
        let response = http.get("/health/ready").await;
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(response.version() == Version::HTTP_2, way.h2, "{name}");
        json(response).await;
        let channel = format!("sse-{name}");
        // A later request of a kept connection: pulled by the HTTP server. And the first of a new one.
        for (n, mut reader) in [http, way.http().await].into_iter().enumerate() {
            let response = reader.get(&format!("/v1/sse?channel={channel}")).await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut text = Text::new(response);
            text.until("event: fanfare.subscribed").await;
            let mut publisher = way.http().await;
            let published = publisher.publish(&channel, json!({ "n": n })).await;
            assert_eq!(published["offset"], n + 1, "{name}");
            text.until(&format!("event: message\ndata: {{\"n\":{n}}}\n\n")).await;
        }
    }
}

#[tokio::test]
async fn websockets_work_over_every_network() {
    let (_processes, ways) = ways();
    for way in ways {
        let name = name(&way);
        let path = format!("/v1/ws?channel=ws-{name}");
        if way.h2 {
            let mut socket = extended_connect(&way, &path).await;
            converse(&mut socket, &name).await;
        } else {
            let mut socket = way.websocket(&path).await;
            converse(&mut socket, &name).await;
        }
    }
}

/// RFC 8441: a WebSocket in a stream of HTTP/2.
async fn extended_connect(way: &Way, path: &str) -> WebSocketStream<impl Stream + use<>> {
    let mut http = way.http().await;
    // The server's settings, which allow it, have come with the first answer.
    assert_eq!(http.get("/health/live").await.status(), StatusCode::OK);
    let mut request = http.request("CONNECT", path).header("sec-websocket-version", "13");
    request = request.extension(hyper::ext::Protocol::from_static("websocket"));
    let mut response = http.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    // The connection must not end before its stream: it goes on as long as the client's task has work.
    std::mem::forget(http);
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await
}

async fn converse<S: Stream>(socket: &mut WebSocketStream<S>, name: &str) {
    let channel = format!("ws-{name}");
    assert_eq!(frame(socket).await["type"], "welcome", "{name}");
    let subscribed = frame(socket).await;
    assert_eq!((&subscribed["type"], &subscribed["offset"]), (&json!("subscribed"), &json!(0)), "{name}");
    let big = "x".repeat(50_000);
    for n in 1..=20 {
        say(socket, json!({ "type": "publish", "channel": channel, "data": { "n": n, "big": big } })).await;
    }
    for n in 1..=20 {
        let message = frame_of(socket, "message").await;
        assert_eq!(message["offset"], n, "{name}");
        assert_eq!(message["data"]["big"], big, "{name}");
    }
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.close(Some(close)).await.unwrap();
    assert_eq!(end_of(socket).await.1, 1000, "{name}");
}

#[tokio::test]
async fn a_stream_and_a_poll_work_over_every_network() {
    let (_processes, ways) = ways();
    for way in ways {
        let channel = format!("more-{}", name(&way));
        let mut http = way.http().await;
        let polled = json(http.get(&format!("/v1/poll?channel={channel}")).await).await;
        let cursor = polled["cursor"].as_str().unwrap();
        http.publish(&channel, json!("hello")).await;
        let polled =
            json(http.get(&format!("/v1/poll?channel={channel}&wait=10&since={cursor}")).await).await;
        assert_eq!(polled["messages"][0]["data"], "hello");
        let mut text = Text::new(http.get(&format!("/v1/stream?channel={channel}&since={cursor}")).await);
        text.until("\"data\":\"hello\"").await;
    }
}

#[tokio::test]
async fn a_head_up_to_the_limit_is_read_and_a_larger_one_is_431() {
    let process = Process::start(OPEN);
    for (bytes, status) in [(20_000, "200"), (31_000, "200"), (33_000, "431"), (200_000, "431")] {
        for method in ["GET", "POST"] {
            let mut stream = Way::plain(process.address).dial().await;
            let head = format!(
                "{method} /health/live HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX: {}\r\n\r\n",
                process.address,
                "x".repeat(bytes)
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            let status = if method == "POST" && status == "200" { "405" } else { status };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {bytes}: {answer:?}");
        }
    }
    let mut http = Way { h2: true, ..Way::plain(process.address) }.http().await;
    let request = http.request("GET", "/health/live").header("x", "x".repeat(33_000));
    assert_eq!(http.send(request.body(Body::empty()).unwrap()).await.status(), 431);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for_longer_than_the_handshake_may_take() {
    let process = Process::start(&format!("[limits]\nhandshake = \"300ms\"\n{OPEN}"));
    let mut kept = Vec::new();
    for h2 in [false, true] {
        let mut http = Way { h2, ..Way::plain(process.address) }.http().await;
        json(http.get("/health/live").await).await;
        kept.push(http);
    }
    // Nothing; half a request; half of what HTTP/2 begins with; all of it and no request.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    for said in [&b""[..], b"GET /hea", b"POST / HTTP/1.1\r\nHos", b"PRI * HT", preface] {
        let mut stream = Way::plain(process.address).dial().await;
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{said:?}");
    }
    // Who has asked before may take longer; each of the above took the time of a handshake.
    for mut http in kept {
        json(http.get("/health/live").await).await;
    }
}

#[tokio::test]
async fn beyond_the_limit_of_connections_one_is_told_so() {
    let process = Process::start(&format!("[limits]\nconnections = 2\n{OPEN}"));
    let way = Way::plain(process.address);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = way.websocket("/v1/ws").await;
        assert_eq!(frame(&mut socket).await["type"], "welcome");
        held.push(socket);
    }
    let mut http = way.http().await;
    let response = http.get("/v1/sse?channel=a").await;
    assert_eq!(response.status(), 429);
    assert_eq!(json(response).await["code"], "limit_exceeded");
    let socket = held.pop().unwrap();
    drop(socket);
    let begun = std::time::Instant::now();
    loop {
        let response = way.http().await.get("/v1/sse?channel=a").await;
        if response.status() == 200 {
            break;
        }
        assert!(begun.elapsed() < SOON, "the place is not given back");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn at_hangup_the_certificate_is_read_again() {
    let directory = Directory::new();
    let first = certificate(&directory);
    let process =
        Process::start_in(directory, &format!("[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{OPEN}"));
    let mut way = Way { address: process.address, certificate: Some(first), h2: false };
    let mut kept = way.http().await;
    way.certificate = Some(certificate(&process.directory));
    process.signal("HUP");
    let begun = std::time::Instant::now();
    loop {
        let certificate = way.certificate.clone();
        let dialled = tokio::spawn({
            let way = way.clone();
            async move { way.dial().await }
        });
        // The client refuses the old one.
        if dialled.await.is_ok() {
            assert!(certificate.is_some());
            break;
        }
        assert!(begun.elapsed() < SOON, "the new certificate is never served");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept.get("/health/live").await.status(), 200);
}
