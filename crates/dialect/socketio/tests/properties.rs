//! Decoders never panic, whatever the bytes; what is written is read back; a payload means the same however it is joined.
#![allow(clippy::unwrap_used)]
use fanfare_dialect_socketio::{
    Frames, Input, Kind, Layout, Limits, Machine, Parser, Wire, attachments, engine, msgpack, packet,
};
use fanfare_protocol::Data;
use proptest::prelude::*;

const LIMITS: Limits = Limits { attachments: 10, namespaces: 10, packet_bytes: 100_000 };

/// Packets as text and bytes, in the order in which they would travel.
#[derive(Default)]
struct Seen(Vec<Frame>);

enum Frame {
    Text(String),
    Binary(Vec<u8>),
}

impl Frames for Seen {
    fn text(&mut self, packet: &[u8]) {
        self.0.push(Frame::Text(String::from_utf8(packet.to_vec()).unwrap()));
    }
    fn binary(&mut self, bytes: &[u8]) {
        self.0.push(Frame::Binary(bytes.to_vec()));
    }
}

/// JSON that may hold bytes, as the hub writes it.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        ".{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
            let mut out = Vec::new();
            attachments::push_bytes(&mut out, &bytes);
            String::from_utf8(out).unwrap()
        }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(","))),
            inner.prop_map(|value| format!("{{\"a\":{value}}}")),
        ]
    })
}

/// Text that looks like packets often enough to get far.
fn nearly_packet() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[0-7][0-9]{0,2}-?(/[a-z]{0,3},)?[0-9]{0,3}[\\[\\]{}\"a-z0-9:,]{0,30}",
        "5[0-9]-\\[\"e\",\\{\"_placeholder\":true,\"num\":[0-9]{1,3}\\}\\]",
    ]
}

proptest! {
    #[test]
    fn decoders_never_panic(text in nearly_packet(), bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = packet::decode(&text, 10);
        let _ = engine::decode_text(&text);
        if let Ok(mut pushed) = engine::Pushed::read(text.clone()) {
            while pushed.take().is_some() {}
        }
        let _ = engine::Query::parse(Some(&text));
        let _ = msgpack::decode(&bytes);
        let _ = attachments::fill(&text, std::slice::from_ref(&bytes));
        let _ = attachments::take_out(text.as_bytes());
    }

    #[test]
    fn a_machine_survives_any_frames(frames in proptest::collection::vec((nearly_packet(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30))), 0..20)) {
        let mut machine = Machine::new(LIMITS);
        for (text, bytes) in frames {
            let input = match bytes {
                Some(bytes) => machine.binary(bytes),
                None => machine.text(&text),
            };
            match input {
                Ok(Some(Input::Connect { namespace, .. })) => machine.joined(&namespace),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written(args in proptest::collection::vec(value(), 0..4), id in proptest::option::of(0_u64..1000), namespace in prop_oneof![Just("/"), Just("/a")], pack in any::<bool>()) {
        let parser = if pack { Parser::MsgPack } else { Parser::Json };
        let wire = Wire { namespace: namespace.into(), layout: Layout::Rooms, parser, positions: false };
        let mut array = String::from("[\"e\"");
        for arg in &args {
            array.push(',');
            array.push_str(arg);
        }
        array.push(']');
        let array = match Data::from_json(array.as_bytes()) {
            Ok(Data::Json(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{array}: {other:?}"),
        };
        let mut seen = Seen::default();
        wire.packet(Kind::Event, id, array.as_bytes(), &mut seen);
        let limits = Limits { attachments: 100, ..LIMITS };
        let mut machine = Machine::new(limits);
        let connect = match parser {
            Parser::Json => machine.text(&format!("0{namespace},")),
            Parser::MsgPack => machine.binary(msgpack::encode(Kind::Connect, namespace, None, b"")),
        };
        prop_assert!(connect.is_ok());
        machine.joined(namespace);
        let mut read = None;
        for frame in seen.0 {
            prop_assert!(read.is_none());
            read = match frame {
                Frame::Text(text) => machine.text(text.strip_prefix('4').unwrap()).unwrap(),
                Frame::Binary(bytes) => machine.binary(bytes).unwrap(),
            };
        }
        let Some(Input::Event { array: got, id: got_id, .. }) = read else { panic!("no event") };
        prop_assert_eq!(got_id, id);
        if parser == Parser::Json {
            prop_assert_eq!(&*got, array.as_str());
        }
    }

    #[test]
    fn payloads_come_apart_where_they_were_joined(packets in proptest::collection::vec(prop_oneof!["[^\u{1e}]{0,20}".prop_map(Ok), proptest::collection::vec(any::<u8>(), 0..20).prop_map(Err)], 1..6)) {
        let mut payload = engine::Payload::default();
        for packet in &packets {
            match packet {
                Ok(text) => payload.text(format!("4{text}").as_bytes()),
                Err(bytes) => payload.binary(bytes),
            }
        }
        let body = String::from_utf8(payload.into_bytes()).unwrap();
        let mut pushed = engine::Pushed::read(body).unwrap();
        for packet in &packets {
            match packet {
                Ok(text) => prop_assert_eq!(pushed.take(), Some(engine::Packet::Text(text))),
                Err(bytes) => prop_assert_eq!(pushed.take(), Some(engine::Packet::Binary(bytes.clone()))),
            }
        }
        prop_assert_eq!(pushed.take(), None);
    }
}
