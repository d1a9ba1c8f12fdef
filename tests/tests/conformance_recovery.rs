//! Coming back: from its last position a reader gets everything after it once and in order, or is told what is missing.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{http::Lines, prelude::*};

/// A reader that can be cut and come back, the same on each transport.
enum Reader {
    Ws(Box<Ws>),
    Sse(Box<Sse>),
    Stream(Box<Lines>),
    Poll(Vec<(String, u64)>),
}

const TRANSPORTS: [&str; 5] = ["ws", "msgpack", "sse", "stream", "poll"];

/// Reads a channel from a position until `count` messages have come; their data and the position after each.
async fn read(
    server: &Server,
    transport: &str,
    channel: &str,
    since: &str,
    count: usize,
) -> Vec<(String, u64)> {
    let mut reader = open(server, transport, channel, &format!("&since={since}"), count).await;
    let mut seen = Vec::new();
    let epoch = since.split('-').next().unwrap();
    while seen.len() < count {
        match &mut reader {
            Reader::Ws(ws) => {
                let message = ws.expect("message").await;
                seen.push((format!("{epoch}-{}", message["offset"]), message["data"].as_u64().unwrap()));
            }
            Reader::Sse(sse) => {
                let block = sse.expect("message").await;
                seen.push((block.id.clone().unwrap(), block.json().as_u64().unwrap()));
            }
            Reader::Stream(lines) => {
                let message = lines.expect("message").await;
                seen.push((format!("{epoch}-{}", message["offset"]), message["data"].as_u64().unwrap()));
            }
            Reader::Poll(all) => seen.append(all),
        }
    }
    seen.truncate(count);
    seen
}

async fn open(server: &Server, transport: &str, channel: &str, query: &str, count: usize) -> Reader {
    let target = |path: &str| format!("/v1/{path}?channel={channel}{query}");
    match transport {
        "ws" | "msgpack" => {
            let name = if transport == "ws" { "fanfare.v1.json" } else { "fanfare.v1.msgpack" };
            let mut ws = Ws::with(server, &target("ws"), &[("Sec-WebSocket-Protocol", name)]).await;
            ws.expect("welcome").await;
            assert_eq!(ws.expect("subscribed").await["recovered"], true);
            Reader::Ws(Box::new(ws))
        }
        "sse" => {
            let (sse, subscribed) = Sse::subscribed(server.get(&target("sse"))).await;
            assert_eq!(subscribed.json()["recovered"], true);
            Reader::Sse(Box::new(sse))
        }
        "stream" => {
            let mut lines = Lines::new(server.get(&target("stream")).open().await);
            assert_eq!(lines.expect("subscribed").await["recovered"], true);
            Reader::Stream(Box::new(lines))
        }
        _ => {
            let mut all = Vec::new();
            let mut target = target("poll");
            while all.len() < count {
                let page = server.get(&format!("{target}&wait=5")).send().await.ok();
                assert_eq!(page["gap"].as_array().map_or(0, Vec::len), 0);
                let cursor = page["cursor"].as_str().unwrap();
                let epoch = cursor.split('-').next().unwrap();
                let messages = page["messages"].as_array().unwrap();
                all.extend(
                    messages
                        .iter()
                        .map(|m| (format!("{epoch}-{}", m["offset"]), m["data"].as_u64().unwrap())),
                );
                target = format!("/v1/poll?channel={channel}&since={cursor}");
            }
            Reader::Poll(all)
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_cut_and_comes_back_misses_and_repeats_nothing_on_any_transport() {
    let server = Server::shared();
    let channel = unique("plain:");
    let start = server.publish_numbers(&channel, 0..=0).await.remove(0);
    let publishing = async { server.publish_numbers(&channel, 1..=120).await };
    let readers = TRANSPORTS.map(|transport| {
        let (channel, start) = (channel.clone(), start.clone());
        async move {
            let mut at = start;
            let mut seen = Vec::new();
            // Each turn the connection is cut in the middle of the flow.
            while seen.len() < 120 {
                for (position, number) in
                    read(server, transport, &channel, &at, 12.min(120 - seen.len())).await
                {
                    seen.push(number);
                    at = position;
                }
            }
            assert_eq!(seen, (1..=120).collect::<Vec<u64>>(), "{transport}");
        }
    });
    tokio::join!(publishing, futures_util::future::join_all(readers));
}

#[tokio::test]
async fn replay_counts_what_comes_of_the_past() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=10).await;
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for (options, replay, recovered) in [
        (json!({ "since": positions[9] }), 0, Some(true)),
        (json!({ "since": positions[0] }), 9, Some(true)),
        (json!({ "since": positions[0], "last": 2 }), 9, Some(true)),
        (json!({ "last": 4 }), 4, None),
        (json!({ "last": 1000 }), 10, None),
        (json!({}), 0, None),
    ] {
        ws.call(json!({ "type": "unsubscribe", "channel": channel })).await;
        let subscribed = ws.subscribe(&channel, options.clone()).await;
        assert_eq!(subscribed["replay"], replay, "{options}");
        assert_eq!(subscribed["offset"], 10);
        assert_eq!(subscribed.get("recovered"), recovered.map(Value::from).as_ref(), "{options}");
        let expected: Vec<u64> = (11 - replay..=10).collect();
        assert_eq!(ws.data(usize::try_from(replay).unwrap()).await, expected);
        ws.alive().await;
    }
}

#[tokio::test]
async fn what_retention_removed_is_a_gap_before_what_is_left() {
    let server = Server::shared();
    let channel = unique("small:");
    let positions = server.publish_numbers(&channel, 1..=10).await;
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&since={}", positions[1])).await;
    let subscribed = ws.expect("subscribed").await;
    assert_eq!(
        (&subscribed["recovered"], &subscribed["offset"], &subscribed["replay"]),
        (&json!(false), &json!(10), &json!(5))
    );
    let gap = ws.expect("gap").await;
    assert_eq!(
        (&gap["channel"], &gap["reason"], &gap["offset"]),
        (&json!(channel), &json!("expired"), &json!(5))
    );
    assert_eq!(gap["epoch"], subscribed["epoch"]);
    assert_eq!(ws.data(5).await, [6, 7, 8, 9, 10]);
    // The oldest position that nothing is missing after.
    let exact = ws.subscribe(&channel, json!({ "since": positions[4] })).await;
    assert_eq!((&exact["recovered"], &exact["replay"]), (&json!(true), &json!(5)));
    assert_eq!(ws.data(5).await, [6, 7, 8, 9, 10]);
    // After a gap `last` says how much of what is left is wanted.
    let last = ws.subscribe(&channel, json!({ "since": positions[1], "last": 2 })).await;
    assert_eq!((&last["recovered"], &last["replay"]), (&json!(false), &json!(2)));
    assert_eq!(ws.expect("gap").await["offset"], 8);
    assert_eq!(ws.data(2).await, [9, 10]);
    ws.alive().await;
}

#[tokio::test]
async fn a_gap_is_told_on_every_transport() {
    let server = Server::shared();
    let channel = unique("small:");
    let positions = server.publish_numbers(&channel, 1..=10).await;
    let query = format!("channel={channel}&since={}", positions[1]);
    let (mut sse, subscribed) = Sse::subscribed(server.get(&format!("/v1/sse?{query}"))).await;
    assert_eq!(subscribed.json()["recovered"], false);
    assert_eq!(subscribed.id.as_deref(), Some(&*positions[1]), "the cursor as requested");
    let gap = sse.expect("fanfare.gap").await;
    assert_eq!((gap.id.as_deref(), &gap.json()["reason"]), (Some(&*positions[4]), &json!("expired")));
    assert_eq!(sse.expect("message").await.id.as_deref(), Some(&*positions[5]));
    let mut lines = Lines::new(server.get(&format!("/v1/stream?{query}")).open().await);
    assert_eq!(lines.expect("subscribed").await["recovered"], false);
    assert_eq!(lines.expect("gap").await["offset"], 5);
    assert_eq!(lines.expect("message").await["data"], 6);
    let page = server.get(&format!("/v1/poll?{query}")).send().await.ok();
    let gap = &page["gap"][0];
    assert_eq!(
        (&gap["channel"], &gap["offset"], &gap["reason"]),
        (&json!(channel), &json!(5), &json!("expired"))
    );
    assert_eq!(page["messages"].as_array().unwrap().len(), 5);
    let history =
        server.get(&format!("/v1/channels/{channel}/messages?since={}", positions[1])).send().await.ok();
    assert_eq!((&history["gap"], &history["messages"][0]["data"]), (&json!(true), &json!(6)));
}

#[tokio::test]
async fn what_grew_too_old_is_gone_for_new_reads() {
    let server = Server::shared();
    let channel = unique("brief:");
    let positions = server.publish_numbers(&channel, 1..=3).await;
    let history = format!("/v1/channels/{channel}/messages");
    assert_eq!(server.get(&history).send().await.ok()["messages"].as_array().unwrap().len(), 3);
    // A second, by the server's clock, which may tick in steps.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let page = server.get(&history).send().await.ok();
    assert_eq!((&page["messages"], &page["offset"]), (&json!([]), &json!(3)), "expiry changes no head");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&since={}", positions[0])).await;
    assert_eq!(ws.expect("subscribed").await["recovered"], false);
    let gap = ws.expect("gap").await;
    assert_eq!((&gap["reason"], &gap["offset"]), (&json!("expired"), &json!(3)));
    let head = ws.subscribe(&channel, json!({ "since": positions[2] })).await;
    assert_eq!(head["recovered"], true, "nothing after it is missing");
    let answer = server.publish(&channel, json!({ "data": 4 })).await;
    assert_eq!(answer["offset"], 4);
    assert_eq!(ws.data(1).await, [4]);
}

#[tokio::test]
async fn without_history_the_head_is_recovered_and_last_is_empty() {
    let server = Server::shared();
    let channel = unique("none:");
    let (mut live, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    live.expect("subscribed").await;
    let positions = server.publish_numbers(&channel, 1..=3).await;
    assert_eq!(live.data(3).await, [1, 2, 3]);
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    let head = ws.subscribe(&channel, json!({ "since": positions[2] })).await;
    assert_eq!((&head["recovered"], &head["replay"]), (&json!(true), &json!(0)));
    let last = ws.subscribe(&channel, json!({ "last": 10 })).await;
    assert_eq!(last["replay"], 0);
    ws.alive().await;
    let page = ws.ok(json!({ "type": "history", "channel": channel })).await;
    assert_eq!((&page["messages"], &page["offset"]), (&json!([]), &json!(3)));
    // An older cursor: while the tail holds what follows it, all of it; else a gap. Never silence.
    let old = ws.subscribe(&channel, json!({ "since": positions[0] })).await;
    if old["recovered"] == true {
        assert_eq!(ws.data(2).await, [2, 3]);
    } else {
        assert_eq!(ws.expect("gap").await["reason"], "expired");
    }
    server.publish(&channel, json!({ "data": 4 })).await;
    assert_eq!(ws.data(1).await, [4]);
}

#[tokio::test]
async fn a_snapshot_is_the_newest_of_each_key_and_then_the_log() {
    let server = Server::shared();
    let channel = unique("open:");
    for (key, data) in
        [("a", json!(1)), ("b", json!(2)), ("a", json!(3)), ("c", json!(4)), ("b", Value::Null)]
    {
        server.publish(&channel, json!({ "key": key, "data": data })).await;
    }
    server.publish(&channel, json!({ "data": "keyless" })).await;
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&snapshot=1")).await;
    let subscribed = ws.expect("subscribed").await;
    assert_eq!((&subscribed["offset"], subscribed.get("recovered")), (&json!(6), None));
    assert_eq!(subscribed["replay"], 2);
    let (first, second) = (ws.expect("message").await, ws.expect("message").await);
    assert_eq!((&first["key"], &first["data"], &first["offset"]), (&json!("a"), &json!(3), &json!(3)));
    assert_eq!((&second["key"], &second["data"], &second["offset"]), (&json!("c"), &json!(4), &json!(4)));
    ws.alive().await;
    server.publish(&channel, json!({ "key": "a", "data": null })).await;
    let tombstone = ws.expect("message").await;
    assert_eq!(
        (&tombstone["key"], &tombstone["data"], &tombstone["offset"]),
        (&json!("a"), &Value::Null, &json!(7))
    );
    let page = server.get(&format!("/v1/channels/{channel}/snapshot")).send().await.ok();
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["offset"]), (1, &json!(7)));
    assert_eq!(page.get("next"), None);
}

#[tokio::test]
async fn a_keyed_channel_recovers_beyond_its_log_by_its_keys() {
    let server = Server::shared();
    let channel = unique("small:");
    let mut positions = Vec::new();
    for round in 0..4_u64 {
        for key in ["a", "b", "c"] {
            let data = if (round, key) == (2, "b") { Value::Null } else { json!(round) };
            if (round, key) == (3, "b") {
                continue;
            }
            let answer = server.publish(&channel, json!({ "key": key, "data": data })).await;
            positions.push(fanfare_tests::http::position(&answer));
        }
    }
    // 11 messages, five kept; since the second of them, by key: the tombstone of b (8), a (10), c (11).
    let target = format!("/v1/ws?channel={channel}&snapshot=1&since={}", positions[1]);
    let (mut ws, _) = Ws::welcomed(server, &target).await;
    let subscribed = ws.expect("subscribed").await;
    assert_eq!(subscribed["recovered"], true, "{subscribed}");
    let mut newest = std::collections::BTreeMap::new();
    let mut last = 0;
    while last < 11 {
        let message = ws.expect("message").await;
        let offset = message["offset"].as_u64().unwrap();
        assert!(offset > last);
        last = offset;
        newest.insert(message["key"].as_str().unwrap().to_owned(), message["data"].clone());
    }
    assert_eq!(json!(newest), json!({ "a": 3, "b": null, "c": 3 }));
    // An unknown epoch: a gap at 0, then the snapshot without what is gone.
    let gone = ws.subscribe(&channel, json!({ "since": "zzz-1", "snapshot": true })).await;
    assert_eq!((&gone["recovered"], &gone["replay"]), (&json!(false), &json!(2)));
    let gap = ws.expect("gap").await;
    assert_eq!((&gap["offset"], &gap["reason"]), (&json!(0), &json!("epoch")));
    assert_eq!(ws.data(2).await, [3, 3]);
    ws.alive().await;
    ws.refused(json!({ "type": "subscribe", "channel": "plain:x", "snapshot": true }), "bad_request").await;
}

#[tokio::test]
async fn a_crash_of_a_server_in_memory_is_another_epoch() {
    let mut first = Server::start(config::STANDARD);
    let channel = "open:restart";
    let positions = first.publish_numbers(channel, 1..=5).await;
    let target = format!("/v1/sse?channel={channel}&since={}", positions[4]);
    let (mut sse, _) = Sse::subscribed(first.get(&target)).await;
    let address = first.address();
    first.kill();
    assert_eq!(sse.event().await, None, "the connection is gone");
    drop(first);
    let second = Server::start_at(config::STANDARD, address);
    // The new log is already longer: only the epoch tells.
    let fresh = second.publish_numbers(channel, 101..=107).await;
    let request = second.get(&target).header("Last-Event-ID", &positions[4]);
    let (mut sse, subscribed) = Sse::subscribed(request).await;
    assert_eq!(subscribed.json()["recovered"], false);
    let gap = sse.expect("fanfare.gap").await.json();
    assert_eq!((&gap["reason"], &gap["offset"]), (&json!("epoch"), &json!(0)));
    assert_ne!(gap["epoch"], positions[0].split('-').next().unwrap());
    for position in &fresh {
        assert_eq!(sse.expect("message").await.id.as_ref(), Some(position));
    }
    let page = second.get(&format!("/v1/poll?channel={channel}&since={}", positions[4])).send().await.ok();
    assert_eq!((&page["gap"][0]["reason"], page["messages"].as_array().unwrap().len()), (&json!("epoch"), 7));
    assert_eq!(page["cursor"], json!(fresh[6]));
    let (mut ws, _) =
        Ws::welcomed(&second, &format!("/v1/ws?channel={channel}&since={}", positions[4])).await;
    assert_eq!(ws.expect("subscribed").await["recovered"], false);
    assert_eq!(ws.expect("gap").await["reason"], "epoch");
    assert_eq!(ws.data(7).await, [101, 102, 103, 104, 105, 106, 107]);
}

#[tokio::test]
async fn a_publish_racing_a_resume_comes_once() {
    let server = Server::shared();
    for turn in 0..20 {
        let channel = unique("plain:");
        let start = server.publish_numbers(&channel, 0..=0).await.remove(0);
        let publishing = server.publish_numbers(&channel, 1..=10);
        let reading = async {
            let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&since={start}")).await;
            assert_eq!(ws.expect("subscribed").await["recovered"], true);
            assert_eq!(ws.data(10).await, (1..=10).collect::<Vec<u64>>(), "turn {turn}");
            ws.alive().await;
        };
        tokio::join!(publishing, reading);
    }
}
