//! What is kept in a data directory is there after `kill -9`: messages, positions, ids, keyed state, members.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use fanfare_testkit::Random;
use fanfare_tests::{http::Lines, prelude::*};
use tokio_tungstenite::tungstenite::Message;

const ROUNDS: u64 = 6;

fn durable() -> String {
    format!("data = \"data\"\n{}", config::STANDARD)
}

/// Everything that a channel's history returns: data by offset, and the epoch.
async fn history(server: &Server, channel: &str) -> (BTreeMap<u64, Value>, String) {
    let (mut found, mut since) = (BTreeMap::new(), String::new());
    loop {
        let target = format!("/v1/channels/{channel}/messages?limit=1000{since}");
        let page = server.get(&target).bearer(config::API_KEY).send().await.ok();
        let epoch = page["epoch"].as_str().unwrap().to_owned();
        for message in page["messages"].as_array().unwrap() {
            let offset = message["offset"].as_u64().unwrap();
            assert!(found.insert(offset, message["data"].clone()).is_none(), "{offset} twice");
        }
        match found.last_key_value() {
            Some((last, _)) if page["more"] == true => since = format!("&since={epoch}-{last}"),
            _ => return (found, epoch),
        }
    }
}

/// Publishes a thousand messages at once, and is told which were acknowledged before the connection ended.
struct Publisher(Ws);

impl Publisher {
    async fn begin(server: &Server, channel: &str, name: &str) -> Self {
        let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
        for part in 0..10 {
            let one = |n: u32| {
                let text = format!("{name}{}", part * 100 + n);
                json!({ "type": "publish", "ref": text, "channel": channel, "data": text, "ack": "stored" })
            };
            ws.send(&Value::Array((0..100).map(one).collect())).await;
        }
        Self(ws)
    }

    /// The positions of so many acknowledgements (all until the end if none), with what was published.
    async fn acknowledged(&mut self, count: Option<u64>) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while count.is_none_or(|count| (found.len() as u64) < count) {
            match self.0.message().await {
                Some(Message::Text(text)) => {
                    let ok: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(ok["type"], "ok", "{ok}");
                    found.push((fanfare_tests::http::position(&ok), ok["ref"].as_str().unwrap().to_owned()));
                }
                Some(_) => {}
                None => break,
            }
        }
        found
    }
}

/// Reads messages until the connection ends: data by offset, and the last position.
async fn heard(ws: &mut Ws, seen: &mut BTreeMap<u64, Value>) {
    while let Some(message) = ws.message().await {
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] == "message" {
            note(seen, &frame);
        }
    }
}

/// Takes a message down, which must be the next one.
fn note(seen: &mut BTreeMap<u64, Value>, frame: &Value) {
    let offset = frame["offset"].as_u64().unwrap();
    let last = seen.last_key_value().map_or(0, |(last, _)| *last);
    assert_eq!(offset, last + 1, "in order, none missed, none repeated: {frame}");
    seen.insert(offset, frame["data"].clone());
}

#[tokio::test]
async fn every_acknowledged_message_survives_kill_9_and_readers_go_on_where_they_were() {
    let seed =
        std::env::var("FANFARE_SEED").map_or_else(|_| fanfare_tests::wait::unix_ms(), |s| s.parse().unwrap());
    eprintln!("seed {seed}; run it again with FANFARE_SEED={seed}");
    let mut random = Random::new(seed);
    let mut server = Server::start(
        &durable().replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 100000 }"),
    );
    let channel = "plain:kill";
    let (mut acknowledged, mut epoch) = (BTreeMap::new(), None::<String>);
    let (mut by_ws, mut by_sse) = (BTreeMap::new(), BTreeMap::new());
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        let from = |seen: &BTreeMap<u64, Value>| {
            let last = seen.last_key_value().map_or(0, |(last, _)| *last);
            epoch.as_ref().map_or(String::new(), |epoch| format!("{epoch}-{last}"))
        };
        let (since, last_id) = (from(&by_ws), from(&by_sse));
        let target = format!("/v1/ws?channel={channel}&since={since}");
        let (mut ws, _) = Ws::welcomed(&server, &target).await;
        let subscribed = ws.expect("subscribed").await;
        let request = server.get(&format!("/v1/sse?channel={channel}&envelope=1"));
        let request = if last_id.is_empty() { request } else { request.header("Last-Event-ID", &last_id) };
        let (mut sse, sse_subscribed) = Sse::subscribed(request).await;
        if epoch.is_some() {
            assert_eq!(
                (&subscribed["recovered"], &sse_subscribed.json()["recovered"]),
                (&json!(true), &json!(true))
            );
        }
        epoch.get_or_insert_with(|| subscribed["epoch"].as_str().unwrap().to_owned());
        assert_eq!(subscribed["epoch"].as_str(), epoch.as_deref(), "round {round}");

        let mut publishers = Vec::new();
        for number in 0..2 {
            publishers.push(Publisher::begin(&server, channel, &format!("{round}.{number}.")).await);
        }
        let (enough, some) = (10 + random.below(900), 1 + random.below(10));
        let acks = async {
            let mut acks = publishers.first_mut().unwrap().acknowledged(Some(enough)).await;
            // What was acknowledged is delivered.
            for _ in 0..some {
                note(&mut by_sse, &sse.expect("message").await.json());
            }
            server.kill();
            for publisher in &mut publishers {
                acks.extend(publisher.acknowledged(None).await);
            }
            acks
        };
        let (acks, ()) = tokio::join!(acks, heard(&mut ws, &mut by_ws));
        interrupted += 2000 - acks.len();
        assert!(acks.len() as u64 >= enough);
        for (position, text) in acks {
            assert!(acknowledged.insert(position, json!(text)).is_none());
        }
        server.start_again();
        let (kept, now) = history(&server, channel).await;
        assert_eq!(Some(&now), epoch.as_ref(), "the epoch stays");
        for (position, data) in &acknowledged {
            let offset: u64 = position.strip_prefix(&format!("{now}-")).unwrap().parse().unwrap();
            assert_eq!(kept.get(&offset), Some(data), "round {round}: acknowledged at {position}");
        }
        assert!(kept.keys().copied().eq(1..=kept.len() as u64), "no holes");
        for seen in [&by_ws, &by_sse] {
            assert!(
                seen.iter().all(|(offset, data)| kept.get(offset) == Some(data)),
                "what was seen is kept"
            );
        }
    }
    assert!(interrupted > 0, "no kill came in the middle of publishing");
    // Once more to the end, over both.
    let (kept, epoch) = history(&server, channel).await;
    let since = |seen: &BTreeMap<u64, Value>| {
        format!("{epoch}-{}", seen.last_key_value().map_or(0, |(last, _)| *last))
    };
    let (mut ws, _) =
        Ws::welcomed(&server, &format!("/v1/ws?channel={channel}&since={}", since(&by_ws))).await;
    ws.expect("subscribed").await;
    let request = server.get(&format!("/v1/sse?channel={channel}&envelope=1"));
    let (mut sse, _) = Sse::subscribed(request.header("Last-Event-ID", &since(&by_sse))).await;
    while by_ws.len() < kept.len() {
        note(&mut by_ws, &ws.expect("message").await);
    }
    while by_sse.len() < kept.len() {
        note(&mut by_sse, &sse.expect("message").await.json());
    }
    assert!(by_ws == kept && by_sse == kept && kept.len() as u64 > ROUNDS);
    let log = server.log();
    assert!(log.contains("without stopping in order") && !log.contains("epoch"), "{log}");
}

#[tokio::test]
async fn an_id_repeated_after_the_restart_is_applied_once() {
    let mut server = Server::start(&durable());
    let message = json!({ "data": 1, "id": "order-7" });
    let first = server.publish("plain:ids", message.clone()).await;
    assert_eq!(first["duplicate"], false);
    server.kill();
    server.start_again();
    let again = server.publish("plain:ids", message.clone()).await;
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &json!("order-7")));
    assert_eq!(fanfare_tests::http::position(&again), fanfare_tests::http::position(&first));
    let other = server.publish("plain:ids", json!({ "data": 2, "id": "order-8" })).await;
    assert_eq!((&other["duplicate"], &other["offset"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn keyed_state_is_there_after_a_restart_on_every_way_to_read_it() {
    let mut server = Server::start(&durable());
    let channel = "open:state";
    for n in 0..30_u64 {
        server.publish(channel, json!({ "key": format!("k{}", n % 3), "data": n })).await;
    }
    server.publish(channel, json!({ "key": "k1", "data": null })).await;
    let state = |reply: Value| -> Vec<(String, Value)> {
        let messages = reply["messages"].as_array().unwrap().clone();
        messages.iter().map(|m| (m["key"].as_str().unwrap().to_owned(), m["data"].clone())).collect()
    };
    let expected = vec![("k0".to_owned(), json!(27)), ("k2".to_owned(), json!(29))];
    let target = format!("/v1/channels/{channel}/snapshot");
    let before = server.get(&target).send().await.ok();
    assert_eq!(state(before.clone()), expected);
    server.kill();
    server.start_again();
    let after = server.get(&target).send().await.ok();
    assert_eq!((&after["epoch"], &after["offset"]), (&before["epoch"], &before["offset"]));
    assert_eq!(state(after), expected);
    let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?channel={channel}&snapshot=1")).await;
    ws.expect("subscribed").await;
    assert_eq!(ws.data(2).await, [json!(27), json!(29)]);
    let mut lines = Lines::new(server.get(&format!("/v1/stream?channel={channel}&snapshot=1")).open().await);
    lines.expect("subscribed").await;
    assert_eq!(lines.expect("message").await["data"], 27);
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}&snapshot=1"))).await;
    assert_eq!(sse.expect("message").await.data.as_deref(), Some("27"));
    let poll = server.get(&format!("/v1/poll?channel={channel}&snapshot=1")).send().await.ok();
    assert_eq!(state(poll), expected);
}

#[tokio::test]
async fn each_publish_may_ask_for_its_own_acknowledgement() {
    let mut server = Server::start(&durable().replace(
        "[namespaces.brief]",
        "[namespaces.loose]\nack = \"memory\"\nanonymous = [\"history\"]\n[namespaces.brief]",
    ));
    for channel in ["plain:acks", "loose:acks"] {
        for ack in [json!("memory"), json!("stored"), Value::Null] {
            let mut message = json!({ "data": ack });
            if !ack.is_null() {
                message["ack"] = ack;
            }
            server.publish(channel, message).await;
        }
    }
    let bad = server
        .post("/v1/channels/plain:acks/messages")
        .bearer(config::API_KEY)
        .json(&json!({ "ack": "later" }));
    bad.send().await.problem(400, "bad_request");
    server.kill();
    server.start_again();
    for channel in ["plain:acks", "loose:acks"] {
        // What was written is there even where nobody waited for the disk: only the machine's own end can lose it.
        let (kept, _) = history(&server, channel).await;
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [json!("memory"), json!("stored"), Value::Null]);
    }
    let memory = Server::start(config::STANDARD);
    let stored = memory.post("/v1/channels/plain:acks/messages").bearer(config::API_KEY);
    let refused =
        stored.json(&json!({ "data": 1, "ack": "stored" })).send().await.problem(400, "bad_request");
    assert!(refused["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{refused}");
}

#[tokio::test]
async fn a_server_without_a_configuration_keeps_its_channels_in_a_private_directory() {
    let mut server = Server::dev();
    for text in ["hello", "again"] {
        server.post("/v1/channels/chat:lobby/messages").json(&json!({ "data": text })).send().await.ok();
    }
    let before = server.get("/v1/channels/chat:lobby/messages").send().await.ok();
    assert_eq!(before["messages"].as_array().map(Vec::len), Some(2));
    let suffix = format!("-{}", server.address().port());
    let directories: Vec<_> = std::fs::read_dir(server.home())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with("fanfare-") && name.ends_with(&suffix))
        })
        .collect();
    assert_eq!(directories.len(), 1);
    let mode = directories.first().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else may look into it");
    server.kill();
    server.start_again();
    assert_eq!(server.get("/v1/channels/chat:lobby/messages").send().await.ok(), before);
    let metrics = server.get("/metrics").send().await.text();
    for name in ["fanfare_store_commits_total", "fanfare_store_log_bytes", "fanfare_store_sync_seconds_count"]
    {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}

#[tokio::test]
async fn a_server_that_was_stopped_goes_on_and_says_nothing_was_wrong() {
    let mut server = Server::start(&durable());
    let first = server.publish_numbers("plain:stop", 1..=3).await;
    server.get("/health/ready").send().await.ok();
    server.terminate();
    assert_eq!(server.exit(Duration::from_secs(11)).await.and_then(|status| status.code()), Some(0));
    server.start_again();
    server.get("/health/ready").send().await.ok();
    let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?channel=plain:stop&since={}", first[0])).await;
    let subscribed = ws.expect("subscribed").await;
    assert_eq!((&subscribed["recovered"], &subscribed["offset"]), (&json!(true), &json!(3)));
    assert_eq!(ws.data(2).await, [json!(2), json!(3)]);
    let log = server.log();
    assert!(log.contains("the data directory is open") && !log.contains("without stopping"), "{log}");
}

/// Presence of a channel: clients, by the data that they entered with.
async fn members(server: &Server, channel: &str) -> BTreeMap<String, Value> {
    let page =
        server.get(&format!("/v1/channels/{channel}/presence")).bearer(config::API_KEY).send().await.ok();
    let members = page["members"].as_array().unwrap().iter();
    members
        .map(|member| (member["data"].as_str().unwrap().to_owned(), member["entered_at"].clone()))
        .collect()
}

#[tokio::test]
async fn members_stay_while_they_come_back_and_the_others_leave_on_time() {
    const LEASE: Duration = Duration::from_secs(6);
    let text = durable().replace("presence_lease = \"2s\"", "presence_lease = \"6s\"");
    let mut server = Server::start(&text);
    let (channel, presence) = ("open:team", "/v1/channels/open:team/presence");
    let ada = "session-of-ada-over-http-0001";
    let bob = "session-of-bob-over-ws-00000002";
    let stream = format!("/v1/sse?channel={channel}");
    let enter = |session: &str, name: &str| {
        server
            .request("PUT", presence)
            .header("Fanfare-Session", session)
            .json(&json!({ "data": name }))
            .send()
    };
    let held = Sse::subscribed(server.get(&stream).header("Fanfare-Session", ada)).await;
    enter(ada, "ada").await.ok();
    enter("session-of-eve-over-http-0003", "eve").await.ok();
    let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?session={bob}")).await;
    ws.ok(json!({ "type": "enter", "channel": channel, "data": "bob" })).await;
    let before = members(&server, channel).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), ["ada", "bob", "eve"]);
    server.kill();
    let killed = Instant::now();
    server.start_again();
    assert_eq!(members(&server, channel).await, before, "they are still there, since when they were");
    let (mut watcher, _) = Ws::welcomed(&server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    watcher.expect("subscribed").await;
    assert_eq!(watcher.expect("presence").await["count"], 3);
    // One comes back by opening a stream alone, one enters again, one stays away.
    drop(held);
    let _held = Sse::subscribed(server.get(&stream).header("Fanfare-Session", ada)).await;
    let (mut ws, _) = Ws::welcomed(&server, &format!("/v1/ws?session={bob}")).await;
    ws.ok(json!({ "type": "enter", "channel": channel, "data": "bob" })).await;
    let update = watcher.expect("presence").await;
    assert_eq!(
        (&update["action"], &update["members"][0]["data"]),
        (&json!("update"), &json!("bob")),
        "{update}"
    );
    let leave = watcher.expect("presence").await;
    assert_eq!((&leave["action"], &leave["count"]), (&json!("leave"), &json!(2)), "{leave}");
    assert_eq!(leave["members"][0]["data"], "eve");
    let after = killed.elapsed();
    assert!(after < LEASE + Duration::from_secs(2), "a lease lasts no longer: {after:?}");
    // Well past the leases of before.
    watcher.quiet((LEASE + Duration::from_secs(2)).saturating_sub(after)).await;
    let mut left = before.clone();
    left.remove("eve");
    assert_eq!(members(&server, channel).await, left);
}
