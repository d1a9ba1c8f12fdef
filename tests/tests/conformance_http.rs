//! HTTP itself: heads, hosts, names in queries, figures; the first request of a connection and those after it alike.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::prelude::*;

#[tokio::test]
async fn names_in_a_query_are_utf8() {
    let server = Server::shared();
    for path in ["sse", "stream", "poll", "messages", "presence", "snapshot", "ws"] {
        for value in ["open:%ff", "%C3", "open:%ED%A0%80"] {
            server.get(&format!("/v1/{path}?channel={value}")).send().await.problem(400, "bad_request");
        }
    }
    server.get("/v1/poll?channel=open:a&since=%ff").send().await.problem(400, "bad_request");
    server.get("/v1/poll?channel=open:%C3%A9&other=%ff").send().await.ok();
}

#[tokio::test]
async fn an_offset_is_written_in_one_way() {
    let server = Server::shared();
    let channel = unique("open:");
    let epoch = server.publish(&channel, json!({ "data": 1 })).await["epoch"].as_str().unwrap().to_owned();
    for offset in ["00", "01", "+1", " 1", "1 ", "0x1", ""] {
        let target =
            format!("/v1/poll?channel={channel}&since={epoch}-{}", fanfare_tests::http::encode(offset));
        server.get(&target).send().await.problem(400, "bad_request");
    }
    for offset in ["0", "1"] {
        server.get(&format!("/v1/poll?channel={channel}&since={epoch}-{offset}")).send().await.ok();
    }
}

#[tokio::test]
async fn a_large_head_is_431_on_every_request_of_a_connection() {
    let server = Server::shared();
    let get = |path: &str| server.get(path).header("Connection", "keep-alive");
    let refused = |reply: Reply| {
        assert_eq!(reply.status, 431, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.json()["status"], 431, "{}", reply.text());
    };
    for bytes in [33 << 10, 40 << 10] {
        let large = "x".repeat(bytes);
        refused(get("/health/live").header("X-Large", &large).send().await);
        let first = get("/health/live").open_on(server.connect().await).await;
        assert_eq!(first.status, 200);
        let (stream, rest) = first.into_parts();
        assert_eq!(&rest[..], br#"{"status":"live"}"#, "the whole first answer");
        refused(get("/health/live").header("X-Large", &large).open_on(stream).await.whole().await);
    }
    let fits =
        get("/health/live").header("X-Large", &"x".repeat(31 << 10)).open_on(server.connect().await).await;
    assert_eq!(fits.status, 200);
}

#[tokio::test]
async fn a_host_named_twice_is_refused() {
    let server = Server::shared();
    for path in ["/v1/poll?channel=open:a", "/v1/sse?channel=open:a", "/v1/ws", "/health/live"] {
        let twice = server.get(path).header("Host", "localhost").header("Host", "evil.example");
        twice.send().await.problem(400, "bad_request");
    }
}

#[tokio::test]
async fn health_and_figures_need_no_key() {
    let server = Server::shared();
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(server.get(path).send().await.status, 200, "{path}");
    }
}
