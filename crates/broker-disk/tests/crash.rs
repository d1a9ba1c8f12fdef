//! A child process that publishes is killed at random moments, and then the power fails, or its last bytes are damaged: nothing
//! that was acknowledged is lost, or its channel goes on in another epoch.
//!
//! `cargo xtask crash` is the long form: 200 kills.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io::{BufRead as _, BufReader, Read as _, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use fanfare_broker::{
    Bound, Broker, ChannelPolicy, Keyed, Policies, Read,
    contract::harness::{channel, keyed, publish},
};
use fanfare_broker_disk::{DiskBroker, DiskSettings, OpenError, Witness, tools::survey};
use fanfare_protocol::{Ack, ChannelName, Message, Position};
use support::{append, bounds, segments, settings, started, wait};

/// The directory that the child publishes into.
const CHILD: &str = "FANFARE_CRASH_CHILD";
/// How often the child is killed; 200 for the long run.
const KILLS: &str = "FANFARE_CRASH_KILLS";
const SEED: &str = "FANFARE_CRASH_SEED";
/// What `t` and `k` keep.
const KEPT: u64 = 20;

/// `m` is seen before it is synced; `k` is keyed; `k` and `t` keep little, so that segments are squeezed under load.
struct Load;

impl Policies for Load {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        let namespace = channel.namespace().unwrap_or_default();
        ChannelPolicy {
            size: if matches!(namespace, "t" | "k") { KEPT } else { u64::MAX },
            ttl_ms: u64::MAX,
            bytes: u64::MAX,
            keyed: namespace == "k",
            ack: if namespace == "m" { Ack::Memory } else { Ack::Stored },
        }
    }
}

fn load(directory: &Path, boot: &str) -> DiskSettings {
    DiskSettings {
        segment_bytes: 128 << 10,
        idempotency_ms: 0,
        boot_id: Some(boot.to_owned()),
        ..settings(directory)
    }
}

/// Not a test of its own: what the child process runs.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    // Ends the line that the test's name is on.
    say("");
    let witness = Witness(Arc::new(|segment, len| say(&format!("sync {segment} {len}"))));
    let keep_every = Some(Duration::from_millis(20));
    let settings =
        DiskSettings { witness: Some(witness), keep_every, ..load(Path::new(&directory), "first") };
    let broker = Arc::new(started(settings, Arc::new(Load)).unwrap());
    let publishers: Vec<_> = (0..10)
        .map(|n| {
            let broker = broker.clone();
            std::thread::spawn(move || {
                for count in 0.. {
                    publish_one(&broker, n, count);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
}

/// Two publishers a channel; now and then one begins a channel.
fn publish_one(broker: &DiskBroker, n: usize, count: usize) {
    let started = std::process::id();
    let text = format!("\"{n}.{count}.{started}.{}\"", "x".repeat(count * 7 % 300));
    let name = match ["a:0", "a:1", "m:0", "k:0", "t:0"][n % 5] {
        "a:1" if count % 10 == 9 => format!("b:{n}.{count}.{started}"),
        name => name.to_owned(),
    };
    let key = format!("k{}", count % 7);
    let message =
        if n % 5 == 3 { keyed(&channel(&name), &key, &text) } else { publish(&channel(&name), &text) };
    let position = append(broker, message);
    say(&format!("ack {name} {position} {key} {text}"));
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// What a child said before it was killed.
#[derive(Default)]
struct Said {
    /// By channel and offset: epoch, key, text.
    acked: BTreeMap<String, BTreeMap<u64, (String, String, String)>>,
    /// The newest segment that was synced, and up to where.
    synced: (u32, u64),
}

/// Runs the child for a while, from its first acknowledgement on or from its very beginning, kills it, and adds what it said.
fn run_and_kill(directory: &Path, from_ack: bool, after: Duration, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(if from_ack { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (acked, first_ack) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        while output.read_line(&mut text).unwrap() > 0 {
            if text.contains("\nack ") {
                let _ = acked.send(());
                output.read_to_string(&mut text).unwrap();
            }
        }
        text
    });
    if from_ack {
        // A child that cannot start ends by itself, and says nothing any more.
        first_ack.recv_timeout(Duration::from_secs(60)).expect("the child starts and acknowledges something");
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    for line in text[..text.rfind('\n').unwrap_or(0)].lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sync", segment, len] => said.synced = (segment.parse().unwrap(), len.parse().unwrap()),
            ["ack", name, position, key, text] => {
                let (epoch, offset) = position.split_once('-').unwrap();
                let told = (epoch.to_owned(), key.to_owned(), text.to_owned());
                let before = said.acked.entry(name.to_owned()).or_default();
                let twice = before.insert(offset.parse().unwrap(), told);
                assert_eq!(twice, None, "{name} {position} was given twice");
            }
            _ => {}
        }
    }
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("log")).unwrap();
    std::fs::copy(from.join("store"), to.path().join("store")).unwrap();
    for path in segments(from) {
        std::fs::copy(&path, to.path().join("log").join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn held(broker: &DiskBroker, name: &str) -> BTreeMap<u64, Arc<Message>> {
    let bounds = bounds(broker, name);
    let after = Position { epoch: bounds.epoch, offset: bounds.held - 1 };
    let read = Read { after, limit: usize::MAX, bytes: usize::MAX, bound: Bound::Held };
    let slice = wait(broker.read(&channel(name), read)).unwrap().unwrap();
    slice.messages.into_iter().map(|message| (message.offset, message)).collect()
}

/// Every channel has what was acknowledged, or is in another epoch. Returns those that are.
fn all_there(broker: &DiskBroker, said: &Said) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    for (name, acked) in &said.acked {
        let (now, (last, (epoch, ..))) = (bounds(broker, name), acked.last_key_value().unwrap());
        if now.epoch.as_str() != epoch {
            assert_eq!(now.head, 0, "{name}: another epoch begins anew");
            changed.insert(name.clone());
            continue;
        }
        assert!(now.head >= *last, "{name} ends at {}, {last} was acknowledged", now.head);
        let messages = held(broker, name);
        let first = if name.starts_with(['t', 'k']) { (now.head + 1).saturating_sub(KEPT) } else { 1 };
        assert!((first.max(1)..=now.head).all(|offset| messages.contains_key(&offset)), "{name} has holes");
        for (offset, (_, _, text)) in acked.range(first..) {
            let data = &messages[offset].data;
            assert!(matches!(data, fanfare_protocol::Data::Json(json) if json == text), "{name} {offset}");
        }
    }
    newest_of_keys(broker, said, changed.contains("k:0"));
    changed
}

fn newest_of_keys(broker: &DiskBroker, said: &Said, changed: bool) {
    let Some(acked) = said.acked.get("k:0").filter(|_| !changed) else { return };
    let until = bounds(broker, "k:0").head;
    let read = Keyed { after: 0, until, tombstones_after: until, limit: usize::MAX, bytes: usize::MAX };
    let slice = wait(broker.read_keyed(&channel("k:0"), read)).unwrap();
    let newest: BTreeMap<_, _> = slice
        .messages
        .iter()
        .map(|message| (message.key.clone().unwrap().to_string(), message.offset))
        .collect();
    for (offset, (_, key, _)) in acked {
        assert!(newest.get(key).is_some_and(|now| now >= offset), "{key} of {offset}: {newest:?}");
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// The newest segment, and the bytes of it that were synced.
fn newest(directory: &Path, said: &Said) -> (PathBuf, usize) {
    let path = segments(directory).pop().unwrap();
    let id: u32 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    // A segment is begun with a sync of its header, and after one of all before it.
    (path, if said.synced.0 == id { said.synced.1 as usize } else { 16 })
}

/// How much of a segment was written: behind it may be zeros that were written ahead.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The power fails: of what was not synced, some arbitrary part never reached the disk. Nothing acknowledged as stored is lost, and
/// no epoch changes but that of what was seen before it was synced.
fn power_cut(killed: &Path, said: &Said, random: &mut Random) {
    let directory = copy(killed);
    let (path, synced) = newest(directory.path(), said);
    let mut bytes = std::fs::read(&path).unwrap();
    let (written, reach) = (written(&bytes).max(synced), bytes.len());
    let loose = (written - synced) as u64;
    if random.below(2) == 0 {
        bytes.truncate(synced + random.below(loose + 1) as usize);
        if random.below(2) == 0 {
            // The file had grown before.
            bytes.resize(reach, 0);
        }
    } else {
        // Sectors arrive in any order.
        for sector in (synced.next_multiple_of(512)..written).step_by(512) {
            let end = (sector + 512).min(written);
            if random.below(3) == 0 {
                bytes[sector..end].fill(0);
            }
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let broker = started(load(directory.path(), "second"), Arc::new(Load)).unwrap();
    assert!(broker.opened().power_cut);
    let changed = all_there(&broker, said);
    let only_memory = said.acked.contains_key("m:0").then(|| "m:0".to_owned());
    let of_now: BTreeSet<_> = broker.opened().reset.iter().map(ToString::to_string).collect();
    assert_eq!(changed, only_memory.into_iter().collect(), "{of_now:?}, {:?}", broker.opened().cut);
}

/// A byte near the end is damaged, or the end is torn off: it is told, or refused with its place; a channel that lost messages
/// goes on in another epoch, and no other does.
fn damaged_end(killed: &Path, said: &Said, random: &mut Random) {
    let (before, directory) = (survey(killed).unwrap(), copy(killed));
    let path = segments(directory.path()).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    if bytes.len() <= 16 {
        return;
    }
    // Now and then in what is written ahead.
    let end = if random.below(4) > 0 { written(&bytes).max(17) } else { bytes.len() };
    let at = end - 1 - random.below((end as u64 - 17).min(3000) + 1) as usize;
    bytes[at] ^= 1 << random.below(8);
    std::fs::write(&path, &bytes).unwrap();
    let after = survey(directory.path()).unwrap();
    let broker = match started(load(directory.path(), "first"), Arc::new(Load)) {
        Ok(broker) => broker,
        Err(OpenError::Damaged { path: named, at: place, .. }) => {
            assert!(named == path && place <= at as u64, "{named:?} {place}, damaged at {at}");
            assert!(after.damages.iter().any(|damage| damage.at == place), "{after:?}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let cut = broker.opened().cut.clone().expect("damage is told");
    assert!(cut.at <= at as u64 && Some(&cut) == after.torn.as_ref(), "{cut:?}, damaged at {at}");
    let changed = all_there(&broker, said);
    for old in &before.channels {
        let left = after.channels.iter().find(|new| new.channel == old.channel);
        let is_lost = left.is_none_or(|new| new.head < old.head);
        let now = wait(broker.bounds(&old.channel)).unwrap();
        assert_eq!(now.epoch != old.epoch, is_lost, "{}: {cut:?}, damaged at {at}", old.channel);
        assert!(is_lost || !changed.contains(&*old.channel.to_string()));
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_power_cuts_and_damaged_ends() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("{SEED}={seed}");
    let mut random = Random(seed | 1);
    let (mut total, mut directory, mut said) = (0, tempfile::tempdir().unwrap(), Said::default());
    for kill in 0..kills {
        if kill % 10 == 0 {
            (directory, said) = (tempfile::tempdir().unwrap(), Said::default());
        }
        let (from_ack, after) = (random.below(8) > 0, Duration::from_millis(random.below(120)));
        let before: usize = said.acked.values().map(BTreeMap::len).sum();
        run_and_kill(directory.path(), from_ack, after, &mut said);
        total += said.acked.values().map(BTreeMap::len).sum::<usize>() - before;
        println!("kill {kill} after {after:?}: {total} acknowledged");
        if !directory.path().join("store").exists() {
            // Killed before it began.
            continue;
        }
        power_cut(directory.path(), &said, &mut random);
        for _ in 0..3 {
            damaged_end(directory.path(), &said, &mut random);
        }
        let broker = started(load(directory.path(), "first"), Arc::new(Load)).unwrap();
        assert!(broker.opened().reset.is_empty() && !broker.opened().power_cut);
        assert_eq!(all_there(&broker, &said), BTreeSet::new(), "the epoch changed");
    }
    assert!(total > kills * 20, "only {total} were acknowledged: nothing was tested");
}
