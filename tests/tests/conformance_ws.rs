//! WebSocket: the handshake, commands and their answers, frames in their order.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{prelude::*, ws};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn welcome_comes_first_and_tells_what_a_client_needs() {
    let server = Server::shared();
    let (mut ws, welcome) = Ws::welcomed(server, "/v1/ws").await;
    let session = welcome["session"].as_str().unwrap();
    assert!((22..=64).contains(&session.len()));
    assert!(session.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(welcome["client"], client_of(session));
    assert_eq!(welcome["idempotency_ms"], 300_000);
    assert_eq!(welcome["ping_ms"], 25_000);
    assert!(welcome["version"].is_string());
    assert!(welcome["time"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(welcome.get("user"), None);
    assert_eq!(ws.header("fanfare-session"), Some(session));
    ws.alive().await;
}

fn client_of(session: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use sha2::Digest as _;
    URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(session)).chars().take(16).collect()
}

#[tokio::test]
async fn a_session_given_is_kept_and_names_the_same_client_everywhere() {
    let server = Server::shared();
    for (target, headers) in [
        (format!("/v1/ws?session={}", config::SESSION), &[][..]),
        ("/v1/ws".to_owned(), &[("Fanfare-Session", config::SESSION)][..]),
    ] {
        let mut ws = Ws::with(server, &target, headers).await;
        let welcome = ws.expect("welcome").await;
        assert_eq!(welcome["session"], config::SESSION);
        assert_eq!(welcome["client"], client_of(config::SESSION));
        assert_eq!(ws.header("fanfare-session"), None, "told only when the server made it");
    }
}

#[tokio::test]
async fn a_bare_client_subscribes_by_its_address_alone() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={a}&channel={b}")).await;
    let first = ws.expect("subscribed").await;
    let second = ws.expect("subscribed").await;
    assert_eq!((&first["channel"], &second["channel"]), (&json!(a), &json!(b)));
    assert_eq!(first["offset"], 0);
    assert_eq!(first["replay"], 0);
    assert_eq!(first.get("recovered"), None, "only when since was given");
    assert_eq!(first.get("ref"), None);
    let answer = server.publish(&a, json!({ "data": { "text": "hi" }, "event": "say", "id": "u-1" })).await;
    let message = ws.expect("message").await;
    assert_eq!(message["channel"], json!(a));
    assert_eq!(message["offset"], answer["offset"]);
    assert_eq!(first["epoch"], answer["epoch"]);
    assert_eq!(message["event"], "say");
    assert_eq!(message["data"], json!({ "text": "hi" }));
    assert_eq!(message["id"], "u-1");
    assert!(message["time"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(message.get("client"), None, "never for an API key");
    assert_eq!(message.get("key"), None);
}

#[tokio::test]
async fn since_in_the_address_is_a_cursor_over_its_channels() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let positions = server.publish_numbers(&a, 1..=3).await;
    server.publish_numbers(&b, 1..=3).await;
    let target = format!("/v1/ws?channel={a}&channel={b}&since={}~", positions[0]);
    let (mut ws, _) = Ws::welcomed(server, &target).await;
    let first = ws.expect("subscribed").await;
    assert_eq!(
        (&first["recovered"], &first["replay"], &first["offset"]),
        (&json!(true), &json!(2), &json!(3))
    );
    let mut seen = Vec::new();
    let mut second = Value::Null;
    while seen.len() < 2 || second.is_null() {
        let frame = ws.recv().await;
        match frame["type"].as_str() {
            Some("message") => seen.push((frame["channel"].clone(), frame["data"].clone())),
            _ => second = frame,
        }
    }
    assert_eq!(seen, [(json!(a), json!(2)), (json!(a), json!(3))]);
    assert_eq!((&second["channel"], &second["replay"]), (&json!(b), &json!(0)));
    ws.alive().await;
}

#[tokio::test]
async fn a_reference_is_echoed_and_an_ok_is_not_sent_without() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for reference in [json!(7), json!("seven"), json!(-1), json!(9_007_199_254_740_991_i64)] {
        ws.send(&json!({ "type": "ping", "ref": reference })).await;
        let pong = ws.expect("pong").await;
        assert_eq!(pong["ref"], reference);
        assert!(pong["time"].is_u64());
    }
    ws.send(&json!({ "type": "ping" })).await;
    assert_eq!(ws.expect("pong").await.get("ref"), None);
    // No ok without ref; the pong that follows is the next frame.
    ws.send(&json!({ "type": "publish", "channel": channel, "data": 1 })).await;
    let head = ws.ok(json!({ "type": "history", "channel": channel })).await;
    assert_eq!(head["offset"], 1);
    // `subscribed` and errors come without ref too.
    ws.send(&json!({ "type": "subscribe", "channel": channel })).await;
    assert_eq!(ws.expect("subscribed").await.get("ref"), None);
    ws.send(&json!({ "type": "unsubscribe", "channel": unique("open:") })).await;
    let error = ws.expect("error").await;
    ws::check_error(&error, "not_found", "unsubscribe without");
    assert_eq!(error.get("ref"), None);
}

#[tokio::test]
async fn publish_history_and_members_answer_with_the_fields_of_http() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, welcome) = Ws::welcomed(server, "/v1/ws").await;
    let ok =
        ws.ok(json!({ "type": "publish", "channel": channel, "data": [1], "id": "p-1", "event": "e" })).await;
    assert_eq!((&ok["offset"], &ok["id"], &ok["duplicate"]), (&json!(1), &json!("p-1"), &json!(false)));
    assert!(ok["epoch"].is_string());
    let again = ws.ok(json!({ "type": "publish", "channel": channel, "data": [1], "id": "p-1" })).await;
    assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)));
    let made = ws.ok(json!({ "type": "publish", "channel": channel, "data": [2] })).await;
    assert!(made["id"].as_str().is_some_and(|id| !id.is_empty()), "the server's own id: {made}");
    let page = ws.ok(json!({ "type": "history", "channel": channel, "limit": 1 })).await;
    assert_eq!((&page["offset"], &page["more"], &page["epoch"]), (&json!(2), &json!(true), &ok["epoch"]));
    let messages = page["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["client"], welcome["client"]);
    assert_eq!(messages[0].get("type"), None, "a message object has no type");
    ws.ok(json!({ "type": "enter", "channel": channel, "data": { "name": "Ada" } })).await;
    let members = ws.ok(json!({ "type": "members", "channel": channel })).await;
    assert_eq!((&members["count"], &members["members"][0]["data"]), (&json!(1), &json!({ "name": "Ada" })));
    ws.ok(json!({ "type": "leave", "channel": channel })).await;
}

#[tokio::test]
async fn subscribing_again_is_a_seek() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=4).await;
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    let back = ws.subscribe(&channel, json!({ "since": positions[1] })).await;
    assert_eq!((&back["recovered"], &back["replay"]), (&json!(true), &json!(2)));
    assert_eq!(ws.data(2).await, [3, 4]);
    let last = ws.subscribe(&channel, json!({ "last": 3 })).await;
    assert_eq!(last["replay"], 3);
    assert_eq!(ws.data(3).await, [2, 3, 4]);
    // From where it is: nothing is sent again, and nothing is missed.
    let here = ws.subscribe(&channel, json!({})).await;
    assert_eq!((&here["replay"], &here["offset"]), (&json!(0), &json!(4)));
    server.publish(&channel, json!({ "data": 5 })).await;
    assert_eq!(ws.data(1).await, [5]);
    ws.alive().await;
}

#[tokio::test]
async fn nothing_of_a_channel_follows_the_answer_to_unsubscribe() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    let publishing = async {
        for number in 0..60 {
            server.publish(&channel, json!({ "data": number })).await;
        }
    };
    let reading = async {
        ws.data(20).await;
        ws.send(&json!({ "type": "unsubscribe", "ref": "u", "channel": channel })).await;
        while ws.recv().await["ref"] != "u" {}
        ws
    };
    let ((), mut ws) = tokio::join!(publishing, reading);
    ws.quiet(Duration::from_millis(100)).await;
    ws.refused(json!({ "type": "unsubscribe", "channel": channel }), "not_found").await;
    ws.subscribe(&channel, json!({ "last": 1 })).await;
    assert_eq!(ws.data(1).await, [59]);
}

#[tokio::test]
async fn an_array_is_its_commands_in_order() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    let mut commands = vec![json!({ "type": "subscribe", "ref": 0, "channel": channel })];
    for number in 1..=98 {
        commands.push(json!({ "type": "publish", "ref": number, "channel": channel, "data": number }));
    }
    commands.push(json!({ "type": "nonsense", "ref": 99 }));
    ws.send(&json!(commands)).await;
    let (mut oks, mut data, mut errors) = (Vec::new(), Vec::new(), 0);
    while oks.len() < 98 || data.len() < 98 || errors < 1 {
        let frame = ws.recv().await;
        match frame["type"].as_str().unwrap() {
            "ok" => oks.push(frame["ref"].as_u64().unwrap()),
            "message" => data.push(frame["data"].as_u64().unwrap()),
            "error" => {
                assert_eq!((&frame["ref"], &frame["code"]), (&json!(99), &json!("bad_request")));
                errors += 1;
            }
            other => assert_eq!(other, "subscribed"),
        }
    }
    let expected: Vec<u64> = (1..=98).collect();
    assert_eq!(data, expected);
    oks.sort_unstable();
    assert_eq!(oks, expected);
    ws.alive().await;
    ws.send(&json!([])).await;
    ws.alive().await;
}

#[tokio::test]
async fn fields_that_the_server_does_not_know_are_ignored() {
    let server = Server::shared();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws?colour=red").await;
    let pong = ws.call(json!({ "type": "ping", "colour": { "red": [1] } })).await;
    assert_eq!(pong["type"], "pong");
    ws.subscribe(&unique("open:"), json!({ "colour": "red", "since": null })).await;
}

#[tokio::test]
async fn the_subprotocol_is_selected_and_a_token_beside_it_is_not_echoed() {
    let server = Server::shared();
    let offer = |text: &str| vec![("Sec-WebSocket-Protocol".to_owned(), text.to_owned())];
    let token = token::of("ada");
    for (offered, selected) in [
        (None, None),
        (Some("fanfare.v1.json".to_owned()), Some("fanfare.v1.json")),
        (Some("fanfare.v1.msgpack".to_owned()), Some("fanfare.v1.msgpack")),
        (Some("chat, fanfare.v1.json".to_owned()), Some("fanfare.v1.json")),
        (Some(format!("fanfare.token.{token}, fanfare.v1.json")), Some("fanfare.v1.json")),
        (Some(format!("fanfare.v1.msgpack, fanfare.token.{token}")), Some("fanfare.v1.msgpack")),
    ] {
        let headers = offered.as_deref().map(offer).unwrap_or_default();
        let headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let mut ws = Ws::with(server, "/v1/ws", &headers).await;
        assert_eq!(ws.header("sec-websocket-protocol"), selected);
        let welcome = ws.expect("welcome").await;
        let user = offered.is_some_and(|offered| offered.contains("token")).then(|| json!("ada"));
        assert_eq!(welcome.get("user"), user.as_ref());
        assert_eq!(welcome.get("expires_at").is_some(), user.is_some());
    }
    for offered in [format!("fanfare.token.{token}"), "chat".to_owned(), "fanfare.v2.json".to_owned()] {
        let reply = ws::handshake(server, "/v1/ws").header("Sec-WebSocket-Protocol", &offered).send().await;
        reply.problem(400, "bad_request");
    }
}

#[tokio::test]
async fn messagepack_says_the_same() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut text, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    text.expect("subscribed").await;
    let mut packed = Ws::with(
        server,
        &format!("/v1/ws?channel={channel}"),
        &[("Sec-WebSocket-Protocol", "fanfare.v1.msgpack")],
    )
    .await;
    assert_eq!(packed.expect("welcome").await["ping_ms"], 25_000);
    packed.expect("subscribed").await;
    let command = json!({ "type": "publish", "ref": 1, "channel": channel, "event": "e", "key": "k", "tags": { "a": "b" },
        "data": { "n": 1, "f": 1.5, "s": "\u{1F600}", "l": [null, true] } });
    packed.send_message(Message::binary(rmp_serde::to_vec(&command).unwrap())).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(packed.recv().await);
    }
    let ok = seen.iter().find(|frame| frame["type"] == "ok").unwrap();
    assert_eq!((&ok["ref"], &ok["offset"]), (&json!(1), &json!(1)));
    let message = seen.iter().find(|frame| frame["type"] == "message").unwrap();
    assert_eq!(*message, text.expect("message").await);
    assert_eq!(message["data"], command["data"]);
    // Text on a MessagePack connection is the wrong kind.
    packed.send_text("{}").await;
    assert_eq!(packed.ended().await.code, 1003);
}

#[tokio::test]
async fn bytes_are_bytes_in_one_encoding_and_base64_in_the_other() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut text, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    text.expect("subscribed").await;
    let protocol = [("Sec-WebSocket-Protocol", "fanfare.v1.msgpack")];
    let mut packed = Ws::with(server, &format!("/v1/ws?channel={channel}"), &protocol).await;
    packed.expect("welcome").await;
    packed.expect("subscribed").await;
    let reply = server.publish(&channel, json!({ "data": "AAH/", "encoding": "base64" })).await;
    assert_eq!(reply["offset"], 1);
    let message = text.expect("message").await;
    assert_eq!((&message["data"], &message["encoding"]), (&json!("AAH/"), &json!("base64")));
    let Some(Message::Binary(bytes)) = packed.message().await else { panic!("a binary frame expected") };
    // bin 8, three bytes.
    assert!(bytes.windows(5).any(|found| found == [0xc4, 3, 0, 1, 0xff]), "{bytes:?}");
    server.publish(&channel, json!({ "data": { "a": { "$bytes": "AAH/" } } })).await;
    assert_eq!(text.expect("message").await["data"], json!({ "a": { "$bytes": "AAH/" } }));
    let Some(Message::Binary(bytes)) = packed.message().await else { panic!("a binary frame expected") };
    assert!(bytes.windows(5).any(|found| found == [0xc4, 3, 0, 1, 0xff]), "{bytes:?}");
}

#[tokio::test]
async fn without_echo_a_client_hears_the_others_only() {
    let server = Server::shared();
    let channel = unique("open:");
    let target = format!("/v1/ws?channel={channel}&echo=0");
    let (mut mine, welcome) = Ws::welcomed(server, &target).await;
    mine.expect("subscribed").await;
    let (mut other, _) = Ws::welcomed(server, &target).await;
    other.expect("subscribed").await;
    mine.ok(json!({ "type": "publish", "channel": channel, "data": 1 })).await;
    // The same session over HTTP is the same client.
    let session = welcome["session"].as_str().unwrap();
    let request = server.post(&format!("/v1/channels/{channel}/messages")).header("Fanfare-Session", session);
    request.json(&json!({ "data": 2 })).send().await.ok();
    // An API key speaks for a client.
    server.publish(&channel, json!({ "data": 3, "client": welcome["client"] })).await;
    server.publish(&channel, json!({ "data": 4 })).await;
    assert_eq!(other.data(4).await, [1, 2, 3, 4]);
    assert_eq!(mine.data(1).await, [4]);
    // Replay leaves them out as well.
    let again = mine.subscribe(&channel, json!({ "last": 4, "echo": false })).await;
    assert_eq!(mine.data(1).await, [4], "{again}");
    mine.subscribe(&channel, json!({ "last": 4, "echo": true })).await;
    assert_eq!(mine.data(4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn ephemeral_messages_reach_those_who_are_there_and_leave_no_trace() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    let answer =
        ws.call(json!({ "type": "publish", "channel": channel, "data": "typing", "ephemeral": true })).await;
    assert_eq!(answer["type"], "ok");
    assert!(answer["id"].is_string());
    assert_eq!((answer.get("offset"), answer.get("epoch")), (None, None));
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    server.publish(&channel, json!({ "data": "typing", "ephemeral": true, "event": "typing" })).await;
    let message = ws.expect("message").await;
    assert_eq!((&message["data"], message.get("offset")), (&json!("typing"), None));
    let answer = server.publish(&channel, json!({ "data": 1 })).await;
    assert_eq!(answer["offset"], 1, "no offset was spent");
    let (mut late, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&last=10")).await;
    assert_eq!(late.expect("subscribed").await["replay"], 1);
    assert_eq!(late.data(1).await, [1]);
}

#[tokio::test]
async fn rate_conflates_to_the_newest_of_each_key_and_the_last_arrives() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&rate=2")).await;
    ws.expect("subscribed").await;
    let begun = tokio::time::Instant::now();
    server.publish(&channel, json!({ "key": "a", "data": 1 })).await;
    assert_eq!(ws.expect("message").await["data"], 1, "with no window open a message goes at once");
    for round in 1..=20 {
        for key in ["a", "b"] {
            server.publish(&channel, json!({ "key": key, "data": round })).await;
        }
    }
    let mut of_key = [Vec::new(), Vec::new()];
    let mut last_offset = 1;
    while of_key.iter().any(|seen| seen.last() != Some(&20)) {
        let message = ws.expect("message").await;
        let offset = message["offset"].as_u64().unwrap();
        assert!(offset > last_offset, "in order");
        last_offset = offset;
        of_key[usize::from(message["key"] == "b")].push(message["data"].as_u64().unwrap());
    }
    let windows = begun.elapsed().as_millis() / 500 + 2;
    for seen in of_key {
        assert!(seen.len() as u128 <= windows, "{seen:?} in {windows} windows");
    }
    ws.alive().await;
}

#[tokio::test]
async fn ping_frames_are_answered_and_the_server_pings_as_often_as_it_says() {
    let config = config::STANDARD.replace("ping = \"25s\"", "ping = \"1s\"\npong = \"300ms\"");
    let server = Server::start(&config);
    let (mut ws, welcome) = Ws::welcomed(&server, "/v1/ws").await;
    assert_eq!(welcome["ping_ms"], 1000);
    ws.send_message(Message::Ping("hello".into())).await;
    let Some(Message::Pong(payload)) = ws.message().await else { panic!("a pong expected") };
    assert_eq!(payload, "hello");
    // tungstenite answers each ping, so the connection stays.
    for _ in 0..2 {
        assert!(matches!(ws.message().await, Some(Message::Ping(_))));
    }
    // Who does not answer is gone soon; who does stays.
    let mut dead = ws::Raw::open(&server).await;
    let answering = async { while matches!(ws.message().await, Some(Message::Ping(_))) {} };
    tokio::select! {
        code = dead.closed() => assert_eq!(code, Some(4410)),
        () = answering => panic!("a connection that answers was closed"),
    }
}

#[tokio::test]
async fn frames_are_the_same_for_every_subscriber() {
    let server = Server::shared();
    let channel = unique("open:");
    let mut frames = Vec::new();
    let (mut a, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    a.expect("subscribed").await;
    let (mut b, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&last=5&echo=0")).await;
    b.expect("subscribed").await;
    server.publish(&channel, json!({ "data": { "b": 1, "a": 2.50 }, "tags": { "x": "y" } })).await;
    for ws in [&mut a, &mut b] {
        let Some(Message::Text(text)) = ws.message().await else { panic!("text expected") };
        assert!(!text.contains([' ', '\n']), "compact: {text}");
        frames.push(text);
    }
    let (mut c, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&last=5")).await;
    c.expect("subscribed").await;
    let Some(Message::Text(text)) = c.message().await else { panic!("text expected") };
    frames.push(text);
    assert!(frames.windows(2).all(|two| two[0] == two[1]), "{frames:?}");
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let server = Server::shared();
    let mut raw = ws::Raw::open(server).await;
    raw.frame(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(raw.closed().await, Some(1000));
    assert_eq!(raw.read().await, None);
}
