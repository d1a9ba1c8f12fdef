//! Publishing over HTTP and WebSocket: the fields, idempotency, conditions, many at once.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::{
    http::{encode, position},
    prelude::*,
};

#[tokio::test]
async fn every_field_comes_back_with_the_message() {
    let server = Server::shared();
    let channel = unique("open:");
    let sent = json!({
        "event": "say", "data": { "z": 1, "a": [1.50, -0, 1e3, 12345678901234567890_u64, "\u{e9}\u{1F600}"] }, "key": "k-1", "id": "id-1",
        "tags": { "colour": "red", "a": "" }
    });
    let session = config::SESSION;
    let token = token::of("ada");
    let request = server
        .post(&format!("/v1/channels/{channel}/messages"))
        .bearer(&token)
        .header("Fanfare-Session", session);
    let reply = request.header("Content-Type", "text/plain").json(&sent).send().await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let answer = reply.ok();
    assert_eq!(
        (&answer["offset"], &answer["id"], &answer["duplicate"]),
        (&json!(1), &json!("id-1"), &json!(false))
    );
    let page = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    let message = &page["messages"][0];
    for name in ["event", "data", "key", "id", "tags"] {
        assert_eq!(message[name], sent[name], "{name}");
    }
    assert_eq!(
        (&message["user"], &message["offset"], &message["channel"]),
        (&json!("ada"), &json!(1), &json!(channel))
    );
    assert_eq!(message["client"].as_str().map(str::len), Some(16));
    assert!(message.get("epoch").is_none() && message.get("ephemeral").is_none());
}

#[tokio::test]
async fn data_keeps_its_text_and_its_order() {
    let server = Server::shared();
    let channel = unique("open:");
    let body = r#" { "data" : { "b" : 1.0 , "a" : [ 1E2 , 0.10 , "\u0041\/" ] , "n" : 123456789012345678901234567890 } } "#;
    server.post(&format!("/v1/channels/{channel}/messages")).body(body).send().await.ok();
    let text = server.get(&format!("/v1/channels/{channel}/messages")).send().await.text();
    assert!(text.contains(r#""data":{"b":1.0,"a":[1E2,0.10,""#), "{text}");
    assert!(text.contains("123456789012345678901234567890"), "{text}");
    assert!(!text.contains(": "), "compact: {text}");
}

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let server = Server::shared();
    let channel = unique("open:");
    let answer = server.publish(&channel, json!({})).await;
    let page = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    let message = &page["messages"][0];
    assert_eq!(
        (&message["event"], &message["data"], &message["id"]),
        (&json!("message"), &Value::Null, &answer["id"])
    );
    for name in ["key", "user", "client", "tags", "encoding"] {
        assert_eq!(message.get(name), None, "{message}");
    }
    // Null is absent, but in data.
    let nulls = json!({ "event": null, "id": null, "key": null, "tags": null, "ephemeral": null, "if": null, "data": 1 });
    assert_eq!(server.publish(&channel, nulls).await["offset"], 2);
}

#[tokio::test]
async fn the_channel_of_the_path_or_the_query_is_the_one() {
    let server = Server::shared();
    let channel = format!("{}/a b", unique("open:")).replace(' ', "%");
    let name = encode(&channel);
    let body = json!({ "data": 1, "channel": "open:other" });
    server.post(&format!("/v1/channels/{name}/messages")).json(&body).send().await.ok();
    let answer = server.post(&format!("/v1/messages?channel={name}")).json(&body).send().await.ok();
    assert_eq!(answer["offset"], 2);
    for path in [format!("/v1/channels/{name}/messages"), format!("/v1/messages?channel={name}")] {
        let page = server.get(&path).send().await.ok();
        assert_eq!(
            (page["messages"].as_array().unwrap().len(), &page["messages"][0]["channel"]),
            (2, &json!(channel))
        );
    }
    server.get(&format!("/v1/presence?channel={name}")).send().await.ok();
    server.get(&format!("/v1/snapshot?channel={name}")).send().await.ok();
}

#[tokio::test]
async fn an_id_is_applied_once_however_often_and_from_wherever_it_comes() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    let path = format!("/v1/channels/{channel}/messages");
    let tries = (0..20).map(|n| server.post(&path).json(&json!({ "id": "once", "data": n })).send());
    let answers = futures_util::future::join_all(tries).await;
    let fresh: Vec<_> = answers.iter().filter(|reply| reply.ok()["duplicate"] == false).collect();
    assert_eq!(fresh.len(), 1);
    for reply in &answers {
        let answer = reply.ok();
        assert_eq!((&answer["offset"], &answer["id"]), (&json!(1), &json!("once")));
        assert_eq!(answer["epoch"], fresh[0].ok()["epoch"]);
    }
    let again = ws.ok(json!({ "type": "publish", "channel": channel, "id": "once", "data": "again" })).await;
    assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)));
    let many = json!({ "messages": [{ "channel": channel, "id": "once" }, { "channel": channel, "id": "two" }, { "channel": channel, "id": "two" }] });
    let results = server.post("/v1/messages").json(&many).send().await.ok()["results"].clone();
    let offsets: Vec<_> =
        results.as_array().unwrap().iter().map(|r| (r["offset"].clone(), r["duplicate"].clone())).collect();
    assert_eq!(offsets, [(json!(1), json!(true)), (json!(2), json!(false)), (json!(2), json!(true))]);
    // The window is each channel's own, and a refused message is not remembered.
    let other = unique("open:");
    assert_eq!(server.publish(&other, json!({ "id": "once" })).await["duplicate"], false);
    let refused = json!({ "id": "later", "event": "fanfare.no" });
    server.post(&path).json(&refused).send().await.problem(400, "bad_request");
    assert_eq!(server.publish(&channel, json!({ "id": "later" })).await["duplicate"], false);
    // The server's own ids are nobody's idempotency ids.
    let made = server.publish(&channel, json!({ "data": 1 })).await;
    assert_eq!(server.publish(&channel, json!({ "id": made["id"] })).await["duplicate"], false);
}

#[tokio::test]
async fn a_condition_holds_only_at_the_head() {
    let server = Server::shared();
    let channel = unique("open:");
    let empty = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    let first = server.publish(&channel, json!({ "if": position(&empty), "data": 1, "id": "c-1" })).await;
    assert_eq!(first["offset"], 1);
    let path = format!("/v1/channels/{channel}/messages");
    let stale = json!({ "if": position(&empty), "data": 2 });
    let conflict = server.post(&path).json(&stale).send().await.problem(409, "conflict");
    assert_eq!((&conflict["epoch"], &conflict["offset"]), (&first["epoch"], &json!(1)));
    // The id is looked up first: a retry of what was applied is no conflict.
    let retry = server.publish(&channel, json!({ "if": position(&empty), "data": 1, "id": "c-1" })).await;
    assert_eq!((&retry["offset"], &retry["duplicate"]), (&json!(1), &json!(true)));
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    let command = json!({ "type": "publish", "channel": channel, "if": "zzz-1", "data": 2 });
    let conflict = ws.refused(command, "conflict").await;
    assert_eq!((&conflict["epoch"], &conflict["offset"]), (&first["epoch"], &json!(1)));
    ws.ok(json!({ "type": "publish", "channel": channel, "if": position(&first), "data": 2 })).await;
    // Of many who saw the same head one wins.
    let head = server.publish(&channel, json!({ "data": 3 })).await;
    let tries = (0..10).map(|n| server.post(&path).json(&json!({ "if": position(&head), "data": n })).send());
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|reply| reply.status == 200).count(), 1);
    assert!(answers.iter().all(|reply| reply.status == 200 || reply.status == 409));
}

#[tokio::test]
async fn many_messages_are_answered_in_their_order() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let many = json!({ "messages": [
        { "channel": a, "data": 1 }, { "channel": b, "data": 1 }, { "channel": a, "data": 2 }, { "channel": "bad name", "data": 1 },
        { "data": 1 }, 7, { "channel": a, "event": "open" }, { "channel": b, "data": 2, "ephemeral": true }, { "channel": "default", "data": 1 },
        { "channel": a, "data": "x".repeat(70_000) }, { "channel": a, "data": 3 }
    ] });
    let results = server.post("/v1/messages").json(&many).send().await.ok()["results"].clone();
    let results = results.as_array().unwrap();
    let short: Vec<_> = results
        .iter()
        .map(|result| match result["error"]["code"].as_str() {
            Some(code) => json!([code, result["error"]["status"]]),
            None => result["offset"].clone(),
        })
        .collect();
    let bad = json!(["bad_request", 400]);
    assert_eq!(
        short,
        [
            json!(1),
            json!(1),
            json!(2),
            bad.clone(),
            bad.clone(),
            bad.clone(),
            bad,
            Value::Null,
            json!(["unauthorized", 401]),
            json!(["too_large", 413]),
            json!(3)
        ]
    );
    assert!(results[7]["id"].is_string());
    for result in results.iter().filter(|result| !result["error"].is_null()) {
        assert!(result["error"]["detail"].is_string() && result["error"]["retryable"] == false, "{result}");
    }
    assert_eq!(
        server.post("/v1/messages").json(&json!({ "messages": [] })).send().await.ok()["results"],
        json!([])
    );
    let page = server.get(&format!("/v1/channels/{a}/messages")).send().await.ok();
    let data: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data, [1, 2, 3]);
}

#[tokio::test]
async fn a_thousand_messages_and_eight_megabytes_are_the_most() {
    let server = Server::shared();
    let channel = unique("plain:");
    let messages: Vec<_> = (0..1000).map(|n| json!({ "channel": channel, "data": n })).collect();
    let results = server.post("/v1/messages").json(&json!({ "messages": messages })).send().await.ok();
    assert_eq!(
        (results["results"].as_array().unwrap().len(), &results["results"][999]["offset"]),
        (1000, &json!(1000))
    );
    let large: Vec<_> = (0..120).map(|_| json!({ "channel": channel, "data": "x".repeat(60_000) })).collect();
    server.post("/v1/messages").json(&json!({ "messages": large })).send().await.ok();
    let larger: Vec<_> =
        (0..150).map(|_| json!({ "channel": channel, "data": "x".repeat(60_000) })).collect();
    let reply = server.post("/v1/messages").json(&json!({ "messages": larger })).send().await;
    reply.problem(413, "too_large");
}

#[tokio::test]
async fn a_key_can_end_by_itself() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    server.publish(&channel, json!({ "key": "k", "data": "soon gone", "ttl_ms": 300 })).await;
    assert_eq!(ws.expect("message").await["data"], "soon gone");
    let tombstone = ws.expect("message").await;
    assert_eq!((&tombstone["key"], &tombstone["data"]), (&json!("k"), &Value::Null));
    let page = server.get(&format!("/v1/channels/{channel}/snapshot")).send().await.ok();
    assert_eq!(page["messages"], json!([]));
}

#[tokio::test]
async fn messages_of_one_connection_keep_their_order_without_waiting() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for n in 0..500 {
        ws.send(&json!({ "type": "publish", "channel": channel, "data": n })).await;
    }
    let last = ws.ok(json!({ "type": "publish", "channel": channel, "data": 500, "ack": "memory" })).await;
    assert_eq!(last["offset"], 501);
    let page = server.get(&format!("/v1/channels/{channel}/messages?limit=1000")).send().await.ok();
    let data: Vec<_> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["data"].as_u64().unwrap())
        .collect();
    assert_eq!(data, (0..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_an_api_key_speaks_for_a_client() {
    let server = Server::shared();
    let channel = unique("open:");
    let body = json!({ "data": 1, "client": "abcdefghijklmnop" });
    let reply = server.post(&format!("/v1/channels/{channel}/messages")).json(&body).send().await;
    // Refused or not looked at: never taken for that client's.
    if reply.status == 200 {
        let page = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
        assert_ne!(page["messages"][0]["client"], "abcdefghijklmnop");
    }
    server.publish(&channel, body).await;
    let page = server.get(&format!("/v1/channels/{channel}/messages?reverse=1&limit=1")).send().await.ok();
    assert_eq!(page["messages"][0].get("client"), None, "never for an API key");
}
