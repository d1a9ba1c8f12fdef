//! A child process that publishes is killed at random moments: nothing that was acknowledged is lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use support::{append_text, bounds, held, open, settings, try_open};

/// The directory that the child publishes into.
const CHILD: &str = "FANFARE_CRASH_CHILD";
/// How often the child is killed; 200 for the long run.
const KILLS: &str = "FANFARE_CRASH_KILLS";
const SEED: &str = "FANFARE_CRASH_SEED";

/// Not a test of its own: what the child process runs.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let small =
        fanfare_broker_disk::DiskSettings { segment_bytes: 256 << 10, ..settings(Path::new(&directory)) };
    let broker = Arc::new(try_open(small).unwrap());
    let publishers: Vec<_> = (0..8)
        .map(|n| {
            let broker = broker.clone();
            std::thread::spawn(move || {
                // Two publishers a channel, stored and not.
                let name = if n % 4 == 3 { "m:3".to_owned() } else { format!("a:{}", n % 4) };
                for count in 0.. {
                    let text = format!("\"{n}.{count}.{}\"", "x".repeat(count % 300));
                    let position = append_text(&broker, &name, &text);
                    let line = format!("{name} {position} {text}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
}

/// Runs the child for a while, kills it, and returns the acknowledgements that it printed.
fn run_and_kill(directory: &Path, after: Duration) -> Vec<(String, String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        output.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let acked = whole.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let (name, position, text) = (words.next()?, words.next()?, words.next()?);
        (name.len() == 3 && name.as_bytes()[1] == b':').then_some((name, position, text))
    });
    acked.collect()
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("{SEED}={seed}");
    let directory = tempfile::tempdir().unwrap();
    let mut acked: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    let (mut epoch, mut random) = (None, seed | 1);
    for kill in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for (name, position, text) in run_and_kill(directory.path(), Duration::from_millis(60 + random % 200))
        {
            let (of, offset) = position.split_once('-').unwrap();
            assert_eq!(*epoch.get_or_insert(of.to_owned()), of, "kill {kill}: the epoch changed");
            let before = acked.entry(name.clone()).or_default().insert(offset.parse().unwrap(), text);
            assert_eq!(before, None, "kill {kill}: {name} {position} was given twice");
        }
        let broker = open(directory.path());
        assert!(broker.opened().reset.is_empty() && !broker.opened().power_cut);
        for (name, messages) in &acked {
            let log = held(&broker, name);
            assert_eq!(bounds(&broker, name).head, log.len() as u64, "without holes");
            for (offset, text) in messages {
                assert_eq!(log.get(*offset as usize - 1), Some(text), "kill {kill}: {name} {offset} is lost");
            }
        }
    }
    let total: usize = acked.values().map(BTreeMap::len).sum();
    assert!(acked.len() == 4 && total > kills * 20, "only {total} were acknowledged: nothing was tested");
}
