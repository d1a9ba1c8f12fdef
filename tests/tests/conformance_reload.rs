//! SIGHUP reads the configuration again: namespaces, keys and limits take effect at once, a wrong file changes nothing, and nobody is cut off.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{process::Command, time::Duration};

use fanfare_tests::{prelude::*, wait::PATIENCE};

/// Writes a configuration, sends SIGHUP and waits until the log has so many lines with this text.
async fn reload(server: &Server, config: &str, lines: usize, text: &str) -> String {
    std::fs::write(server.home().join("fanfare.toml"), config).unwrap();
    assert!(Command::new("kill").args(["-HUP", &server.id().to_string()]).status().unwrap().success());
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        if log.lines().filter(|line| line.contains(text)).count() >= lines {
            return log;
        }
        assert!(tokio::time::Instant::now() < until, "no {lines} lines with {text:?}:\n{log}");
        // A log can only be read again.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn namespaces_keys_and_limits_change_and_the_difference_is_printed() {
    let server = Server::start(config::STANDARD);
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws?channel=open:1").await;
    ws.expect("subscribed").await;
    server.get("/v1/poll?channel=member:1").send().await.problem(401, "unauthorized");

    let changed = config::STANDARD
        .replace("ping = \"25s\"", "ping = \"25s\"\nmessage_bytes = 1024")
        .replace("key = \"backend-key-0123456789\"", "key = \"another-key-0123456789\"")
        .replace("[namespaces.member]", "[namespaces.member]\nanonymous = [\"subscribe\"]");
    let log = reload(&server, &changed, 1, "configuration read again").await;
    for part in ["limits.message_bytes", "namespaces.member.anonymous", "auth.api_keys"] {
        assert!(log.contains(part), "{part} is in the printed difference:\n{log}");
    }
    assert!(!log.contains("another-key"), "keys are not printed");

    assert_eq!(server.get("/v1/poll?channel=member:1").send().await.status, 200, "a right was given");
    let publish = |key: &str, data: String| {
        let post = server.post("/v1/channels/open:1/messages").bearer(key).json(&json!({ "data": data }));
        post.send()
    };
    publish(config::API_KEY, "x".into()).await.problem(401, "unauthorized");
    publish("another-key-0123456789", "x".repeat(2000)).await.problem(413, "too_large");
    assert_eq!(publish("another-key-0123456789", "still here".into()).await.status, 200);
    assert_eq!(ws.expect("message").await["data"], "still here", "nobody was cut off");
}

#[tokio::test]
async fn a_wrong_file_changes_nothing() {
    let server = Server::start(config::STANDARD);
    let wrong = format!("{}\n[namespaces.extra]\nhistroy = {{ size = 1 }}\n", config::STANDARD);
    let log = reload(&server, &wrong, 1, "reload refused").await;
    assert!(log.contains("histroy") && log.contains("history"), "the nearest name is told:\n{log}");
    server.publish_numbers("open:1", 1..=1).await;
}
