//! `fanfare sub` and `fanfare pub` against a hub that is run as users run it.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

fn fanfare() -> Command {
    let directory =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sub-pub-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    // Dev mode keeps its data in the temporary directory.
    command.env("TMPDIR", &directory).current_dir(directory).stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("FANFARE_") {
            command.env_remove(variable);
        }
    }
    command
}

/// A hub in dev mode on a port of its own; it ends with the test.
struct Hub {
    child: Child,
    url: String,
}

impl Hub {
    fn start() -> Self {
        let mut child = fanfare()
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { child, url }
    }

    /// Runs a client command with `input` on its stdin and gives the JSON lines that it prints.
    #[track_caller]
    fn run(&self, args: &[&str], input: &str) -> Vec<Value> {
        let mut child = fanfare()
            .args(args)
            .args(["--url", &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn data(frames: &[Value]) -> Vec<Value> {
    frames.iter().filter(|frame| frame["type"] == "message").map(|frame| frame["data"].clone()).collect()
}

#[test]
fn what_is_published_is_read_over_every_transport_from_any_position() {
    let hub = Hub::start();
    let first = hub.run(&["pub", "chat:1", r#"{"z":1,"a":1.0}"#, "--event", "say", "--key", "k"], "");
    assert_eq!((&first[0]["offset"], &first[0]["duplicate"]), (&json!(1), &json!(false)), "{first:?}");
    let lines = hub.run(&["pub", "chat:1", "--lines"], "2\nplain text\n\n[4]\n");
    assert_eq!(lines.len(), 3, "an empty line is no message: {lines:?}");
    let again = ["pub", "chat:1", "-", "--id", "once"];
    assert_eq!(hub.run(&again, "\"five\"\n")[0]["duplicate"], false);
    assert_eq!(hub.run(&again, "\"five\"\n")[0]["duplicate"], true);

    let all = [json!({"z": 1, "a": 1.0}), json!(2), json!("plain text"), json!([4]), json!("five")];
    let since = format!("{}-1", first[0]["epoch"].as_str().unwrap());
    for transport in [&[][..], &["--sse"], &["--poll"]] {
        let sub = |args: &[&str]| hub.run(&[&["sub", "chat:1"], args, transport].concat(), "");
        let frames = sub(&["--last", "10", "--count", "5"]);
        assert_eq!(data(&frames), all, "{transport:?}");
        assert_eq!((&frames[0]["event"], &frames[0]["key"]), (&json!("say"), &json!("k")), "{transport:?}");
        assert_eq!(data(&sub(&["--since", &since, "--count", "3"])), all[1..4], "{transport:?}");
        let lost = sub(&["--since", "nowhere-7", "--count", "1"]);
        assert_eq!((&lost[0]["type"], &lost[0]["reason"]), (&json!("gap"), &json!("epoch")), "{transport:?}");
        assert_eq!(data(&lost), all[..1], "{transport:?}: what is left follows the gap");
    }
}

#[test]
fn what_the_hub_refuses_is_told_with_its_remedy() {
    let hub = Hub::start();
    for args in [
        &["pub", "a", "1", "--event", "pusher:x"][..],
        &["pub", "a", "1", "--token", "forged.token.here"],
        &["sub", "a", "--token", "forged.token.here"],
        &["sub", "a", "--token", "forged.token.here", "--sse"],
        &["sub", "a", "--token", "forged.token.here", "--poll"],
    ] {
        let output = fanfare().args(args).args(["--url", &hub.url]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = if args.contains(&"--token") { "unauthorized:" } else { "bad_request:" };
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(code) && stderr.contains("remedy: "), "{args:?}: {stderr}");
    }
}

#[test]
fn sub_ends_when_nobody_reads_it_any_more_though_nothing_comes() {
    let hub = Hub::start();
    hub.run(&["pub", "quiet", "1"], "");
    for transport in [&[][..], &["--sse"], &["--poll"]] {
        let mut child = fanfare()
            .args(["sub", "quiet", "--last", "1", "--url", &hub.url])
            .args(transport)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("\"offset\":1"), "{transport:?}: {line:?}");
        // As `head -1` does.
        drop(stdout);
        let begun = std::time::Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed().as_secs() > 10 => {
                    let _ = child.kill();
                    panic!("{transport:?}: it goes on");
                }
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        assert!(status.success(), "{transport:?}: {status}");
    }
}
