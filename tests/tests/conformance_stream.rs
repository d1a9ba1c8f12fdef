//! NDJSON streaming: the frames of a WebSocket, one a line.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::{http::Lines, prelude::*};

async fn open(server: &Server, target: &str) -> Lines {
    let streamed = server.get(target).open().await;
    assert_eq!((streamed.status, streamed.header("content-type")), (200, Some("application/x-ndjson")));
    Lines::new(streamed)
}

#[tokio::test]
async fn a_line_is_a_frame() {
    let server = Server::shared();
    let channel = unique("open:");
    let target = format!("/v1/stream?channel={channel}");
    let streamed = server.get(&target).open().await;
    assert_eq!(streamed.header("cache-control"), Some("no-cache"));
    assert!(streamed.header("fanfare-session").is_some());
    let mut lines = Lines::new(streamed);
    let subscribed = lines.expect("subscribed").await;
    assert_eq!(
        (&subscribed["channel"], &subscribed["offset"], &subscribed["replay"]),
        (&json!(channel), &json!(0), &json!(0))
    );
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    server.publish(&channel, json!({ "event": "say", "data": "a\nb", "tags": { "x": "y" } })).await;
    let message = lines.expect("message").await;
    assert_eq!(message, ws.expect("message").await, "the frame of a WebSocket");
    server.publish(&channel, json!({ "data": 1, "ephemeral": true })).await;
    assert_eq!(lines.expect("message").await.get("offset"), None);
}

#[tokio::test]
async fn several_channels_each_have_their_subscribed_and_their_place() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let on_a = server.publish_numbers(&a, 1..=3).await;
    let on_b = server.publish_numbers(&b, 1..=3).await;
    let target = format!("/v1/stream?channel={a}&channel={b}&since={}~{}", on_a[1], on_b[0]);
    let mut lines = open(server, &target).await;
    let (mut subscribed, mut seen) = (Vec::new(), Vec::new());
    while seen.len() < 3 || subscribed.len() < 2 {
        let frame = lines.frame().await.unwrap();
        let channel = frame["channel"].clone();
        if frame["type"] == "subscribed" {
            assert_eq!(frame["recovered"], true);
            subscribed.push(channel);
        } else {
            assert!(subscribed.contains(&channel), "subscribed comes first");
            seen.push((channel, frame["data"].as_u64().unwrap()));
        }
    }
    let of = |channel: &str| seen.iter().filter(|(c, _)| c == channel).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!((of(&a), of(&b)), (vec![3], vec![2, 3]));
}

#[tokio::test]
async fn presence_last_snapshot_and_echo_work_here_too() {
    let server = Server::shared();
    let channel = unique("open:");
    for n in 1..=4_u64 {
        server.publish(&channel, json!({ "key": "k", "data": n })).await;
    }
    let mut lines = open(server, &format!("/v1/stream?channel={channel}&last=2&presence=1")).await;
    assert_eq!(lines.expect("subscribed").await["replay"], 2);
    let (mut data, mut presence) = (Vec::new(), 0);
    while data.len() < 2 || presence < 1 {
        let frame = lines.frame().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "presence" => {
                assert_eq!(frame["action"], "present");
                presence += 1;
            }
            _ => data.push(frame["data"].clone()),
        }
    }
    assert_eq!(data, [3, 4]);
    let mut lines = open(server, &format!("/v1/stream?channel={channel}&snapshot=1")).await;
    assert_eq!(lines.expect("subscribed").await["replay"], 1);
    assert_eq!(lines.expect("message").await["data"], 4);
    let mut lines =
        open(server, &format!("/v1/stream?channel={channel}&echo=false&session={}", config::SESSION)).await;
    lines.expect("subscribed").await;
    let mine =
        server.post(&format!("/v1/channels/{channel}/messages")).header("Fanfare-Session", config::SESSION);
    mine.json(&json!({ "data": "mine" })).send().await.ok();
    server.publish(&channel, json!({ "data": "other" })).await;
    assert_eq!(lines.expect("message").await["data"], "other");
}

#[tokio::test]
async fn a_large_backlog_comes_whole_to_a_reader_that_takes_its_time() {
    let server = Server::shared();
    let channel = unique("open:");
    let filler = "x".repeat(30_000);
    for n in 0..100_u64 {
        server.publish(&channel, json!({ "data": [n, filler] })).await;
    }
    let mut lines = open(server, &format!("/v1/stream?channel={channel}&last=100")).await;
    assert_eq!(lines.expect("subscribed").await["replay"], 100);
    for n in 0..100_u64 {
        assert_eq!(lines.expect("message").await["data"][0], n);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
