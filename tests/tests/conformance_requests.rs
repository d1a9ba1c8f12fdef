//! What a request itself must be, whatever path it takes: judged as a whole before any of it is answered.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]

use fanfare_tests::{prelude::*, ws};

#[tokio::test]
async fn a_parameter_that_contradicts_itself_is_refused_on_every_path() {
    let server = Server::shared();
    let same = ["since=k-1&since=k-1", "last=2&last=2", "session=abcdefghijklmnopqrstuvwxyz&echo=1&echo=1"];
    let other = ["since=k-1&since=k-2", "last=1&last=2", "echo=1&echo=0", "token=a&token=b", "wait=0&wait=1"];
    for path in ["sse", "stream", "poll"] {
        for query in other {
            let target = format!("/v1/{path}?channel=open:a&{query}");
            server.get(&target).send().await.problem(400, "bad_request");
        }
        for query in same {
            let target = format!("/v1/{path}?channel=open:a&{query}");
            assert_eq!(server.get(&target).open().await.status, 200, "{target}");
        }
    }
    for query in other {
        let target = format!("/v1/ws?channel=open:a&{query}");
        ws::handshake(server, &target).send().await.problem(400, "bad_request");
    }
    for (target, other) in [
        ("/v1/channels/open:a/messages", "limit=1&limit=2"),
        ("/v1/messages?channel=open:a", "channel=open:b"),
        ("/v1/snapshot?channel=open:a", "after=a&after=b"),
        ("/v1/presence?channel=open:a", "limit=1&limit=2"),
        ("/v1/connections", "user=a&user=b"),
        ("/v1/channels", "prefix=a&prefix=b"),
    ] {
        let target = format!("{target}{}{other}", if target.contains('?') { '&' } else { '?' });
        server.get(&target).bearer(config::API_KEY).send().await.problem(400, "bad_request");
    }
    let twice = server.post("/v1/messages?channel=open:a&channel=open:b");
    twice.json(&json!({ "data": 1 })).send().await.problem(400, "bad_request");
}

#[tokio::test]
async fn more_channels_than_a_connection_may_read_are_refused_as_a_whole() {
    let limits = "[limits]\nchannels_per_connection = 2";
    let server = Server::start(&config::STANDARD.replace("[limits]", limits));
    for path in ["sse", "stream", "poll"] {
        let (two, three) = ("channel=open:a&channel=open:b", "channel=open:a&channel=open:b&channel=open:c");
        assert_eq!(server.get(&format!("/v1/{path}?{two}")).open().await.status, 200, "{path}");
        server.get(&format!("/v1/{path}?{three}")).send().await.problem(429, "limit_exceeded");
        // One channel that may not be read refuses the others with it.
        let mixed = format!("/v1/{path}?channel=open:a&channel=secret:b");
        server.get(&mixed).send().await.problem(401, "unauthorized");
    }
}
