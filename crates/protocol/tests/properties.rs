//! What holds for every input: both encodings mean the same, nothing a stranger sends panics or costs stack.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::{sync::Arc, thread};

use fanfare_protocol::{
    Code, Data, Event, EventName, Format, Message, Ref, json,
    options::{from_query, page_from_query},
};
use proptest::prelude::*;
use support::{frames::message, tree::Tree};

mod support {
    pub mod frames;
    pub mod tree;
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        (i64::MIN..0).prop_map(Tree::Int),
        any::<u64>().prop_map(Tree::Uint),
        (-200_i64..0).prop_map(Tree::Int),
        (0_u64..300).prop_map(Tree::Uint),
        any::<f64>().prop_filter("JSON numbers are finite", |n| n.is_finite()).prop_map(Tree::Float),
        any::<String>().prop_map(Tree::Text),
    ]
}

/// Any JSON value, sometimes with more than 15 entries, sometimes with bytes.
fn tree() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![any::<String>(), Just("$bytes".to_owned()), "[a-z]{1,5}"];
    let bytes = prop_oneof![Just("AQID".to_owned()), Just(String::new()), Just("A".to_owned())]
        .prop_map(|text| Tree::Map(vec![("$bytes".to_owned(), Tree::Text(text))]));
    prop_oneof![8 => scalar(), 1 => bytes].prop_recursive(4, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Tree::List),
            prop::collection::vec((name.clone(), inner), 0..20).prop_map(Tree::Map),
        ]
    })
}

fn encoded(format: Format, data: &Data) -> Vec<u8> {
    let mut out = Vec::new();
    format.data(data, &mut out);
    out
}

fn command() -> impl Strategy<Value = Tree> {
    let text = |values: &'static [&'static str]| {
        prop::sample::select(values).prop_map(|text| Tree::Text(text.to_owned()))
    };
    let kind = text(&[
        "auth",
        "subscribe",
        "unsubscribe",
        "publish",
        "history",
        "members",
        "enter",
        "leave",
        "ping",
    ]);
    let field = prop_oneof![
        (Just("ref"), scalar()),
        (Just("channel"), text(&["chat:1", "a b", "", "$x"])),
        (Just("token"), text(&["T"])),
        (Just("since"), text(&["k3f9-1", "", "x"])),
        (Just("last"), scalar()),
        (Just("snapshot"), scalar()),
        (Just("rate"), scalar()),
        (Just("event"), text(&["say", "error", ""])),
        (Just("data"), tree()),
        (Just("key"), text(&["k", ""])),
        (Just("id"), scalar()),
        (Just("tags"), tree()),
        (Just("encoding"), text(&["base64"])),
        (Just("ttl_ms"), scalar()),
        (Just("limit"), scalar()),
        (Just("unknown"), tree()),
    ];
    (kind, prop::collection::vec(field, 0..12)).prop_map(|(kind, fields)| {
        let mut entries: Vec<_> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // Most commands want a channel, which makes more of them good.
        entries.insert(0, ("channel".to_owned(), Tree::Text("chat:1".to_owned())));
        entries.push(("type".to_owned(), kind));
        Tree::Map(entries)
    })
}

/// The failing input is printed whole, so that nothing needs to be remembered in a file.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn compaction_gives_what_a_plain_encoder_gives(tree in tree()) {
        let pretty = serde_json::to_string_pretty(&tree).unwrap();
        let data = Data::from_json(pretty.as_bytes()).unwrap();
        prop_assert_eq!(encoded(Format::Json, &data), tree.to_json().into_bytes());
    }

    #[test]
    fn messagepack_of_json_is_what_an_independent_encoder_gives(tree in tree()) {
        let data = Data::from_json(tree.to_json().as_bytes()).unwrap();
        prop_assert_eq!(encoded(Format::MsgPack, &data), tree.to_msgpack());
    }

    #[test]
    fn json_survives_the_way_through_messagepack(tree in tree()) {
        let data = Data::from_json(tree.to_json().as_bytes()).unwrap();
        let back = Data::from_msgpack(&encoded(Format::MsgPack, &data)).unwrap();
        match back {
            // A value that is bytes as a whole has a form of its own.
            Data::Binary(bytes) => {
                let inside = encoded(Format::Json, &Data::Binary(bytes));
                let expected = [b"{\"$bytes\":".as_slice(), &inside, b"}"].concat();
                prop_assert_eq!(encoded(Format::Json, &data), expected);
            }
            back => prop_assert_eq!(back, data),
        }
    }

    #[test]
    fn a_command_means_the_same_in_both_encodings(command in command()) {
        let json = Format::Json.decode(command.to_json().as_bytes()).unwrap();
        let msgpack = Format::MsgPack.decode(&command.to_msgpack()).unwrap();
        // Top-level bytes are JSON in one encoding and bytes in the other, by definition.
        let bytes = |tree: Option<&Tree>| tree.is_some_and(|data| data.to_msgpack().first().is_some_and(|b| (0xc4..=0xc6).contains(b)));
        let has_bytes = match &command {
            Tree::Map(entries) => entries.iter().any(|(_, value)| bytes(Some(value))),
            _ => false,
        };
        prop_assume!(!has_bytes);
        prop_assert_eq!(json, msgpack);
    }

    #[test]
    fn a_ref_comes_back_as_it_was(n in any::<i64>(), text in "\\PC{0,30}") {
        for (reference, written) in [
            (Ref::Number(n), n.to_string()),
            (Ref::Text(text.as_str().into()), serde_json::to_string(&text).unwrap()),
        ] {
            let frame = format!(r#"{{"type":"ping","ref":{written}}}"#);
            let request = Format::Json.decode(frame.as_bytes()).unwrap().remove(0).unwrap();
            prop_assert_eq!(request.reference.as_ref(), Some(&reference));
            let mut out = Vec::new();
            Format::Json.encode(&Event::Pong { reference: Some(reference), time: 1 }, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!(r#"{{"type":"pong","ref":{written},"time":1}}"#));
        }
    }

    #[test]
    fn a_message_reads_back(data in tree(), words in prop::array::uniform4("\\PC{1,20}"), offset in 1_u64..) {
        let [event, id, key, tag] = words.map(|word| Arc::<str>::from(word.as_str()));
        let message = Message {
            offset,
            event: EventName::internal(&event),
            data: Data::from_json(data.to_json().as_bytes()).unwrap(),
            id: id.clone(),
            key: Some(key.clone()),
            tags: [(tag.clone(), tag.clone())].into(),
            ..message()
        };
        let mut json = Vec::new();
        Format::Json.message(&message, &mut json);
        prop_assert!(!json.contains(&b'\n') && !json.contains(&b'\r'));
        let read: Tree = serde_json::from_slice(&json).unwrap();
        for (name, expected) in [("event", &event), ("id", &id), ("key", &key)] {
            prop_assert_eq!(read.get(name).and_then(Tree::text), Some(&**expected));
        }
        prop_assert_eq!(read.get("offset"), Some(&Tree::Uint(offset)));
        prop_assert_eq!(read.get("tags").and_then(|tags| tags.get(&tag)).and_then(Tree::text), Some(&*tag));
        // serde_json reads some doubles one bit off, so that the data itself is compared as it was written.
        let written = format!(r#""data":{},"#, data.to_json());
        prop_assert!(String::from_utf8_lossy(&json).contains(&written), "{}", written);
        let Tree::Map(mut entries) = read else { panic!("no object") };
        entries.iter_mut().filter(|(name, _)| name == "data").for_each(|(_, value)| *value = data.clone());
        let read = Tree::Map(entries);
        let mut msgpack = Vec::new();
        Format::MsgPack.message(&message, &mut msgpack);
        prop_assert_eq!(msgpack, read.to_msgpack());
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        swallow(&bytes);
    }

    #[test]
    fn a_damaged_frame_is_answered(command in command(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for frame in [command.to_json().into_bytes(), command.to_msgpack()] {
            let at = at.index(frame.len());
            let mut flipped = frame.clone();
            flipped[at] = byte;
            swallow(&flipped);
            swallow(&frame[..at]);
        }
    }

    #[test]
    fn any_query_is_answered(pairs in prop::collection::vec(
        (prop::sample::select(vec!["channel", "since", "last", "rate", "wait", "echo", "limit", "before"]), "\\PC{0,12}"), 0..6))
    {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let _ = from_query(&pairs);
        let _ = page_from_query(&pairs);
    }
}

/// Hands bytes to everything that reads what strangers send; what was accepted is written too.
fn swallow(bytes: &[u8]) {
    for format in [Format::Json, Format::MsgPack] {
        if let Ok(commands) = format.decode(bytes) {
            assert!(commands.len() <= 100);
        }
    }
    for data in [Data::from_json(bytes), Data::from_msgpack(bytes)].into_iter().flatten() {
        encoded(Format::Json, &data);
        encoded(Format::MsgPack, &data);
    }
    let _ = json::publish(bytes, None);
    let _ = json::publish_many(bytes);
    let _ = json::presence_data(bytes);
    let _ = json::users(bytes);
}

#[test]
fn deep_nesting_costs_no_stack() {
    let depth = 50_000;
    let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mut frames = Vec::new();
    for deep in [&arrays, &objects] {
        frames.push(deep.clone());
        frames.push(deep[..depth].to_owned());
        for field in ["data", "ref", "tags", "unknown", "event", "type"] {
            frames.push(format!(r#"{{"type":"publish","channel":"a","{field}":{deep}}}"#));
        }
    }
    let packed: Vec<Vec<u8>> = [vec![0x91; depth], [vec![0x91; depth], vec![0xc0]].concat()]
        .into_iter()
        .chain([
            [b"\x81\xa4data".to_vec(), vec![0x91; depth], vec![0xc0]].concat(),
            b"\x81\xa1a".repeat(depth),
        ])
        .collect();
    // Far less than the stack of any thread that serves connections.
    let small = thread::Builder::new().stack_size(256 * 1024);
    let run = move || {
        for frame in frames.iter().map(String::as_bytes).chain(packed.iter().map(Vec::as_slice)) {
            swallow(frame);
        }
        let data = format!(r#"{{"type":"publish","ref":1,"channel":"a","data":{arrays}}}"#);
        let rejected = Format::Json.decode(data.as_bytes()).unwrap().remove(0).unwrap_err();
        assert_eq!((rejected.problem.code, rejected.reference), (Code::BadRequest, Some(Ref::Number(1))));
        let ignored = format!(r#"{{"type":"ping","later":{arrays}}}"#);
        assert!(Format::Json.decode(ignored.as_bytes()).unwrap().remove(0).is_ok());
    };
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn an_array_of_ten_thousand_commands_runs_none() {
    let frame = format!("[{}]", vec![r#"{"type":"ping"}"#; 10_000].join(","));
    let refused = Format::Json.decode(frame.as_bytes()).unwrap_err();
    assert_eq!((refused.problem.code, refused.reference), (Code::LimitExceeded, None));
    let frame: Tree = serde_json::from_str(&frame).unwrap();
    let refused = Format::MsgPack.decode(&frame.to_msgpack()).unwrap_err();
    assert_eq!(refused.problem.code, Code::LimitExceeded);
}

#[test]
fn a_token_is_never_shown() {
    let secret = "eyJhbGciOiJIUzI1NiJ9.secret";
    for frame in [
        format!(r#"{{"type":"auth","token":"{secret}"}}"#),
        format!(r#"{{"type":"auth","token":["{secret}"]}}"#),
        format!(r#"{{"type":"subscribe","channel":"a b","token":"{secret}"}}"#),
    ] {
        let shown = format!("{:?}", Format::Json.decode(frame.as_bytes()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
