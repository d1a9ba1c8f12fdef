//! A server that stops says so to everybody, lets them come back spread out, and exits in time.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{http::Lines, prelude::*};

#[tokio::test]
async fn a_drain_says_goodbye_on_every_transport_and_exits_with_zero() {
    let mut server = Server::start(config::STANDARD);
    let channel = "open:x";
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?channel={channel}")).await;
        ws.expect("subscribed").await;
        sockets.push(ws);
    }
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}"))).await;
    let (mut pulled, _) =
        Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}")).header("Origin", config::ORIGIN))
            .await;
    let mut lines = Lines::new(server.get(&format!("/v1/stream?channel={channel}")).open().await);
    lines.expect("subscribed").await;
    let position = server.publish_numbers(channel, 1..=1).await.remove(0);
    let poll = server.get(&format!("/v1/poll?channel={channel}&since={position}&wait=60")).send();
    let ends = async {
        // So that the poll is parked.
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.terminate();
        let mut waits = Vec::new();
        for ws in &mut sockets {
            assert_eq!(ws.expect("message").await["data"], 1, "what was published before comes before");
            let disconnect = ws.disconnected("draining", 1012).await;
            waits.push(disconnect["retry_after_ms"].as_u64().unwrap());
        }
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 5, "spread out: {waits:?}");
        for sse in [&mut sse, &mut pulled] {
            let (mut retry, mut goodbye) = (None, false);
            while let Some(block) = sse.block().await {
                retry = block.retry.or(retry);
                goodbye |= block.event.as_deref() == Some("fanfare.disconnect")
                    && block.json()["code"] == "draining";
            }
            assert!(retry.is_some() && goodbye, "retry: {retry:?}, fanfare.disconnect: {goodbye}");
        }
        assert_eq!(lines.expect("message").await["data"], 1);
        assert_eq!(lines.expect("disconnect").await["code"], "draining");
        assert_eq!(lines.frame().await, None);
    };
    let (reply, ()) = tokio::join!(poll, ends);
    // What it waited for never came: an empty answer, or to come back elsewhere.
    if reply.status == 200 {
        assert_eq!((&reply.json()["messages"], &reply.json()["cursor"]), (&json!([]), &json!(position)));
    } else {
        reply.problem(503, "draining");
    }
    let status = server.exit(Duration::from_secs(11)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_hold_up_the_end() {
    let mut server = Server::start(&config::STANDARD.replace("[limits]", "[limits]\ndrain = \"1s\""));
    let mut raw = fanfare_tests::ws::Raw::open(&server).await;
    let half = server.connect().await;
    server.terminate();
    assert_eq!(raw.closed().await, Some(1012));
    let begun = tokio::time::Instant::now();
    let status = server.exit(Duration::from_secs(10)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(half);
}

#[tokio::test]
async fn an_idle_server_stops_at_once_and_takes_nobody_new() {
    let mut server = Server::start(config::STANDARD);
    let address = server.address();
    server.terminate();
    let status = server.exit(Duration::from_secs(10)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
