//! Where a subscription begins: every start against every state of a log.
use fanfare_broker::{Bounds, ChannelPolicy};
use fanfare_protocol::{Epoch, Position, Start, event::GapReason};

use super::{Beginning, beginning};
use crate::{reader::KeyedPhase, test_support::epoch};

/// A log of 100 messages, of which 61 to 100 are retained and 51 to 100 held; tombstones after 30 are known.
fn bounds() -> Bounds {
    Bounds { epoch: epoch(), oldest: 61, held: 51, head: 100, newest_ms: 0, tombstones_after: 30 }
}

fn policy(size: u64, keyed: bool) -> ChannelPolicy {
    ChannelPolicy { size, keyed, ..ChannelPolicy::default() }
}

fn since(offset: u64) -> Start {
    Start { since: Some(Position { epoch: epoch(), offset }), ..Start::default() }
}

fn log(start: &Start) -> Beginning {
    beginning(start, &bounds(), &policy(40, false), Some(90))
}

fn keyed(start: &Start) -> Beginning {
    beginning(start, &bounds(), &policy(40, true), Some(90))
}

const LIVE: Beginning = Beginning { after: None, keyed: None, recovered: None, gap: None };

fn recovered(after: u64) -> Beginning {
    Beginning { after: Some(after), recovered: Some(true), ..LIVE }
}

fn lost(after: u64, gap: GapReason) -> Beginning {
    Beginning { after: Some(after), keyed: None, recovered: Some(false), gap: Some(gap) }
}

#[test]
fn without_a_start_from_the_head_whatever_it_is_by_then() {
    assert_eq!(log(&Start::default()), LIVE);
    assert_eq!(keyed(&Start::default()), LIVE);
}

#[test]
fn since_is_recovered_exactly_as_far_as_retention_reaches() {
    for offset in [60, 61, 99, 100] {
        assert_eq!(log(&since(offset)), recovered(offset));
    }
    // Held, and in the tail's reach or not: retention decides what a new read may see.
    for offset in [0, 50, 59] {
        assert_eq!(log(&since(offset)), lost(60, GapReason::Expired));
    }
}

#[test]
fn beyond_the_head_and_of_another_epoch_is_an_epoch_gap_over_what_is_left() {
    assert_eq!(log(&since(101)), lost(60, GapReason::Epoch));
    let other: Epoch = "f".parse().unwrap();
    for epoch in [other, Epoch::NONE] {
        let start = Start { since: Some(Position { epoch, offset: 80 }), ..Start::default() };
        assert_eq!(log(&start), lost(60, GapReason::Epoch));
    }
}

#[test]
fn without_history_the_tail_decides() {
    let bounds = Bounds { oldest: 101, held: 101, ..bounds() };
    let at = |offset, tail| beginning(&since(offset), &bounds, &policy(0, false), tail);
    assert_eq!(at(100, None), recovered(100));
    assert_eq!(at(90, Some(90)), recovered(90));
    assert_eq!(at(89, Some(90)), lost(100, GapReason::Expired));
    assert_eq!(at(99, None), lost(100, GapReason::Expired));
    let last = Start { last: Some(5), ..Start::default() };
    let found = beginning(&last, &bounds, &policy(0, false), Some(90));
    assert_eq!(found, Beginning { after: Some(100), ..LIVE }, "last is empty");
}

#[test]
fn last_is_cut_to_what_is_retained_and_serves_after_a_gap() {
    let last = |n| Start { last: Some(n), ..Start::default() };
    for (n, after) in [(0, 100), (1, 99), (40, 60), (41, 60), (u64::MAX, 60)] {
        assert_eq!(log(&last(n)), Beginning { after: Some(after), ..LIVE });
    }
    assert_eq!(log(&Start { last: Some(3), ..since(80) }), recovered(80), "since wins");
    assert_eq!(log(&Start { last: Some(3), ..since(10) }), lost(97, GapReason::Expired));
}

#[test]
fn a_snapshot_begins_at_zero_and_meets_the_log_at_the_head() {
    let whole = Some(KeyedPhase { until: 100, tombstones_after: 100 });
    let snapshot = Start { snapshot: true, ..Start::default() };
    assert_eq!(keyed(&snapshot), Beginning { after: Some(0), keyed: whole, ..LIVE });
    assert_eq!(log(&snapshot), LIVE, "a log without keys has none");
    assert_eq!(keyed(&Start { snapshot: true, ..since(70) }), recovered(70), "the log reaches back");
    let of_nowhere = Start { since: Some(Position::NOWHERE), ..snapshot };
    assert_eq!(keyed(&of_nowhere), Beginning { keyed: whole, ..lost(0, GapReason::Epoch) });
}

#[test]
fn with_snapshot_a_lost_cursor_goes_on_by_key_while_every_later_tombstone_is_known() {
    let start = |offset| Start { snapshot: true, ..since(offset) };
    for offset in [30, 59] {
        let phase = Some(KeyedPhase { until: 100, tombstones_after: offset });
        assert_eq!(keyed(&start(offset)), Beginning { keyed: phase, ..recovered(offset) });
    }
    let whole = Some(KeyedPhase { until: 100, tombstones_after: 100 });
    assert_eq!(keyed(&start(29)), Beginning { keyed: whole, ..lost(0, GapReason::Expired) });
    assert_eq!(keyed(&since(59)), lost(60, GapReason::Expired), "not asked for");
}

#[test]
fn an_empty_log_recovers_its_own_beginning_alone() {
    let bounds = Bounds { oldest: 1, held: 1, head: 0, tombstones_after: 0, ..bounds() };
    assert_eq!(beginning(&since(0), &bounds, &policy(40, false), None), recovered(0));
    assert_eq!(beginning(&since(1), &bounds, &policy(40, false), None), lost(0, GapReason::Epoch));
    let last = Start { last: Some(9), ..Start::default() };
    assert_eq!(beginning(&last, &bounds, &policy(40, false), None), Beginning { after: Some(0), ..LIVE });
}
