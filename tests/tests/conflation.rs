//! `rate`: at most so many messages a second for each key, the newest wins, the last always arrives; however fast is published.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fanfare_tests::{http::Lines, http::position, prelude::*};

/// Memory holds a fraction of what a window brings, and the log even less.
fn narrow(data: &str) -> String {
    let config = config::STANDARD
        .replace("[limits]", "[limits]\ntail_bytes = 65536")
        .replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 10 }");
    format!("{data}{config}")
}

const DISK: &str = "data = \"data\"\n";

/// Publishes so many messages a batch, of keys in turn (`keys` of them, and one in `keys + 1` without).
async fn flood(server: &Server, channel: &str, numbers: std::ops::Range<u64>, keys: u64) {
    let numbers: Vec<u64> = numbers.collect();
    for part in numbers.chunks(500) {
        let messages: Vec<_> = part
            .iter()
            .map(|n| match n % (keys + 1) {
                0 => json!({ "channel": channel, "data": n }),
                key => json!({ "channel": channel, "data": n, "key": format!("k{key}") }),
            })
            .collect();
        let request = server.post("/v1/messages").bearer(config::API_KEY);
        request.json(&json!({ "messages": messages })).send().await.ok();
    }
}

/// The newest of every key of the numbers published by [`flood`], up to the last.
fn newest(last: u64, keys: u64) -> BTreeMap<String, u64> {
    (last - keys..=last)
        .map(|n| match n % (keys + 1) {
            0 => (String::new(), n),
            key => (format!("k{key}"), n),
        })
        .collect()
}

fn key_of(message: &Value) -> String {
    message["key"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_overruns_memory_and_log_loses_nothing_of_the_newest() {
    const RATE: u64 = 5;
    const LAST: u64 = 30_000;
    for data in ["", DISK] {
        let server = Server::start(&narrow(data));
        let target = format!("/v1/ws?channel=plain:x&rate={RATE}");
        let (mut ws, _) = Ws::welcomed(&server, &target).await;
        ws.expect("subscribed").await;
        let flooding = flood(&server, "plain:x", 1..LAST + 1, 4);
        let reading = async {
            let (mut seen, mut at, began) =
                (BTreeMap::<String, (u64, Instant, u64)>::new(), 0, Instant::now());
            let due = newest(LAST, 4);
            while due.iter().any(|(key, n)| seen.get(key).is_none_or(|(seen, ..)| seen != n)) {
                // No gap: what was conflated away is not missing.
                let message = ws.expect("message").await;
                let (offset, now) = (message["offset"].as_u64().unwrap(), Instant::now());
                assert!(offset > at, "{offset} after {at}");
                at = offset;
                assert_eq!(message["data"], offset, "true offsets");
                let before = seen.get(&key_of(&message)).copied();
                let count = before.map_or(1, |(_, _, count)| count + 1);
                seen.insert(key_of(&message), (offset, now, count));
            }
            (seen, began.elapsed())
        };
        let ((), (seen, took)) = tokio::join!(flooding, reading);
        let windows = took.as_millis() as u64 * RATE / 1000 + 2;
        for (key, (_, _, count)) in &seen {
            assert!(*count <= windows, "{count} of {key:?} in {windows} windows");
            assert!(*count >= 2, "{key:?} was hardly ever told");
        }
        ws.alive().await;
    }
}

#[tokio::test]
async fn with_no_window_open_a_message_goes_at_once_and_the_next_at_its_end() {
    const WINDOW: Duration = Duration::from_millis(1500);
    let server = Server::shared();
    let channel = unique("open:");
    let target = format!("/v1/ws?channel={channel}&rate={}", 1.0 / WINDOW.as_secs_f64());
    let (mut ws, _) = Ws::welcomed(server, &target).await;
    ws.expect("subscribed").await;
    for turn in 0..2 {
        let began = Instant::now();
        server.publish(&channel, json!({ "data": 1 })).await;
        assert_eq!(ws.data(1).await, [1]);
        let at_once = began.elapsed();
        assert!(at_once < WINDOW / 2, "turn {turn}: after {at_once:?}");
        for n in 2..=5 {
            server.publish(&channel, json!({ "data": n })).await;
        }
        assert_eq!(ws.data(1).await, [5], "the newest");
        let end = began.elapsed();
        assert!(end >= WINDOW && end < WINDOW * 2, "turn {turn}: after {end:?}");
        // The window that this delivery opened ends without one.
        ws.quiet(WINDOW + Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn replay_is_conflated_as_a_whole_on_every_transport() {
    const LAST: u64 = 5000;
    let config = config::STANDARD
        .replace("[limits]", "[limits]\ntail_bytes = 65536")
        .replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 100000 }")
        .replace("[namespaces.open]", "[namespaces.open]\nhistory = { size = 100000 }");
    for data in ["", DISK] {
        let server = Server::start(&format!("{data}{config}"));
        for channel in ["plain:x", "open:x"] {
            let first = position(&server.publish(channel, json!({ "data": 0 })).await);
            flood(&server, channel, 1..LAST, 3).await;
            let expected = newest(LAST - 1, 3);
            let query = format!("channel={channel}&since={first}&rate=1");
            let mut all = Vec::new();

            let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?{query}")).await;
            let subscribed = ws.expect("subscribed").await;
            assert_eq!(
                (&subscribed["recovered"], &subscribed["replay"], &subscribed["offset"]),
                (&json!(true), &json!(4), &json!(LAST)),
            );
            let mut messages = Vec::new();
            for _ in 0..4 {
                messages.push(ws.expect("message").await);
            }
            all.push(messages);

            let mut lines = Lines::new(server.get(&format!("/v1/stream?{query}")).open().await);
            assert_eq!(lines.expect("subscribed").await["replay"], 4);
            let mut messages = Vec::new();
            for _ in 0..4 {
                messages.push(lines.expect("message").await);
            }
            all.push(messages);

            let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?{query}&envelope=1"))).await;
            let mut messages = Vec::new();
            for _ in 0..4 {
                messages.push(sse.expect("message").await.json());
            }
            all.push(messages);

            for messages in &all {
                let offsets: Vec<_> = messages.iter().map(|m| m["offset"].as_u64().unwrap()).collect();
                assert!(offsets.is_sorted_by(|a, b| a < b), "{channel}: {offsets:?}");
                let found: BTreeMap<_, _> =
                    messages.iter().map(|m| (key_of(m), m["data"].as_u64().unwrap())).collect();
                assert_eq!(found, expected, "{channel}");
            }
            // `rate` works within one answer of a poll.
            let mut target = format!("/v1/poll?{query}");
            let mut found = BTreeMap::new();
            loop {
                let page = server.get(&target).send().await.ok();
                let messages = page["messages"].as_array().unwrap();
                assert!(messages.len() <= 4);
                found.extend(messages.iter().map(|m| (key_of(m), m["data"].as_u64().unwrap())));
                if page["poll_after_ms"] != 0 {
                    break;
                }
                let cursor = page["cursor"].as_str().unwrap();
                target = format!("/v1/poll?channel={channel}&since={cursor}&rate=1");
            }
            assert_eq!(found, expected, "{channel}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_with_a_rate_that_stood_still_goes_on_with_the_newest() {
    let server = Server::start(&narrow(""));
    let target = "/v1/ws?channel=plain:x&rate=1000";
    let mut still = Ws::over(server.connect_small().await, target, &[]).await.unwrap();
    still.expect("welcome").await;
    still.expect("subscribed").await;
    // Of one key, so that a log of 10 and a small memory hold the newest at every moment.
    let filler = "x".repeat(4000);
    for turn in 0..400_u64 {
        let message = |n: u64| json!({ "channel": "plain:x", "key": "k", "data": [turn * 5 + n, filler] });
        let messages: Vec<_> = (1..=5).map(message).collect();
        let request = server.post("/v1/messages").bearer(config::API_KEY);
        request.json(&json!({ "messages": messages })).send().await.ok();
    }
    let (mut last, mut count) = (0, 0);
    while last < 2000 {
        let frame = still.recv().await;
        if frame["type"] == "gap" {
            continue;
        }
        let n = frame["data"][0].as_u64().unwrap();
        assert_eq!(frame["offset"], n);
        assert!(n > last);
        (last, count) = (n, count + 1);
    }
    assert!(count < 2000, "nothing was conflated");
    still.alive().await;
}

#[tokio::test]
async fn readers_of_one_rate_share_windows_and_each_gets_the_last() {
    let server = Server::shared();
    let channel = unique("open:");
    let mut readers = Vec::new();
    for n in 0..20 {
        let echo = if n % 2 == 0 { "" } else { "&echo=0" };
        let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&rate=10{echo}")).await;
        ws.expect("subscribed").await;
        readers.push(ws);
        server.publish(&channel, json!({ "key": "k", "data": n })).await;
    }
    for n in 20..=60 {
        server.publish(&channel, json!({ "key": "k", "data": n })).await;
    }
    for ws in &mut readers {
        let mut last = None;
        while last != Some(60) {
            let message = ws.expect("message").await;
            assert!(last < message["data"].as_u64());
            last = message["data"].as_u64();
        }
        ws.alive().await;
    }
}

#[tokio::test]
async fn a_past_too_long_to_count_is_told_as_far_as_it_was_counted() {
    const LAST: u64 = 15_000;
    let server = Server::start(
        &config::STANDARD
            .replace("[limits]", "[limits]\ntail_bytes = 65536")
            .replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 100000 }"),
    );
    let first = position(&server.publish("plain:x", json!({ "data": 0 })).await);
    flood(&server, "plain:x", 1..LAST, 3).await;
    let target = |query: &str| format!("/v1/ws?channel=plain:x&since={first}{query}");

    let (mut ws, _) = Ws::welcomed(&server, &target("&rate=1")).await;
    let subscribed = ws.expect("subscribed").await;
    assert_eq!((&subscribed["replay"], &subscribed["offset"]), (&json!(0), &json!(1)), "all of it is live");
    let mut found = BTreeMap::new();
    for _ in 0..4 {
        let message = ws.expect("message").await;
        found.insert(key_of(&message), message["data"].as_u64().unwrap());
    }
    assert_eq!(found, newest(LAST - 1, 3));

    let (mut ws, _) = Ws::welcomed(&server, &target("&echo=0")).await;
    let subscribed = ws.expect("subscribed").await;
    let (replay, offset) = (subscribed["replay"].as_u64().unwrap(), subscribed["offset"].as_u64().unwrap());
    assert!(offset < LAST && replay == offset - 1, "{subscribed}");
    let mut past = 0;
    for n in 2..=LAST {
        let message = ws.expect("message").await;
        assert_eq!(message["offset"], n);
        past += u64::from(n <= offset);
    }
    assert_eq!(past, replay);
}
