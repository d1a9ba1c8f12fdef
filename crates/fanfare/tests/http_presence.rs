//! Presence over HTTP.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use std::sync::Arc;

use fanfare::config::Config;
use fanfare_protocol::{ChannelName, Code, Problem, SessionId, SubscribeOptions};
use fanfare_transport::{Asker, Authorizer, Decision};
use http_support::{CONFIG, SESSION, Server, bearer, claims, key, request, session, until};
use serde_json::json;

const PRESENCE: &str = "/v1/channels/open:room/presence";

async fn count(server: &Server) -> u64 {
    server.get(&format!("{PRESENCE}?limit=0")).await.ok()["count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_member_enters_updates_and_leaves() {
    let server = Server::closed();
    let client = SessionId::parse(SESSION).unwrap().client().to_string();
    let put = format!("PUT {PRESENCE}");
    assert_eq!(server.ask(&put, &[&session()], r#"{"data":{"name":"Ada"}}"#).await.ok(), json!({}));
    let page = until("the member", || async {
        let page = server.get(PRESENCE).await.ok();
        (page["count"] == 1).then_some(page)
    })
    .await;
    let member = &page["members"][0];
    assert_eq!((&member["client"], &member["data"]), (&json!(client), &json!({ "name": "Ada" })), "{page}");
    assert!(member["entered_at"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(page["users"], 0);

    let put = format!("PUT /v1/presence?channel=open:room&session={SESSION}");
    server.ask(&put, &[], r#"{"data":2}"#).await.ok();
    let page = until("the update", || async {
        let page = server.get(PRESENCE).await.ok();
        (page["members"][0]["data"] == 2).then_some(page)
    })
    .await;
    assert_eq!((&page["count"], &page["members"][0]["entered_at"]), (&json!(1), &member["entered_at"]));

    let delete = format!("DELETE {PRESENCE}");
    assert_eq!(server.ask(&delete, &[&session()], "").await.ok(), json!({}));
    until("the departure", || async { (count(&server).await == 0).then_some(()) }).await;
    server.ask(&delete, &[&session()], "").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_is_held_by_an_open_stream() {
    let server = Server::closed();
    // Some other session holds its membership with a stream; ours has none. The lease is 1 s.
    let held = "fanfare-session: ABCDEFGHIJKLMNOPQRSTUV";
    let stream = server.open(request("GET /v1/stream?channel=open:room", &[held], "")).await;
    assert_eq!(stream.status(), 200);
    let mut body = stream.into_body();
    let reading = tokio::spawn(async move {
        use http_body_util::BodyExt;
        while let Some(Ok(_)) = body.frame().await {}
    });
    until("the stream", || async { (!server.node.hub.directory().is_empty()).then_some(()) }).await;
    server.ask(&format!("PUT {PRESENCE}"), &[held], r#"{"data":"held"}"#).await.ok();
    server.ask(&format!("PUT {PRESENCE}"), &[&session()], "").await.ok();
    until("both", || async { (count(&server).await == 2).then_some(()) }).await;
    until("the end of the lease", || async { (count(&server).await == 1).then_some(()) }).await;
    let page = server.get(PRESENCE).await.ok();
    assert_eq!(page["members"][0]["data"], "held", "{page}");
    reading.abort();
    until("the end of the stream's", || async { (count(&server).await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn members_are_paged_and_users_counted_once() {
    let server = Server::closed();
    for n in 0..5 {
        let session = format!("fanfare-session: 012345678901234567890{n}");
        let user = bearer(claims(if n < 3 { "ada" } else { "bob" }).info(json!({ "n": n })));
        server.ask("PUT /v1/presence?channel=members:r", &[&session, &user], "").await.ok();
    }
    let user = bearer(claims("eve"));
    let get = async |query: &str| {
        server.ask(&format!("GET /v1/presence?channel=members:r&{query}"), &[&user], "").await.ok()
    };
    until("everybody", || async { (get("limit=0").await["count"] == 5).then_some(()) }).await;
    let mut clients = Vec::new();
    let mut page = get("limit=2").await;
    loop {
        assert_eq!((&page["count"], &page["users"]), (&json!(5), &json!(2)), "{page}");
        for member in page["members"].as_array().unwrap() {
            assert!(member["info"]["n"].is_u64() && member["user"].is_string(), "{member}");
            clients.push(member["client"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        page = get(&format!("limit=2&after={next}")).await;
    }
    assert_eq!(clients.len(), 5);
    assert!(clients.is_sorted(), "{clients:?}");
}

#[tokio::test]
async fn presence_is_refused_where_it_must_be() {
    let server = Server::closed();
    let (put, delete) = (format!("PUT {PRESENCE}"), format!("DELETE {PRESENCE}"));
    server.ask(&put, &[], "").await.refused(400, "bad_request");
    server.ask(&delete, &[], "").await.refused(400, "bad_request");
    server.ask(&put, &["fanfare-session: short"], "").await.refused(400, "bad_request");
    for body in ["not json", "[]", r#"{"data":"\ud800"}"#] {
        server.ask(&put, &[&session()], body).await.refused(400, "bad_request");
    }
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(1000));
    server.ask(&put, &[&session()], large).await.refused(413, "too_large");
    for method in ["GET", "PUT"] {
        let none = format!("{method} /v1/presence?channel=plain:a");
        server.ask(&none, &[&session()], "").await.refused(400, "bad_request");
    }
    server.ask("DELETE /v1/presence?channel=plain:a", &[&session()], "").await.refused(404, "not_found");
    server.get(&format!("{PRESENCE}?limit=-1")).await.refused(400, "bad_request");
    server.get(&format!("{PRESENCE}?after=nobody")).await.refused(400, "bad_request");
    for method in ["GET", "PUT", "DELETE"] {
        let path = format!("{method} /v1/presence?channel=members:a");
        server.ask(&path, &[&session()], "").await.refused(401, "unauthorized");
        let path = format!("{method} /v1/presence?channel=chat:a");
        server.ask(&path, &[&session(), &bearer(claims("ada"))], "").await.refused(403, "forbidden");
    }
    server.ask("PUT /v1/presence?channel=members:a", &[&session(), &key()], "").await.ok();
}

#[tokio::test]
async fn another_user_with_the_same_session_is_a_conflict() {
    let server = Server::closed();
    let put = "PUT /v1/presence?channel=members:a";
    server.ask(put, &[&session(), &bearer(claims("ada"))], "").await.ok();
    until("ada", || async {
        let page = server.ask("GET /v1/presence?channel=members:a", &[&key()], "").await.ok();
        (page["count"] == 1).then_some(())
    })
    .await;
    server.ask(put, &[&session(), &bearer(claims("bob"))], "").await.refused(409, "conflict");
}

fn limited(limit: &str) -> Server {
    Server::new(&CONFIG.replace("[limits]", &format!("[limits]\n{limit}")))
}

fn nobody(n: usize) -> String {
    format!("fanfare-session: 012345678901234567890{n}")
}

#[tokio::test]
async fn a_channel_has_no_more_members_than_it_may_however_many_sessions_a_stranger_invents() {
    let server = limited("members_per_channel = 2");
    let put = format!("PUT {PRESENCE}");
    // At once, so that none is in the list of members when the next one comes.
    let entering = futures_util::future::join_all((0..5).map(|n| {
        let (server, put) = (&server, &put);
        async move { server.ask(put, &[&nobody(n)], "").await }
    }));
    let entered = entering.await;
    assert_eq!(entered.iter().filter(|got| got.status == 200).count(), 2);
    for got in entered.iter().filter(|got| got.status != 200) {
        got.refused(429, "limit_exceeded");
    }
    let first = entered.iter().position(|got| got.status == 200).unwrap();
    let other = entered.iter().position(|got| got.status != 200).unwrap();
    // Who is in may say something else; who leaves makes room.
    server.ask(&put, &[&nobody(first)], r#"{"data":2}"#).await.ok();
    server.ask(&format!("DELETE {PRESENCE}"), &[&nobody(first)], "").await.ok();
    until("the departure", || async { (count(&server).await == 1).then_some(()) }).await;
    server.ask(&put, &[&nobody(other)], "").await.ok();
}

#[tokio::test]
async fn a_session_is_a_member_of_no_more_channels_than_it_may() {
    let server = limited("memberships_per_connection = 2");
    for n in 0..2 {
        server.ask(&format!("PUT /v1/presence?channel=open:{n}"), &[&session()], "").await.ok();
    }
    let third = "PUT /v1/presence?channel=open:2";
    server.ask(third, &[&session()], "").await.refused(429, "limit_exceeded");
    server.ask("PUT /v1/presence?channel=open:0", &[&session()], r#"{"data":2}"#).await.ok();
    server.ask("DELETE /v1/presence?channel=open:0", &[&session()], "").await.ok();
    server.ask(third, &[&session()], "").await.ok();
}

#[tokio::test]
async fn members_take_of_the_hubs_memory() {
    let server = Server::closed();
    server.node.hub.budget().set_limit(0);
    let put = format!("PUT {PRESENCE}");
    let problem = server.ask(&put, &[&session()], "").await.refused(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("members"), "{problem}");
    server.node.hub.budget().set_limit(1 << 20);
    server.ask(&put, &[&session()], "").await.ok();
}

/// Lets nobody see the members of `open:secret`.
struct Discreet;

impl Authorizer for Discreet {
    fn subscribe<'a>(
        &'a self,
        _: &'a Asker,
        channel: &'a ChannelName,
        options: &'a SubscribeOptions,
    ) -> Decision<'a, ()> {
        let refused = options.presence && **channel == *"open:secret";
        Box::pin(
            async move { if refused { Err(Problem::new(Code::Forbidden, "not for you")) } else { Ok(()) } },
        )
    }
}

#[tokio::test]
async fn an_application_decides_who_may_be_a_member() {
    let server = Server::with(Config::from_toml(CONFIG).unwrap(), Some(Arc::new(Discreet)));
    for method in ["GET", "PUT"] {
        let line = format!("{method} /v1/presence?channel=open:secret");
        server.ask(&line, &[&session()], "").await.refused(403, "forbidden");
        server.ask(&format!("{method} {PRESENCE}"), &[&session()], "").await.ok();
    }
}
