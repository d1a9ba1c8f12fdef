//! History and snapshots over HTTP.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use http_support::{Server, bearer, claims, key, until};
use serde_json::{Value, json};

fn data(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|message| message["data"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn history_is_paged_in_both_directions() {
    let server = Server::closed();
    let mut epoch = String::new();
    for n in 1..=7 {
        let answer = server.publish("open:a", &format!(r#"{{"data":{n}}}"#)).await;
        epoch = answer["epoch"].as_str().unwrap().to_owned();
    }
    let get = async |query: &str| server.get(&format!("/v1/channels/open:a/messages?{query}")).await.ok();
    let page = get("limit=3").await;
    assert_eq!((data(&page), &page["more"]), (vec![1, 2, 3], &json!(true)));
    assert!(page.get("gap").is_none(), "{page}");
    let page = get(&format!("since={epoch}-3&limit=100")).await;
    assert_eq!((data(&page), &page["more"], &page["offset"]), (vec![4, 5, 6, 7], &json!(false), &json!(7)));
    let page = get("reverse=1&limit=3").await;
    assert_eq!((data(&page), &page["more"]), (vec![7, 6, 5], &json!(true)));
    let page = get(&format!("reverse=true&before={epoch}-5&limit=4")).await;
    assert_eq!((data(&page), &page["more"]), (vec![4, 3, 2, 1], &json!(false)));
    let page = get("reverse=1&before=garbage&limit=1").await;
    assert_eq!(data(&page), [7]);
    let page = get("since=zzz-3").await;
    assert_eq!((data(&page).len(), &page["gap"]), (7, &json!(true)));
    let page = get("limit=99999999999999999999").await;
    assert_eq!(data(&page).len(), 7);
}

#[tokio::test]
async fn what_retention_took_is_a_gap() {
    let server = Server::closed();
    let mut epoch = String::new();
    for n in 1..=5 {
        let answer = server.publish("small:a", &format!(r#"{{"data":{n}}}"#)).await;
        epoch = answer["epoch"].as_str().unwrap().to_owned();
    }
    let page = server.get(&format!("/v1/messages?channel=small:a&since={epoch}-1")).await.ok();
    assert_eq!((data(&page), &page["gap"], &page["offset"]), (vec![3, 4, 5], &json!(true), &json!(5)));
    let page = server.get(&format!("/v1/messages?channel=small:a&since={epoch}-2")).await.ok();
    assert_eq!((data(&page), page.get("gap")), (vec![3, 4, 5], None));
}

#[tokio::test]
async fn bad_pages_are_refused_and_reading_creates_nothing() {
    let server = Server::closed();
    for query in
        ["limit=0", "limit=-1", "limit=x", "limit=", "since=garbage", "since=a-1~b-2", "reverse=maybe"]
    {
        server.get(&format!("/v1/messages?channel=open:a&{query}")).await.refused(400, "bad_request");
    }
    for query in ["limit=0", "limit=-5", "after=garbage", "after="] {
        server.get(&format!("/v1/snapshot?channel=open:a&{query}")).await.refused(400, "bad_request");
    }
    let empty = server.get("/v1/messages?channel=open:never").await.ok();
    assert_eq!(
        (&empty["messages"], &empty["offset"], &empty["more"]),
        (&json!([]), &json!(0), &json!(false))
    );
    assert_eq!(server.get("/v1/snapshot?channel=open:never").await.ok()["messages"], json!([]));
    let channels = server.ask("GET /v1/channels", &[&key()], "").await.ok();
    assert_eq!(channels["channels"], json!([]));
}

#[tokio::test]
async fn history_and_snapshot_need_their_rights() {
    let server = Server::closed();
    for path in ["GET /v1/channels/chat:1/messages", "GET /v1/channels/chat:1/snapshot"] {
        server.ask(path, &[], "").await.refused(401, "unauthorized");
        server.ask(path, &[&bearer(claims("ada"))], "").await.refused(403, "forbidden");
    }
    let reader = bearer(claims("ada").grant(&["chat:*"], &["history"]));
    server.ask("GET /v1/messages?channel=chat:1", &[&reader], "").await.ok();
    server.ask("GET /v1/snapshot?channel=chat:1", &[&reader], "").await.refused(403, "forbidden");
    let subscriber = bearer(claims("ada").grant(&["chat:*", "open:*"], &["subscribe"]));
    server.ask("GET /v1/messages?channel=chat:1", &[&subscriber], "").await.refused(403, "forbidden");
    server.ask("GET /v1/snapshot?channel=chat:1", &[&subscriber], "").await.refused(400, "bad_request");
    server.ask("GET /v1/snapshot?channel=open:1", &[&subscriber], "").await.ok();
}

#[tokio::test]
async fn a_snapshot_is_one_state_however_many_pages_it_takes() {
    let server = Server::closed();
    for n in 0..10 {
        server.publish("open:k", &format!(r#"{{"key":"k{n}","data":{n}}}"#)).await;
    }
    server.publish("open:k", r#"{"key":"k3","data":null}"#).await;
    server.publish("open:k", r#"{"data":"no key"}"#).await;
    server.publish("open:k", r#"{"key":"k5","data":50}"#).await;

    let first = server.get("/v1/channels/open:k/snapshot?limit=4").await.ok();
    assert_eq!(data(&first), [0, 1, 2, 4]);
    assert_eq!(first["offset"], 13);
    // What changes now belongs to whoever reads on from the state's position.
    server.publish("open:k", r#"{"key":"k9","data":90}"#).await;
    let mut pages = vec![first.clone()];
    while let Some(next) = pages.last().unwrap()["next"].as_str() {
        assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{next}");
        let page = server.get(&format!("/v1/snapshot?channel=open:k&limit=4&after={next}")).await.ok();
        assert_eq!((&page["offset"], &page["epoch"]), (&first["offset"], &first["epoch"]));
        pages.push(page);
    }
    let all: Vec<_> = pages.iter().flat_map(data).collect();
    assert_eq!(all, [0, 1, 2, 4, 6, 7, 8, 50]);
    let rest = format!("/v1/messages?channel=open:k&since={}-13", first["epoch"].as_str().unwrap());
    assert_eq!(data(&server.get(&rest).await.ok()), [90]);
}

#[tokio::test]
async fn a_bookmark_of_another_store_is_refused() {
    let (server, other) = (Server::closed(), Server::closed());
    // Two stores begin in the same millisecond with the same epoch.
    let other = if epoch(&server).await == epoch(&other).await {
        until("another millisecond", || async {
            let other = Server::closed();
            (epoch(&server).await != epoch(&other).await).then_some(other)
        })
        .await
    } else {
        other
    };
    for hub in [&server, &other] {
        for n in 0..3 {
            hub.publish("open:k", &format!(r#"{{"key":"k{n}","data":{n}}}"#)).await;
        }
    }
    let next = server.get("/v1/snapshot?channel=open:k&limit=1").await.ok()["next"].clone();
    let path = format!("/v1/snapshot?channel=open:k&after={}", next.as_str().unwrap());
    assert_eq!(data(&server.get(&path).await.ok()), [1, 2]);
    other.get(&path).await.refused(400, "bad_request");
}

async fn epoch(server: &Server) -> Value {
    server.get("/v1/messages?channel=open:k").await.ok()["epoch"].clone()
}

#[tokio::test]
async fn a_channel_that_is_not_keyed_has_no_snapshot() {
    let server = Server::closed();
    server.get("/v1/channels/plain:a/snapshot").await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_page_counts_as_memory_until_it_is_read_and_is_refused_when_there_is_none() {
    let server = Server::closed();
    let pad = "x".repeat(900);
    for _ in 0..50 {
        server.publish("open:big", &format!(r#"{{"data":"{pad}"}}"#)).await;
    }
    let budget = server.node.hub.budget().clone();
    let before = budget.used();
    let mut unread = Vec::new();
    for path in ["/v1/messages?channel=open:big", "/v1/poll?channel=open:big&last=100"] {
        for _ in 0..5 {
            let response = server.open(http_support::request(&format!("GET {path}"), &[], "")).await;
            assert_eq!(response.status(), 200);
            unread.push(response);
        }
    }
    assert!(budget.used() - before >= 10 * 50 * 900, "{} bytes", budget.used() - before);
    budget.set_limit(budget.used() + 1000);
    server.get("/v1/messages?channel=open:big").await.refused(503, "unavailable");
    server.get("/v1/poll?channel=open:big&last=100").await.refused(503, "unavailable");
    assert_eq!(data(&server.get("/v1/messages?channel=open:small").await.ok()).len(), 0, "small ones pass");
    // Whoever holds a piece of it holds all of it.
    let page = unread.pop().unwrap().into_body();
    drop(unread);
    let mut page = axum::body::to_bytes(page, usize::MAX).await.unwrap();
    let rest = page.split_off(page.len() - 10);
    drop(page);
    assert!(budget.used() - before >= 50 * 900);
    drop(rest);
    assert_eq!(budget.used(), before);
    server.get("/v1/messages?channel=open:big").await.ok();
}
