//! What is kept for readers with a rate, against a list of everything.
use std::{collections::HashMap, sync::Arc};

use fanfare_protocol::Message;
use proptest::prelude::*;

use crate::{
    Form,
    place::Place,
    tail::{Keyless, Tail},
    test_support::{Counting, epoch, message},
};

fn keyed(offset: u64, id: u64, key: Option<&str>, pad: usize) -> Arc<Message> {
    let mut message = message(offset, id, pad);
    message.key = key.map(Into::into);
    Arc::new(message)
}

/// Everything in `(after, until]`, read in pieces; none when it is not known.
fn read(tail: &mut Tail, form: Form, mut after: Place, until: Place, bytes: usize) -> Option<String> {
    let mut text = String::new();
    while after < until {
        let segment = tail.conflate(form, after, until, bytes)?;
        assert!(segment.to > after && segment.to <= until, "a read that leads nowhere");
        after = segment.to;
        text.push_str(std::str::from_utf8(&segment.bytes).unwrap());
    }
    Some(text)
}

#[test]
fn it_is_the_newest_of_every_key_and_no_ephemeral_in_its_stead() {
    let (form, _) = Counting::form(924);
    let mut tail = Tail::new(epoch(), 0);
    tail.track(1 << 20);
    for (n, key) in (1..).zip([Some("a"), None, Some("b"), Some("a"), None]) {
        tail.push(keyed(n, n, key, 0));
    }
    tail.push(Arc::new(message(0, 99, 0)));
    let head = tail.head();
    assert_eq!(read(&mut tail, form, Place::at(0), head, 1 << 20).unwrap(), "[3:3][4:4][5:5][0:99]");
    assert_eq!(read(&mut tail, form, Place::at(4), head, 1 << 20).unwrap(), "[5:5][0:99]");
    assert_eq!(read(&mut tail, form, Place::at(0), Place::at(4), 1).unwrap(), "[3:3][4:4]");
    assert_eq!(tail.conflate(form, head, head, 1).unwrap().index.len(), 0);
}

#[test]
fn it_is_encoded_once_a_read_and_outlives_the_messages_between() {
    let (form, encoded) = Counting::form(927);
    let mut tail = Tail::new(epoch(), 0);
    tail.track(1 << 20);
    for n in 1..=100_000 {
        tail.push(keyed(n, n, Some(["x", "y"][(n % 2) as usize]), 10));
        tail.trim(10_000);
    }
    let head = tail.head();
    let text = read(&mut tail, form, Place::at(0), head, 1 << 20).unwrap();
    assert_eq!(text, format!("[99999:99999{0}][100000:100000{0}]", ".".repeat(10)));
    assert_eq!(encoded.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert!(tail.held() < 12_000, "{}", tail.held());
}

#[test]
fn beyond_its_limit_the_oldest_keys_are_given_up_and_whoever_needs_them_is_told() {
    let (form, _) = Counting::form(928);
    let mut tail = Tail::new(epoch(), 0);
    tail.track(1 << 20);
    for n in 1..=1000 {
        tail.push(keyed(n, n, Some(&format!("k{n}")), 10));
        tail.trim(0);
        tail.newest_mut().unwrap().bound(50_000);
    }
    assert!(tail.held() <= 50_000);
    let (from, head) = (tail.newest_mut().unwrap().from(), tail.head());
    assert!(from > Place::at(500) && from < head);
    assert!(read(&mut tail, form, Place::at(from.offset - 1), head, 1 << 20).is_none());
    let text = read(&mut tail, form, from, head, 1 << 20).unwrap();
    assert_eq!(text.matches('[').count() as u64, head.offset - from.offset);
}

#[derive(Clone, Debug)]
enum Op {
    Push(Option<u8>, bool, usize),
    Trim(usize),
    Bound(usize),
    Prune(u64),
    Track,
    Untrack,
    /// From so far behind the head, up to so far behind it, at most so many bytes a piece.
    Read(u64, u64, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (prop::option::of(0_u8..5), prop::bool::weighted(0.2), 0_usize..400)
            .prop_map(|(key, ephemeral, pad)| Op::Push(key, ephemeral, pad)),
        1 => prop_oneof![Just(0_usize), 300_usize..5_000].prop_map(Op::Trim),
        1 => (300_usize..5_000).prop_map(Op::Bound),
        1 => (0_u64..30).prop_map(Op::Prune),
        1 => Just(Op::Track),
        1 => Just(Op::Untrack),
        5 => (0_u64..40, 0_u64..10, prop_oneof![Just(1_usize), Just(200), Just(1 << 20)])
            .prop_map(|(from, to, bytes)| Op::Read(from, to, bytes)),
    ]
}

/// The newest of every key and kind in `(after, head]`, of which those up to `until` are asked for.
fn model(all: &[(Place, Arc<Message>)], after: Place, until: Place) -> String {
    let mut newest = HashMap::new();
    for (place, message) in all.iter().filter(|(place, _)| *place > after) {
        newest.insert((message.is_ephemeral(), message.key.clone()), *place);
    }
    let mut text = String::new();
    for (place, message) in all.iter().filter(|(place, _)| *place <= until) {
        if newest.get(&(message.is_ephemeral(), message.key.clone())) == Some(place) {
            text.push_str(&format!("[{}:{}{}]", message.offset, message.id, ".".repeat(message.data.len())));
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_read_gives_the_newest_of_every_key_or_says_that_it_is_not_known(ops in prop::collection::vec(op(), 1..150)) {
        let (form, _) = Counting::form(929);
        let mut tail = Tail::new(epoch(), 7);
        tail.track(1 << 20);
        let mut all: Vec<(Place, Arc<Message>)> = Vec::new();
        for (id, op) in (1_u64..).zip(ops) {
            match op {
                Op::Push(key, ephemeral, pad) => {
                    let offset = if ephemeral { 0 } else { tail.head().offset + 1 };
                    let message = keyed(offset, id, key.map(|key| format!("k{key}")).as_deref(), pad);
                    tail.push(message.clone());
                    all.push((tail.head(), message));
                }
                Op::Trim(limit) => {
                    tail.trim(limit);
                    if let Some(newest) = tail.newest_mut() {
                        newest.bound(limit.max(1000));
                    }
                }
                Op::Bound(limit) => if let Some(newest) = tail.newest_mut() {
                    newest.bound(limit);
                    prop_assert!(newest.held() <= limit);
                },
                Op::Prune(behind) => {
                    let floor = Place::at(tail.head().offset.saturating_sub(behind));
                    if let Some(newest) = tail.newest_mut() {
                        newest.prune(floor);
                    }
                }
                Op::Track => tail.track(3000),
                Op::Untrack => tail.untrack(),
                Op::Read(from, to, bytes) => {
                    let after = Place::at(tail.head().offset.saturating_sub(from));
                    let until = Place::at(tail.head().offset.saturating_sub(to));
                    if after.offset >= 7
                        && let Some(found) = read(&mut tail, form, after, until, bytes)
                        && after < until
                    {
                        // Ephemeral messages may be gone.
                        let is_kept = |text: &&str| !text.starts_with("0:");
                        let kept = |text: &str| {
                            text.split_terminator(']').map(|part| part.trim_start_matches('[').to_owned())
                                .filter(|part| is_kept(&part.as_str())).collect::<Vec<_>>()
                        };
                        prop_assert_eq!(kept(&found), kept(&model(&all, after, until)), "{:?} to {:?}", after, until);
                    }
                    let keyless = all.iter().rev().find(|(place, m)| place.ephemeral == 0 && m.key.is_none());
                    let expected = match keyless {
                        Some((place, _)) if place.offset > after.offset && place.offset <= until.offset => {
                            Keyless::At(place.offset)
                        }
                        None if after.offset < 7 => Keyless::Unknown,
                        _ => Keyless::None,
                    };
                    prop_assert_eq!(tail.keyless(after.offset, until.offset), expected);
                }
            }
            prop_assert!(tail.held() >= tail.newest_mut().map_or(0, |newest| newest.held()));
        }
    }
}
