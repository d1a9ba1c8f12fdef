//! A long-poll that waits is an open connection: counted against the limits, listed, online, and ended by whoever ends connections.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::{Duration, Instant};

use fanfare_tests::{http::Reply, prelude::*};

/// A poll of `ada` that waits for a message which does not come.
fn park(server: &Server, token: &str, channel: &str) -> tokio::task::JoinHandle<Reply> {
    let now = server.get(&format!("/v1/poll?channel={channel}")).bearer(token).send();
    let (address, token, channel) = (server.address(), token.to_owned(), channel.to_owned());
    tokio::spawn(async move {
        let cursor = now.await.ok()["cursor"].as_str().unwrap().to_owned();
        let target = format!("/v1/poll?channel={channel}&since={cursor}&wait=60");
        fanfare_tests::http::Request::new(address, "GET", &target).bearer(&token).send().await
    })
}

async fn connections(server: &Server, user: &str) -> Vec<Value> {
    let list = server.get(&format!("/v1/connections?user={user}")).bearer(config::API_KEY).send().await.ok();
    list["connections"].as_array().unwrap().clone()
}

async fn until_connections(server: &Server, user: &str, count: usize) -> Vec<Value> {
    within(async {
        loop {
            let found = connections(server, user).await;
            if found.len() == count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn is_online(server: &Server, user: &str) -> bool {
    let asked = server.post("/v1/users/online").bearer(config::API_KEY).json(&json!({ "users": [user] }));
    asked.send().await.ok()["online"] == json!([user])
}

#[tokio::test]
async fn it_is_listed_counted_and_online_and_its_place_is_given_back() {
    let server = Server::start(config::STANDARD);
    let token = token::of("ada");
    assert!(!is_online(&server, "ada").await);
    let poll = park(&server, &token, "open:x");
    let row = until_connections(&server, "ada", 1).await.remove(0);
    assert_eq!((row["transport"].as_str(), row["user"].as_str()), (Some("poll"), Some("ada")));
    assert!(row["client"].is_string() && row["connected_at"].is_u64(), "{row}");
    assert!(is_online(&server, "ada").await);
    let metrics = server.get("/metrics").bearer(config::API_KEY).send().await.text();
    assert!(metrics.contains("fanfare_connections{transport=\"poll\"} 1"), "{metrics}");
    server.publish("open:x", json!({ "data": "news" })).await;
    assert_eq!(poll.await.unwrap().ok()["messages"][0]["data"], "news");
    until_connections(&server, "ada", 0).await;
    assert!(!is_online(&server, "ada").await);
    // A client that goes away gives its place back too.
    let gone = park(&server, &token, "open:x");
    until_connections(&server, "ada", 1).await;
    gone.abort();
    until_connections(&server, "ada", 0).await;
}

#[tokio::test]
async fn it_counts_against_the_limits_and_a_short_poll_does_not() {
    let limits = "[limits]\nconnections = 3\nconnections_per_user = 2";
    let server = Server::start(&config::STANDARD.replace("[limits]", limits));
    let (ada, bob) = (token::of("ada"), token::of("bob"));
    let _first = park(&server, &ada, "open:x");
    let _second = park(&server, &ada, "open:x");
    until_connections(&server, "ada", 2).await;
    let third = park(&server, &ada, "open:x").await.unwrap().problem(429, "limit_exceeded");
    assert_eq!(third["retryable"], true);
    server.get("/v1/sse?channel=open:x").bearer(&ada).send().await.problem(429, "limit_exceeded");
    server.get("/v1/poll?channel=open:x").bearer(&ada).send().await.ok();
    let _bobs = park(&server, &bob, "open:x");
    until_connections(&server, "bob", 1).await;
    park(&server, &token::of("eve"), "open:x").await.unwrap().problem(429, "limit_exceeded");
    server.get("/v1/poll?channel=open:x").send().await.ok();
}

#[tokio::test]
async fn it_is_ended_at_once_with_the_clients_connections() {
    let server = Server::start(config::STANDARD);
    let poll = park(&server, &token::of("ada"), "open:x");
    let client = until_connections(&server, "ada", 1).await[0]["client"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let ended = server.post(&format!("/v1/connections/{client}/disconnect")).bearer(config::API_KEY);
    assert_eq!(ended.send().await.ok()["disconnected"], 1);
    poll.await.unwrap().problem(403, "revoked");
    let poll = park(&server, &token::of("ada"), "open:x");
    until_connections(&server, "ada", 1).await;
    server.post("/v1/users/ada/disconnect").bearer(config::API_KEY).send().await.ok();
    poll.await.unwrap().problem(401, "unauthorized");
    let poll = park(&server, &token::sign(&token::claims_for("bob", 2)), "open:x");
    poll.await.unwrap().problem(401, "token_expired");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
