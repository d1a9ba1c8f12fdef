//! The golden vectors of `docs/vectors`, which SDKs in other languages run as well.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::{collections::HashSet, fs, path::Path, sync::Arc};

use fanfare_protocol::{
    Ack, ChannelName, Code, Command, Cursor, Data, Epoch, EventName, Format, Position, Rejected, Request,
    SessionId, code::TABLE, command::Publish, name::check_word,
};
use support::{frames::frame, tree::Tree};

mod support {
    pub mod frames;
    pub mod tree;
}

fn vectors(name: &str) -> Tree {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors").join(name);
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
}

/// A section's cases, of which there are at least `least`: an emptied file is no success.
fn cases(vectors: &Tree, section: &str, least: usize) -> Vec<Tree> {
    let cases = vectors.get(section).and_then(Tree::list).unwrap_or_else(|| panic!("no section {section}"));
    assert!(cases.len() >= least, "{section} has only {} cases", cases.len());
    cases.to_vec()
}

fn texts(vectors: &Tree, section: &str, least: usize) -> Vec<String> {
    cases(vectors, section, least).iter().map(|case| case.text().unwrap().to_owned()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: impl ToString) -> Tree {
    Tree::Text(text.to_string())
}

/// Collects the fields of a command that are not at their defaults.
#[derive(Default)]
struct Fields(Vec<(String, Tree)>);

impl Fields {
    fn put(&mut self, name: &str, value: Tree) {
        self.0.push((name.to_owned(), value));
    }
    fn text(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(name, text(value));
        }
    }
    fn uint(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.put(name, Tree::Uint(value));
        }
    }
    fn flag_unless(&mut self, name: &str, value: bool, default: bool) {
        if value != default {
            self.put(name, Tree::Bool(value));
        }
    }
    fn data(&mut self, data: &Data) {
        match data {
            Data::Json(json) => self.put("data", text(std::str::from_utf8(json).unwrap())),
            Data::Binary(bytes) => self.put("bytes", text(hex(bytes))),
        }
    }
}

fn reference(fields: &mut Fields, reference: Option<&fanfare_protocol::Ref>) {
    match reference {
        None => {}
        Some(fanfare_protocol::Ref::Number(n)) => {
            fields.put("ref", u64::try_from(*n).map_or(Tree::Int(*n), Tree::Uint));
        }
        Some(fanfare_protocol::Ref::Text(name)) => fields.put("ref", text(name)),
    }
}

fn publication(fields: &mut Fields, publish: &Publish) {
    fields.text("channel", Some(&publish.channel));
    fields.text("event", Some(&*publish.event));
    fields.data(&publish.data);
    fields.text("key", publish.key.as_ref());
    fields.text("id", publish.id.as_ref());
    if !publish.tags.is_empty() {
        let pair = |(name, value): &(Arc<str>, Arc<str>)| Tree::List(vec![text(name), text(value)]);
        fields.put("tags", Tree::List(publish.tags.iter().map(pair).collect()));
    }
    fields.flag_unless("ephemeral", publish.ephemeral, false);
    fields.text(
        "ack",
        publish.ack.map(|ack| match ack {
            Ack::Memory => "memory",
            Ack::Stored => "stored",
        }),
    );
    fields.uint("ttl_ms", publish.ttl_ms);
    fields.text("if", publish.condition);
    fields.text("client", publish.client);
}

/// Compact JSON as text; bytes in hexadecimal after `0x`.
fn argument(data: &Data) -> Tree {
    match data {
        Data::Json(json) => text(std::str::from_utf8(json).unwrap()),
        Data::Binary(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text(format!("0x{hex}"))
        }
    }
}

fn described(decoded: &Result<Request, Rejected>) -> Tree {
    let mut fields = Fields::default();
    let request = match decoded {
        Ok(request) => request,
        Err(rejected) => return refused(rejected),
    };
    let name = match &request.command {
        Command::Auth { .. } => "auth",
        Command::Subscribe { .. } => "subscribe",
        Command::Unsubscribe { .. } => "unsubscribe",
        Command::Publish { .. } => "publish",
        Command::History { .. } => "history",
        Command::Members { .. } => "members",
        Command::Enter { .. } => "enter",
        Command::Leave { .. } => "leave",
        Command::Call { .. } => "call",
        Command::Answer { .. } => "answer",
        Command::Ping => "ping",
    };
    fields.put("type", text(name));
    reference(&mut fields, request.reference.as_ref());
    match &request.command {
        Command::Auth { token } => fields.text("token", Some(&token.0)),
        Command::Subscribe { channel, options, token } => {
            fields.text("channel", Some(channel));
            fields.text("since", options.start.since);
            fields.uint("last", options.start.last);
            fields.flag_unless("snapshot", options.start.snapshot, false);
            fields.flag_unless("presence", options.presence, false);
            if let Some(rate) = options.rate {
                fields.put("rate", Tree::Float(rate));
            }
            fields.flag_unless("echo", options.echo, true);
            fields.text("token", token.as_ref().map(|token| &token.0));
        }
        Command::Unsubscribe { channel } | Command::Leave { channel } => {
            fields.text("channel", Some(channel))
        }
        Command::Publish { publish, token } => {
            publication(&mut fields, publish);
            fields.text("token", token.as_ref().map(|token| &token.0));
        }
        Command::History { channel, page } => {
            fields.text("channel", Some(channel));
            fields.text("since", page.since);
            fields.text("before", page.before);
            fields.uint("limit", Some(page.limit as u64));
            fields.flag_unless("reverse", page.reverse, false);
        }
        Command::Members { channel, limit, after } => {
            fields.text("channel", Some(channel));
            fields.uint("limit", Some(*limit as u64));
            fields.text("after", *after);
        }
        Command::Enter { channel, data, token } => {
            fields.text("channel", Some(channel));
            fields.data(data);
            fields.text("token", token.as_ref().map(|token| &token.0));
        }
        Command::Call { namespace, event, args } => {
            fields.text("namespace", Some(namespace));
            fields.text("event", Some(&**event));
            fields.put("data", Tree::List(args.0.iter().map(argument).collect()));
        }
        Command::Answer { id, args } => {
            fields.text("id", Some(id));
            fields.put("data", Tree::List(args.0.iter().map(argument).collect()));
        }
        Command::Ping => {}
    }
    Tree::Map(fields.0)
}

fn refused(rejected: &Rejected) -> Tree {
    assert!(!rejected.problem.detail.is_empty() && !rejected.problem.remedy_text().is_empty());
    let mut fields = Fields::default();
    fields.put("code", text(rejected.problem.code.name()));
    reference(&mut fields, rejected.reference.as_ref());
    Tree::Map(vec![("error".to_owned(), Tree::Map(fields.0))])
}

#[test]
fn commands_decode_from_both_encodings() {
    let mut decoded = 0;
    for case in cases(&vectors("commands.json"), "cases", 150) {
        let name = case.get("name").and_then(Tree::text).unwrap();
        let frames = [
            (Format::Json, case.get("json").map(|json| json.text().unwrap().as_bytes().to_vec())),
            (Format::MsgPack, case.get("msgpack").map(|hex| bytes(hex.text().unwrap()))),
        ];
        let expected = match case.get("commands") {
            Some(commands) => commands.clone(),
            None => Tree::Map(vec![("error".to_owned(), case.get("error").unwrap().clone())]),
        };
        for (format, frame) in frames {
            let Some(frame) = frame else { continue };
            let found = match format.decode(&frame) {
                Ok(commands) => Tree::List(commands.iter().map(described).collect()),
                Err(rejected) => refused(&rejected),
            };
            assert_eq!(found.to_json(), expected.to_json(), "{name}, {format:?}");
            decoded += 1;
        }
    }
    assert!(decoded > 300, "only {decoded} frames");
}

#[test]
fn events_encode_to_both_encodings() {
    let mut types = HashSet::new();
    for case in cases(&vectors("events.json"), "cases", 25) {
        let name = case.get("name").and_then(Tree::text).unwrap();
        let event = frame(name);
        types.insert(event.type_name());
        let (mut json, mut msgpack) = (Vec::new(), Vec::new());
        Format::Json.encode(&event, &mut json);
        Format::MsgPack.encode(&event, &mut msgpack);
        assert_eq!(Some(std::str::from_utf8(&json).unwrap()), case.get("json").unwrap().text(), "{name}");
        assert_eq!(Some(hex(&msgpack).as_str()), case.get("msgpack").unwrap().text(), "{name}");
    }
    assert_eq!(types.len(), 11, "every type of frame has a vector: {types:?}");
}

fn check_data(name: &str, case: &Tree, found: Result<Data, fanfare_protocol::Problem>) -> Option<Data> {
    if let Some(code) = case.get("error") {
        assert_eq!(Some(found.expect_err(name).code.name()), code.text(), "{name}");
        return None;
    }
    let found = found.unwrap_or_else(|problem| panic!("{name}: {problem}"));
    match &found {
        Data::Json(json) => {
            assert_eq!(
                Some(std::str::from_utf8(json).unwrap()),
                case.get("compact").unwrap().text(),
                "{name}"
            );
        }
        Data::Binary(bytes) => {
            assert_eq!(Some(hex(bytes).as_str()), case.get("bytes").unwrap().text(), "{name}")
        }
    }
    Some(found)
}

#[test]
fn data_is_checked_compacted_and_converted() {
    let vectors = vectors("data.json");
    for case in cases(&vectors, "from_json", 35) {
        let name = case.get("name").and_then(Tree::text).unwrap();
        let found = Data::from_json(case.get("json").unwrap().text().unwrap().as_bytes());
        if let Some(data) = check_data(name, &case, found) {
            let mut msgpack = Vec::new();
            Format::MsgPack.data(&data, &mut msgpack);
            assert_eq!(Some(hex(&msgpack).as_str()), case.get("msgpack").unwrap().text(), "{name}");
        }
    }
    for case in cases(&vectors, "from_msgpack", 20) {
        let name = case.get("name").and_then(Tree::text).unwrap();
        check_data(name, &case, Data::from_msgpack(&bytes(case.get("msgpack").unwrap().text().unwrap())));
    }
}

#[test]
fn names_are_accepted_and_refused() {
    let vectors = vectors("names.json");
    for (section, valid, least) in [
        ("channels_valid", true, 10),
        ("channels_invalid", false, 15),
        ("events_valid", true, 10),
        ("events_invalid", false, 18),
    ] {
        for name in texts(&vectors, section, least) {
            let problem = if section.starts_with("channels") {
                ChannelName::parse(&name).err()
            } else {
                EventName::parse(&name).err()
            };
            assert_eq!(problem.is_none(), valid, "{section}: {name:?}");
            assert!(problem.is_none_or(|problem| problem.code == Code::BadRequest), "{name:?}");
        }
    }
    for (section, valid) in [("words_valid", true), ("words_invalid", false)] {
        for word in texts(&vectors, section, 5) {
            assert_eq!(check_word("id", &word).is_ok(), valid, "{section}: {word:?}");
        }
    }
}

#[test]
fn positions_and_cursors_are_read_and_written() {
    let vectors = vectors("positions.json");
    for case in cases(&vectors, "positions_valid", 4) {
        let written = case.get("text").unwrap().text().unwrap();
        let position: Position = written.parse().unwrap();
        assert_eq!(Some(position.epoch.as_str()), case.get("epoch").unwrap().text(), "{written}");
        assert_eq!(Tree::Uint(position.offset), *case.get("offset").unwrap(), "{written}");
        assert_eq!(position.to_string(), written);
        assert_eq!(position.epoch, position.epoch.as_str().parse::<Epoch>().unwrap());
    }
    for written in texts(&vectors, "positions_invalid", 15) {
        assert_eq!(written.parse::<Position>().expect_err(&written).code, Code::BadRequest, "{written:?}");
    }
    let channels = |case: &Tree| match case.get("channels") {
        Some(Tree::Uint(count)) => *count as usize,
        other => panic!("channels: {other:?}"),
    };
    for case in cases(&vectors, "cursors_valid", 4) {
        let written = case.get("text").unwrap().text().unwrap();
        let cursor = Cursor::parse(written, channels(&case)).unwrap();
        let positions = cursor.0.iter().map(|position| position.map_or(Tree::Null, text)).collect();
        assert_eq!(Tree::List(positions), *case.get("positions").unwrap(), "{written}");
        assert_eq!(cursor.to_string(), written);
    }
    for case in cases(&vectors, "cursors_invalid", 7) {
        let written = case.get("text").unwrap().text().unwrap();
        let problem = Cursor::parse(written, channels(&case)).expect_err(written);
        assert_eq!(problem.code, Code::BadRequest, "{written:?}");
    }
}

#[test]
fn a_session_has_one_client() {
    let vectors = vectors("clients.json");
    for case in cases(&vectors, "sessions", 5) {
        let session = SessionId::parse(case.get("session").unwrap().text().unwrap()).unwrap();
        assert_eq!(Some(session.client().as_str()), case.get("client").unwrap().text());
        assert!(!format!("{session:?}").contains(session.reveal()), "a session's Debug shows it");
    }
    for session in texts(&vectors, "sessions_invalid", 5) {
        assert!(SessionId::parse(&session).is_err(), "{session:?}");
    }
}

#[test]
fn codes_are_those_of_the_table() {
    let codes = cases(&vectors("codes.json"), "codes", TABLE.len());
    assert_eq!(codes.len(), TABLE.len());
    for (at, (row, case)) in TABLE.iter().zip(codes).enumerate() {
        assert_eq!(row.code as usize, at, "the table stands in the enum's order");
        assert_eq!(Some(row.name), case.get("code").unwrap().text());
        assert_eq!(Code::from_name(row.name), Some(row.code));
        assert_eq!(
            *case.get("status").unwrap(),
            row.status.map_or(Tree::Null, |status| Tree::Uint(status.into()))
        );
        assert_eq!(*case.get("close").unwrap(), Tree::Uint(row.close.into()));
        assert_eq!(*case.get("retryable").unwrap(), Tree::Bool(row.retryable));
    }
}
