//! Memory of channels that are kept and that nobody uses, in bytes that were asked of the allocator: the same in each run, whatever the allocator
//! keeps for itself. `cargo xtask figures` has what the system sees of a million. One test in this binary, so that nothing else allocates.
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
mod support;

use std::{
    alloc::System,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_broker::{Append, Author, Broker, contract::harness::publish};
use fanfare_broker_disk::{DiskBroker, tools};
use fanfare_protocol::ChannelName;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{ByNamespace, START_MS, settings, wait};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As a million have them: `room:` and six digits.
const NAMES: std::ops::Range<usize> = 100_000..120_000;
/// A full map's nodes, the name, and 64 bytes that say where its message lies.
const AFTER_A_START: usize = 145;
/// The same with nodes that are half full.
const LAID_DOWN: usize = 180;

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes a channel since `before`, as soon as they are no more than `most`: threads that were needed for a start end a little after it.
fn each(before: usize, most: usize) -> usize {
    let begun = Instant::now();
    loop {
        let each = in_use().saturating_sub(before) / NAMES.len();
        if each <= most || begun.elapsed() > Duration::from_secs(10) {
            return each;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn begun(directory: &Path) -> DiskBroker {
    // Without the sink of other tests, which keeps what it is given.
    DiskBroker::open(settings(directory), Arc::new(ByNamespace)).unwrap()
}

fn make(broker: &DiskBroker) {
    let message = |n: usize| {
        let publish = publish(&ChannelName::parse(&format!("room:{n}")).unwrap(), "1");
        Append { publish, author: Author::default(), unix_ms: START_MS }
    };
    for group in NAMES.collect::<Vec<_>>().chunks(100) {
        let queued: Vec<_> = group.iter().map(|n| broker.append(message(*n))).collect();
        wait(async {
            for appending in queued {
                appending.await.unwrap();
            }
        });
    }
}

#[test]
fn a_kept_and_idle_channel_takes_less_than_200_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let before = in_use();
    let broker = begun(directory.path());
    make(&broker);
    broker.keep();
    let made = each(before, LAID_DOWN);
    assert!((64..=LAID_DOWN).contains(&made), "{made} bytes once they are laid down");
    wait(broker.stop()).unwrap();
    drop(broker);

    let before = in_use();
    let broker = begun(directory.path());
    assert_eq!(broker.opened().channels, NAMES.len());
    let found = each(before, AFTER_A_START);
    assert!((64..=AFTER_A_START).contains(&found), "{found} bytes after a start");
    println!("{made} bytes once laid down, {found} after a start");
    // They are all there, laid down or not.
    let last = format!("room:{}", NAMES.end - 1);
    assert_eq!(support::bounds(&broker, &last).head, 1);
    assert_eq!(tools::survey(directory.path()).unwrap().channels.len(), NAMES.len());
}
