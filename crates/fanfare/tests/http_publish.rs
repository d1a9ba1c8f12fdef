//! Publishing over HTTP.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use std::sync::Arc;

use fanfare::config::Config;
use fanfare_protocol::{ChannelName, ClientId, Code, Data, Identity, Problem, Publish, SessionId};
use fanfare_transport::{Asker, Authorizer, Decision};
use http_support::{CONFIG, SESSION, Server, bearer, claims, key, session};
use serde_json::json;

#[tokio::test]
async fn a_message_is_published_by_path_and_by_query_and_read_back() {
    let server = Server::closed();
    let body = r#"{"event":"say","data":{"n":1}}"#;
    let first = server.ask("POST /v1/channels/open%3Aa/messages", &[&session()], body).await.ok();
    assert_eq!((first["offset"].as_u64(), first["duplicate"].as_bool()), (Some(1), Some(false)), "{first}");
    let second = server.ask("POST /v1/messages?channel=open:a", &[&session()], r#"{"data":2}"#).await.ok();
    assert_eq!((&second["offset"], &second["epoch"]), (&json!(2), &first["epoch"]));

    let page = server.get("/v1/channels/open:a/messages").await.ok();
    let messages = page["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{page}");
    assert_eq!(messages[0]["event"], "say");
    assert_eq!(messages[0]["data"], json!({ "n": 1 }));
    assert_eq!(messages[0]["id"], first["id"]);
    assert_eq!(messages[1]["event"], "message");
    let client = SessionId::parse(SESSION).unwrap().client().to_string();
    assert!(
        messages.iter().all(|message| message["client"] == *client && message["user"].is_null()),
        "{page}"
    );
    assert_eq!((&page["offset"], &page["epoch"]), (&json!(2), &first["epoch"]));
}

#[tokio::test]
async fn a_channel_with_a_slash_works_encoded_and_in_the_query() {
    let server = Server::closed();
    server.ask("POST /v1/channels/open:a%2Fb/messages", &[], r#"{"data":1}"#).await.ok();
    let page = server.get("/v1/messages?channel=open:a/b").await.ok();
    assert_eq!(page["messages"][0]["channel"], "open:a/b");
}

#[tokio::test]
async fn the_path_beats_the_body_and_the_content_type_is_not_looked_at() {
    let server = Server::closed();
    let body = r#" {"channel":"open:other","data":1} "#;
    let headers = ["content-type: application/x-www-form-urlencoded"];
    server.ask("POST /v1/channels/open:a/messages", &headers, body).await.ok();
    assert_eq!(server.get("/v1/messages?channel=open:other").await.ok()["messages"], json!([]));
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 1);
}

#[tokio::test]
async fn an_id_is_applied_once() {
    let server = Server::closed();
    let first = server.publish("open:a", r#"{"data":1,"id":"u-7"}"#).await;
    let again = server.publish("open:a", r#"{"data":1,"id":"u-7"}"#).await;
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!((&first["offset"], &first["id"]), (&again["offset"], &json!("u-7")));
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 1);
}

#[tokio::test]
async fn if_appends_at_the_head_alone_and_a_conflict_names_it() {
    let server = Server::closed();
    let first = server.publish("open:a", r#"{"data":1}"#).await;
    let epoch = first["epoch"].as_str().unwrap();
    let second = server.publish("open:a", &format!(r#"{{"data":2,"if":"{epoch}-1"}}"#)).await;
    assert_eq!(second["offset"], 2);
    let stale = format!(r#"{{"data":3,"if":"{epoch}-1"}}"#);
    let problem = server.ask("POST /v1/messages?channel=open:a", &[], stale).await.refused(409, "conflict");
    assert_eq!((&problem["epoch"], &problem["offset"]), (&json!(epoch), &json!(2)), "{problem}");
}

#[tokio::test]
async fn ephemeral_messages_have_an_id_alone_and_are_kept_nowhere() {
    let server = Server::closed();
    let answer = server.publish("open:a", r#"{"data":1,"ephemeral":true}"#).await;
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["id"]);
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 0);
}

#[tokio::test]
async fn users_are_recorded_and_api_keys_are_nobody() {
    let server = Server::closed();
    let path = "POST /v1/messages?channel=members:a";
    server.ask(path, &[&bearer(claims("ada")), &session()], r#"{"data":1}"#).await.ok();
    server.ask(path, &[&key(), &session()], r#"{"data":2}"#).await.ok();
    let page = server.ask("GET /v1/messages?channel=members:a", &[&key()], "").await.ok();
    assert_eq!(page["messages"][0]["user"], "ada");
    assert!(page["messages"][0]["client"].is_string());
    assert!(page["messages"][1].get("user").is_none() && page["messages"][1].get("client").is_none());
}

#[tokio::test]
async fn only_api_keys_name_the_publishing_client() {
    let server = Server::closed();
    let body = format!(r#"{{"data":1,"client":"{}"}}"#, ClientId::parse("AAAAAAAAAAAAAAAA").unwrap());
    server.ask("POST /v1/messages?channel=open:a", &[], body.clone()).await.refused(400, "bad_request");
    server.ask("POST /v1/messages?channel=open:a", &[&key()], body).await.ok();
    let page = server.get("/v1/messages?channel=open:a").await.ok();
    assert!(page["messages"][0].get("client").is_none(), "{page}");
}

#[tokio::test]
async fn every_bad_message_is_refused_by_its_rule() {
    let server = Server::closed();
    let long = "x".repeat(129);
    for body in [
        "",
        "not json",
        "[]",
        "7",
        r#"{"data":1"#,
        r#"{"event":7,"data":1}"#,
        r#"{"event":"fanfare.x","data":1}"#,
        r#"{"event":"error","data":1}"#,
        r#"{"event":"pusher:ping","data":1}"#,
        r#"{"event":"phx_join","data":1}"#,
        r#"{"event":"a\nb","data":1}"#,
        r#"{"event":"","data":1}"#,
        r#"{"id":"a\rb","data":1}"#,
        r#"{"id":"","data":1}"#,
        &format!(r#"{{"id":"{long}","data":1}}"#),
        r#"{"key":"k"}"#,
        r#"{"data":1,"ttl_ms":5}"#,
        r#"{"data":"\ud800"}"#,
        r#"{"data":1e999}"#,
        r#"{"data":"*","encoding":"base64"}"#,
        r#"{"data":1,"encoding":"hex"}"#,
        r#"{"data":1,"ephemeral":"yes"}"#,
        r#"{"data":1,"if":"garbage"}"#,
        r#"{"data":1,"ack":"stored"}"#,
        r#"{"data":1,"tags":[1]}"#,
        &format!(r#"{{"data":{}{}}}"#, "[".repeat(65), "]".repeat(65)),
    ] {
        let got = server.ask("POST /v1/messages?channel=open:a", &[], body.to_owned()).await;
        assert_eq!(got.status, 400, "{body}: {}", got.text());
        got.refused(400, "bad_request");
    }
    let invalid = server.ask("POST /v1/messages?channel=open:a", &[], vec![b'"', 0xff, b'"']).await;
    invalid.refused(400, "bad_request");
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 0);
}

#[tokio::test]
async fn bad_channel_names_are_refused_in_the_path_and_in_the_query() {
    let server = Server::closed();
    let long = format!("open:{}", "x".repeat(251));
    let names =
        ["%20", "a%0D%0Ab", "a%00", "a,b", "a%20b", "a*", "%7Bsub%7D", "$presence:x", "%24x", &long, ""];
    for name in names {
        for line in [format!("/v1/channels/{name}/messages"), format!("/v1/messages?channel={name}")] {
            for method in ["POST", "GET"] {
                let got = server.ask(&format!("{method} {line}"), &[], r#"{"data":1}"#).await;
                assert_eq!(got.status, 400, "{method} {line}: {}", got.text());
                got.refused(400, "bad_request");
            }
        }
    }
    server.ask("POST /v1/channels/%FF/messages", &[], r#"{"data":1}"#).await.refused(400, "bad_request");
    server.get("/v1/messages").await.refused(400, "bad_request");
    let most = format!("open:{}", "x".repeat(250));
    server.publish(&most, r#"{"data":1}"#).await;
}

#[tokio::test]
async fn too_much_is_too_large() {
    let server = Server::closed();
    let message = format!(r#"{{"data":"{}"}}"#, "x".repeat(999));
    server.ask("POST /v1/messages?channel=open:a", &[], message).await.refused(413, "too_large");
    let fits = format!(r#"{{"data":"{}"}}"#, "x".repeat(998));
    server.publish("open:a", &fits).await;
    // Announced, and not announced.
    let body = " ".repeat(20_001);
    let announced = format!("content-length: {}", body.len());
    let path = "POST /v1/messages?channel=open:a";
    server.ask(path, &[&announced], body.clone()).await.refused(413, "too_large");
    server.ask(path, &[], body.clone()).await.refused(413, "too_large");
    server.ask("POST /v1/messages", &[], " ".repeat(200_001)).await.refused(413, "too_large");
    server.ask("PUT /v1/presence?channel=open:a", &[&session()], body).await.refused(413, "too_large");
    assert!(server.node.hub.budget().used() < 10_000, "bodies that were refused are still counted");
}

#[tokio::test]
async fn many_messages_keep_their_order_and_are_good_or_refused_alone() {
    let server = Server::closed();
    let mut messages: Vec<_> = (0..90)
        .map(|n| json!({ "channel": format!("open:{}", n % 3), "data": n, "id": format!("i{n}") }))
        .collect();
    messages[10] = json!({ "channel": "members:a", "data": 0 });
    messages[20] = json!({ "channel": "open:0", "event": "error" });
    messages[30] = json!({ "data": 0 });
    messages[40] = json!("no message");
    messages[50] = json!({ "channel": "open:0", "data": "x".repeat(2000) });
    messages[60] = messages[0].clone();
    let refused = [
        (10, "unauthorized"),
        (20, "bad_request"),
        (30, "bad_request"),
        (40, "bad_request"),
        (50, "too_large"),
    ];
    let body = json!({ "messages": messages }).to_string();
    let answer = server.ask("POST /v1/messages", &[], body).await.ok();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 90);
    for (at, code) in refused {
        let problem = &results[at]["error"];
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["remedy"].is_string() && problem["status"].is_u64(), "{problem}");
    }
    assert_eq!(results[60]["duplicate"], true);
    assert_eq!(results[60]["offset"], results[0]["offset"]);
    for channel in 0..3 {
        let page = server.get(&format!("/v1/messages?channel=open:{channel}")).await.ok();
        let kept: Vec<_> =
            page["messages"].as_array().unwrap().iter().map(|m| m["data"].as_u64().unwrap()).collect();
        let sent: Vec<_> = (0..90)
            .filter(|n| n % 3 == channel && *n != 60 && refused.iter().all(|(at, _)| *at as u64 != *n))
            .collect();
        assert_eq!(kept, sent);
        for (offset, n) in (1..).zip(&sent) {
            assert_eq!(results[*n as usize]["offset"].as_u64(), Some(offset));
        }
    }
    let count = |code| server.node.errors.snapshot().find(|(found, _)| *found == code).unwrap().1;
    assert_eq!((count(Code::BadRequest), count(Code::TooLarge), count(Code::Unauthorized)), (3, 1, 1));
}

#[tokio::test]
async fn a_batch_of_the_wrong_form_is_refused_whole() {
    let server = Server::closed();
    for body in ["", "[]", "{}", r#"{"messages":{}}"#, r#"{"messages":7}"#] {
        server.ask("POST /v1/messages", &[], body).await.refused(400, "bad_request");
    }
    let many =
        |count| json!({ "messages": vec![json!({ "channel": "open:a", "data": 1 }); count] }).to_string();
    server.ask("POST /v1/messages", &[], many(101)).await.refused(429, "limit_exceeded");
    server.ask("POST /v1/messages", &[], many(1001)).await.refused(429, "limit_exceeded");
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 0);
    server.ask("POST /v1/messages", &[], many(100)).await.ok();
    assert_eq!(server.get("/v1/messages?channel=open:a").await.ok()["offset"], 100);
    let none = server.ask("POST /v1/messages", &[], r#"{"messages":[]}"#).await.ok();
    assert_eq!(none, json!({ "results": [] }));
}

/// Lets `ada` in by a header, stamps what she publishes and refuses one word.
struct House;

impl Authorizer for House {
    fn connect<'a>(&'a self, request: &'a http::request::Parts) -> Decision<'a, Option<Identity>> {
        Box::pin(async {
            let user = request.headers.get("x-user").and_then(|user| user.to_str().ok());
            Ok(user.map(|user| Identity { user: Some(user.into()), ..Identity::default() }))
        })
    }

    fn publish<'a>(&'a self, asker: &'a Asker, publish: &'a mut Publish) -> Decision<'a, ()> {
        Box::pin(async {
            if publish.data == Data::from_json(b"\"forbidden\"")? {
                return Err(Problem::new(Code::Forbidden, "not that word"));
            }
            assert!(asker.request.headers.contains_key("x-user"));
            publish.key = asker.identity.user.clone();
            Ok(())
        })
    }
}

#[tokio::test]
async fn an_application_decides_and_changes_what_is_published() {
    let server = Server::with(Config::from_toml(CONFIG).unwrap(), Some(Arc::new(House)));
    let path = "POST /v1/messages?channel=members:a";
    server.ask(path, &["x-user: ada"], r#"{"data":"forbidden"}"#).await.refused(403, "forbidden");
    server.ask(path, &["x-user: ada"], r#"{"data":"fine"}"#).await.ok();
    let page = server.ask("GET /v1/messages?channel=members:a", &["x-user: ada"], "").await.ok();
    assert_eq!(page["messages"][0]["key"], "ada");
    assert_eq!(page["messages"][0]["user"], "ada");
    assert_eq!(page["offset"], 1);
}

#[tokio::test]
async fn publishing_needs_the_right() {
    let server = Server::closed();
    let path = "POST /v1/messages?channel=chat:1";
    let body = r#"{"event":"say","data":1}"#;
    server.ask(path, &[], body).await.refused(401, "unauthorized");
    server.ask(path, &[&bearer(claims("ada"))], body).await.refused(403, "forbidden");
    let reader = claims("ada").grant(&["chat:*"], &["subscribe", "history"]);
    server.ask(path, &[&bearer(reader)], body).await.refused(403, "forbidden");
    let typist = claims("ada").grant_events(&["chat:*"], &["publish"], &["typing"]);
    server.ask(path, &[&bearer(typist)], body).await.refused(403, "forbidden");
    let speaker = claims("ada").grant_events(&["chat:*"], &["publish"], &["say"]);
    server.ask(path, &[&bearer(speaker)], body).await.ok();
    server.ask(path, &[&key()], body).await.ok();
    let expired = claims("ada").exp(1000).grant(&["chat:*"], &["publish"]);
    server.ask(path, &[&bearer(expired)], body).await.refused(401, "token_expired");
    server.ask(path, &["authorization: Bearer nonsense"], body).await.refused(401, "unauthorized");
    server.ask(path, &["authorization: Basic eDp5"], body).await.refused(401, "unauthorized");
    let in_query = format!("POST /v1/messages?channel=chat:1&token={}", http_support::API_KEY);
    server.ask(&in_query, &[], body).await.ok();
    let channel = ChannelName::parse("chat:1").unwrap();
    assert_eq!(server.node.hub.broker().bounds(&channel).await.unwrap().head, 3);
}

/// A body that never ends: it is answered only by who does not wait for it.
fn endless() -> axum::body::Body {
    axum::body::Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>())
}

#[tokio::test]
async fn who_may_not_publish_is_told_before_the_body_is_read() {
    let server =
        Server::new("[auth]\nhmac_secret = \"a secret for tests only, 32 bytes\"\n[namespaces.default]");
    let ada = bearer(claims("ada"));
    let reader = bearer(claims("ada").grant(&["chat:*"], &["subscribe"]));
    for line in ["POST /v1/messages?channel=chat:a", "POST /v1/channels/chat:a/messages", "POST /v1/messages"]
    {
        let soon = async |headers: &[&str]| {
            let asked = server.ask(line, headers, endless());
            tokio::time::timeout(std::time::Duration::from_secs(10), asked).await.expect(line)
        };
        soon(&[]).await.refused(401, "unauthorized");
        soon(&[&ada]).await.refused(403, "forbidden");
        soon(&[&reader]).await.refused(403, "forbidden");
    }
}

#[tokio::test]
async fn a_grant_that_names_events_is_judged_by_the_message() {
    let server = Server::closed();
    let say = bearer(claims("ada").grant_events(&["chat:*"], &["publish"], &["say"]));
    let line = "POST /v1/messages?channel=chat:a";
    server.ask(line, &[&say], r#"{"event":"say"}"#).await.ok();
    server.ask(line, &[&say], r#"{"event":"shout"}"#).await.refused(403, "forbidden");
    let many = r#"{"messages":[{"channel":"chat:a","event":"say"},{"channel":"chat:a"}]}"#;
    let results = server.ask("POST /v1/messages", &[&say], many).await.ok()["results"].clone();
    assert_eq!((&results[0]["offset"], &results[1]["error"]["code"]), (&json!(2), &json!("forbidden")));
}
