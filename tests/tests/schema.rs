//! `[namespaces.x] schema`: what clients say must fit, over every way of saying it.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{path::PathBuf, process::Stdio};

use fanfare_tests::prelude::*;

const CHAT: &str = r##"{
  "$defs": { "name": { "type": "string", "maxLength": 10 } },
  "events": {
    "say": {
      "type": "object", "required": ["text"],
      "properties": { "text": { "type": "string" }, "to": { "type": "array", "items": { "$ref": "#/$defs/name" } } }
    }
  },
  "others": "refuse"
}"##;

/// A file of one's own, removed with the test.
struct Schema(PathBuf);

impl Schema {
    fn write(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!(
            "fanfare-{}-{}.schema.json",
            std::process::id(),
            unique("s").replace(':', "")
        ));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn config(&self) -> String {
        let all = r#"["subscribe", "publish", "history"]"#;
        format!(
            "[namespaces.chat]\nkeyed = true\nschema = {:?}\nanonymous = {all}\n[namespaces.free]\nanonymous = {all}\n",
            self.0.display().to_string()
        )
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn publish(event: &str, data: Value) -> Value {
    json!({ "type": "publish", "channel": "chat:1", "event": event, "data": data })
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place_over_every_transport() {
    let file = Schema::write(CHAT);
    let server = Server::start(&file.config());
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws").await;
    ws.ok(publish("say", json!({ "text": "hi", "to": ["ada"] }))).await;
    let refused = ws
        .refused(publish("say", json!({ "text": "hi", "to": ["ada", "SECRET-AND-TOO-LONG"] })), "bad_request")
        .await;
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("/to/1") && !detail.contains("SECRET"), "{refused}");
    let refused = ws.refused(publish("shout", json!({ "text": "hi" })), "bad_request").await;
    assert!(refused["remedy"].as_str().unwrap().contains("say"), "{refused}");
    ws.alive().await;

    let post = |body: Value| server.request("POST", "/v1/channels/chat:1/messages").json(&body);
    post(json!({ "event": "say", "data": { "text": "hi" } })).send().await.ok();
    let problem =
        post(json!({ "event": "say", "data": { "text": 7 } })).send().await.problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("/text"), "{problem}");
    let many = json!({ "messages": [
        { "channel": "chat:1", "event": "say", "data": {} },
        { "channel": "chat:1", "event": "say", "data": { "text": "fits" } },
        { "channel": "free:1", "event": "anything", "data": 1 },
    ] });
    let results = server.request("POST", "/v1/messages").json(&many).send().await.ok();
    assert_eq!(results["results"][0]["error"]["code"], "bad_request", "{results}");
    assert_eq!(
        (&results["results"][1]["offset"], &results["results"][2]["offset"]),
        (&json!(3), &json!(1)),
        "{results}"
    );
    // What removes a key says nothing.
    let removal = json!({ "event": "say", "key": "k", "data": null });
    post(removal).send().await.ok();
}

#[tokio::test]
async fn a_schema_that_is_none_is_a_fault_of_the_configuration() {
    let file = Schema::write(r#"{ "events": { "say": { "type": "strnig" } } }"#);
    let home = tempdir();
    std::fs::write(home.join("fanfare.toml"), file.config()).unwrap();
    let output =
        Server::command(&home).arg("check").stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{told}");
    for part in ["fanfare.toml", ":3", "namespaces.chat.schema", "at /events/say/type"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

fn tempdir() -> PathBuf {
    let path = std::env::temp_dir().join(format!("fanfare-schema-{}", unique("d").replace(':', "")));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Waits until the server's log says this.
async fn logged(server: &Server, text: &str) {
    within(async {
        while !server.log().contains(text) {
            // A log can only be read again.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_reload_reads_the_file_again_and_a_bad_one_changes_nothing() {
    let file = Schema::write(CHAT);
    let server = Server::start(&file.config());
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws").await;
    ws.refused(publish("shout", json!(1)), "bad_request").await;
    let hangup = || {
        let status = std::process::Command::new("kill").args(["-HUP", &server.id().to_string()]).status();
        assert!(status.unwrap().success());
    };
    std::fs::write(&file.0, "{").unwrap();
    hangup();
    logged(&server, "reload refused").await;
    ws.refused(publish("shout", json!(1)), "bad_request").await;
    std::fs::write(&file.0, CHAT.replace("\"refuse\"", "\"allow\"")).unwrap();
    hangup();
    within(async {
        while ws.call(publish("shout", json!(1))).await["type"] != "ok" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
