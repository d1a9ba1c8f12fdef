//! The tail against a naive model: a list of everything, from which as much is dropped as the tail says.
use std::sync::{Arc, atomic::Ordering::SeqCst};

use proptest::prelude::*;

use super::{Tail, TailRead};
use crate::{
    Form,
    place::Place,
    segment::SEGMENT_BYTES,
    test_support::{Counting, epoch, message},
};

/// Everything after a cursor, read segment by segment; none when the tail does not reach back to it.
fn read_all(tail: &mut Tail, form: Form, mut cursor: Place, bytes: usize) -> Option<String> {
    let mut text = String::new();
    for _ in 0..10_000 {
        match tail.read(form, cursor, bytes) {
            TailRead::AtHead => return Some(text),
            TailRead::Before => return None,
            TailRead::Segments(segments) => {
                assert!(!segments.is_empty(), "a read before the head found nothing");
                for segment in segments {
                    assert!(segment.to > cursor && segment.from <= cursor.max(tail.start()));
                    let start = segment.start(segment.first_after(cursor));
                    text.push_str(std::str::from_utf8(&segment.bytes[start..]).unwrap());
                    cursor = segment.to;
                }
            }
        }
    }
    panic!("a reader never reached the head");
}

#[test]
fn every_message_is_encoded_once_a_form_however_many_read_it() {
    let (one, counted_one) = Counting::form(920);
    let (two, counted_two) = Counting::form(921);
    let mut tail = Tail::new(epoch(), 0);
    for offset in 1..=500 {
        tail.push(Arc::new(message(offset, offset, 700)));
        if offset % 7 == 0 {
            read_all(&mut tail, one, Place::at(offset - 3), 1).unwrap();
        }
    }
    for cursor in [0, 1, 250, 499, 0, 3] {
        read_all(&mut tail, one, Place::at(cursor), 1).unwrap();
        read_all(&mut tail, one, Place::at(cursor), usize::MAX).unwrap();
    }
    assert_eq!(counted_one.load(SeqCst), 500);
    assert_eq!(counted_two.load(SeqCst), 0, "a form that nobody reads is not encoded");
    read_all(&mut tail, two, Place::at(0), SEGMENT_BYTES).unwrap();
    assert_eq!(counted_two.load(SeqCst), 500);
}

#[test]
fn a_segment_that_lies_across_the_start_still_serves_cursors_behind_it() {
    let (form, _) = Counting::form(922);
    let mut tail = Tail::new(epoch(), 0);
    for offset in 1..=20 {
        tail.push(Arc::new(message(offset, offset, 10)));
    }
    read_all(&mut tail, form, Place::at(0), usize::MAX).unwrap();
    tail.trim(tail.held() - 1);
    assert!(tail.start() > Place::at(0) && tail.start() < Place::at(20));
    let start = tail.start();
    let text = read_all(&mut tail, form, start, usize::MAX).unwrap();
    assert!(text.starts_with(&format!("[{}:", start.offset + 1)));
    assert!(read_all(&mut tail, form, Place::at(start.offset - 1), usize::MAX).is_none());
}

#[test]
fn ephemeral_messages_that_are_gone_are_owed_to_nobody() {
    let (form, _) = Counting::form(923);
    let mut tail = Tail::new(epoch(), 5);
    (0..3).for_each(|id| tail.push(Arc::new(message(0, id, 10))));
    tail.trim(0);
    assert!(matches!(tail.read(form, Place::at(5), 1), TailRead::AtHead));
    tail.push(Arc::new(message(6, 6, 0)));
    assert_eq!(read_all(&mut tail, form, Place::at(5), 1).unwrap(), "[6:6]");
    assert!(matches!(tail.read(form, Place::at(4), 1), TailRead::Before));
}

#[derive(Clone, Debug)]
enum Op {
    Push {
        ephemeral: bool,
        pad: usize,
    },
    Trim(usize),
    /// From so far behind the head, in that form, at most so many bytes.
    Read {
        behind: usize,
        second: bool,
        bytes: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (any::<bool>(), prop_oneof![4 => 0_usize..50, 1 => 10_000_usize..70_000])
            .prop_map(|(ephemeral, pad)| Op::Push { ephemeral, pad }),
        1 => prop_oneof![Just(0_usize), 300_usize..200_000].prop_map(Op::Trim),
        4 => (0_usize..40, any::<bool>(), prop_oneof![Just(1_usize), Just(64 << 10), Just(usize::MAX)])
            .prop_map(|(behind, second, bytes)| Op::Read { behind, second, bytes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_read_at_any_cursor_gives_exactly_what_follows_it(ops in prop::collection::vec(op(), 1..80)) {
        let forms = [Counting::form(925).0, Counting::form(926).0];
        let mut tail = Tail::new(epoch(), 7);
        // (place, text) of everything ever pushed.
        let mut all: Vec<(Place, String)> = Vec::new();
        for (id, op) in (1_u64..).zip(ops) {
            match op {
                Op::Push { ephemeral, pad } => {
                    let place = if ephemeral { tail.head().next_ephemeral() } else { tail.head().next_message() };
                    let offset = if ephemeral { 0 } else { place.offset };
                    tail.push(Arc::new(message(offset, id, pad)));
                    prop_assert_eq!(tail.head(), place);
                    all.push((place, format!("[{offset}:{id}{}]", ".".repeat(pad))));
                }
                Op::Trim(limit) => {
                    tail.trim(limit);
                    prop_assert!(tail.held() <= limit);
                    prop_assert!(tail.start() <= tail.head());
                }
                Op::Read { behind, second, bytes } => {
                    let at = all.len().checked_sub(behind + 1).and_then(|n| all.get(n));
                    let cursor = at.map_or(Place::at(7), |(place, _)| *place);
                    let reached = cursor.offset >= tail.start().offset;
                    let from = cursor.max(tail.start());
                    let expected: String =
                        all.iter().filter(|(place, _)| *place > from).map(|(_, text)| text.as_str()).collect();
                    // A cached segment may still show ephemeral messages that the tail has let go of.
                    let at = if reached { from } else { cursor };
                    let found = read_all(&mut tail, forms[usize::from(second)], at, bytes);
                    prop_assert!(found == reached.then_some(expected), "another text from {:?}", cursor);
                }
            }
            prop_assert!(tail.held_by(0) == 0 && tail.held_by(tail.weight()) >= tail.held() as u64);
        }
    }
}

#[test]
fn a_slow_channel_keeps_a_quarter_of_what_a_fast_one_may() {
    const LIMIT: usize = 400_000;
    for (milliseconds, share) in [(1, 1), (100, 4)] {
        let mut tail = Tail::new(epoch(), 0);
        for offset in 1..=1000 {
            let time = offset * milliseconds;
            tail.push(Arc::new(fanfare_protocol::Message { time, ..message(offset, offset, 700) }));
            tail.trim(LIMIT);
        }
        let held = tail.held();
        assert!(held <= LIMIT / share && held > LIMIT / share - 2000, "{held} bytes of {LIMIT} / {share}");
    }
}

#[test]
fn looking_from_the_end_finds_what_looking_from_the_front_does() {
    for length in 0..70_u64 {
        let items: std::collections::VecDeque<u64> = (0..length).collect();
        for limit in 0..=length {
            let found = super::partition_near_end(&items, |item| *item < limit);
            assert_eq!(found, items.partition_point(|item| *item < limit), "{limit} of {length}");
        }
    }
}
