//! However reads split a stream, the same messages and the same error come out; and they are those that a plain,
//! slow reading of RFC 6455 gives. A failing case prints its input and the seed to repeat it.

mod common;

use bytes::Bytes;
use common::{client_frame, reference};
use fanfare_websocket::{Decoder, Limits, Message, WsError};
use proptest::prelude::*;

const LIMITS: Limits = Limits { message_bytes: 600, fragments: 5, frame_bytes: 400 };

#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    error: Option<WsError>,
    idle: bool,
    closed: bool,
    holds_memory: bool,
}

/// Feeds `input` in reads that end at `cuts`.
fn decode(input: &[u8], cuts: &[usize]) -> Outcome {
    let mut decoder = Decoder::new(LIMITS);
    let (mut messages, mut error) = (Vec::new(), None);
    let mut start = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        let mut read = &input[start..end];
        start = end;
        loop {
            match decoder.feed(&mut read) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(found) => {
                    assert!(error.is_none_or(|earlier| earlier == found), "an error must stay the same");
                    error = Some(found);
                    break;
                }
            }
        }
        assert!(read.is_empty(), "a read is used up before the next");
    }
    let holds_memory = decoder.buffered() > 0;
    Outcome { messages, error, idle: decoder.is_idle(), closed: decoder.is_closed(), holds_memory }
}

/// First bytes: mostly sensible opcodes, some anything.
fn first_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        12 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => Just(0x88u8),
        1 => any::<u8>(),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zé€🙂]{0,40}".prop_map(String::into_bytes),
        2 => "[a-zé€🙂]{0,40}".prop_map(|text| {
            let mut bytes = text.into_bytes();
            bytes.pop();
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 120..420),
        1 => (1000u16..1016, "[a-z]{0,5}").prop_map(|(code, reason)| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat()
        }),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = (first_byte(), prop::bool::weighted(0.97), payload(), any::<[u8; 4]>());
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    let end = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (prop::collection::vec(frame, 1..16), damage, end).prop_map(|(frames, damage, end)| {
        let mut open = false;
        let mut bytes: Vec<u8> = Vec::new();
        for (first, orderly, payload, key) in frames {
            let first = if orderly { in_order(first, &mut open) } else { first };
            bytes.extend(client_frame(first, &payload, key));
        }
        if let Some((at, value)) = damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        bytes
    })
}

/// Makes a data frame a continuation, or not one, as the open message demands: left to chance, nearly every
/// stream would end at its second frame.
fn in_order(first: u8, open: &mut bool) -> u8 {
    let opcode = match first & 0x0f {
        0 if !*open => 2,
        1 | 2 if *open => 0,
        other => other,
    };
    if opcode < 3 {
        *open = first & 0x80 == 0;
    }
    first & 0xf0 | opcode
}

/// A valid conversation: messages in fragments, pings between them.
fn conversation() -> impl Strategy<Value = (Vec<Message>, Vec<u8>)> {
    let message =
        (any::<bool>(), "[a-z é€🙂\u{0}]{0,60}", prop::collection::vec(any::<prop::sample::Index>(), 0..4));
    let with_ping =
        (message, prop::option::of(prop::collection::vec(any::<u8>(), 0..=125)), any::<[u8; 4]>());
    prop::collection::vec(with_ping, 1..10).prop_map(|items| {
        let (mut messages, mut bytes) = (Vec::new(), Vec::new());
        for ((text, data, cuts), ping, key) in items {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            cuts.sort_unstable();
            let last = cuts.len();
            let mut start = 0;
            for (i, end) in cuts.into_iter().chain([data.len()]).enumerate() {
                let opcode = if i > 0 {
                    0
                } else if text {
                    1
                } else {
                    2
                };
                let fin = if i == last { 0x80 } else { 0 };
                bytes.extend(client_frame(fin | opcode, &data.as_bytes()[start..end], key));
                start = end;
                if let Some(ping) = ping.as_ref().filter(|_| i == 0) {
                    bytes.extend(client_frame(0x89, ping, key));
                }
            }
            let ping = ping.map(|ping| Message::Ping(Bytes::from(ping)));
            let data = Bytes::from(data);
            let message = if text { Message::Text(data) } else { Message::Binary(data) };
            // A ping after the first of several fragments arrives before their message does.
            if last == 0 {
                messages.extend([Some(message), ping].into_iter().flatten());
            } else {
                messages.extend([ping, Some(message)].into_iter().flatten());
            }
        }
        (messages, bytes)
    })
}

fn cuts(input: &[u8], at: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = at.iter().map(|at| at.index(input.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_outcome(input in stream(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let whole = decode(&input, &[]);
        prop_assert_eq!(&decode(&input, &cuts(&input, &at)), &whole);
        let every_byte: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&decode(&input, &every_byte), &whole);
    }

    #[test]
    fn the_outcome_is_the_reference_readings(input in stream()) {
        let got = decode(&input, &[]);
        let (messages, close_code) = reference(&input, &LIMITS);
        prop_assert_eq!(&got.messages, &messages);
        prop_assert_eq!(got.error.map(|error| error.close_code()), close_code);
    }

    #[test]
    fn a_valid_conversation_comes_out_as_it_was_said(
        (messages, input) in conversation(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let got = decode(&input, &cuts(&input, &at));
        prop_assert_eq!(got.error, None);
        prop_assert_eq!(got.messages, messages);
        prop_assert!(got.idle && !got.holds_memory);
    }

    #[test]
    fn noise_never_panics(input in prop::collection::vec(any::<u8>(), 0..300), at in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        prop_assert_eq!(decode(&input, &cuts(&input, &at)), decode(&input, &[]));
    }
}

/// The generators must reach every outcome, or the properties above say nothing about it.
#[test]
fn the_generated_streams_reach_every_close_code() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..4_000 {
        let input = stream().new_tree(&mut runner).expect("a stream").current();
        let outcome = decode(&input, &[]);
        let class = match outcome.error {
            Some(error) => error.close_code(),
            None if outcome.closed => 1000,
            None => 0,
        };
        *seen.entry(class).or_insert(0u32) += 1;
    }
    for class in [0, 1000, 1002, 1007, 1008, 1009] {
        assert!(seen.get(&class).is_some_and(|count| *count >= 5), "{class} is rare or missing: {seen:?}");
    }
}
