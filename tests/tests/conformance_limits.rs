//! What a slow or greedy client costs: itself, and nobody else.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{http::position, prelude::*, ws};

/// 2,000 bytes a message, so that a few thousand are more than any buffer on the way holds.
const FILLER: usize = 2000;

async fn publish_many(server: &Server, channel: &str, numbers: std::ops::Range<u64>) {
    let filler = "x".repeat(FILLER);
    let numbers: Vec<u64> = numbers.collect();
    for part in numbers.chunks(500) {
        let messages: Vec<_> = part
            .iter()
            .map(|n| json!({ "channel": channel, "data": [n, filler], "key": format!("k{}", n % 7) }))
            .collect();
        let request = server.post("/v1/messages").bearer(config::API_KEY);
        let results = request.json(&json!({ "messages": messages })).send().await.ok();
        assert!(results["results"].as_array().unwrap().iter().all(|result| result["offset"].is_u64()));
    }
}

async fn reluctant(server: &Server, target: &str) -> Ws {
    let mut ws = Ws::over(server.connect_small().await, target, &[]).await.unwrap();
    ws.expect("welcome").await;
    ws.expect("subscribed").await;
    ws
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_nobody_and_then_gets_everything() {
    let server = Server::start(
        &config::STANDARD.replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 10000 }"),
    );
    let target = "/v1/ws?channel=plain:x";
    let mut still = reluctant(&server, target).await;
    let (mut brisk, _) = Ws::welcomed(&server, target).await;
    brisk.expect("subscribed").await;
    let reading = async {
        for n in 0..4000_u64 {
            assert_eq!(brisk.expect("message").await["data"][0], n);
        }
    };
    tokio::join!(publish_many(&server, "plain:x", 0..4000), reading);
    // 8 MB later it begins to read.
    for n in 0..4000_u64 {
        assert_eq!(still.expect("message").await["data"][0], n);
    }
    publish_many(&server, "plain:x", 4000..4001).await;
    assert_eq!(still.expect("message").await["data"][0], 4000);
    still.alive().await;
}

fn forgetful(slow: &str) -> String {
    config::STANDARD.replace("[limits]", "[limits]\ntail_bytes = 65536").replace(
        "[namespaces.plain]",
        &format!("[namespaces.plain]\nkeyed = true\nslow = \"{slow}\"\nhistory = {{ size = 20 }}"),
    )
}

#[tokio::test]
async fn a_reader_that_fell_off_the_log_is_closed_and_resumes_with_a_gap() {
    let server = Server::start(&forgetful("close"));
    let target = "/v1/ws?channel=plain:x";
    let mut still = reluctant(&server, target).await;
    publish_many(&server, "plain:x", 0..4000).await;
    let mut next = 0;
    let disconnect = loop {
        let frame = still.recv().await;
        if frame["type"] == "disconnect" {
            break frame;
        }
        assert_eq!(
            (&frame["type"], &frame["data"][0]),
            (&json!("message"), &json!(next)),
            "in order, without a hole"
        );
        next += 1;
    };
    assert_eq!(disconnect["code"], "slow_consumer");
    assert_eq!(still.ended().await.code, 4408);
    assert!((1..4000).contains(&next), "{next}");
    let epoch = server.get("/v1/channels/plain:x/messages?limit=1").send().await.ok()["epoch"].clone();
    let since = position(&json!({ "epoch": epoch, "offset": next }));
    let (mut back, _) = Ws::welcomed(&server, &format!("{target}&since={since}")).await;
    assert_eq!(back.expect("subscribed").await["recovered"], false);
    assert_eq!(back.expect("gap").await["offset"], 3980);
    assert_eq!(back.expect("message").await["data"][0], 3980);
}

#[tokio::test]
async fn a_reader_that_fell_off_the_log_may_skip_or_be_conflated_instead() {
    for slow in ["skip", "conflate"] {
        let server = Server::start(&forgetful(slow));
        let mut still = reluctant(&server, "/v1/ws?channel=plain:x").await;
        publish_many(&server, "plain:x", 0..4000).await;
        let (mut last, mut gaps, mut lost_from) = (0, 0, None);
        while last < 4000 {
            let frame = still.recv().await;
            if frame["type"] == "gap" {
                assert_eq!(frame["reason"], "slow", "{slow}: {frame}");
                gaps += 1;
                lost_from = Some(last);
                if slow == "skip" {
                    last = frame["offset"].as_u64().unwrap();
                }
                continue;
            }
            assert_eq!(frame["type"], "message", "{slow}");
            let offset = frame["offset"].as_u64().unwrap();
            if slow == "skip" || lost_from.is_none() {
                assert_eq!(offset, last + 1, "{slow}: a hole without a gap");
            } else {
                assert!(offset > last, "{slow}: {offset} after {last}");
            }
            last = offset;
        }
        assert!(gaps > 0, "{slow}: 8 MB were not lost to a reader that stood still");
        publish_many(&server, "plain:x", 4000..4001).await;
        assert_eq!(still.expect("message").await["data"][0], 4000);
    }
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_not_read() {
    let server = Server::shared();
    let channel = unique("plain:");
    let (mut witness, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    witness.expect("subscribed").await;
    publish_many(server, &channel, 0..50).await;
    for _ in 0..50 {
        witness.expect("message").await;
    }
    let mut raw = ws::Raw::over(server.connect_small().await, server).await;
    let ask = json!({ "type": "history", "ref": 1, "channel": channel }).to_string();
    // Each answer is 100 KB: the server stops reading long before all of this is sent.
    let asking = async {
        for _ in 0..200_000 {
            raw.frame(0x81, ask.as_bytes()).await;
        }
    };
    let stopped = tokio::time::timeout(Duration::from_secs(3), asking).await;
    assert!(stopped.is_err(), "everything was taken");
    witness.alive().await;
    server.publish(&channel, json!({ "data": "others go on" })).await;
    assert_eq!(witness.data(1).await, ["others go on"]);
}

#[tokio::test]
async fn connections_and_commands_have_their_number() {
    let limits =
        "[limits]\nconnections = 4\nconnections_per_user = 2\ncommands_per_second = 5\ncommands_burst = 10";
    let server = Server::start(&config::STANDARD.replace("[limits]", limits));
    let (ada, bob) = (token::of("ada"), token::of("bob"));
    let bearer = |token: &str| format!("Bearer {token}");
    let first = Ws::as_user(&server, &ada).await;
    let mut second = Ws::as_user(&server, &ada).await;
    let mut third = Ws::with(&server, "/v1/ws", &[("Authorization", &bearer(&ada))]).await;
    let refused = third.disconnected("limit_exceeded", 4430).await;
    assert!(
        refused["retry_after_ms"].is_u64(),
        "of a count of connections it is worth trying again: {refused}"
    );
    third.close().await;
    let problem =
        server.get("/v1/sse?channel=open:x").bearer(&ada).send().await.problem(429, "limit_exceeded");
    assert_eq!(problem["retryable"], true);
    let (_a, _b) = (room(&server, &bob).await, room(&server, &bob).await);
    let reply = server.get("/v1/sse?channel=open:x").send().await;
    assert_eq!(reply.problem(429, "limit_exceeded")["retryable"], true);
    // One that goes makes room.
    first.close().await;
    room(&server, &ada).await;
    let (mut published, mut errors) = (0, Vec::new());
    for n in 0..40 {
        second.send(&json!({ "type": "publish", "ref": n, "channel": "open:x", "data": n })).await;
    }
    for _ in 0..40 {
        let frame = second.recv().await;
        match frame["type"].as_str() {
            Some("ok") => published += 1,
            _ => errors.push(frame),
        }
    }
    assert!((10..35).contains(&published), "{published}");
    for error in &errors {
        ws::check_error(error, "rate_limited", "40 commands at once");
        assert!(error["retryable"] == true && error["retry_after_ms"].is_u64(), "{error}");
    }
}

/// A connection of a user, as soon as the server has noticed that another is gone.
async fn room(server: &Server, token: &str) -> Ws {
    let bearer = format!("Bearer {token}");
    let trying = async {
        loop {
            if let Ok(mut ws) = Ws::try_with(server, "/v1/ws", &[("Authorization", &bearer)]).await
                && ws.recv().await["type"] == "welcome"
            {
                return ws;
            }
        }
    };
    within(trying).await
}
