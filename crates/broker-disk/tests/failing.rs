//! Syncs that fail for want of space, and a disk that is full: nothing is acknowledged that was not synced, nothing that was seen is lost without
//! another epoch, retention goes on, and it heals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use fanfare_broker::{
    Append, Author, Broker, ChannelPolicy,
    contract::harness::{channel, keyed, publish},
};
use fanfare_broker_disk::{DiskBroker, DiskSettings, Doing, Fault};
use fanfare_protocol::{Code, Problem, Publish};
use support::{
    ByNamespace, Disk, START_MS, append, append_text, bounds, held, open, segments, settings, snapshot,
    started, table, try_append, try_open, until_taken, wait,
};

fn refused(broker: &DiskBroker, publish: Publish) -> Problem {
    let problem = try_append(broker, publish, START_MS).unwrap_err();
    assert_eq!((problem.code, problem.is_retryable()), (Code::Unavailable, true), "{problem}");
    problem
}

/// `m:1` has one message that is synced, and one that was seen before its sync failed; everything else is refused.
fn torn(broker: &DiskBroker, disk: &Disk) {
    append_text(broker, "a:1", "1");
    append_text(broker, "m:1", "\"first\"");
    disk.forgets.store(true, SeqCst);
    disk.fails.store(true, SeqCst);
    assert_eq!(append_text(broker, "m:1", "\"second\"").offset, 2, "it is seen once it is written");
    let with_id = Publish { id: Some("x".into()), ..publish(&channel("a:1"), "2") };
    refused(broker, with_id);
    refused(broker, publish(&channel("new"), "1"));
    refused(broker, keyed(&channel("k:1"), "key", "1"));
    assert!(disk.failures.load(SeqCst) > 0 && !disk.forgets.load(SeqCst));
    assert_eq!(
        (bounds(broker, "a:1").head, bounds(broker, "m:1").head, bounds(broker, "new").head),
        (1, 2, 0)
    );
}

#[test]
fn a_sync_that_failed_for_want_of_space_is_made_up_for() {
    let (directory, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let broker = try_open(disk.over(settings(directory.path()))).unwrap();
    torn(&broker, &disk);
    let epoch = bounds(&broker, "m:1").epoch;
    disk.fails.store(false, SeqCst);
    assert_eq!(
        until_taken(&broker, publish(&channel("a:1"), "\"healed\""), START_MS).offset,
        2,
        "no offset was used up"
    );
    let with_id = Publish { id: Some("x".into()), ..publish(&channel("a:1"), "3") };
    assert_eq!(append(&broker, with_id).offset, 3, "a failed append is not remembered");
    assert_eq!(append_text(&broker, "new", "1").offset, 1);
    assert_eq!(snapshot(&broker, "k:1"), [""; 0]);
    assert_eq!(append(&broker, keyed(&channel("k:1"), "key", "2")).offset, 1);
    for _ in 0..2 {
        append_text(&broker, "m:1", "\"third\"");
    }
    let all = |broker: &DiskBroker| {
        assert_eq!(held(broker, "a:1"), ["1", "\"healed\"", "3"]);
        assert_eq!(held(broker, "m:1")[..2], ["\"first\"", "\"second\""], "what was seen is there again");
        assert_eq!((bounds(broker, "m:1").head, bounds(broker, "m:1").epoch), (4, epoch));
        assert_eq!(
            (held(broker, "new"), snapshot(broker, "k:1")),
            (vec!["1".to_owned()], vec!["2".to_owned()])
        );
    };
    all(&broker);
    drop(broker);
    let broker = open(directory.path());
    assert_eq!(
        (broker.opened().cut.clone(), broker.opened().reset.len(), broker.opened().power_cut),
        (None, 0, false)
    );
    all(&broker);
}

/// What the writer has taken and not yet written when a sync fails follows what is refused: it is refused too, also where the disk works again at
/// once.
#[test]
fn what_the_writer_holds_while_a_sync_fails_is_refused_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (armed, (say, fails), (go, wait_for)) =
        (Arc::new(AtomicBool::new(false)), mpsc::channel(), mpsc::channel());
    let (is_armed, wait_for) = (armed.clone(), parking_lot::Mutex::new(wait_for));
    let fault = move |_: &Path, doing| {
        if doing == Doing::Sync && is_armed.swap(false, SeqCst) {
            say.send(()).unwrap();
            wait_for.lock().recv().unwrap();
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    };
    let fault = Some(Fault(Arc::new(fault)));
    let broker =
        try_open(DiskSettings { fault, queue_bytes: 4 << 10, ..settings(directory.path()) }).unwrap();
    append_text(&broker, "a:1", "1");
    armed.store(true, SeqCst);
    let text = |data: &str| try_append(&broker, publish(&channel("a:1"), data), START_MS);
    thread::scope(|scope| {
        let together = scope.spawn(|| {
            let append = |data| {
                let (publish, author) = (publish(&channel("a:1"), data), Author::default());
                broker.append(Append { publish, author, unix_ms: START_MS })
            };
            let (second, third) = (append("2"), append("3"));
            wait(async { (second.await, third.await) })
        });
        fails.recv().unwrap();
        let written = || broker.counters().written_bytes.get();
        let (before, large) = (written(), format!("\"{}\"", "x".repeat(5000)));
        let large = scope.spawn(move || text(&large));
        while written() < before + 5000 {
            thread::yield_now();
        }
        // More is unsynced than may be: the writer takes the next and waits with it.
        let held = scope.spawn(move || text("5"));
        thread::sleep(Duration::from_millis(100));
        go.send(()).unwrap();
        let (second, third) = together.join().unwrap();
        for refused in [second, third, large.join().unwrap(), held.join().unwrap()] {
            assert_eq!(refused.unwrap_err().code, Code::Unavailable);
        }
    });
    assert_eq!(until_taken(&broker, publish(&channel("a:1"), "\"healed\""), START_MS).offset, 2);
    assert_eq!(held(&broker, "a:1"), ["1", "\"healed\""]);
    drop(broker);
    assert_eq!(held(&open(directory.path()), "a:1"), ["1", "\"healed\""]);
}

#[test]
fn a_hub_that_is_killed_before_it_healed_tells_what_is_lost() {
    let (directory, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let broker = try_open(disk.over(settings(directory.path()))).unwrap();
    torn(&broker, &disk);
    let before = (bounds(&broker, "a:1"), bounds(&broker, "m:1"));
    // What is on disk at this moment, in the same boot of the machine.
    let left = tempfile::tempdir().unwrap();
    std::fs::create_dir(left.path().join("log")).unwrap();
    std::fs::copy(directory.path().join("store"), left.path().join("store")).unwrap();
    for path in segments(directory.path()) {
        std::fs::copy(&path, left.path().join("log").join(path.file_name().unwrap())).unwrap();
    }
    let broker = open(left.path());
    assert_eq!(broker.opened().reset, [channel("m:1")]);
    assert_eq!(bounds(&broker, "a:1"), before.0, "what was acknowledged as stored is there");
    assert_ne!(bounds(&broker, "m:1").epoch, before.1.epoch, "its readers saw a message that is gone");
    drop(broker);
    assert_eq!(open(left.path()).opened().reset, []);
}

#[test]
fn a_disk_that_fails_otherwise_takes_nothing_until_a_restart() {
    let (directory, broken) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let fails = broken.clone();
    let fault = move |_: &Path, doing| match doing {
        Doing::Sync if fails.load(SeqCst) => Err(io::Error::other("it is broken")),
        _ => Ok(()),
    };
    let fault = Some(Fault(Arc::new(fault)));
    let broker = try_open(DiskSettings { fault, ..settings(directory.path()) }).unwrap();
    append_text(&broker, "a:1", "1");
    broken.store(true, SeqCst);
    refused(&broker, publish(&channel("a:1"), "2"));
    broken.store(false, SeqCst);
    assert!(refused(&broker, publish(&channel("a:1"), "3")).remedy_text().contains("restart"));
    assert_eq!(held(&broker, "a:1"), ["1"], "readers go on");
    drop(broker);
    let broker = open(directory.path());
    assert_eq!(held(&broker, "a:1")[..1], ["1"]);
    append_text(&broker, "a:1", "4");
}

/// Everything takes so many bytes at most; nothing else is said of what is written.
fn small_disk(directory: &Path, bytes: u64) -> Fault {
    let directory = directory.to_owned();
    let len = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    Fault(Arc::new(move |_, doing| {
        let Doing::Write(more) = doing else { return Ok(()) };
        let files = segments(&directory).iter().map(|path| len(path)).sum::<u64>();
        if files + len(&directory.join("spare")) + more > bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }))
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    const TTL_MS: u64 = 1000;
    let (directory, policies) = (tempfile::tempdir().unwrap(), table());
    let settings = DiskSettings {
        segment_bytes: 8 << 10,
        idempotency_ms: 0,
        fault: Some(small_disk(directory.path(), 60 << 10)),
        ..settings(directory.path())
    };
    let name = |n: usize| channel(&format!("room:{n}"));
    for n in 0..400 {
        policies.set(
            &name(n),
            ChannelPolicy { ttl_ms: TTL_MS, ack: fanfare_protocol::Ack::Stored, ..ChannelPolicy::default() },
        );
    }
    let broker = started(settings.clone(), policies.clone()).unwrap();
    // The reserve is there before the disk is full; the broker's own thread sees to that otherwise.
    std::fs::write(directory.path().join("spare"), [0; 1 << 10]).unwrap();
    let text = format!("\"{}\"", "x".repeat(400));
    let mut written = 0;
    while try_append(&broker, publish(&name(written), &text), START_MS).is_ok() {
        written += 1;
    }
    assert!((50..390).contains(&written), "{written}");
    for _ in 0..3 {
        broker.keep();
        refused(&broker, publish(&name(0), &text));
    }
    let before: Vec<_> =
        (0..written).map(|n| bounds(&broker, &name(n).to_string()).head_position()).collect();
    // Nothing of it is needed any more, but where the channels stand: of so many segments as the reserve has room for.
    broker.tick(START_MS + 10 * TTL_MS);
    while until_room(&broker, written) {
        broker.keep();
    }
    assert!(segments(directory.path()).len() < 5, "{:?}", segments(directory.path()));
    let all = |broker: &DiskBroker| {
        (0..written).map(|n| bounds(broker, &name(n).to_string()).head_position()).collect::<Vec<_>>()
    };
    assert_eq!(all(&broker), before, "expiry changes neither epoch nor head");
    drop(broker);
    let broker = started(settings, policies).unwrap();
    assert_eq!(all(&broker), before);
    assert_eq!((broker.opened().cut.clone(), broker.opened().reset.len()), (None, 0));

    fn until_room(broker: &DiskBroker, written: usize) -> bool {
        let new = publish(&channel(&format!("room:{}", written + 1)), "1");
        try_append(broker, new, START_MS + 10 * TTL_MS).is_err()
    }
}

#[test]
fn dropped_channels_stay_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let few = DiskSettings {
        channels_limit: 4,
        segment_bytes: 1 << 10,
        idempotency_ms: 0,
        ..settings(directory.path())
    };
    let broker = started(few.clone(), Arc::new(ByNamespace)).unwrap();
    let at = |broker: &DiskBroker, name: &str, ms: u64| {
        try_append(broker, publish(&channel(name), "\"a message\""), START_MS + ms).unwrap().position.unwrap()
    };
    let first = at(&broker, "a:0", 0);
    for n in 1..12 {
        at(&broker, &format!("a:{n}"), n);
    }
    let again = at(&broker, "a:0", 20);
    assert!(again.offset == 1 && again.epoch != first.epoch, "{first} {again}");
    let list = |broker: &DiskBroker| {
        let listed = wait(broker.channels("", None, 100)).unwrap();
        listed
            .into_iter()
            .map(|info| (info.channel.to_string(), info.bounds.head_position()))
            .collect::<Vec<_>>()
    };
    let listed = list(&broker);
    assert_eq!(listed.len(), 4);
    broker.keep();
    drop(broker);
    for _ in 0..2 {
        let broker = started(few.clone(), Arc::new(ByNamespace)).unwrap();
        assert_eq!((list(&broker), broker.opened().channels), (listed.clone(), 4));
        // Who was dropped begins where no message of it has ever been.
        assert_ne!(bounds(&broker, "a:1").epoch, first.epoch);
        broker.keep();
    }
}
