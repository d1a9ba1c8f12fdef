//! Torn ends are cut and reported; damage anywhere else is refused with its place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::path::Path;

use fanfare_broker::contract::harness::channel;
use fanfare_broker_disk::{DiskSettings, OpenError, tools};
use fanfare_protocol::Position;
use support::{append_text, bounds, find, flip, held, open, segments, settings, try_open};

/// `count` messages in each of two channels, one commit each.
fn fill(directory: &Path, count: usize) -> Position {
    let broker = open(directory);
    for n in 1..=count {
        append_text(&broker, "a:1", &format!("\"first {n}.\""));
        append_text(&broker, "a:2", &format!("\"second {n}.\""));
    }
    bounds(&broker, "a:1").head_position()
}

#[test]
fn an_end_torn_at_any_byte_is_cut_at_the_last_whole_message() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3);
    let path = segments(directory.path())[0].clone();
    let whole = std::fs::read(&path).unwrap();
    let last = find(&path, "second 2.");
    for len in (last..whole.len()).step_by(3) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let broker = open(directory.path());
        let (first, second) = (held(&broker, "a:1"), held(&broker, "a:2"));
        let cut = broker.opened().cut.clone();
        assert!(first.len() >= 2 && first.len() - second.len() <= 1, "{len}: {first:?}, {second:?}");
        if let Some(cut) = &cut {
            // Zeros at the end may have been written ahead of the log.
            let end = whole[..len].iter().rposition(|byte| *byte != 0).unwrap() + 1;
            assert_eq!((&cut.path, cut.at + cut.bytes), (&path, end as u64));
        }
        let torn_marks_only = first.len() == 3 && second.len() == 3;
        assert!(cut.is_some() || first.len() + second.len() < 6 || torn_marks_only, "{len}");
        assert_eq!(append_text(&broker, "a:1", "\"next\"").offset, first.len() as u64 + 1);
        drop(broker);
        let broker = open(directory.path());
        assert_eq!((broker.opened().cut.clone(), held(&broker, "a:1").len()), (None, first.len() + 1));
    }
}

#[test]
fn zeros_that_were_written_ahead_are_neither_damage_nor_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    for n in 1..=100 {
        append_text(&broker, "a:1", &format!("\"message {n}\""));
        assert_eq!(held(&broker, "a:1").len(), n, "a reader sees what is written and no more");
    }
    // As a kill leaves it.
    let path = segments(directory.path())[0].clone();
    let killed = std::fs::read(&path).unwrap();
    drop(broker);
    let whole = std::fs::read(&path).unwrap();
    assert!(killed.len() > whole.len() && killed.starts_with(&whole), "{} {}", killed.len(), whole.len());
    assert!(killed[whole.len()..].iter().all(|byte| *byte == 0));
    for ahead in [1, 23, 24, 25, killed.len() - whole.len()] {
        std::fs::write(&path, &killed[..whole.len() + ahead]).unwrap();
        let survey = tools::survey(directory.path()).unwrap();
        assert!(survey.torn.is_none() && survey.damages.is_empty(), "{ahead}: {survey:?}");
        let broker = open(directory.path());
        assert!(broker.opened().cut.is_none() && broker.opened().reset.is_empty(), "{ahead}");
        assert_eq!(bounds(&broker, "a:1").head, 100, "{ahead}");
        append_text(&broker, "a:1", "\"next\"");
        assert_eq!(held(&broker, "a:1").len(), 101, "{ahead}");
        drop(broker);
        assert_eq!(bounds(&open(directory.path()), "a:1").head, 101, "{ahead}");
    }
    // A bit of them that is set is told, and costs nobody anything.
    let mut damaged = killed;
    damaged[whole.len() + 100] ^= 4;
    std::fs::write(&path, &damaged).unwrap();
    let broker = open(directory.path());
    let cut = broker.opened().cut.clone().expect("it is told");
    assert_eq!((cut.at, cut.bytes), (whole.len() as u64, 101));
    assert_eq!((bounds(&broker, "a:1").head, broker.opened().reset.len()), (100, 0));
}

#[test]
fn a_flipped_bit_in_the_last_message_costs_its_channel_the_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let before = fill(directory.path(), 3);
    let path = segments(directory.path())[0].clone();
    flip(&path, find(&path, "second 3."));
    let broker = open(directory.path());
    let cut = broker.opened().cut.clone().expect("the cut is reported");
    assert!(cut.path == path && cut.bytes > 0, "{cut:?}");
    assert_eq!(broker.opened().reset, [channel("a:2")]);
    assert_eq!(bounds(&broker, "a:1").head_position(), before, "the others go on");
    let after = bounds(&broker, "a:2");
    assert!(after.epoch != before.epoch && after.head == 0, "a reader of what is lost is told: {after:?}");
    drop(broker);
    let broker = open(directory.path());
    assert_eq!(bounds(&broker, "a:2").epoch, after.epoch);
    assert!(broker.opened().cut.is_none() && broker.opened().reset.is_empty());
}

#[test]
fn damage_before_the_end_is_refused_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 4);
    let path = segments(directory.path())[0].clone();
    let at = find(&path, "first 1.");
    flip(&path, at);
    match try_open(settings(directory.path())) {
        Err(OpenError::Damaged { path: named, at: place, .. }) => {
            assert_eq!(named, path);
            assert!(place < at as u64 && place + 200 > at as u64, "{place}, flipped at {at}");
        }
        other => panic!("{:?}", other.map(|_| "opened")),
    }
    flip(&path, at);
    assert_eq!(held(&open(directory.path()), "a:1").len(), 4, "nothing was changed by looking");
}

#[test]
fn any_flipped_bit_in_a_full_segment_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let small = DiskSettings { segment_bytes: 1 << 10, ..settings(directory.path()) };
    let broker = try_open(small).unwrap();
    for n in 0..30 {
        append_text(&broker, "a:1", &n.to_string());
    }
    drop(broker);
    let path = segments(directory.path())[0].clone();
    assert!(segments(directory.path()).len() > 2);
    for at in (0..path.metadata().unwrap().len() as usize).step_by(7) {
        flip(&path, at);
        let error =
            try_open(settings(directory.path())).err().unwrap_or_else(|| panic!("byte {at} went unseen"));
        assert!(matches!(&error, OpenError::Damaged { path: named, .. } if *named == path), "{error}");
        assert!(error.to_string().contains("is damaged at byte"), "{error}");
        flip(&path, at);
    }
    assert_eq!(held(&open(directory.path()), "a:1").len(), 30);
}

#[test]
fn a_log_without_its_store_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 1);
    std::fs::remove_file(directory.path().join("store")).unwrap();
    let error = try_open(settings(directory.path())).err().unwrap();
    assert!(matches!(&error, OpenError::Damaged { path, .. } if path.ends_with("store")), "{error}");
}

#[test]
fn a_first_start_that_was_killed_leaves_nothing_in_the_way() {
    for header in [&[][..], b"FANFL", b"FANFLOG1\x01\0\0\0\0\0\0\0"] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("log")).unwrap();
        std::fs::write(directory.path().join("log/0000000001.log"), header).unwrap();
        let broker = open(directory.path());
        assert_eq!((broker.opened().unclean, broker.opened().cut.clone()), (false, None));
        assert_eq!(append_text(&broker, "a:1", "1").offset, 1);
    }
}
