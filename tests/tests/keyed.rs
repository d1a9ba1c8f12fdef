//! Keyed channels on every transport, from memory and from disk: the snapshot, what stands in for a log that is gone, and readers that
//! fell off it.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{collections::BTreeMap, sync::OnceLock};

use fanfare_tests::{
    http::{Lines, position},
    prelude::*,
};

const TRANSPORTS: [&str; 6] = ["ws", "msgpack", "sse", "stream", "poll", "long-poll"];

/// The standard configuration over a memory broker, and over a disk.
fn servers() -> [&'static Server; 2] {
    static DISK: OnceLock<Server> = OnceLock::new();
    [Server::shared(), DISK.get_or_init(|| Server::start(&on_disk(config::STANDARD)))]
}

fn on_disk(config: &str) -> String {
    format!("data = \"data\"\n{config}")
}

/// What a reader was told when it began, and what came up to an offset.
#[derive(Debug, Default)]
struct Heard {
    recovered: Value,
    replay: Value,
    /// (reason, offset)
    gap: Option<(String, u64)>,
    messages: Vec<Value>,
}

impl Heard {
    fn take_gap(&mut self, gap: &Value) {
        assert!(self.gap.is_none(), "two gaps");
        assert!(self.messages.is_empty(), "a gap behind messages");
        self.gap = Some((gap["reason"].as_str().unwrap().to_owned(), gap["offset"].as_u64().unwrap()));
    }

    fn begin(&mut self, subscribed: &Value) {
        (self.recovered, self.replay) = (subscribed["recovered"].clone(), subscribed["replay"].clone());
    }

    fn offset(&self) -> u64 {
        self.messages.last().map_or(0, |message| message["offset"].as_u64().unwrap())
    }

    /// (key, data) in the order in which they came, each with a higher offset.
    fn keys(&self) -> Vec<(String, Value)> {
        let offsets: Vec<_> = self.messages.iter().map(|m| m["offset"].as_u64().unwrap()).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        self.messages
            .iter()
            .map(|m| (m["key"].as_str().unwrap_or_default().to_owned(), m["data"].clone()))
            .collect()
    }

    fn newest(&self) -> BTreeMap<String, Value> {
        self.keys().into_iter().collect()
    }
}

/// Reads a channel with these parameters until the message of this offset has come.
async fn hear(server: &Server, transport: &str, channel: &str, query: &str, upto: u64) -> Heard {
    let target = |path: &str| format!("/v1/{path}?channel={channel}{query}");
    let mut heard = Heard::default();
    match transport {
        "ws" | "msgpack" => {
            let name = if transport == "ws" { "fanfare.v1.json" } else { "fanfare.v1.msgpack" };
            let mut ws = Ws::with(server, &target("ws"), &[("Sec-WebSocket-Protocol", name)]).await;
            ws.expect("welcome").await;
            heard.begin(&ws.expect("subscribed").await);
            while heard.offset() < upto {
                let frame = ws.recv().await;
                match frame["type"].as_str() {
                    Some("gap") => heard.take_gap(&frame),
                    _ => heard.messages.push(frame),
                }
            }
            if transport == "ws" {
                ws.alive().await;
            }
        }
        "sse" => {
            let request = server.get(&format!("{}&envelope=1", target("sse")));
            let (mut sse, subscribed) = Sse::subscribed(request).await;
            heard.begin(&subscribed.json());
            while heard.offset() < upto {
                let block = sse.event().await.unwrap();
                match block.event.as_deref() {
                    Some("fanfare.gap") => heard.take_gap(&block.json()),
                    _ => heard.messages.push(block.json()),
                }
            }
        }
        "stream" => {
            let mut lines = Lines::new(server.get(&target("stream")).open().await);
            heard.begin(&lines.expect("subscribed").await);
            while heard.offset() < upto {
                let frame = lines.frame().await.unwrap();
                match frame["type"].as_str() {
                    Some("gap") => heard.take_gap(&frame),
                    _ => heard.messages.push(frame),
                }
            }
        }
        _ => poll(server, transport, channel, query, upto, &mut heard).await,
    }
    heard
}

/// Polls on from the cursor of the answer before, with the same other parameters.
async fn poll(server: &Server, transport: &str, channel: &str, query: &str, upto: u64, heard: &mut Heard) {
    let others: String = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("since="))
        .fold(String::new(), |mut all, part| {
            all.push('&');
            all.push_str(part);
            all
        });
    let wait = if transport == "poll" { "" } else { "&wait=10" };
    let mut target = format!("/v1/poll?channel={channel}{query}{wait}");
    heard.recovered = Value::Null;
    while heard.offset() < upto {
        let page = server.get(&target).send().await.ok();
        for gap in page["gap"].as_array().into_iter().flatten() {
            heard.take_gap(gap);
        }
        heard.messages.extend(page["messages"].as_array().unwrap().iter().cloned());
        let cursor = page["cursor"].as_str().unwrap();
        target = format!("/v1/poll?channel={channel}&since={cursor}{others}{wait}");
    }
}

/// Publishes keyed messages; the positions.
async fn publish(server: &Server, channel: &str, messages: &[(&str, Value)]) -> Vec<String> {
    let mut positions = Vec::new();
    for (key, data) in messages {
        let answer = server.publish(channel, json!({ "key": key, "data": data })).await;
        positions.push(position(&answer));
    }
    positions
}

fn pairs(expected: &[(&str, Value)]) -> Vec<(String, Value)> {
    expected.iter().map(|(key, data)| ((*key).to_owned(), data.clone())).collect()
}

#[tokio::test]
async fn a_log_that_is_gone_is_continued_by_key_on_every_transport() {
    for server in servers() {
        let channel = unique("small:");
        let mut messages = Vec::new();
        for round in 0..4 {
            messages.extend(["a", "b", "c"].map(|key| (key, json!(round))));
        }
        // Five are kept: 10 to 14.
        messages.push(("b", Value::Null));
        messages.push(("d", json!(9)));
        let positions = publish(server, &channel, &messages).await;
        let expected = pairs(&[("a", json!(3)), ("c", json!(3)), ("b", Value::Null), ("d", json!(9))]);
        for transport in TRANSPORTS {
            let query = format!("&snapshot=1&since={}", positions[2]);
            let heard = hear(server, transport, &channel, &query, 14).await;
            assert_eq!(heard.gap, None, "{transport}");
            assert_eq!(heard.keys(), expected, "{transport}");
            if !transport.contains("poll") {
                assert_eq!((&heard.recovered, &heard.replay), (&json!(true), &json!(4)), "{transport}");
            }
            // Without the keys, what is gone is a gap.
            let query = format!("&since={}", positions[2]);
            let heard = hear(server, transport, &channel, &query, 14).await;
            assert_eq!(heard.gap, Some(("expired".to_owned(), 9)), "{transport}");
            assert_eq!(heard.messages.len(), 5, "{transport}");
        }
    }
}

#[tokio::test]
async fn the_snapshot_comes_first_on_every_transport_and_then_what_is_new() {
    for server in servers() {
        let channel = unique("small:");
        let mut messages: Vec<_> = (0..20).map(|n| (["a", "b", "c", "d"][n % 4], json!(n))).collect();
        messages.push(("d", Value::Null));
        publish(server, &channel, &messages).await;
        for (n, transport) in (22..).zip(TRANSPORTS) {
            let reading = hear(server, transport, &channel, "&snapshot=1", n);
            let publishing = async {
                // Wherever in the reading it comes.
                server.publish(&channel, json!({ "key": "e", "data": n })).await;
            };
            let (heard, ()) = tokio::join!(reading, publishing);
            let expected = BTreeMap::from([
                ("a".to_owned(), json!(16)),
                ("b".to_owned(), json!(17)),
                ("c".to_owned(), json!(18)),
                ("e".to_owned(), json!(n)),
            ]);
            let mut newest = heard.newest();
            if newest.get("d") == Some(&Value::Null) {
                newest.remove("d");
            }
            assert_eq!(newest, expected, "{transport}");
            assert_eq!(heard.gap, None, "{transport}");
        }
    }
}

#[tokio::test]
async fn a_large_state_comes_in_pages_each_key_once() {
    const KEYS: u64 = 2500;
    for server in servers() {
        let channel = unique("small:");
        let numbers: Vec<u64> = (0..KEYS).collect();
        for part in numbers.chunks(500) {
            let messages: Vec<_> = part
                .iter()
                .map(|n| json!({ "channel": channel, "key": format!("k{n}"), "data": n }))
                .collect();
            let request = server.post("/v1/messages").bearer(config::API_KEY);
            request.json(&json!({ "messages": messages })).send().await.ok();
        }
        for transport in TRANSPORTS {
            let heard = hear(server, transport, &channel, "&snapshot=1", KEYS).await;
            assert_eq!(heard.newest().len() as u64, KEYS, "{transport}");
            assert_eq!(heard.messages.len() as u64, KEYS, "{transport}");
        }
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let target = format!("/v1/channels/{channel}/snapshot?limit=300{after}");
            let page = server.get(&target).send().await.ok();
            seen.extend(page["messages"].as_array().unwrap().iter().map(|m| m["data"].as_u64().unwrap()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", fanfare_tests::http::encode(next)),
                None => break,
            }
        }
        assert_eq!(seen, numbers);
    }
}

#[tokio::test]
async fn what_a_forgotten_removal_may_hide_is_told_by_a_gap() {
    for server in servers() {
        let channel = unique("brief:");
        let messages = [("a", json!(1)), ("b", json!(2)), ("b", Value::Null), ("c", json!(3))];
        let positions = publish(server, &channel, &messages).await;
        // The tombstone is forgotten with the log, a second later: then whoever stood before it cannot be told that b is gone.
        let began = tokio::time::Instant::now();
        loop {
            let query = format!("&snapshot=1&since={}", positions[1]);
            let heard = hear(server, "stream", &channel, &query, 4).await;
            if heard.gap.is_some() {
                break;
            }
            assert_eq!(heard.keys(), pairs(&messages[2..]), "as long as it is known");
            assert!(began.elapsed() < PATIENCE, "it is never forgotten");
        }
        for transport in TRANSPORTS {
            let query = format!("&snapshot=1&since={}", positions[1]);
            let heard = hear(server, transport, &channel, &query, 4).await;
            assert_eq!(heard.gap, Some(("expired".to_owned(), 0)), "{transport}");
            assert_eq!(heard.keys(), pairs(&[("a", json!(1)), ("c", json!(3))]), "{transport}");
            // Behind the tombstone nothing is missing.
            let query = format!("&snapshot=1&since={}", positions[2]);
            let heard = hear(server, transport, &channel, &query, 4).await;
            assert_eq!(heard.gap, None, "{transport}");
            assert_eq!(heard.keys(), pairs(&[("c", json!(3))]), "{transport}");
        }
    }
}

/// A channel whose log holds 20 messages, and memory hardly more.
fn forgetful(slow: &str) -> String {
    config::STANDARD.replace("[limits]", "[limits]\ntail_bytes = 65536").replace(
        "[namespaces.plain]",
        &format!("[namespaces.plain]\nkeyed = true\nslow = \"{slow}\"\nhistory = {{ size = 20 }}"),
    )
}

/// Publishes 2,000 bytes each, so that a few thousand are more than any buffer on the way holds.
async fn flood(server: &Server, channel: &str, numbers: std::ops::Range<u64>) {
    let filler = "x".repeat(2000);
    let numbers: Vec<u64> = numbers.collect();
    for part in numbers.chunks(500) {
        let message =
            |n: &u64| json!({ "channel": channel, "data": [n, filler], "key": format!("k{}", n % 7) });
        let messages: Vec<_> = part.iter().map(message).collect();
        let request = server.post("/v1/messages").bearer(config::API_KEY);
        request.json(&json!({ "messages": messages })).send().await.ok();
    }
}

#[tokio::test]
async fn who_fell_off_the_log_of_a_conflating_namespace_gets_the_newest_of_every_key() {
    for config in [forgetful("conflate"), on_disk(&forgetful("conflate"))] {
        let server = Server::start(&config);
        let mut still = Ws::over(server.connect_small().await, "/v1/ws?channel=plain:x", &[]).await.unwrap();
        still.expect("welcome").await;
        still.expect("subscribed").await;
        flood(&server, "plain:x", 0..4000).await;
        let (mut at, mut gaps, mut newest) = (0, 0, BTreeMap::new());
        while at < 4000 {
            let frame = still.recv().await;
            if frame["type"] == "gap" {
                assert_eq!(frame["reason"], "slow", "{frame}");
                // Behind the first gap it has passed by keys that changed while it read.
                let offset = frame["offset"].as_u64().unwrap();
                assert!(if gaps == 0 { offset == at } else { offset >= at }, "gap {offset} after {at}");
                gaps += 1;
                newest.clear();
                continue;
            }
            assert_eq!(frame["type"], "message");
            let offset = frame["offset"].as_u64().unwrap();
            assert!(if gaps == 0 { offset == at + 1 } else { offset > at }, "{offset} after {at}");
            at = offset;
            newest.insert(frame["key"].as_str().unwrap().to_owned(), offset);
        }
        assert!(gaps > 0, "8 MB were not lost to a reader that stood still");
        let expected: BTreeMap<_, _> = (3994..=4000).map(|n| (format!("k{}", (n - 1) % 7), n)).collect();
        assert_eq!(newest, expected);
        // And then live again.
        flood(&server, "plain:x", 4000..4003).await;
        assert_eq!(still.expect("message").await["offset"], 4001);
    }
}

#[tokio::test]
async fn who_asked_for_the_state_is_told_nothing_of_a_log_that_went_by() {
    for config in [forgetful("close"), on_disk(&forgetful("close"))] {
        let server = Server::start(&config);
        let target = "/v1/ws?channel=plain:x&snapshot=1";
        let mut still = Ws::over(server.connect_small().await, target, &[]).await.unwrap();
        still.expect("welcome").await;
        still.expect("subscribed").await;
        flood(&server, "plain:x", 0..4000).await;
        let (mut at, mut count, mut newest) = (0, 0, BTreeMap::new());
        while at < 4000 {
            let frame = still.expect("message").await;
            let offset = frame["offset"].as_u64().unwrap();
            assert!(offset > at);
            (at, count) = (offset, count + 1);
            newest.insert(frame["key"].as_str().unwrap().to_owned(), offset);
        }
        assert!(count < 4000, "nothing was left out");
        assert_eq!(newest.into_values().min(), Some(3994));
    }
}

#[tokio::test]
async fn who_fell_off_the_log_is_closed_or_skips_as_the_namespace_says() {
    for slow in ["close", "skip"] {
        let server = Server::start(&on_disk(&forgetful(slow)));
        let mut still = Ws::over(server.connect_small().await, "/v1/ws?channel=plain:x", &[]).await.unwrap();
        still.expect("welcome").await;
        still.expect("subscribed").await;
        flood(&server, "plain:x", 0..4000).await;
        let (mut at, mut gaps) = (0, 0);
        while at < 4000 {
            let frame = still.recv().await;
            match frame["type"].as_str() {
                Some("message") => {
                    assert_eq!(frame["offset"], at + 1, "{slow}: a hole without a gap");
                    at += 1;
                }
                Some("gap") => {
                    assert_eq!((slow, &frame["reason"]), ("skip", &json!("slow")));
                    at = frame["offset"].as_u64().unwrap();
                    gaps += 1;
                }
                _ => {
                    assert_eq!((slow, &frame["code"]), ("close", &json!("slow_consumer")), "{frame}");
                    break;
                }
            }
        }
        match slow {
            "close" => assert!(at < 4000 && still.ended().await.code == 4408),
            _ => assert!(gaps > 0),
        }
    }
}
