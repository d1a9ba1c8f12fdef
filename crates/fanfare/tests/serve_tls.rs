//! TLS without an HTTP server under long-lived connections: what a plain socket can, and what only TLS has.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod serve_support;

use axum::body::Body;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use serde_json::json;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

const OPEN: &str = r#"
[tls]
cert = "cert.pem"
key = "key.pem"
[auth]
api_keys = [{ name = "backend", key = "backend-key-0123456789" }]
[namespaces.default]
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
"#;

fn start() -> (Process, Way) {
    let directory = Directory::new();
    let certificate = certificate(&directory);
    let process = Process::start_in(directory, OPEN);
    let way = Way { address: process.address, certificate: Some(certificate), h2: false };
    (process, way)
}

#[tokio::test]
async fn a_drain_says_goodbye_and_ends_cleanly() {
    let (mut process, way) = start();
    let mut socket = way.websocket("/v1/ws?channel=c").await;
    frame_of(&mut socket, "subscribed").await;
    let mut streams = Vec::new();
    for path in ["/v1/sse?channel=c", "/v1/stream?channel=c"] {
        let mut http = way.http().await;
        let mut text = Text::new(http.get(path).await);
        text.until("subscribed").await;
        streams.push((text, http));
    }
    way.http().await.publish("c", json!("last words")).await;
    process.signal("TERM");
    let (frames, code) = end_of(&mut socket).await;
    assert_eq!((frames[0]["data"].as_str(), code), (Some("last words"), 1012));
    assert_eq!(frames.last().unwrap()["code"], "draining");
    for (text, _) in streams {
        // A TLS connection that is cut without its own goodbye is no clean end, and fails here.
        let rest = text.rest().await;
        assert!(rest.contains("last words") && rest.contains("draining"), "{rest}");
    }
    let (status, _) = process.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_websocket_can_be_a_later_request_of_a_kept_connection() {
    let (_process, way) = start();
    let mut http = way.http().await;
    assert_eq!(http.get("/health/live").await.status(), StatusCode::OK);
    let request = http
        .request("GET", "/v1/ws?channel=later")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut response = http.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    frame_of(&mut socket, "subscribed").await;
    for n in 1..=100 {
        say(&mut socket, json!({ "type": "publish", "channel": "later", "data": "x".repeat(n * 500) })).await;
    }
    for n in 1..=100 {
        let message = frame_of(&mut socket, "message").await;
        assert_eq!((&message["offset"], message["data"].as_str().unwrap().len()), (&json!(n), n * 500));
    }
}

#[tokio::test]
async fn the_hubs_own_pages_are_those_of_https() {
    let (_process, way) = start();
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let http = way.http().await;
        let origin = format!("{scheme}://{}", way.address);
        for path in ["/v1/sse?channel=c", "/v1/ws"] {
            let mut stream = way.dial().await;
            let upgrade = if path == "/v1/ws" {
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            } else {
                ""
            };
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nCookie: fanfare_token=backend-key-0123456789\r\n{upgrade}\r\n",
                way.address
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
            let expected = if status == 200 && path == "/v1/ws" { 101 } else { status };
            assert_eq!(answer, format!("HTTP/1.1 {expected}").as_bytes(), "{scheme} {path}");
        }
        drop(http);
    }
}

#[tokio::test]
async fn what_is_no_tls_or_no_request_is_cut_off() {
    let directory = Directory::new();
    let certificate = certificate(&directory);
    let process = Process::start_in(directory, &format!("[limits]\nhandshake = \"300ms\"\n{OPEN}"));
    let way = Way { address: process.address, certificate: Some(certificate), h2: false };
    for said in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"] {
        let mut tcp = Way::plain(process.address).dial().await;
        tcp.write_all(said).await.unwrap();
        let ended = tokio::time::timeout(SOON, tcp.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{said:?}");
    }
    for said in [&b""[..], b"GET /v1/sse?chan", b"POST / HTTP/1.1\r\nHo"] {
        let mut tls = way.dial().await;
        tls.write_all(said).await.unwrap();
        let ended = tokio::time::timeout(SOON, tls.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{said:?}");
    }
    // A head too large is told so over TLS too.
    let mut tls = way.dial().await;
    let head = format!("GET /health/live HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(SOON, tls.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    // After an open WebSocket, bytes that are no TLS end the connection.
    let mut socket = way.websocket("/v1/ws").await;
    assert_eq!(frame(&mut socket).await["type"], "welcome");
}
