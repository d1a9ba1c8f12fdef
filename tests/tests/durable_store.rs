//! Data directories as an operator handles them: what a start refuses, and what `fanfare store` does.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use fanfare_tests::prelude::*;

fn durable(data: &str) -> String {
    format!("data = \"{data}\"\n{}", config::STANDARD)
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    Server::command(home).args(arguments).output().unwrap()
}

/// What a command that succeeded wrote, a JSON object a line.
#[track_caller]
fn lines(output: &Output) -> Vec<Value> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command that failed with this code said.
#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains("remedy: "), "{text}");
    text
}

async fn stop(server: &mut Server) {
    server.terminate();
    let status = server.exit(Duration::from_secs(11)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", server.log());
}

fn log_files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_store_is_looked_at_taken_out_and_brought_back_the_same() {
    let mut server = Server::start(&durable("data"));
    let home = server.home().to_owned();
    let text =
        json!({ "event": "say", "data": { "text": "grüße", "n": 1.50 }, "id": "mine", "tags": { "a": "1" } });
    server.publish("plain:a", text.clone()).await;
    server.publish("plain:a", json!({ "data": "AAEC", "encoding": "base64" })).await;
    for n in 0..20 {
        server.publish("open:keyed", json!({ "key": format!("k{}", n % 4), "data": n })).await;
    }
    server.publish("open:keyed", json!({ "key": "k0", "data": null })).await;
    for command in ["export", "compact"] {
        let refused = failed(&run(&home, &["store", command]), 3);
        assert!(refused.contains("data: another process has it open"), "{refused}");
    }
    let busy = lines(&run(&home, &["store", "info", "--data", "data"]));
    assert_eq!((&busy[0]["in_use"], &busy[0]["channels"]), (&json!(true), &json!(2)));
    let answers = async |server: &Server| {
        let mut found = Vec::new();
        for target in [
            "/v1/channels/plain:a/messages",
            "/v1/channels/open:keyed/messages",
            "/v1/channels/open:keyed/snapshot",
        ] {
            found.push(server.get(target).bearer(config::API_KEY).send().await.ok());
        }
        found
    };
    let before = answers(&server).await;
    stop(&mut server).await;

    let info = lines(&run(&home, &["store", "info"]));
    assert_eq!(
        (&info[0]["in_use"], &info[0]["clean"], &info[0]["epoch"]),
        (&json!(false), &json!(true), &before[0]["epoch"])
    );
    let channel = info.iter().find(|line| line["channel"] == "plain:a").unwrap();
    assert_eq!((&channel["offset"], &channel["messages"]), (&json!(2), &json!(2)));
    let verified = lines(&run(&home, &["store", "verify"]));
    assert_eq!((verified.len(), &verified[0]["damages"]), (1, &json!(0)));

    let exported = run(&home, &["store", "export"]);
    assert_eq!(lines(&exported).iter().filter(|line| line["type"] == "message").count(), 23);
    std::fs::write(home.join("all.ndjson"), &exported.stdout).unwrap();
    let imported = lines(&run(&home, &["store", "import", "--data", "copy", "all.ndjson"]));
    assert_eq!((&imported[0]["messages"], &imported[0]["channels"]), (&json!(23), &json!(2)));
    let again = failed(&run(&home, &["store", "import", "--data", "copy", "all.ndjson"]), 1);
    assert!(again.contains("there is a store"), "{again}");
    assert_eq!(run(&home, &["store", "export", "--data", "copy"]).stdout, exported.stdout);
    lines(&run(&home, &["store", "compact", "--data", "copy", "--config", "fanfare.toml"]));

    let copy = home.join("copy");
    let mut other = Server::start(&durable(&copy.display().to_string()));
    assert_eq!(answers(&other).await, before, "same messages, offsets and epoch");
    let repeated = other.publish("plain:a", text).await;
    assert_eq!(
        (&repeated["duplicate"], &repeated["offset"]),
        (&json!(true), &json!(1)),
        "its id is known there too"
    );
    let next = other.publish("plain:a", json!({ "data": 3 })).await;
    assert_eq!((&next["offset"], &next["epoch"]), (&json!(3), &before[0]["epoch"]));
    stop(&mut other).await;
}

#[tokio::test]
async fn an_import_that_is_not_whole_leaves_nothing_behind() {
    let server = Server::start(&durable("data"));
    let home = server.home();
    for (text, says) in [
        ("{\"type\":\"later\"}\n", "does not begin with"),
        ("", "does not begin with"),
        ("{\"type\":\"store\",\"version\":1,\"epoch\":\"a1\"}\n{\"type\":\"mess", "line 2"),
        ("{\"type\":\"store\",\"version\":9,\"epoch\":\"a1\"}\n", "version"),
    ] {
        std::fs::write(home.join("part"), text).unwrap();
        let refused = failed(&run(home, &["store", "import", "--data", "part-copy", "part"]), 1);
        assert!(refused.contains(says), "{text}: {refused}");
        assert!(!home.join("part-copy").exists(), "{text}");
    }
    let nothing = failed(&run(home, &["store", "info", "--data", "nowhere"]), 1);
    assert!(nothing.contains("there is no store"), "{nothing}");
    assert!(!home.join("nowhere").exists(), "looking makes nothing");
    let whose = failed(
        &run(Path::new("/"), &["store", "compact", "--data", &home.join("data").display().to_string()]),
        1,
    );
    assert!(whose.contains("--config"), "retention is not guessed: {whose}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_refused_with_its_place() {
    let mut server = Server::start(&durable("data"));
    server.publish_numbers("plain:a", 1..=20).await;
    let home = server.home().to_owned();
    let start = ["serve", "--config", "fanfare.toml", "--listen", "127.0.0.1:0"];
    let in_use = failed(&run(&home, &start), 3);
    assert!(in_use.contains("data: another process has it open"), "{in_use}");
    std::fs::write(home.join("file"), "").unwrap();
    let unusable = failed(&run(&home, &[&start[..], &["--data", "file"]].concat()), 3);
    assert!(unusable.contains("file"), "{unusable}");
    stop(&mut server).await;

    // A flipped bit before the end, that no crash explains.
    let file = log_files(&home.join("data")).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    *bytes.get_mut(at).unwrap() ^= 0x40;
    std::fs::write(&file, &bytes).unwrap();
    let found = run(&home, &["store", "verify"]);
    let damage: Value =
        serde_json::from_slice(found.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let started = run(&home, &start);
    assert_eq!((&damage["type"], found.status.code()), (&json!("damage"), Some(3)), "{damage}");
    let text = failed(&started, 3);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(text.contains("is damaged at byte") && text.contains(name), "{text}");
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_told() {
    let mut server = Server::start(&durable("data"));
    server.publish_numbers("plain:a", 1..=20).await;
    server.kill();
    let file = log_files(&server.home().join("data")).pop().unwrap();
    // Zeros stand ahead of what is written.
    let mut bytes = std::fs::read(&file).unwrap();
    let len = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(len);
    bytes.extend_from_slice(b"half of a frame");
    std::fs::write(&file, bytes).unwrap();
    let verified = lines(&run(server.home(), &["store", "verify"]));
    assert_eq!((&verified[0]["type"], &verified[0]["at"]), (&json!("torn"), &json!(len)));
    server.start_again();
    let log = server.log();
    assert!(log.contains("cut off") && log.contains(&format!("\"at\":{len}")), "{log}");
    let page =
        server.get("/v1/channels/plain:a/messages?limit=100").bearer(config::API_KEY).send().await.ok();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(20));
    // Nothing of it is left to stumble over.
    let mut quiet = Server::command(server.home());
    assert!(quiet.args(["store", "verify"]).stdout(Stdio::null()).status().unwrap().success());
}
