//! What a stranger may send: each gets its code, or its close, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::{http::encode, prelude::*, ws};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn what_is_answered_leaves_the_connection_open() {
    let server = Server::shared();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for text in [
        "",
        " ",
        "{",
        "null",
        "1",
        "\"ping\"",
        "{}",
        "[1]",
        "[[]]",
        "{\"type\":7}",
        "{\"type\":\"nonsense\"}",
        "{\"type\":\"ping\"} {}",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"subscribe\",\"channel\":7}",
        "{\"type\":\"publish\",\"channel\":\"open:x\",\"event\":7}",
        "{\"type\":\"ping\",\"ref\":{}}",
        "{\"type\":\"ping\",\"ref\":1.5}",
        "{\"type\":\"auth\"}",
        "{\"type\":\"auth\",\"token\":7}",
        "\u{0}",
        "{\"type\":\"publish\",\"channel\":\"open:x\",\"data\":\"\\ud800\"}",
        "{\"type\":\"publish\",\"channel\":\"open:x\",\"data\":1e999}",
        "{\"type\":\"publish\",\"channel\":\"open:x\",\"data\":NaN}",
    ] {
        ws.send_text(text).await;
        ws::check_error(&ws.recv().await, "bad_request", text);
    }
    ws.alive().await;
}

#[tokio::test]
async fn an_array_too_long_is_refused_whole() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for count in [101, 10_000] {
        let command = json!({ "type": "publish", "channel": channel, "data": 1, "ref": 1 });
        ws.send(&json!(vec![command; count])).await;
        ws::check_error(&ws.recv().await, "limit_exceeded", "a long array");
        ws.alive().await;
    }
    let page = ws.ok(json!({ "type": "history", "channel": channel })).await;
    assert_eq!(page["offset"], 0, "none was run");
}

fn bad_channels() -> Vec<String> {
    let mut names: Vec<String> =
        ["", "a b", "a,b", "a\rb", "a\nb", "a\0b", "a*", "*", "{sub}", "a}", "$presence:x", "a\u{7f}"]
            .map(str::to_owned)
            .into();
    names.push("x".repeat(256));
    names.push("é".repeat(128));
    names
}

#[tokio::test]
async fn bad_channel_names_are_refused_everywhere() {
    let server = Server::shared();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for channel in bad_channels() {
        for kind in ["subscribe", "unsubscribe", "publish", "history", "members", "enter", "leave"] {
            ws.refused(json!({ "type": kind, "channel": channel, "data": 1 }), "bad_request").await;
        }
        let name = encode(&channel);
        for path in [
            format!("/v1/sse?channel={name}"),
            format!("/v1/stream?channel={name}"),
            format!("/v1/poll?channel={name}"),
            format!("/v1/messages?channel={name}"),
            format!("/v1/presence?channel={name}"),
            format!("/v1/snapshot?channel={name}"),
            format!("/v1/channels/{name}/messages"),
        ] {
            server.get(&path).bearer(config::API_KEY).send().await.problem(400, "bad_request");
        }
        let request = server.post(&format!("/v1/channels/{name}/messages")).bearer(config::API_KEY);
        request.json(&json!({ "data": 1 })).send().await.problem(400, "bad_request");
        let many = json!({ "messages": [{ "channel": channel, "data": 1 }] });
        let results = server.post("/v1/messages").bearer(config::API_KEY).json(&many).send().await.ok();
        assert_eq!(results["results"][0]["error"]["code"], "bad_request", "{results}");
    }
    ws.alive().await;
}

#[tokio::test]
async fn the_longest_and_strangest_good_names_work() {
    let server = Server::shared();
    let prefix = unique("open:");
    let long = format!("{prefix}{}", "x".repeat(255 - prefix.len()));
    for channel in [long, format!("{prefix}/é?#%&+=\u{1F600}"), format!("{prefix}'\"\\<>$")] {
        let name = encode(&channel);
        let request = server.post(&format!("/v1/channels/{name}/messages"));
        assert_eq!(request.json(&json!({ "data": 1 })).send().await.ok()["offset"], 1, "{channel}");
        let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={name}&last=1")).await;
        assert_eq!(ws.expect("subscribed").await["channel"], channel);
        assert_eq!(ws.expect("message").await["channel"], channel);
        let poll = server.get(&format!("/v1/poll?channel={name}&last=1")).send().await.ok();
        assert_eq!(poll["messages"][0]["channel"], channel);
    }
}

#[tokio::test]
async fn garbage_positions_are_refused_and_lost_ones_are_gaps() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=3).await;
    let epoch = positions[0].split('-').next().unwrap();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for since in [
        "x",
        "-",
        "-1",
        "k3f9",
        "k3f9-",
        "k3f9--1",
        "K3F9-1",
        "k3f9-1x",
        "k3f9-99999999999999999999",
        "k-1~k-2",
        " ",
        "abcdefghijklm-1",
        "k3f9-1 ",
    ] {
        ws.refused(json!({ "type": "subscribe", "channel": channel, "since": since }), "bad_request").await;
        ws.refused(json!({ "type": "history", "channel": channel, "since": since }), "bad_request").await;
        for path in ["sse", "stream", "poll"] {
            let target = format!("/v1/{path}?channel={channel}&since={}", encode(since));
            server.get(&target).send().await.problem(400, "bad_request");
        }
    }
    ws.refused(json!({ "type": "subscribe", "channel": channel, "since": 7 }), "bad_request").await;
    for since in
        [format!("{epoch}-4"), format!("{epoch}-18446744073709551615"), "zzz-1".to_owned(), "0-0".to_owned()]
    {
        let subscribed = ws.subscribe(&channel, json!({ "since": since })).await;
        assert_eq!(subscribed["recovered"], false, "{since}");
        let gap = ws.expect("gap").await;
        assert_eq!((&gap["reason"], &gap["epoch"]), (&json!("epoch"), &json!(epoch)), "{since}");
        assert_eq!(gap["offset"], 0);
        assert_eq!(ws.data(3).await, [1, 2, 3]);
    }
    ws.alive().await;
}

#[tokio::test]
async fn numbers_out_of_their_range_are_refused_or_clamped() {
    let server = Server::shared();
    let channel = unique("open:");
    server.publish_numbers(&channel, 1..=3).await;
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for bad in [json!(0), json!(-1), json!("x"), json!(1.5), json!([])] {
        ws.refused(json!({ "type": "history", "channel": channel, "limit": bad }), "bad_request").await;
        ws.refused(json!({ "type": "subscribe", "channel": channel, "last": bad }), "bad_request").await;
    }
    for bad in ["0", "-1", "x", "1.5", ""] {
        server
            .get(&format!("/v1/channels/{channel}/messages?limit={bad}"))
            .send()
            .await
            .problem(400, "bad_request");
        server
            .get(&format!("/v1/poll?channel={channel}&last={bad}"))
            .send()
            .await
            .problem(400, "bad_request");
    }
    for huge in ["1001", "4294967296", "18446744073709551615"] {
        let page = server.get(&format!("/v1/channels/{channel}/messages?limit={huge}")).send().await.ok();
        assert_eq!(page["messages"].as_array().unwrap().len(), 3, "{huge}");
    }
    for bad in ["0", "-1", "1001", "NaN", "inf", "x"] {
        server
            .get(&format!("/v1/stream?channel={channel}&rate={bad}"))
            .send()
            .await
            .problem(400, "bad_request");
    }
    for bad in [json!(0), json!(-1), json!(1000.5), json!("2"), json!(null)] {
        let command = json!({ "type": "subscribe", "channel": channel, "rate": bad });
        if bad.is_null() {
            ws.subscribe(&channel, json!({ "rate": null })).await;
        } else {
            ws.refused(command, "bad_request").await;
        }
    }
    for bad in ["wait=-1", "wait=x", "echo=yes", "snapshot=2", "presence=on"] {
        server.get(&format!("/v1/poll?channel={channel}&{bad}")).send().await.problem(400, "bad_request");
    }
    ws.alive().await;
}

#[tokio::test]
async fn bad_messages_are_refused_on_every_publish_path() {
    let server = Server::shared();
    let channel = unique("open:");
    let long = "x".repeat(129);
    let mut bad = vec![
        json!({ "event": "" }),
        json!({ "event": long }),
        json!({ "event": "a\nb" }),
        json!({ "event": "a\rb" }),
        json!({ "event": 7 }),
        json!({ "id": "" }),
        json!({ "id": long }),
        json!({ "id": "a\r\nb" }),
        json!({ "id": 7 }),
        json!({ "key": "" }),
        json!({ "key": long, "data": 1 }),
        json!({ "key": "a\0", "data": 1 }),
        json!({ "key": "k" }),
        json!({ "tags": [] }),
        json!({ "tags": { "a": 1 } }),
        json!({ "tags": { "": "a" } }),
        json!({ "tags": { "a": long } }),
        json!({ "tags": (0..17).map(|n| (n.to_string(), "x")).collect::<std::collections::HashMap<_, _>>() }),
        json!({ "ephemeral": "yes" }),
        json!({ "encoding": "rot13", "data": "x" }),
        json!({ "encoding": "base64", "data": "!" }),
        json!({ "encoding": "base64", "data": 7 }),
        json!({ "ack": "soon" }),
        json!({ "ttl_ms": 0, "key": "k", "data": 1 }),
        json!({ "ttl_ms": 1000 }),
        json!({ "if": "x" }),
        json!({ "if": 7 }),
        json!({ "if": "k-1", "ephemeral": true }),
        json!({ "data": nested(65) }),
    ];
    for event in [
        "fanfare.x",
        "open",
        "error",
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "pusher:x",
        "pusher_internal:x",
        "phx_join",
    ] {
        bad.push(json!({ "event": event }));
    }
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for message in bad {
        let path = format!("/v1/channels/{channel}/messages");
        server.post(&path).json(&message).send().await.problem(400, "bad_request");
        server.post(&path).bearer(config::API_KEY).json(&message).send().await.problem(400, "bad_request");
        let mut command = message.clone();
        command["channel"] = json!(channel);
        let many = json!({ "messages": [command, { "channel": channel, "data": 1, "ephemeral": true }] });
        let results = server.post("/v1/messages").json(&many).send().await.ok();
        assert_eq!(results["results"][0]["error"]["code"], "bad_request", "{message}");
        assert!(results["results"][1]["id"].is_string(), "{results}");
        command["type"] = json!("publish");
        ws.refused(command, "bad_request").await;
    }
    for (body, code) in
        [("", "bad_request"), ("{", "bad_request"), ("[]", "bad_request"), ("7", "bad_request")]
    {
        server.post(&format!("/v1/channels/{channel}/messages")).body(body).send().await.problem(400, code);
        server.post("/v1/messages").body(body).send().await.problem(400, code);
    }
    let page = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    assert_eq!(page["offset"], 0, "nothing was published");
    let deep = server.publish(&channel, json!({ "data": nested(64) })).await;
    assert_eq!(deep["offset"], 1);
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |inner, _| json!([inner]))
}

#[tokio::test]
async fn sizes_have_their_limits() {
    let server = Server::shared();
    let channel = unique("open:");
    let fits = json!({ "data": "x".repeat(65_534) });
    let over = json!({ "data": "x".repeat(65_535) });
    let path = format!("/v1/channels/{channel}/messages");
    server.post(&path).json(&fits).send().await.ok();
    // What is between the tokens does not count.
    let padded = format!("{{\"data\":[ {} 1]}}", " ".repeat(70_000));
    server.post(&path).body(padded).send().await.ok();
    server.post(&path).json(&over).send().await.problem(413, "too_large");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    let command = |message: &Value| json!({ "type": "publish", "channel": channel, "data": message["data"] });
    ws.ok(command(&fits)).await;
    ws.refused(command(&over), "too_large").await;
    ws.alive().await;
    // A body far too large is answered as well, though nobody wants all of it.
    let reply = server.post(&path).body(vec![b'x'; 9 << 20]).send().await;
    reply.problem(413, "too_large");
    let many = json!({ "messages": vec![json!({ "channel": channel, "data": 1 }); 1001] });
    server.post("/v1/messages").json(&many).send().await.problem(429, "limit_exceeded");
    let page = server.get(&format!("{path}?limit=1")).send().await.ok();
    assert_eq!(page["offset"], 3);
}

#[tokio::test]
async fn too_many_channels_and_channels_twice_are_refused() {
    let server = Server::shared();
    let many: Vec<String> = (0..17).map(|n| format!("channel=open:{n}")).collect();
    for path in ["sse", "stream", "poll"] {
        let target = format!("/v1/{path}?{}", many.join("&"));
        server.get(&target).send().await.problem(429, "limit_exceeded");
        let twice = format!("/v1/{path}?channel=open:a&channel=open:a");
        server.get(&twice).send().await.problem(400, "bad_request");
        server.get(&format!("/v1/{path}")).send().await.problem(400, "bad_request");
        let fewer = format!("/v1/{path}?channel=open:a&since=k-1~k-2");
        server.get(&fewer).send().await.problem(400, "bad_request");
    }
    ws::handshake(server, &format!("/v1/ws?{}", many.join("&"))).send().await.problem(429, "limit_exceeded");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for n in 0..128 {
        ws.subscribe(&format!("open:many{n}"), json!({})).await;
    }
    ws.refused(json!({ "type": "subscribe", "channel": "open:many128" }), "limit_exceeded").await;
    ws.subscribe("open:many5", json!({})).await;
    ws.ok(json!({ "type": "unsubscribe", "channel": "open:many5" })).await;
    ws.subscribe("open:many128", json!({})).await;
}

#[tokio::test]
async fn frames_that_break_the_rules_close_only_their_own_connection() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut witness, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    witness.expect("subscribed").await;
    let nine_mb = [&[0x81, 0xff][..], &(9_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    for (what, bytes, code) in [
        ("unmasked", vec![0x81, 2, b'{', b'}'], 1002),
        ("reserved bit", vec![0xc1, 0x82, 0, 0, 0, 0, b'{', b'}'], 1002),
        ("bad opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("bad control opcode", vec![0x8b, 0x80, 0, 0, 0, 0], 1002),
        ("continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0], 1002),
        ("fragmented ping", vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        ("binary on JSON", vec![0x82, 0x82, 0, 0, 0, 0, b'{', b'}'], 1003),
        ("not UTF-8", vec![0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], 1007),
        ("9 MB announced", nine_mb, 1009),
        ("length with the high bit", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
    ] {
        let mut raw = ws::Raw::open(server).await;
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, Some(code), "{what}");
        assert_eq!(raw.read().await, None, "{what}: then the connection ends");
    }
    server.publish(&channel, json!({ "data": 1 })).await;
    assert_eq!(witness.data(1).await, [1]);
    witness.alive().await;
}

#[tokio::test]
async fn a_frame_too_large_that_is_sent_in_full_gets_its_close() {
    let server = Server::shared();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    // The largest that is allowed: an error, for it is not JSON.
    ws.send_text(&"x".repeat(1 << 20)).await;
    ws::check_error(&ws.recv().await, "bad_request", "1 MiB of x");
    let mut raw = ws::Raw::open(server).await;
    raw.frame(0x81, &vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!(raw.closed().await, Some(1009));
    // In fragments too.
    let mut raw = ws::Raw::open(server).await;
    raw.frame(0x01, &vec![b'x'; 700_000]).await;
    raw.frame(0x80, &vec![b'x'; 700_000]).await;
    assert_eq!(raw.closed().await, Some(1009));
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let server = Server::shared();
    server.get("/v1/ws").send().await.problem(400, "bad_request");
    let no_key = server.get("/v1/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    no_key.header("Sec-WebSocket-Version", "13").send().await.problem(400, "bad_request");
    let old = server.get("/v1/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let old =
        old.header("Sec-WebSocket-Version", "8").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let reply = old.send().await;
    assert!(reply.status == 400 || reply.status == 426, "{}", reply.status);
    for session in ["short", "with.dots.and.more.characters", &"x".repeat(65)] {
        ws::handshake(server, &format!("/v1/ws?session={session}")).send().await.problem(400, "bad_request");
        server
            .get("/v1/poll?channel=open:a")
            .header("Fanfare-Session", session)
            .send()
            .await
            .problem(400, "bad_request");
    }
}

#[tokio::test]
async fn heads_too_large_and_paths_unknown() {
    let server = Server::shared();
    let reply = server.get("/v1/poll?channel=open:a").header("X-Large", &"x".repeat(40_000)).send().await;
    assert_eq!(reply.status, 431);
    let reply = server.get("/v1/poll?channel=open:a").header("X-Large", &"x".repeat(20_000)).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    server.get("/v1/nothing").send().await.problem(404, "not_found");
    let reply = server.request("PATCH", "/v1/messages").send().await;
    assert_eq!(reply.status, 405);
    assert!(reply.header("allow").is_some());
    server.publish(&unique("open:"), json!({ "data": 1 })).await;
}

#[tokio::test]
async fn garbage_messagepack_is_answered() {
    let server = Server::shared();
    let mut ws = Ws::with(server, "/v1/ws", &[("Sec-WebSocket-Protocol", "fanfare.v1.msgpack")]).await;
    ws.expect("welcome").await;
    for bytes in [
        &[][..],
        &[0xc1],
        &[0x81],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0x91; 200],
        &[0xc0],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
    ] {
        ws.send_message(Message::binary(bytes.to_vec())).await;
        let error = ws.recv().await;
        assert_eq!(error["type"], "error", "{bytes:?}");
        assert!(error["code"] == "bad_request" || error["code"] == "limit_exceeded", "{bytes:?}: {error}");
    }
    ws.send_message(Message::binary(rmp_serde::to_vec(&json!({ "type": "ping" })).unwrap())).await;
    ws.expect("pong").await;
}
