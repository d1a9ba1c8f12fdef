//! Server-sent events, as `EventSource` and curl read them.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::{http::encode, prelude::*};

#[tokio::test]
async fn the_answer_has_its_headers_and_begins_with_a_comment() {
    let server = Server::shared();
    let channel = unique("open:");
    let mut sse = Sse::open(server.get(&format!("/v1/sse?channel={channel}"))).await;
    let header =
        |name: &str| sse.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert!(header("fanfare-session").is_some_and(|session| session.len() >= 22), "the server made one");
    let first = sse.block().await.unwrap();
    assert!(!first.comments.is_empty(), "{first:?}");
    let given = server.get(&format!("/v1/sse?channel={channel}&session={}", config::SESSION)).open().await;
    assert_eq!(given.header("fanfare-session"), None);
}

#[tokio::test]
async fn a_message_has_its_cursor_its_event_and_its_data() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut sse, subscribed) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}"))).await;
    let frame = subscribed.json();
    assert_eq!((&frame["type"], &frame["channel"]), (&json!("subscribed"), &json!(channel)));
    assert_eq!((&frame["offset"], &frame["replay"], frame.get("recovered")), (&json!(0), &json!(0), None));
    assert!(subscribed.id.is_some(), "the last fanfare.subscribed carries the cursor");
    let answer = server.publish(&channel, json!({ "event": "say", "data": { "a": [1, "x\ny"] } })).await;
    let block = sse.event().await.unwrap();
    assert_eq!(block.event.as_deref(), Some("say"));
    assert_eq!(block.id, Some(fanfare_tests::http::position(&answer)));
    assert_eq!(block.data.as_deref(), Some(r#"{"a":[1,"x\ny"]}"#), "compact, one line");
    server.publish(&channel, json!({ "data": "plain" })).await;
    let block = sse.event().await.unwrap();
    assert_eq!(
        (block.event.as_deref().unwrap_or("message"), block.data.as_deref()),
        ("message", Some("\"plain\""))
    );
    server.publish(&channel, json!({ "event": "typing", "data": 1, "ephemeral": true })).await;
    let block = sse.event().await.unwrap();
    assert_eq!((block.event.as_deref(), &block.id), (Some("typing"), &None), "ephemerals have no id");
    server.publish(&channel, json!({})).await;
    assert_eq!(sse.event().await.unwrap().data.as_deref(), Some("null"));
    server.publish(&channel, json!({ "data": "AAH/", "encoding": "base64" })).await;
    assert_eq!(sse.event().await.unwrap().data.as_deref(), Some("\"AAH/\""));
}

#[tokio::test]
async fn an_envelope_is_the_whole_message_without_an_event() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}&envelope=1"))).await;
    server.publish(&channel, json!({ "event": "say", "data": 1, "id": "m-1" })).await;
    let block = sse.event().await.unwrap();
    assert_eq!(block.event, None);
    let message = block.json();
    assert_eq!(message.get("type"), None);
    for (name, value) in [
        ("channel", json!(channel)),
        ("offset", json!(1)),
        ("event", json!("say")),
        ("data", json!(1)),
        ("id", json!("m-1")),
    ] {
        assert_eq!(message[name], value, "{message}");
    }
    let stored = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    assert_eq!(stored["messages"][0], message);
}

#[tokio::test]
async fn a_cursor_over_several_channels_moves_by_their_messages_and_resumes_each() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let query = format!("channel={a}&channel={b}");
    let mut sse = Sse::open(server.get(&format!("/v1/sse?{query}"))).await;
    let first = sse.expect("fanfare.subscribed").await;
    assert_eq!(first.id, None, "only the last carries the cursor");
    let second = sse.expect("fanfare.subscribed").await;
    assert_eq!((&first.json()["channel"], &second.json()["channel"]), (&json!(a), &json!(b)));
    let cursor = second.id.unwrap();
    assert_eq!(cursor.split('~').count(), 2, "{cursor}");
    let on_a = server.publish_numbers(&a, 1..=1).await.remove(0);
    let block = sse.expect("message").await;
    let after_a = block.id.unwrap();
    assert_eq!(after_a.split('~').next(), Some(&*on_a));
    let on_b = server.publish_numbers(&b, 2..=2).await.remove(0);
    let after_b = sse.expect("message").await.id.unwrap();
    assert_eq!(after_b, format!("{on_a}~{on_b}"));
    server.publish_numbers(&a, 3..=3).await;
    server.publish_numbers(&b, 4..=4).await;
    drop(sse);
    // From the cursor of the first message: the rest of both.
    let request = server.get(&format!("/v1/sse?{query}")).header("Last-Event-ID", &after_a);
    let mut sse = Sse::open(request).await;
    let mut seen = Vec::new();
    let mut last = String::new();
    while seen.len() < 3 {
        let block = sse.event().await.unwrap();
        if block.event.as_deref() == Some("fanfare.subscribed") {
            continue;
        }
        last = block.id.clone().unwrap();
        seen.push(block.json().as_u64().unwrap());
    }
    assert_eq!(seen.iter().filter(|n| **n == 3).count(), 1);
    let of_b: Vec<_> = seen.iter().filter(|n| **n != 3).collect();
    assert_eq!(of_b, [&2, &4]);
    let heads = (on_a.replace("-1", "-2"), on_b.replace("-1", "-2"));
    assert_eq!(last, format!("{}~{}", heads.0, heads.1));
}

#[tokio::test]
async fn last_event_id_beats_since_and_an_unusable_one_is_a_gap() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=4).await;
    let target = format!("/v1/sse?channel={channel}&since={}", positions[0]);
    let (mut sse, subscribed) =
        Sse::subscribed(server.get(&target).header("Last-Event-ID", &positions[2])).await;
    assert_eq!(
        (&subscribed.json()["recovered"], subscribed.id.as_deref()),
        (&json!(true), Some(&*positions[2]))
    );
    assert_eq!(sse.expect("message").await.json(), 4);
    for unusable in ["garbage", "zzz-9~zzz-1", "k-1 x", "17", "~~~~~~~~"] {
        let request = server.get(&format!("/v1/sse?channel={channel}")).header("Last-Event-ID", unusable);
        let (mut sse, subscribed) = Sse::subscribed(request).await;
        assert_eq!(subscribed.json()["recovered"], false, "{unusable}");
        assert_eq!(subscribed.id.as_deref(), Some("0-0"), "{unusable}");
        let gap = sse.expect("fanfare.gap").await;
        assert_eq!(gap.json()["reason"], "epoch");
        assert_eq!(gap.id, Some(positions[0].replace("-1", "-0")));
        assert_eq!(sse.expect("message").await.json(), 1);
    }
    // The browser sends none at first, and then an empty one is none.
    let request = server.get(&target).header("Last-Event-ID", "");
    let (mut sse, _) = Sse::subscribed(request).await;
    assert_eq!(sse.expect("message").await.json(), 2);
    server.get(&format!("/v1/sse?channel={channel}&since=garbage")).send().await.problem(400, "bad_request");
}

#[tokio::test]
async fn an_empty_element_means_from_now() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let on_a = server.publish_numbers(&a, 1..=2).await;
    server.publish_numbers(&b, 1..=2).await;
    let target = format!("/v1/sse?channel={a}&channel={b}&since={}", encode(&format!("{}~", on_a[0])));
    let mut sse = Sse::open(server.get(&target)).await;
    let first = sse.expect("fanfare.subscribed").await.json();
    assert_eq!(first["recovered"], true);
    let mut rest = Vec::new();
    for _ in 0..2 {
        rest.push(sse.event().await.unwrap());
    }
    let second = rest.iter().find(|block| block.event.as_deref() == Some("fanfare.subscribed")).unwrap();
    assert_eq!((second.json().get("recovered"), &second.json()["replay"]), (None, &json!(0)));
    server.publish_numbers(&b, 3..=3).await;
    assert_eq!(sse.expect("message").await.json(), 3);
}

#[tokio::test]
async fn last_snapshot_rate_and_echo_are_those_of_every_transport() {
    let server = Server::shared();
    let channel = unique("open:");
    for n in 1..=5_u64 {
        server.publish(&channel, json!({ "key": if n % 2 == 0 { "even" } else { "odd" }, "data": n })).await;
    }
    let (mut sse, subscribed) =
        Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}&last=2"))).await;
    assert_eq!(subscribed.json()["replay"], 2);
    assert_eq!(
        (sse.expect("message").await.json(), sse.expect("message").await.json()),
        (json!(4), json!(5))
    );
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}&snapshot=true"))).await;
    assert_eq!(
        (sse.expect("message").await.json(), sse.expect("message").await.json()),
        (json!(4), json!(5))
    );
    let target = format!("/v1/sse?channel={channel}&echo=0&session={}", config::SESSION);
    let (mut sse, _) = Sse::subscribed(server.get(&target)).await;
    let mine =
        server.post(&format!("/v1/channels/{channel}/messages")).header("Fanfare-Session", config::SESSION);
    mine.json(&json!({ "data": "mine" })).send().await.ok();
    server.publish(&channel, json!({ "data": "other" })).await;
    assert_eq!(sse.expect("message").await.json(), "other");
    let target = format!("/v1/sse?channel={channel}&rate=5");
    let (mut sse, _) = Sse::subscribed(server.get(&target)).await;
    server.publish(&channel, json!({ "key": "k", "data": 1 })).await;
    assert_eq!(sse.expect("message").await.json(), 1, "no window is open: it goes at once");
    let begun = tokio::time::Instant::now();
    for n in 2..=10 {
        server.publish(&channel, json!({ "key": "k", "data": n })).await;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&json!(10)) {
        seen.push(sse.expect("message").await.json());
    }
    let windows = begun.elapsed().as_millis() / 200 + 1;
    assert!(seen.len() as u128 <= windows, "{seen:?} in {windows} windows");
}

#[tokio::test]
async fn presence_comes_as_events() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}&presence=1"))).await;
    let present = sse.expect("fanfare.presence").await;
    let frame = present.json();
    assert_eq!(
        (&frame["action"], &frame["members"], &frame["more"], &frame["count"]),
        (&json!("present"), &json!([]), &json!(false), &json!(0))
    );
    let (mut ws, welcome) = Ws::welcomed(server, "/v1/ws").await;
    ws.ok(json!({ "type": "enter", "channel": channel })).await;
    let enter = sse.expect("fanfare.presence").await.json();
    assert_eq!(
        (&enter["action"], &enter["members"][0]["client"], &enter["count"]),
        (&json!("enter"), &welcome["client"], &json!(1))
    );
}

#[tokio::test]
async fn an_event_stream_over_an_old_client_ends_with_the_connection() {
    let server = Server::shared();
    let channel = unique("open:");
    // Several requests on one connection: the event stream is not the first.
    let stream = server.connect().await;
    let first =
        server.get("/v1/poll?channel=open:x").header("Connection", "keep-alive").open_on(stream).await;
    let mut first = first;
    while first.next().await.is_some() {}
    let (stream, _) = first.into_parts();
    let mut streamed = server.get(&format!("/v1/sse?channel={channel}")).open_on(stream).await;
    assert_eq!((streamed.status, streamed.header("content-type")), (200, Some("text/event-stream")));
    let mut body = Vec::new();
    while !String::from_utf8_lossy(&body).contains("fanfare.subscribed") {
        body.extend_from_slice(&streamed.next().await.unwrap());
    }
    server.publish(&channel, json!({ "data": "here" })).await;
    while !String::from_utf8_lossy(&body).contains("data: \"here\"") {
        body.extend_from_slice(&streamed.next().await.unwrap());
    }
}

#[tokio::test]
async fn comments_keep_a_quiet_stream_alive_and_the_cursor_moves() {
    let server = Server::shared();
    let channel = unique("open:");
    let target = format!("/v1/sse?channel={channel}&echo=0&session={}", config::SESSION);
    let (mut sse, _) = Sse::subscribed(server.get(&target)).await;
    let mine =
        server.post(&format!("/v1/channels/{channel}/messages")).header("Fanfare-Session", config::SESSION);
    let answer = mine.json(&json!({ "data": "skipped" })).send().await.ok();
    let position = fanfare_tests::http::position(&answer);
    // Every 15 s; the cursor of what was skipped comes in a block of its own.
    let begun = tokio::time::Instant::now();
    let (mut kept, mut moved) = (false, false);
    while !(kept && moved) && begun.elapsed().as_secs() < 40 {
        let Ok(block) = tokio::time::timeout(std::time::Duration::from_secs(20), sse_block(&mut sse)).await
        else {
            break;
        };
        assert!(!block.is_event(), "{block:?}");
        kept |= !block.comments.is_empty() || block.id.is_some();
        moved |= block.id.as_ref() == Some(&position);
    }
    assert!(kept, "a keep-alive within 20 s");
    assert!(moved, "the cursor moved to {position}");
}

async fn sse_block(sse: &mut Sse) -> Block {
    sse.read().await.unwrap()
}

/// What no lean driver serves: a page of another origin, and a later request of a connection that was kept.
#[tokio::test]
async fn an_http_servers_streams_get_ephemeral_messages_too() {
    let server = Server::shared();
    let channel = unique("open:");
    let page = server.get(&format!("/v1/sse?channel={channel}")).header("Origin", "https://app.example");
    let (mut sse, _) = Sse::subscribed(page).await;
    let cursors =
        server.get(&format!("/v1/sse?channel={channel}&rate=20")).header("Origin", "https://app.example");
    let (mut cursors, _) = Sse::subscribed(cursors).await;
    for n in 0..3 {
        server.publish(&channel, json!({ "event": "typing", "data": n, "ephemeral": true })).await;
        server.publish(&channel, json!({ "event": "say", "data": n })).await;
        for (name, id) in [("typing", false), ("say", true)] {
            for sse in [&mut sse, &mut cursors] {
                let block = sse.expect(name).await;
                assert_eq!((block.data.as_deref(), block.id.is_some()), (Some(&*n.to_string()), id));
            }
        }
    }
}
