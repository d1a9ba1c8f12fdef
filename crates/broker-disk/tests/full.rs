//! A disk that takes no more: publishes fail, readers go on, and it heals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::process::Command;

use fanfare_broker::contract::harness::{channel, keyed, publish};
use fanfare_protocol::{Code, Publish};
use rlimit::Resource;
use support::{START_MS, Told, append, bounds, held, open, snapshot, try_append, until_taken};

const CHILD: &str = "FANFARE_FULL_CHILD";

/// Not a test of its own: runs where files may not grow beyond a limit, which it then raises.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let told = Told::listen();
    let directory = std::path::Path::new(&directory);
    let broker = open(directory);
    let text = format!("\"{}\"", "x".repeat(10_000));
    let mut taken = 0;
    let problem = loop {
        match try_append(&broker, publish(&channel("a:1"), &text), START_MS) {
            Ok(published) => {
                taken += 1;
                assert_eq!(published.position.unwrap().offset, taken);
            }
            Err(problem) => break problem,
        }
        assert!(taken < 1000, "the limit does not work");
    };
    assert_eq!((problem.code, problem.is_retryable()), (Code::Unavailable, true), "{problem}");
    for _ in 0..3 {
        let with_id = Publish { id: Some("x".into()), ..publish(&channel("a:2"), &text) };
        assert_eq!(try_append(&broker, with_id, START_MS).unwrap_err().code, Code::Unavailable);
    }
    let lease = Publish { ttl_ms: Some(5), ..keyed(&channel("k:1"), "k", &text) };
    assert_eq!(try_append(&broker, lease, START_MS).unwrap_err().code, Code::Unavailable);
    assert_eq!(held(&broker, "a:1").len() as u64, taken, "readers go on");
    let (_, hard) = Resource::FSIZE.get().unwrap();
    assert_eq!(told.so_far(), (1, 0), "an error when it begins, and none for each publish");
    Resource::FSIZE.set(hard, hard).unwrap();
    let healed = until_taken(&broker, publish(&channel("a:1"), "\"healed\""), START_MS);
    assert_eq!(healed.offset, taken + 1, "no offset was used up");
    assert_eq!(told.so_far(), (1, 1), "and it is told when it is over");
    let with_id = Publish { id: Some("x".into()), ..publish(&channel("a:2"), "1") };
    assert_eq!(append(&broker, with_id).offset, 1, "a failed append is not remembered");
    assert_eq!(snapshot(&broker, "k:1"), [""; 0]);
    drop(broker);
    let broker = open(directory);
    assert_eq!((bounds(&broker, "a:1").head, broker.opened().cut.clone()), (taken + 1, None));
    println!("healed after {taken}");
}

#[test]
fn a_full_disk_refuses_and_heals() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // The signal is ignored, so that a write beyond the limit fails as one on a full disk does: in part, then altogether.
    let script = "trap '' XFSZ; ulimit -S -f 300; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("healed after"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
