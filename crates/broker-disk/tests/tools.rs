//! What an operator's tools say of a store, and what they make of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is the report")]
mod support;

use std::{path::Path, sync::Arc};

use fanfare_broker::{
    Broker, ChannelPolicy,
    contract::harness::{channel, keyed, publish},
};
use fanfare_broker_disk::{
    DiskSettings, OpenError,
    tools::{self, ToolError, compact, export, stored_name, survey},
};
use fanfare_protocol::{ChannelName, Publish};
use support::{
    START_MS, append, append_text, bounds, find, flip, held, open, segments, settings, snapshot, stop, table,
    try_append, try_open, wait,
};

fn small(directory: &Path) -> DiskSettings {
    DiskSettings { segment_bytes: 2 << 10, ..settings(directory) }
}

/// Three kinds of channel over many segments, stopped in order.
fn fill(directory: &Path) {
    let broker = try_open(small(directory)).unwrap();
    let leased = |key: &str, ttl| Publish {
        ttl_ms: Some(ttl),
        ..keyed(&ChannelName::internal("presence", "k:1"), key, "{\"n\":1}")
    };
    for n in 1..=40 {
        append_text(&broker, "a:1", &format!("\"{n}.\""));
        append(&broker, keyed(&channel("k:1"), &format!("k{}", n % 5), &n.to_string()));
    }
    append(&broker, keyed(&channel("k:1"), "k3", "null"));
    append(&broker, Publish { id: Some("mine".into()), ..publish(&channel("m:1"), "1") });
    append(&broker, leased("short", 10_000));
    append(&broker, leased("long", 10_000));
    assert!(wait(broker.renew(&ChannelName::internal("presence", "k:1"), &["long".into()], 60_000)).is_ok());
    stop(broker);
}

#[test]
fn a_survey_says_what_is_there_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let found = survey(directory.path()).unwrap();
    assert_eq!((found.damages.len(), found.torn.clone(), found.clean, found.in_use), (0, None, true, false));
    let rows: Vec<_> = found
        .channels
        .iter()
        .map(|c| (c.channel.to_string(), c.head, c.oldest, c.messages, c.keys))
        .collect();
    let expected = [
        ("$presence:k:1".to_owned(), 2, 1, 2, 2),
        ("a:1".to_owned(), 40, 1, 40, 0),
        ("k:1".to_owned(), 41, 1, 41, 4),
        ("m:1".to_owned(), 1, 1, 1, 0),
    ];
    assert_eq!(rows, expected);
    assert!(found.channels.iter().all(|c| c.bytes > 0 && Some(c.epoch) == found.epoch));
    assert_eq!(found.segments.len(), segments(directory.path()).len());
    assert!(found.segments.len() > 3 && found.messages() == 84, "{} messages", found.messages());
    assert_eq!(survey(directory.path()).unwrap(), found);
    let broker = open(directory.path());
    assert!(!broker.opened().unclean);
    let busy = survey(directory.path()).unwrap();
    assert!(busy.in_use && !busy.clean && busy.messages() == 84, "a store in use may be looked at");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(survey(empty.path()), Err(ToolError::NoStore { .. })));
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "looking makes nothing");
}

#[test]
fn every_damage_is_listed_with_its_file_and_byte() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let paths = segments(directory.path());
    let places =
        [(0, find(&paths[0], "\"2.\"")), (0, find(&paths[0], "\"4.\"")), (1, find(&paths[1], "a:1"))];
    for (file, at) in places {
        flip(&paths[file], at);
    }
    let newest = paths.last().unwrap();
    let len = newest.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(newest).unwrap().set_len(len - 3).unwrap();
    let found = survey(directory.path()).unwrap();
    for (file, at) in places {
        let near = |damage: &&tools::Damage| {
            damage.path == paths[file] && damage.at <= at as u64 && damage.at + 200 > at as u64
        };
        assert_eq!(found.damages.iter().filter(near).count(), 1, "{file} {at}: {:?}", found.damages);
    }
    let torn = found.torn.expect("the torn end is told");
    assert!(torn.path == *newest && torn.at + torn.bytes == len - 3, "{torn:?}");
    assert!(matches!(export(directory.path()), Err(ToolError::Open(OpenError::Damaged { .. }))));
}

#[test]
fn what_is_exported_and_imported_is_the_same_store() {
    let (from, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path());
    let to = root.path().join("new");
    let source = export(from.path()).unwrap();
    assert!(matches!(try_open(settings(from.path())), Err(OpenError::InUse { .. })));
    let (channels, count, epoch) = (source.channels.clone(), source.messages, source.epoch);
    let all: Vec<_> = source.collect::<Result<_, _>>().unwrap();
    assert_eq!(all.len() as u64, count);
    let mut import = tools::Import::with_segments(&to, epoch, 2 << 10).unwrap();
    for state in channels.iter().rev().skip(1) {
        import.channel(state.clone()).unwrap();
    }
    for stored in &all {
        import.message(stored).unwrap();
    }
    let again = import.message(&all[0]).unwrap_err();
    assert!(matches!(&again, ToolError::Unfit { offset: 1, .. }), "{again}");
    assert!(matches!(try_open(settings(&to)), Err(OpenError::InUse { .. })));
    let done = import.finish().unwrap();
    assert_eq!((done.channels, done.messages), (4, count));
    let copied = export(&to).unwrap();
    assert_eq!((&copied.channels, copied.epoch), (&channels, epoch));
    assert_eq!(copied.map(Result::unwrap).collect::<Vec<_>>(), all);

    let (old, new) = (open(from.path()), open(&to));
    assert!(!new.opened().unclean && new.opened().cut.is_none());
    for name in ["a:1", "k:1", "m:1"] {
        assert_eq!(bounds(&new, name), bounds(&old, name));
        assert_eq!(held(&new, name), held(&old, name));
    }
    assert_eq!(snapshot(&new, "k:1"), snapshot(&old, "k:1"));
    let with_id = Publish { id: Some("mine".into()), ..publish(&channel("m:1"), "2") };
    assert!(try_append(&new, with_id, START_MS).unwrap().duplicate, "ids are remembered");
    assert!(matches!(tools::Import::begin(&to, epoch), Err(ToolError::NotEmpty { .. })));
}

#[test]
fn deadlines_that_were_moved_are_exported_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let presence = stored_name("$presence:k:1").unwrap();
    let all = export(directory.path()).unwrap().map(Result::unwrap);
    let leases: Vec<_> = all
        .filter(|stored| stored.message.channel == presence)
        .map(|stored| (stored.message.key.unwrap().to_string(), stored.expires_ms.unwrap() - START_MS))
        .collect();
    assert_eq!(leases, [("short".to_owned(), 10_000), ("long".to_owned(), 60_000)]);
}

#[test]
fn an_import_that_was_cut_short_is_not_taken_for_a_store() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path());
    let source = export(from.path()).unwrap();
    let mut import = tools::Import::begin(to.path(), source.epoch).unwrap();
    source.take(5).for_each(|stored| import.message(&stored.unwrap()).unwrap());
    drop(import);
    assert!(matches!(try_open(settings(to.path())), Err(OpenError::Damaged { .. })));
}

#[test]
fn compaction_frees_what_retention_does_not_need() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let policies = table();
    policies.set(&channel("a:1"), ChannelPolicy { size: 3, ..ChannelPolicy::default() });
    policies.set(&channel("k:1"), ChannelPolicy { keyed: true, ..ChannelPolicy::default() });
    let run = |at| compact(small(directory.path()), policies.clone(), at).unwrap();
    let first = run(START_MS);
    assert_eq!(first.after.1 - 16, first.before.1, "ids are asked for still: {first:?}");
    let second = run(START_MS + 25 * 3600 * 1000);
    assert!(second.after.1 < second.before.1 / 2, "{second:?}");
    assert_eq!(survey(directory.path()).unwrap().damages, []);
    let broker = support::started(small(directory.path()), policies.clone()).unwrap();
    assert_eq!(snapshot(&broker, "k:1"), ["36", "37", "39", "40"]);
    assert_eq!(bounds(&broker, "a:1").head, 40);
    drop(broker);
    assert!(Arc::strong_count(&policies) == 1 && run(START_MS).before.1 > 0);
}
