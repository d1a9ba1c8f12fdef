//! Pages of the past: history and the state of keyed channels.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::prelude::*;

fn data(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|message| message["data"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_go_forward_from_the_oldest_and_backward_from_the_head() {
    let server = Server::shared();
    let channel = unique("open:");
    let at = server.publish_numbers(&channel, 1..=10).await;
    let get = |query: String| server.get(&format!("/v1/channels/{channel}/messages?{query}")).send();
    for (query, expected, more) in [
        (String::new(), (1..=10).collect::<Vec<_>>(), false),
        ("limit=3".into(), vec![1, 2, 3], true),
        (format!("since={}&limit=3", at[2]), vec![4, 5, 6], true),
        (format!("since={}&limit=3", at[6]), vec![8, 9, 10], false),
        (format!("since={}", at[9]), vec![], false),
        ("reverse=1&limit=3".into(), vec![10, 9, 8], true),
        (format!("reverse=true&limit=3&before={}", at[7]), vec![7, 6, 5], true),
        (format!("reverse=1&limit=3&before={}", at[3]), vec![3, 2, 1], false),
        (format!("reverse=1&limit=5&before={}&since={}", at[7], at[3]), vec![7, 6, 5], false),
        (format!("since={}&before={}", at[3], at[7]), vec![5, 6, 7], false),
        ("reverse=1&limit=2&before=garbage".into(), vec![10, 9], true),
        ("reverse=1&limit=2&before=zzz-4".into(), vec![10, 9], true),
        ("limit=10".into(), (1..=10).collect(), false),
    ] {
        let page = get(query.clone()).await.ok();
        assert_eq!((data(&page), &page["more"]), (expected, &json!(more)), "{query}");
        assert_eq!(page["offset"], 10, "the head: {query}");
        assert_eq!(page["epoch"].as_str(), at[0].split('-').next());
        assert_eq!(page.get("gap"), None, "{query}");
    }
    for since in [format!("{}9", at[9]), "zzz-1".to_owned()] {
        let page = get(format!("since={since}")).await.ok();
        assert_eq!((&page["gap"], data(&page).len()), (&json!(true), 10), "{since}");
    }
    get("since=garbage".into()).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_channel_without_messages_has_an_empty_page_and_is_not_created() {
    let server = Server::shared();
    let channel = unique("open:never");
    let page = server.get(&format!("/v1/channels/{channel}/messages")).send().await.ok();
    assert_eq!((&page["messages"], &page["offset"], &page["more"]), (&json!([]), &json!(0), &json!(false)));
    assert!(page["epoch"].is_string());
    let list =
        server.get(&format!("/v1/channels?prefix={channel}")).bearer(config::API_KEY).send().await.ok();
    assert_eq!(list["channels"], json!([]));
}

#[tokio::test]
async fn a_page_of_a_thousand_is_the_largest() {
    let server = Server::start(
        &config::STANDARD.replace("[namespaces.plain]", "[namespaces.plain]\nhistory = { size = 3000 }"),
    );
    let messages: Vec<_> = (1..=1000).map(|n| json!({ "channel": "plain:x", "data": n })).collect();
    for _ in 0..2 {
        server.post("/v1/messages").json(&json!({ "messages": messages })).send().await.ok();
    }
    let page = server.get("/v1/channels/plain:x/messages?limit=5000").send().await.ok();
    assert_eq!((data(&page).len(), &page["more"]), (1000, &json!(true)));
    let page = server.get("/v1/channels/plain:x/messages").send().await.ok();
    assert_eq!(data(&page).len(), 100, "the default");
}

#[tokio::test]
async fn snapshots_are_of_one_moment_and_the_log_goes_on_from_there() {
    let server = Server::shared();
    let channel = unique("open:");
    for n in 0..25_u64 {
        server.publish(&channel, json!({ "key": format!("k{n}"), "data": n })).await;
    }
    let (mut state, mut pages, mut after) = (std::collections::BTreeMap::new(), 0, String::new());
    let at = loop {
        let page = server.get(&format!("/v1/channels/{channel}/snapshot?limit=10{after}")).send().await.ok();
        assert_eq!(page["offset"], 25, "all pages name one position: {page}");
        for message in page["messages"].as_array().unwrap() {
            let before = state.insert(message["key"].as_str().unwrap().to_owned(), message["data"].clone());
            assert_eq!(before, None, "nothing comes twice");
        }
        pages += 1;
        if pages == 1 {
            server.publish(&channel, json!({ "key": "k20", "data": "new" })).await;
            server.publish(&channel, json!({ "key": "k21", "data": null })).await;
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", fanfare_tests::http::encode(next)),
            None => break fanfare_tests::http::position(&page),
        }
    };
    assert_eq!(pages, 3);
    let rest = server.get(&format!("/v1/channels/{channel}/messages?since={at}")).send().await.ok();
    assert_eq!(rest.get("gap"), None);
    for message in rest["messages"].as_array().unwrap() {
        match (message["key"].as_str().unwrap(), &message["data"]) {
            (key, Value::Null) => drop(state.remove(key)),
            (key, data) => drop(state.insert(key.to_owned(), data.clone())),
        }
    }
    let expected = (0..25_u64)
        .filter(|n| *n != 21)
        .map(|n| (format!("k{n}"), if n == 20 { json!("new") } else { json!(n) }));
    assert_eq!(state, expected.collect());
    server.get("/v1/channels/plain:x/snapshot").send().await.problem(400, "bad_request");
    let garbage = server.get(&format!("/v1/channels/{channel}/snapshot?after=garbage")).send().await;
    garbage.problem(400, "bad_request");
}
