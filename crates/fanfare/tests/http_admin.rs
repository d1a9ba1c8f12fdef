//! Lists and disconnections for API keys.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use axum::body::Body;
use http_body_util::BodyExt;
use http_support::{Server, bearer, claims, key, request, until};
use serde_json::{Value, json};

/// Reads a stream's lines until one is of this type.
async fn frame(body: &mut Body, kind: &str) -> Value {
    let mut text = String::new();
    loop {
        let frame = body.frame().await.expect("the stream ended").unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        for line in text.lines().filter(|line| line.ends_with('}')) {
            let frame: Value = serde_json::from_str(line).unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

/// A stream that has begun.
async fn stream(server: &Server, headers: &[&str]) -> Body {
    let response = server.open(request("GET /v1/stream?channel=open:a", headers, "")).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    frame(&mut body, "subscribed").await;
    body
}

#[tokio::test]
async fn nobody_but_an_api_key_is_let_in() {
    let server = Server::closed();
    let all = claims("ada").grant(&["*"], &["subscribe", "publish", "presence", "enter", "history"]);
    for line in [
        "GET /v1/channels",
        "GET /v1/connections",
        "POST /v1/connections/AAAAAAAAAAAAAAAA/disconnect",
        "POST /v1/users/bob/disconnect",
        "POST /v1/users/online",
    ] {
        server.ask(line, &[], r#"{"users":[]}"#).await.refused(401, "unauthorized");
        server.ask(line, &[&bearer(all.clone())], r#"{"users":[]}"#).await.refused(403, "forbidden");
        let got = server.ask(line, &[&key()], r#"{"users":[]}"#).await;
        assert_eq!(got.status, 200, "{line}: {}", got.text());
    }
}

#[tokio::test]
async fn channels_are_listed_by_name_in_pages_without_the_hubs_own() {
    let server = Server::closed();
    // Around the hub's own names, which begin with a dollar sign.
    for channel in ["open:b", "open:a", "small:x", "plain:y", "!early", "open:c"] {
        let line = format!("POST /v1/messages?channel={channel}");
        server.ask(&line, &[&key()], r#"{"data":1}"#).await.ok();
    }
    for n in 0..20 {
        let session = format!("fanfare-session: 01234567890123456789{n:02}");
        let line = format!("PUT /v1/presence?channel=open:p{n}");
        server.ask(&line, &[&session], "").await.ok();
    }
    server.get("/health/ready").await.ok();
    let get = async |query: &str| server.ask(&format!("GET /v1/channels?{query}"), &[&key()], "").await.ok();
    let names = |page: &Value| -> Vec<String> {
        page["channels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["channel"].as_str().unwrap().to_owned())
            .collect()
    };
    let every = ["!early", "open:a", "open:b", "open:c", "plain:y", "small:x"];
    let page = get("").await;
    assert_eq!(names(&page), every);
    assert!(page.get("next").is_none());
    let row = &page["channels"][1];
    assert_eq!((&row["offset"], &row["messages"]), (&json!(1), &json!(1)));
    assert!(row["epoch"].is_string() && row["time"].as_u64().unwrap() > 1_600_000_000_000, "{row}");
    for limit in 1..=6 {
        let (mut seen, mut page) = (Vec::new(), get(&format!("limit={limit}")).await);
        loop {
            assert!(names(&page).len() <= limit);
            seen.extend(names(&page));
            let Some(next) = page["next"].as_str() else { break };
            page = get(&format!("limit={limit}&after={next}")).await;
        }
        assert_eq!(seen, every, "pages of {limit}");
    }
    assert_eq!(names(&get("prefix=open:").await), every[1..4]);
    assert_eq!(names(&get("prefix=open:&after=open:b").await), ["open:c"]);
    assert_eq!(names(&get("prefix=$presence").await), [""; 0]);
    server.ask("GET /v1/channels?limit=0", &[&key()], "").await.refused(400, "bad_request");
}

#[tokio::test]
async fn connections_are_listed_and_narrowed() {
    let server = Server::closed();
    let mut streams = Vec::new();
    for n in 0..5 {
        let session = format!("fanfare-session: 012345678901234567890{n}");
        let user = bearer(claims(if n == 4 { "bob" } else { "ada" }));
        streams.push(stream(&server, &[&session, &user]).await);
    }
    let get =
        async |query: &str| server.ask(&format!("GET /v1/connections?{query}"), &[&key()], "").await.ok();
    let page = get("").await;
    let rows = page["connections"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!((&rows[0]["transport"], &rows[0]["user"]), (&json!("stream"), &json!("ada")), "{page}");
    assert!(rows[0]["connected_at"].is_u64() && rows[0]["expires_at"].is_u64(), "{page}");
    let (mut ids, mut page) = (Vec::new(), get("limit=2").await);
    loop {
        let rows = page["connections"].as_array().unwrap();
        assert!(rows.len() <= 2 && !rows.is_empty());
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().parse::<u64>().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        page = get(&format!("limit=2&after={next}")).await;
    }
    assert!(ids.len() == 5 && ids.is_sorted(), "{ids:?}");
    assert_eq!(get("user=bob").await["connections"].as_array().unwrap().len(), 1);
    let client = rows[2]["client"].as_str().unwrap();
    let narrowed = get(&format!("client={client}")).await;
    assert_eq!(narrowed["connections"], json!([rows[2]]));
    assert_eq!(get("user=nobody").await, json!({ "connections": [] }));
    for query in ["limit=0", "after=x", "client=short"] {
        server.ask(&format!("GET /v1/connections?{query}"), &[&key()], "").await.refused(400, "bad_request");
    }
}

#[tokio::test]
async fn a_client_is_disconnected_and_may_come_back() {
    let server = Server::closed();
    let session = "fanfare-session: 0123456789012345678901";
    let mut mine = stream(&server, &[session]).await;
    let mut other = stream(&server, &[]).await;
    let list = server.ask("GET /v1/connections", &[&key()], "").await.ok();
    let client = list["connections"][0]["client"].as_str().unwrap();
    let line = format!("POST /v1/connections/{client}/disconnect");
    assert_eq!(server.ask(&line, &[&key()], "").await.ok(), json!({ "disconnected": 1 }));
    assert_eq!(frame(&mut mine, "disconnect").await["code"], "revoked");
    drop(stream(&server, &[session]).await);
    server.publish("open:a", r#"{"data":1}"#).await;
    assert_eq!(frame(&mut other, "message").await["data"], 1);
    let nobody = server.ask("POST /v1/connections/AAAAAAAAAAAAAAAA/disconnect", &[&key()], "").await.ok();
    assert_eq!(nobody, json!({ "disconnected": 0 }));
    server.ask("POST /v1/connections/x/disconnect", &[&key()], "").await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_disconnected_users_tokens_are_refused_until_new_ones_are_issued() {
    let server = Server::closed();
    let (old, other) = (bearer(claims("ada/1")), bearer(claims("bob")));
    let mut mine = stream(&server, &[&old]).await;
    let _theirs = stream(&server, &[&other]).await;
    let answer = server.ask("POST /v1/users/ada%2F1/disconnect", &[&key()], "").await.ok();
    assert_eq!(answer, json!({ "disconnected": 1 }));
    assert_eq!(frame(&mut mine, "disconnect").await["code"], "revoked");
    let line = "POST /v1/messages?channel=members:a";
    server.ask(line, &[&old], r#"{"data":1}"#).await.refused(403, "revoked");
    server.ask(line, &[&other], r#"{"data":1}"#).await.ok();
    let issued = fanfare_hub::unix_ms() / 1000 + 1;
    let new = bearer(claims("ada/1").iat(issued));
    server.ask(line, &[&new], r#"{"data":1}"#).await.ok();
    server.ask(line, &[&key()], r#"{"data":1}"#).await.ok();
}

#[tokio::test]
async fn who_is_online_is_told() {
    let server = Server::closed();
    let stream = stream(&server, &[&bearer(claims("ada"))]).await;
    let online = async |body: &str| server.ask("POST /v1/users/online", &[&key()], body.to_owned()).await;
    assert_eq!(online(r#"{"users":["bob","ada"]}"#).await.ok(), json!({ "online": ["ada"] }));
    drop(stream);
    until("ada is gone", || async {
        (online(r#"{"users":["ada"]}"#).await.ok() == json!({ "online": [] })).then_some(())
    })
    .await;
    for body in ["", "{}", "[]", r#"{"users":[1]}"#, r#"{"users":"ada"}"#] {
        online(body).await.refused(400, "bad_request");
    }
    let many = json!({ "users": vec!["u"; 1001] }).to_string();
    online(&many).await.refused(429, "limit_exceeded");
}
