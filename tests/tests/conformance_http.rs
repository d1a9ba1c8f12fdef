//! HTTP itself: heads, hosts, names in queries, figures; the first request of a connection and those after it alike.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

#[tokio::test]
async fn who_ends_its_side_after_asking_still_gets_the_answer() {
    let server = Server::shared();
    let channel = unique("open:");
    let body = r#"{"data":1}"#;
    let publish =
        format!("POST /v1/messages?channel={channel} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    let requests = [
        (publish, body),
        (format!("GET /v1/messages?channel={channel} HTTP/1.1\r\n"), ""),
        (format!("GET /v1/poll?channel={channel} HTTP/1.1\r\n"), ""),
    ];
    for (head, body) in requests {
        // On a connection of its own, and behind another request.
        for earlier in ["", "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut stream = server.connect().await;
            stream
                .write_all(format!("{earlier}{head}Host: localhost\r\n\r\n{body}").as_bytes())
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            let mut answers = String::new();
            within(stream.read_to_string(&mut answers)).await.unwrap();
            let wanted = if earlier.is_empty() { 1 } else { 2 };
            assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), wanted, "{head}: {answers}");
        }
    }
}

#[tokio::test]
async fn a_websocket_is_asked_for_with_get() {
    let server = Server::shared();
    for method in ["POST", "PUT", "DELETE"] {
        let reply = Request::new(server.address(), method, "/v1/ws").send().await;
        reply.problem(405, "bad_request");
        assert!(reply.header("allow").is_some_and(|methods| methods.contains("GET")), "{:?}", reply.headers);
    }
}
