//! The hub against chance: sockets that take what they like, brokers that answer late, rounds and drivers stepped in any order. What each
//! client may conclude from its byte stream is checked frame by frame. `FANFARE_SEED=n` runs one seed alone.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod subscription;
mod truth;
mod world;

use fanfare_testkit::for_each_seed;
use world::{Totals, World};

fn run(seeds: u64, mix: u64) -> Totals {
    // Paced rounds make timers, which nobody waits for here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let mut totals = Totals::default();
    for_each_seed(seeds, |seed| totals.add(&World::new(seed.wrapping_mul(4) + mix).run()));
    totals
}

/// Without retention, resets or slow closes in play nothing may be lost, so that no gap is ever told but for positions that never were.
#[test]
fn nothing_is_lost_repeated_or_torn_while_the_log_holds_all() {
    let totals = run(400, 0);
    if std::env::var_os("FANFARE_SEED").is_none() {
        assert!(
            totals.messages > 20_000 && totals.subscribed > 1000,
            "a simulation without events: {totals:?}"
        );
        assert!(totals.recovered > 100 && totals.fetches > 100, "{totals:?}");
    }
}

/// With tiny logs, epochs that end and slow readers that are closed, skipped or conflated: whatever is lost is told first.
#[test]
fn whatever_is_lost_is_told_first() {
    let totals = run(400, 1);
    if std::env::var_os("FANFARE_SEED").is_none() {
        assert!(totals.gaps > 300 && totals.messages > 10_000, "a simulation without losses: {totals:?}");
        assert!(totals.slow > 50 && totals.resets > 50, "{totals:?}");
    }
}

/// Many readers a shard, so that rounds are interrupted between them.
#[test]
fn crowded_shards_keep_the_same_promises() {
    let totals = run(6, 2);
    if std::env::var_os("FANFARE_SEED").is_none() {
        assert!(totals.messages > 20_000, "{totals:?}");
    }
}
