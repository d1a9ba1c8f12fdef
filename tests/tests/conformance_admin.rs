//! What backends and operators see and do: lists, disconnects, health, metrics; and what pages of other origins may.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::prelude::*;

#[tokio::test]
async fn channels_are_listed_in_pages() {
    let server = Server::shared();
    let prefix = unique("open:list.");
    for n in 0..5 {
        server.publish(&format!("{prefix}.{n}"), json!({ "data": n })).await;
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let target = format!("/v1/channels?prefix={prefix}.&limit=2{after}");
        let page = server.get(&target).bearer(config::API_KEY).send().await.ok();
        let channels = page["channels"].as_array().unwrap();
        assert!(channels.len() <= 2);
        for channel in channels {
            assert_eq!(channel["offset"], 1);
            names.push(channel["channel"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", fanfare_tests::http::encode(next)),
            None => break,
        }
    }
    assert_eq!(names, (0..5).map(|n| format!("{prefix}.{n}")).collect::<Vec<_>>());
    let all = server.get("/v1/channels?limit=1000").bearer(config::API_KEY).send().await.ok();
    let internal = |channel: &Value| channel["channel"].as_str().unwrap().starts_with('$');
    assert!(!all["channels"].as_array().unwrap().iter().any(internal), "{all}");
}

#[tokio::test]
async fn connections_are_listed_and_a_client_can_be_disconnected() {
    let server = Server::shared();
    let session = "session-of-the-admin-tests";
    let bearer = format!("Bearer {}", token::of("listed"));
    let target = format!("/v1/ws?session={session}&channel=open:x");
    let mut ws = Ws::with(server, &target, &[("Authorization", &bearer)]).await;
    let client = ws.expect("welcome").await["client"].as_str().unwrap().to_owned();
    let (mut sse, _) =
        Sse::subscribed(server.get(&format!("/v1/sse?channel=open:x&session={session}"))).await;
    let (mut other, _) = Ws::welcomed(server, "/v1/ws").await;
    let page =
        server.get(&format!("/v1/connections?client={client}")).bearer(config::API_KEY).send().await.ok();
    let rows = page["connections"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{page}");
    assert!(rows.iter().all(|row| row["client"] == json!(client)));
    assert!(rows.iter().any(|row| row["user"] == "listed" && row["transport"] == "websocket"), "{page}");
    assert!(!page.to_string().contains(session), "the session is the client's secret");
    let all = server.get("/v1/connections?limit=1").bearer(config::API_KEY).send().await.ok();
    assert_eq!(all["connections"].as_array().unwrap().len(), 1);
    assert!(!all["next"].is_null());
    let online = json!({ "users": ["listed", "nobody", "listed"] });
    let online = server.post("/v1/users/online").bearer(config::API_KEY).json(&online).send().await.ok();
    assert!(
        online["online"].as_array().unwrap().contains(&json!("listed"))
            && !online.to_string().contains("nobody")
    );
    let ended =
        server.post(&format!("/v1/connections/{client}/disconnect")).bearer(config::API_KEY).send().await;
    ended.ok();
    ws.disconnected("revoked", 4411).await;
    assert_eq!(sse.expect("fanfare.disconnect").await.json()["code"], "revoked");
    assert_eq!(sse.event().await, None);
    other.alive().await;
    // Its token is still good.
    let mut again = Ws::with(server, &target, &[("Authorization", &bearer)]).await;
    again.expect("welcome").await;
    let reply = server.post("/v1/connections/not-a-client/disconnect").bearer(config::API_KEY).send().await;
    reply.problem(400, "bad_request");
}

#[tokio::test]
async fn health_is_proved_and_metrics_are_for_prometheus() {
    let server = Server::shared();
    let channel = unique("open:");
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}")).await;
    ws.expect("subscribed").await;
    server.publish(&channel, json!({ "data": 1 })).await;
    ws.data(1).await;
    assert_eq!(server.get("/health/live").send().await.status, 200);
    assert_eq!(server.get("/health/ready").send().await.status, 200);
    let metrics = server.get("/metrics").bearer(config::API_KEY).send().await;
    assert_eq!(metrics.status, 200, "{}", metrics.text());
    let text = metrics.text();
    for word in [
        "connections",
        "subscriptions",
        "deliver",
        "publish",
        "round",
        "behind",
        "tail",
        "slow",
        "recover",
        "error",
    ] {
        let named = text.lines().any(|line| line.starts_with("# TYPE fanfare_") && line.contains(word));
        assert!(named, "no metric about {word}:\n{text}");
    }
    let list = server.get("/v1/channels?limit=1000").bearer(config::API_KEY).send().await.text();
    assert!(!list.contains("health"), "the readiness check is no channel of anybody");
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_the_answers() {
    let server = Server::shared();
    let preflight = |origin: &str| {
        let request = server.request("OPTIONS", "/v1/channels/open:x/messages").header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        request.header("Access-Control-Request-Headers", "authorization, content-type").send()
    };
    let allowed = preflight(config::ORIGIN).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(config::ORIGIN));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    let methods = allowed.header("access-control-allow-methods").unwrap();
    for method in ["GET", "POST", "PUT", "DELETE"] {
        assert!(methods.contains(method));
    }
    let headers = allowed.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for header in ["authorization", "content-type", "fanfare-session", "last-event-id", "if-none-match"] {
        assert!(headers.contains(header), "{header}");
    }
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), None);
    for path in ["/v1/poll?channel=open:x", "/v1/channels/open:x/messages", "/v1/nothing"] {
        let reply = server.get(path).header("Origin", config::ORIGIN).send().await;
        assert_eq!(reply.header("access-control-allow-origin"), Some(config::ORIGIN), "{path}");
        assert!(reply.header("vary").is_some_and(|vary| vary.contains("Origin")));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        assert!(
            ["ETag", "Retry-After", "Fanfare-Session"].iter().all(|name| exposed.contains(name)),
            "{exposed}"
        );
        let reply = server.get(path).header("Origin", "https://evil.example").send().await;
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
    for path in ["/v1/sse?channel=open:x", "/v1/stream?channel=open:x"] {
        let streamed = server.get(path).header("Origin", config::ORIGIN).open().await;
        assert_eq!(
            (streamed.status, streamed.header("access-control-allow-origin")),
            (200, Some(config::ORIGIN)),
            "{path}"
        );
        assert_eq!(streamed.header("access-control-allow-credentials"), Some("true"));
    }
}

#[tokio::test]
async fn dev_mode_gives_everything_to_this_machine_alone() {
    let server = Server::dev();
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws?channel=any:thing&presence=1&snapshot=1").await;
    ws.expect("subscribed").await;
    ws.expect("presence").await;
    ws.ok(json!({ "type": "publish", "channel": "any:thing", "key": "k", "data": 1 })).await;
    ws.find("message").await;
    ws.ok(json!({ "type": "enter", "channel": "any:thing" })).await;
    let port = server.address().port();
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "localhost".to_owned(),
    ] {
        assert_eq!(server.get("/v1/poll?channel=a").header("Host", &host).send().await.status, 200, "{host}");
    }
    for host in
        ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example", "127.0.0.1.evil.example"]
    {
        for path in [
            "/v1/poll?channel=a",
            "/v1/sse?channel=a",
            "/v1/stream?channel=a",
            "/v1/channels/a/messages",
            "/",
        ] {
            let reply = server.get(path).header("Host", host).send().await;
            assert_eq!(reply.status, 403, "{host} {path}");
        }
        let reply = fanfare_tests::ws::handshake(&server, "/v1/ws").header("Host", host).send().await;
        assert_eq!(reply.status, 403, "{host}");
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let reply =
            server.post("/v1/channels/a/messages").header("Origin", origin).json(&json!({})).send().await;
        assert_eq!(reply.status, 403, "{origin}");
        let reply = fanfare_tests::ws::handshake(&server, "/v1/ws").header("Origin", origin).send().await;
        assert_eq!(reply.status, 403, "{origin}");
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1:5173"] {
        let reply = server.get("/v1/poll?channel=a").header("Origin", origin).send().await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(origin)));
    }
    let page = server.get("/").send().await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let server = Server::shared();
    let channel = unique("open:");
    let mut stream = server.connect().await;
    for n in 1..=5 {
        let request =
            server.post(&format!("/v1/channels/{channel}/messages")).header("Connection", "keep-alive");
        let mut streamed = request.json(&json!({ "data": n })).open_on(stream).await;
        assert_eq!(streamed.status, 200);
        while streamed.next().await.is_some() {}
        stream = streamed.into_parts().0;
    }
    // And then a WebSocket on the same one.
    let upgraded = fanfare_tests::ws::handshake(server, &format!("/v1/ws?channel={channel}&last=1"))
        .open_on(stream)
        .await;
    assert_eq!(upgraded.status, 101);
    let mut text = String::new();
    let mut streamed = upgraded;
    while !text.contains("\"data\":5") {
        text += &String::from_utf8_lossy(&streamed.next().await.unwrap());
    }
}
