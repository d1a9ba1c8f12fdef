//! Long-poll and short poll: a cursor that the client carries.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::prelude::*;
use tokio::time::Instant;

#[tokio::test]
async fn without_since_a_poll_tells_where_now_is() {
    let server = Server::shared();
    let channel = unique("open:");
    let empty = server.get(&format!("/v1/poll?channel={channel}")).send().await;
    let page = empty.ok();
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    assert!(cursor.ends_with("-0"), "{cursor}");
    assert_eq!(page["messages"], json!([]));
    assert!(page["poll_after_ms"].as_u64().is_some());
    assert_eq!(page["gap"].as_array().map_or(0, Vec::len), 0);
    assert_eq!(empty.header("etag"), Some(&*format!("W/\"{cursor}\"")));
    let positions = server.publish_numbers(&channel, 1..=3).await;
    // At once, even when asked to wait.
    let begun = Instant::now();
    let page = server.get(&format!("/v1/poll?channel={channel}&wait=30")).send().await.ok();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((&page["messages"], &page["cursor"]), (&json!([]), &json!(positions[2])));
    let page = server.get(&format!("/v1/poll?channel={channel}&since={cursor}")).send().await.ok();
    let data: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data, [1, 2, 3]);
    assert_eq!((&page["cursor"], page["messages"][0].get("type")), (&json!(positions[2]), None));
    let page = server.get(&format!("/v1/poll?channel={channel}&last=2")).send().await.ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_long_poll_waits_for_a_message_and_no_longer_than_asked() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=1).await;
    let target = format!("/v1/poll?channel={channel}&since={}", positions[0]);
    let begun = Instant::now();
    let timed_out = server.get(&format!("{target}&wait=1")).send().await;
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    assert_eq!((&timed_out.ok()["messages"], &timed_out.ok()["cursor"]), (&json!([]), &json!(positions[0])));
    let waiting = server.get(&format!("{target}&wait=30")).send();
    let publishing = async {
        // Long enough that the poll is parked; the test holds without it too.
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.publish(&channel, json!({ "data": 2 })).await
    };
    let begun = Instant::now();
    let (reply, answer) = tokio::join!(waiting, publishing);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let page = reply.ok();
    assert_eq!(
        (&page["messages"][0]["data"], &page["cursor"]),
        (&json!(2), &json!(fanfare_tests::http::position(&answer)))
    );
}

#[tokio::test]
async fn an_etag_that_still_holds_is_304() {
    let server = Server::shared();
    let channel = unique("open:");
    let positions = server.publish_numbers(&channel, 1..=2).await;
    let target = format!("/v1/poll?channel={channel}&since={}", positions[1]);
    let etag = server.get(&target).send().await.header("etag").unwrap().to_owned();
    let reply = server.get(&target).header("If-None-Match", &etag).send().await;
    assert_eq!((reply.status, reply.body.len()), (304, 0));
    assert_eq!(reply.header("etag"), Some(&*etag));
    let reply = server.get(&format!("{target}&wait=1")).header("If-None-Match", &etag).send().await;
    assert_eq!(reply.status, 304, "a long-poll that times out");
    for header in [&format!("\"other\", {etag}"), etag.trim_start_matches("W/")] {
        let reply = server.get(&target).header("If-None-Match", header).send().await;
        assert_eq!(reply.status, 304, "{header}");
    }
    server.publish_numbers(&channel, 3..=3).await;
    let reply = server.get(&target).header("If-None-Match", &etag).send().await;
    assert_eq!(reply.ok()["messages"][0]["data"], 3);
}

#[tokio::test]
async fn a_large_backlog_comes_in_pages_with_no_pause_between() {
    let server = Server::shared();
    let channel = unique("open:");
    let start = server.publish_numbers(&channel, 0..=0).await.remove(0);
    let filler = "x".repeat(20_000);
    for n in 1..=40_u64 {
        server.publish(&channel, json!({ "data": [n, filler] })).await;
    }
    let (mut cursor, mut seen, mut pages) = (start, Vec::new(), 0);
    while seen.len() < 40 {
        let reply = server.get(&format!("/v1/poll?channel={channel}&since={cursor}")).send().await;
        assert!(reply.body.len() < 300_000, "{} bytes", reply.body.len());
        let page = reply.ok();
        let messages = page["messages"].as_array().unwrap();
        assert!(!messages.is_empty());
        seen.extend(messages.iter().map(|message| message["data"][0].as_u64().unwrap()));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        assert_eq!(
            page["poll_after_ms"] == 0,
            seen.len() < 40,
            "0 when more wait: {}",
            page["poll_after_ms"]
        );
        pages += 1;
    }
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
    assert!(pages >= 3, "256 KB a page");
}

#[tokio::test]
async fn a_page_has_at_most_a_thousand_messages() {
    let server = Server::start(
        &config::STANDARD.replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 3000 }"),
    );
    let channel = "plain:many";
    let start = server.publish_numbers(channel, 0..=0).await.remove(0);
    for chunk in 0..3 {
        let messages: Vec<_> =
            (0..500).map(|n| json!({ "channel": channel, "data": chunk * 500 + n })).collect();
        let reply = server.post("/v1/messages").json(&json!({ "messages": messages })).send().await;
        assert_eq!(reply.ok()["results"].as_array().unwrap().len(), 500);
    }
    let page = server.get(&format!("/v1/poll?channel={channel}&since={start}")).send().await.ok();
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["poll_after_ms"]), (1000, &json!(0)));
    let cursor = page["cursor"].as_str().unwrap();
    let page = server.get(&format!("/v1/poll?channel={channel}&since={cursor}")).send().await.ok();
    assert_eq!(
        (page["messages"].as_array().unwrap().len(), &page["messages"][0]["data"]),
        (500, &json!(1000))
    );
}

#[tokio::test]
async fn a_cursor_over_several_channels_is_one_word() {
    let server = Server::shared();
    let (a, b) = (unique("open:a"), unique("open:b"));
    let query = format!("channel={a}&channel={b}");
    let on_a = server.publish_numbers(&a, 1..=2).await;
    let now = server.get(&format!("/v1/poll?{query}")).send().await.ok();
    let cursor = now["cursor"].as_str().unwrap().to_owned();
    let parts: Vec<_> = cursor.split('~').collect();
    assert_eq!((parts.len(), parts[0]), (2, &*on_a[1]));
    let on_b = server.publish_numbers(&b, 3..=3).await.remove(0);
    let page = server.get(&format!("/v1/poll?{query}&since={cursor}")).send().await.ok();
    assert_eq!(
        (&page["messages"][0]["channel"], &page["cursor"]),
        (&json!(b), &json!(format!("{}~{on_b}", on_a[1])))
    );
    // A client may build one; an empty element is from now.
    let page = server.get(&format!("/v1/poll?{query}&since={}~", on_a[0])).send().await.ok();
    let messages = page["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["data"]), (1, &json!(2)));
    assert_eq!(page["cursor"], json!(format!("{}~{on_b}", on_a[1])));
    // A message on either ends the wait.
    let cursor = page["cursor"].as_str().unwrap();
    let waiting = server.get(&format!("/v1/poll?{query}&since={cursor}&wait=30")).send();
    let (reply, _) = tokio::join!(waiting, server.publish(&a, json!({ "data": 9 })));
    assert_eq!(reply.ok()["messages"][0]["data"], 9);
}

#[tokio::test]
async fn only_what_anybody_may_read_is_cacheable() {
    let server = Server::shared();
    let (open, member) = (unique("read:"), unique("member:"));
    let start = server.publish_numbers(&open, 1..=2).await.remove(0);
    let target = format!("/v1/poll?channel={open}");
    let reply = server.get(&format!("{target}&since={start}")).send().await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("public, max-age=1")));
    let reply = server.get(&target).send().await;
    assert!(
        reply.header("cache-control").is_some_and(|value| value.contains("no-store")),
        "{:?}",
        reply.headers
    );
    let start = server.publish_numbers(&member, 1..=2).await.remove(0);
    let token = token::of("ada");
    for target in [
        format!("/v1/poll?channel={member}&since={start}"),
        format!("/v1/poll?channel={open}&channel={member}"),
    ] {
        let reply = server.get(&target).bearer(&token).send().await;
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("private, no-store")));
    }
}

#[tokio::test]
async fn how_long_to_wait_before_the_next_poll_grows_with_silence() {
    let server = Server::shared();
    let channel = unique("open:");
    let position = server.publish_numbers(&channel, 1..=1).await.remove(0);
    let target = format!("/v1/poll?channel={channel}&since={position}");
    let fresh = server.get(&target).send().await.ok()["poll_after_ms"].as_u64().unwrap();
    assert!(fresh > 0, "nothing waits");
    assert!(fresh <= 60_000);
    let silent = server.get(&format!("/v1/poll?channel={}", unique("open:"))).send().await.ok();
    assert!(silent["poll_after_ms"].as_u64().unwrap() >= fresh);
}

#[tokio::test]
async fn rate_conflates_within_an_answer_and_snapshot_pages_on() {
    let server = Server::shared();
    let channel = unique("open:");
    let start = server.publish_numbers(&channel, 0..=0).await.remove(0);
    for n in 1..=6_u64 {
        server.publish(&channel, json!({ "key": if n % 2 == 0 { "even" } else { "odd" }, "data": n })).await;
    }
    let page = server.get(&format!("/v1/poll?channel={channel}&since={start}&rate=1")).send().await.ok();
    let data: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data, [5, 6]);
    assert!(page["cursor"].as_str().unwrap().ends_with("-7"));
    let page = server.get(&format!("/v1/poll?channel={channel}&snapshot=1")).send().await.ok();
    let data: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data, [5, 6]);
    let page = server.get(&format!("/v1/poll?channel={channel}&since={start}&presence=1")).send().await.ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 6, "presence is ignored");
}

#[tokio::test]
async fn presence_is_ignored_where_there_is_none_and_where_it_may_not_be_seen() {
    let server = Server::shared();
    for namespace in ["plain:", "read:", "open:"] {
        let target = format!("/v1/poll?channel={}&presence=1", unique(namespace));
        server.get(&target).send().await.ok();
    }
    server.get("/v1/poll?channel=open:a&presence=maybe").send().await.problem(400, "bad_request");
}
