//! What a directory keeps from one process to the next.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use fanfare_broker::{
    Append, Author, Broker, ChannelPolicy,
    contract::harness::{channel, keyed, publish},
};
use fanfare_broker_disk::{DiskSettings, OpenError};
use fanfare_protocol::{Ack, Publish};
use std::time::Duration;
use support::{
    START_MS, append, append_text, bounds, held, open, segments, settings, snapshot, started, stop, table,
    try_append, try_open, wait,
};

#[test]
fn messages_epochs_and_offsets_survive_a_stop_and_an_end_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut epoch = None;
    for round in 0..6 {
        let broker = open(directory.path());
        let opened = broker.opened();
        assert_eq!((opened.messages, opened.unclean, opened.power_cut), (round * 2, round % 2 == 1, false));
        let position = append_text(&broker, "a:1", &format!("{round}"));
        append_text(&broker, "m:1", &format!("{round}"));
        assert_eq!(position.offset, round + 1);
        assert_eq!(*epoch.get_or_insert(position.epoch), position.epoch);
        let expected: Vec<_> = (0..=round).map(|n| n.to_string()).collect();
        assert_eq!(held(&broker, "a:1"), expected);
        assert_eq!(held(&broker, "m:1"), expected);
        if round % 2 == 1 {
            stop(broker);
        }
    }
}

#[test]
fn ids_are_remembered_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let with_id = |id: &str| Publish { id: Some(id.into()), ..publish(&channel("a:1"), "1") };
    let broker = open(directory.path());
    let early = append(&broker, with_id("early"));
    let late = try_append(&broker, with_id("late"), START_MS + 200_000).unwrap().position;
    drop(broker);
    let broker = open(directory.path());
    let again = try_append(&broker, with_id("late"), START_MS + 250_000).unwrap();
    assert_eq!((again.position, again.duplicate), (late, true));
    let again = try_append(&broker, with_id("early"), START_MS + 250_000).unwrap();
    assert_eq!((again.position, again.duplicate), (Some(early), true));
    let again = try_append(&broker, with_id("early"), START_MS + 300_000).unwrap();
    assert!(!again.duplicate, "its window is over");
    drop(broker);
    let broker = open(directory.path());
    let used_again = try_append(&broker, with_id("early"), START_MS + 310_000).unwrap();
    assert_eq!(
        (used_again.position, used_again.duplicate),
        (again.position, true),
        "the end of its first use is not its end"
    );
}

#[test]
fn keys_tombstones_and_leases_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let c = channel("k:1");
    let leased = |key, data, ttl| Publish { ttl_ms: Some(ttl), ..keyed(&c, key, data) };
    let broker = open(directory.path());
    append(&broker, keyed(&c, "a", "1"));
    append(&broker, keyed(&c, "b", "2"));
    append(&broker, keyed(&c, "a", "null"));
    append(&broker, leased("short", "4", 10_000));
    append(&broker, leased("long", "5", 10_000));
    assert_eq!(wait(broker.renew(&c, &["long".into()], 60_000)).unwrap(), []);
    // A renewal is written with what comes after it.
    append(&broker, keyed(&c, "c", "6"));
    drop(broker);
    let broker = open(directory.path());
    assert_eq!(snapshot(&broker, "k:1"), ["2", "4", "5", "6"]);
    assert_eq!(bounds(&broker, "k:1").tombstones_after, 0);
    broker.tick(START_MS + 10_000);
    // The tombstone goes before what is appended later.
    assert_eq!(append(&broker, keyed(&c, "d", "8")).offset, 8);
    assert_eq!(snapshot(&broker, "k:1"), ["2", "5", "6", "8"], "the lease that was not renewed ended");
    broker.tick(START_MS + 60_000);
    append(&broker, keyed(&c, "d", "10"));
    assert_eq!(snapshot(&broker, "k:1"), ["2", "6", "10"]);
}

#[test]
fn a_second_process_is_kept_out_and_a_stale_lock_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let second = try_open(settings(directory.path())).err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    append_text(&broker, "a:1", "1");
    drop(broker);
    assert!(directory.path().join("lock").exists(), "the file stays, the lock does not");
    assert_eq!(held(&open(directory.path()), "a:1"), ["1"]);
}

#[test]
fn after_a_power_cut_only_channels_written_ahead_of_a_sync_get_another_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let boot = |id: &str| DiskSettings {
        boot_id: Some(id.to_owned()),
        settle: Duration::from_millis(50),
        ..settings(directory.path())
    };
    let broker = try_open(boot("one")).unwrap();
    let stored = append_text(&broker, "a:1", "1");
    let settled = append_text(&broker, "m:settled", "1");
    // Long enough for a sync and for the channel to be settled; another message makes that durable.
    std::thread::sleep(Duration::from_millis(400));
    append_text(&broker, "a:1", "2");
    let loose = append_text(&broker, "m:loose", "1");
    drop(broker);

    let broker = try_open(boot("one")).unwrap();
    assert!(broker.opened().unclean && !broker.opened().power_cut && broker.opened().reset.is_empty());
    assert_eq!(bounds(&broker, "m:loose").head_position(), loose, "the same boot: nothing was lost");
    append_text(&broker, "m:loose", "2");
    drop(broker);

    let broker = try_open(boot("two")).unwrap();
    assert!(broker.opened().power_cut);
    assert_eq!(broker.opened().reset, [channel("m:loose")]);
    assert_eq!(bounds(&broker, "a:1").epoch, stored.epoch);
    assert_eq!(held(&broker, "a:1"), ["1", "2"]);
    assert_eq!(bounds(&broker, "m:settled").head_position(), settled);
    let fresh = bounds(&broker, "m:loose");
    assert!(fresh.epoch != loose.epoch && fresh.head == 0, "{fresh:?}");
    assert_eq!(append_text(&broker, "m:loose", "3").offset, 1);
    stop(broker);

    let broker = try_open(boot("three")).unwrap();
    assert!(!broker.opened().unclean && broker.opened().reset.is_empty(), "it was stopped in order");
    assert_eq!(bounds(&broker, "m:loose").epoch, fresh.epoch);
    assert_eq!(held(&broker, "m:loose"), ["3"], "what was before the cut is gone for good");
}

#[test]
fn retention_frees_the_disk_and_changes_nothing_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let small = DiskSettings { segment_bytes: 16 << 10, idempotency_ms: 1_000, ..settings(directory.path()) };
    let policies = table();
    let (busy, quiet, keys) = (channel("busy"), channel("quiet"), channel("keys"));
    let policy = ChannelPolicy { size: 20, ttl_ms: u64::MAX, ack: Ack::Memory, ..ChannelPolicy::default() };
    policies.set(&busy, policy);
    policies.set(&quiet, policy);
    policies.set(&keys, ChannelPolicy { keyed: true, ..policy });
    let broker = started(small.clone(), policies.clone()).unwrap();
    append(&broker, publish(&quiet, "\"quiet\""));
    append(&broker, keyed(&keys, "removed", "0"));
    for n in 1..=3000u64 {
        append(&broker, publish(&busy, &n.to_string()));
        if n.is_multiple_of(10) {
            append(&broker, keyed(&keys, &format!("k{}", n % 7), &n.to_string()));
        }
        if n == 700 {
            append(&broker, keyed(&keys, "removed", "null"));
        }
    }
    let epoch = bounds(&broker, "busy").epoch;
    let before = (held(&broker, "quiet"), snapshot(&broker, "keys"), bounds(&broker, "keys"));
    assert_eq!(before.1.len(), 7);
    let many = segments(directory.path()).len();
    assert!(many > 10, "{many} segments");
    broker.keep();
    assert_eq!(segments(directory.path()).len(), many, "ids of publishers are still asked for");
    broker.tick(START_MS + 10_000);
    broker.keep();
    let bytes = |paths: &[std::path::PathBuf]| -> u64 {
        paths.iter().map(|path| path.metadata().unwrap().len()).sum()
    };
    let left = segments(directory.path());
    assert!(left.len() < many && bytes(&left) < 80 << 10, "{} of {many}, {} bytes", left.len(), bytes(&left));
    let look = |broker: &fanfare_broker_disk::DiskBroker| {
        let retained = bounds(broker, "busy");
        assert_eq!((retained.head, retained.oldest, retained.epoch), (3000, 2981, epoch));
        let newest: Vec<_> = (2981..=3000).map(|n| n.to_string()).collect();
        assert!(held(broker, "busy").ends_with(&newest));
        assert_eq!((held(broker, "quiet"), snapshot(broker, "keys")), (before.0.clone(), before.1.clone()));
        assert_eq!(bounds(broker, "keys").head, before.2.head);
    };
    look(&broker);
    drop(broker);
    look(&started(small, policies).unwrap());
}

#[test]
fn heads_outlive_their_messages() {
    let directory = tempfile::tempdir().unwrap();
    let small = DiskSettings { segment_bytes: 4 << 10, idempotency_ms: 1_000, ..settings(directory.path()) };
    let policies = table();
    let policy = ChannelPolicy { ttl_ms: 1_000, ack: Ack::Stored, ..ChannelPolicy::default() };
    for name in ["old", "new"] {
        policies.set(&channel(name), policy);
    }
    let broker = started(small.clone(), policies.clone()).unwrap();
    let old = (0..3).map(|_| append(&broker, publish(&channel("old"), "1"))).last().unwrap();
    for _ in 0..100 {
        append(&broker, publish(&channel("new"), "1"));
    }
    let first = segments(directory.path())[0].clone();
    broker.tick(START_MS + 10_000);
    broker.keep();
    assert!(!first.exists(), "the segment of the old messages has gone");
    for _ in 0..2 {
        assert_eq!(bounds(&broker, "old").head_position(), old);
        assert_eq!(bounds(&broker, "old").oldest, 4);
    }
    drop(broker);
    let broker = started(small, policies).unwrap();
    assert_eq!(bounds(&broker, "old").head_position(), old);
    assert_eq!(append(&broker, publish(&channel("old"), "1")).offset, 4);
}

/// Who publishes and does not wait for the answer.
#[test]
fn a_publication_whose_answer_nobody_waits_for_is_written_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let append = |text| Append {
        publish: publish(&channel("a:1"), text),
        author: Author::default(),
        unix_ms: START_MS,
    };
    let kept = broker.append(append("1"));
    drop(broker.append(append("2")));
    let third = broker.append(append("3"));
    broker.tick(START_MS + 1);
    let begun = std::time::Instant::now();
    while bounds(&broker, "a:1").head < 3 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it is not written");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(
        (wait(third).unwrap().position.unwrap().offset, wait(kept).unwrap().position.unwrap().offset),
        (3, 1)
    );
    assert_eq!(held(&broker, "a:1"), ["1", "2", "3"]);
}
