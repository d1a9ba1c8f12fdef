//! Who is there: entering, updating, leaving, on a WebSocket and over HTTP, and what the others are told.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{http::Lines, prelude::*};

const GRACE: Duration = Duration::from_millis(400);

#[tokio::test]
async fn those_who_asked_are_told_who_enters_changes_and_leaves() {
    let server = Server::shared();
    let channel = unique("member:");
    let claims = token::claims("ada").info(json!({ "name": "Ada L." }));
    let mut ada = Ws::as_user(server, &token::sign(&claims)).await;
    let mut bob = Ws::as_user(server, &token::of("bob")).await;
    let subscribed = bob.subscribe(&channel, json!({ "presence": true })).await;
    assert_eq!(subscribed["offset"], 0);
    let present = bob.expect("presence").await;
    assert_eq!(
        (&present["action"], &present["members"], &present["more"], &present["count"], &present["users"]),
        (&json!("present"), &json!([]), &json!(false), &json!(0), &json!(0))
    );
    assert_eq!(
        ada.ok(json!({ "type": "enter", "channel": channel, "data": { "at": 1 } })).await.get("offset"),
        None
    );
    let enter = bob.expect("presence").await;
    assert_eq!(
        (&enter["action"], &enter["count"], &enter["users"], &enter["channel"]),
        (&json!("enter"), &json!(1), &json!(1), &json!(channel))
    );
    let member = &enter["members"][0];
    assert_eq!(
        (&member["user"], &member["info"], &member["data"]),
        (&json!("ada"), &json!({ "name": "Ada L." }), &json!({ "at": 1 }))
    );
    assert!(member["client"].is_string() && member["entered_at"].as_u64().is_some());
    ada.ok(json!({ "type": "enter", "channel": channel, "data": { "at": 2 } })).await;
    let update = bob.expect("presence").await;
    assert_eq!(
        (&update["action"], &update["members"][0]["data"], &update["count"]),
        (&json!("update"), &json!({ "at": 2 }), &json!(1))
    );
    assert_eq!(update["members"][0]["entered_at"], member["entered_at"]);
    ada.ok(json!({ "type": "leave", "channel": channel })).await;
    let leave = bob.expect("presence").await;
    assert_eq!(
        (&leave["action"], &leave["members"][0]["client"], &leave["count"]),
        (&json!("leave"), &member["client"], &json!(0))
    );
    ada.refused(json!({ "type": "leave", "channel": channel }), "not_found").await;
    // Presence is not in the channel's log.
    assert_eq!(bob.ok(json!({ "type": "history", "channel": channel })).await["offset"], 0);
}

#[tokio::test]
async fn pages_of_present_have_at_most_a_hundred_members() {
    let server = Server::shared();
    let channel = unique("open:");
    for n in 0..130 {
        let request = server.request("PUT", &format!("/v1/channels/{channel}/presence"));
        let request = request.header("Fanfare-Session", &format!("session-of-presence-test-{n:04}"));
        request.json(&json!({ "data": n })).send().await.ok();
    }
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    ws.expect("subscribed").await;
    let (first, second) = (ws.expect("presence").await, ws.expect("presence").await);
    let count = |frame: &Value| frame["members"].as_array().unwrap().len();
    assert_eq!(
        (count(&first), &first["more"], count(&second), &second["more"]),
        (100, &json!(true), 30, &json!(false))
    );
    assert_eq!(first["count"], 130);
    // Over HTTP in pages as wanted; limit 0 is counts alone.
    let mut clients = std::collections::BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("/v1/channels/{channel}/presence?limit=50{after}")).send().await.ok();
        assert_eq!((&page["count"], &page["users"]), (&json!(130), &json!(0)));
        for member in page["members"].as_array().unwrap() {
            assert!(clients.insert(member["client"].as_str().unwrap().to_owned()), "twice: {member}");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", fanfare_tests::http::encode(next)),
            None => break,
        }
    }
    assert_eq!(clients.len(), 130);
    let counts = server.get(&format!("/v1/channels/{channel}/presence?limit=0")).send().await.ok();
    assert_eq!((&counts["members"], &counts["count"], counts.get("next")), (&json!([]), &json!(130), None));
}

#[tokio::test]
async fn many_who_enter_at_once_come_in_few_frames() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    ws.expect("subscribed").await;
    ws.expect("presence").await;
    let entering = (0..40).map(|n| {
        let request = server.request("PUT", &format!("/v1/channels/{channel}/presence"));
        request
            .header("Fanfare-Session", &format!("session-of-presence-many-{n:04}"))
            .json(&json!({ "data": n }))
            .send()
    });
    let (mut seen, mut frames) = (0, 0);
    let watching = async {
        while seen < 40 {
            let frame = ws.expect("presence").await;
            assert_eq!(frame["action"], "enter");
            seen += frame["members"].as_array().unwrap().len();
            frames += 1;
            assert!(frame["count"].as_u64().unwrap() >= seen as u64, "{frame}");
        }
    };
    let (replies, ()) = tokio::join!(futures_util::future::join_all(entering), watching);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(seen, 40);
    assert!(frames <= 40);
}

#[tokio::test]
async fn a_lost_connection_leaves_after_the_grace_and_one_that_unsubscribes_at_once() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut watcher, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    watcher.expect("subscribed").await;
    watcher.expect("presence").await;
    let (mut lost, _) = Ws::welcomed(server, "/v1/ws").await;
    lost.ok(json!({ "type": "enter", "channel": channel })).await;
    assert_eq!(watcher.expect("presence").await["action"], "enter");
    let cut_at = tokio::time::Instant::now();
    lost.cut();
    let leave = watcher.expect("presence").await;
    assert_eq!((&leave["action"], &leave["count"]), (&json!("leave"), &json!(0)));
    assert!(cut_at.elapsed() >= GRACE.mul_f32(0.9), "{:?}", cut_at.elapsed());
    let (mut leaver, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    leaver.expect("subscribed").await;
    leaver.ok(json!({ "type": "enter", "channel": channel })).await;
    assert_eq!(watcher.expect("presence").await["action"], "enter");
    leaver.ok(json!({ "type": "unsubscribe", "channel": channel })).await;
    assert_eq!(watcher.expect("presence").await["action"], "leave");
    let page = watcher.ok(json!({ "type": "members", "channel": channel, "limit": 0 })).await;
    assert_eq!(page["count"], 0);
}

#[tokio::test]
async fn a_client_that_comes_back_in_time_never_left() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut watcher, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    watcher.expect("subscribed").await;
    watcher.expect("presence").await;
    let target = format!("/v1/ws?session={}", config::SESSION);
    let (mut first, _) = Ws::welcomed(server, &target).await;
    first.ok(json!({ "type": "enter", "channel": channel, "data": 1 })).await;
    assert_eq!(watcher.expect("presence").await["action"], "enter");
    first.cut();
    let (mut second, _) = Ws::welcomed(server, &target).await;
    second.ok(json!({ "type": "enter", "channel": channel, "data": 1 })).await;
    // Nothing but, at most, an update in a time in which it would have left.
    let until = tokio::time::Instant::now() + GRACE * 3;
    while let Ok(frame) = tokio::time::timeout_at(until, watcher.recv()).await {
        assert_eq!(frame["action"], "update", "{frame}");
    }
    let page = watcher.ok(json!({ "type": "members", "channel": channel })).await;
    assert_eq!(page["count"], 1);
    // Two connections of one client are one member, until the last that holds the membership is gone.
    let (mut third, _) = Ws::welcomed(server, &target).await;
    third.ok(json!({ "type": "enter", "channel": channel, "data": 1 })).await;
    assert_eq!(third.ok(json!({ "type": "members", "channel": channel })).await["count"], 1);
    second.cut();
    let until = tokio::time::Instant::now() + GRACE * 3;
    while let Ok(frame) = tokio::time::timeout_at(until, watcher.recv()).await {
        assert_eq!(frame["action"], "update", "{frame}");
    }
    third.cut();
    assert_eq!(watcher.expect("presence").await["action"], "leave");
}

#[tokio::test]
async fn http_clients_are_members_as_long_as_their_stream_is_open_or_their_lease_runs() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut watcher, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    watcher.expect("subscribed").await;
    watcher.expect("presence").await;
    let path = format!("/v1/channels/{channel}/presence");
    let put = |session: &'static str, data: u64| {
        server.request("PUT", &path).header("Fanfare-Session", session).json(&json!({ "data": data })).send()
    };
    let streaming = "session-with-an-open-stream";
    let target = format!("/v1/stream?channel={channel}&session={streaming}");
    let mut lines = Lines::new(server.get(&target).open().await);
    lines.expect("subscribed").await;
    assert_eq!(put(streaming, 1).await.ok(), json!({}));
    assert_eq!(watcher.expect("presence").await["action"], "enter");
    assert_eq!(put(streaming, 2).await.ok(), json!({}));
    let update = watcher.expect("presence").await;
    assert_eq!((&update["action"], &update["members"][0]["data"]), (&json!("update"), &json!(2)));
    // Without a stream the lease (2 s here) ends it; the one with a stream stays.
    put("session-without-any-stream", 3).await.ok();
    let enter = watcher.expect("presence").await;
    assert_eq!(enter["count"], 2);
    let leave = watcher.expect("presence").await;
    assert_eq!(
        (&leave["action"], &leave["members"][0]["client"]),
        (&json!("leave"), &enter["members"][0]["client"])
    );
    assert_eq!(leave["count"], 1);
    let deleted = server.request("DELETE", &path).header("Fanfare-Session", streaming).send().await;
    assert_eq!(deleted.ok(), json!({}));
    assert_eq!(watcher.expect("presence").await["count"], 0);
    // And when the stream is closed it ends as well.
    put(streaming, 4).await.ok();
    watcher.expect("presence").await;
    drop(lines);
    assert_eq!(watcher.expect("presence").await["action"], "leave");
}

#[tokio::test]
async fn presence_has_its_rules() {
    let server = Server::shared();
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    for command in [
        json!({ "type": "enter", "channel": "plain:x" }),
        json!({ "type": "members", "channel": "plain:x" }),
        json!({ "type": "subscribe", "channel": "plain:x", "presence": true }),
    ] {
        ws.refused(command, "bad_request").await;
    }
    let channel = unique("open:");
    let path = format!("/v1/channels/{channel}/presence");
    server.request("PUT", &path).json(&json!({ "data": 1 })).send().await.problem(400, "bad_request");
    server.request("DELETE", &path).send().await.problem(400, "bad_request");
    let put = server.request("PUT", &path).header("Fanfare-Session", config::SESSION);
    put.json(&json!({ "data": "x".repeat(70_000) })).send().await.problem(413, "too_large");
    server.get("/v1/channels/plain:x/presence").send().await.problem(400, "bad_request");
    ws.refused(json!({ "type": "enter", "channel": "member:x" }), "unauthorized").await;
    ws.refused(json!({ "type": "members", "channel": "member:x" }), "unauthorized").await;
    server.get(&format!("{path}?limit=-1")).send().await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_client_leased_by_another_user_is_a_conflict() {
    let server = Server::shared();
    let channel = unique("member:");
    let session = "session-that-two-users-claim";
    let target = format!("/v1/ws?session={session}");
    let with = |user: &str| format!("Bearer {}", token::of(user));
    let mut ada = Ws::with(server, &target, &[("Authorization", &with("ada"))]).await;
    ada.expect("welcome").await;
    ada.ok(json!({ "type": "enter", "channel": channel })).await;
    let mut eve = Ws::with(server, &target, &[("Authorization", &with("eve"))]).await;
    eve.expect("welcome").await;
    eve.refused(json!({ "type": "enter", "channel": channel }), "conflict").await;
    let put = server.request("PUT", &format!("/v1/channels/{channel}/presence")).bearer(&token::of("eve"));
    put.header("Fanfare-Session", session).json(&json!({})).send().await.problem(409, "conflict");
    eve.refused(json!({ "type": "leave", "channel": channel }), "conflict").await;
    let path = format!("/v1/channels/{channel}/presence");
    let delete = server.request("DELETE", &path).bearer(&token::of("eve")).header("Fanfare-Session", session);
    delete.send().await.problem(409, "conflict");
    assert_eq!(ada.ok(json!({ "type": "members", "channel": channel })).await["members"][0]["user"], "ada");
}

#[tokio::test]
async fn another_open_connection_of_the_client_holds_what_a_lost_one_held() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut watcher, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&presence=1")).await;
    watcher.expect("subscribed").await;
    watcher.expect("presence").await;
    let target = format!("/v1/ws?session={}", unique("a-client-with-two-tabs-"));
    let (mut first, _) = Ws::welcomed(server, &target).await;
    first.ok(json!({ "type": "enter", "channel": channel })).await;
    assert_eq!(watcher.expect("presence").await["action"], "enter");
    first.cut();
    let (mut second, _) = Ws::welcomed(server, &target).await;
    tokio::time::sleep(GRACE * 2).await;
    let page = watcher.ok(json!({ "type": "members", "channel": channel, "limit": 0 })).await;
    assert_eq!(page["count"], 1, "the grace is over, and nobody left");
    second.ok(json!({ "type": "leave", "channel": channel })).await;
    assert_eq!(watcher.expect("presence").await["action"], "leave");
}

#[tokio::test]
async fn who_polls_stays_a_member_between_polls_and_beyond_its_lease() {
    let server = Server::shared();
    let channel = unique("open:");
    let session = unique("polling-client-session-");
    let query = format!("channel={channel}&session={session}");
    let entered = Request::new(server.address(), "PUT", &format!("/v1/presence?{query}"));
    entered.json(&json!({ "data": 1 })).send().await.ok();
    let count = async || {
        let counts = server.get(&format!("/v1/presence?channel={channel}&limit=0")).send().await.ok();
        counts["count"].as_u64().unwrap()
    };
    // Three leases long.
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_secs(6) {
        server.get(&format!("/v1/poll?{query}&since=&wait=0.3")).send().await.ok();
        assert_eq!(count().await, 1, "after {:?}", start.elapsed());
    }
    within(async {
        while count().await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}
