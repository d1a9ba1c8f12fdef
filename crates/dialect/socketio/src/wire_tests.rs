use std::sync::Arc;

use fanfare_protocol::{
    ChannelName, Code, EventName, Position,
    event::{Gap, GapReason, Presence, Published},
};

use super::*;

#[derive(Default)]
struct Seen(Vec<String>);

impl Frames for Seen {
    fn text(&mut self, packet: &[u8]) {
        self.0.push(String::from_utf8(packet.to_vec()).unwrap());
    }
    fn binary(&mut self, bytes: &[u8]) {
        self.0.push(format!("{bytes:?}"));
    }
}

fn message(data: Data, tags: &[(&str, &str)], offset: u64) -> Message {
    Message {
        channel: ChannelName::parse("chat:1").unwrap(),
        epoch: "k1".parse().unwrap(),
        offset,
        event: EventName::parse("say").unwrap(),
        data,
        id: "i1".into(),
        time: 5,
        key: Some("k".into()),
        user: Some("ada".into()),
        client: None,
        origin: None,
        tags: tags.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect(),
    }
}

fn json(text: &'static str) -> Data {
    Data::Json(text.as_bytes().into())
}

fn wire(layout: Layout) -> Wire {
    Wire { namespace: "/".into(), layout, parser: Parser::Json, positions: true }
}

fn written(wire: &Wire, message: &Message) -> Vec<String> {
    let mut seen = Seen::default();
    wire.message(message, &mut seen);
    seen.0
}

fn told(wire: &Wire, event: &Event) -> Vec<String> {
    let mut seen = Seen::default();
    wire.event(event, &mut seen);
    seen.0
}

#[test]
fn a_message_stands_in_an_event_as_its_layout_says() {
    let plain = message(json(r#"{"text":"hi"}"#), &[], 7);
    assert_eq!(written(&wire(Layout::Rooms), &plain), [r#"42["say",{"text":"hi"},"k1-7@chat:1"]"#]);
    assert_eq!(
        written(&wire(Layout::Channels), &plain),
        [
            r#"42["say",{"text":"hi"},{"channel":"chat:1","id":"i1","time":5,"user":"ada","key":"k"},"k1-7@chat:1"]"#
        ]
    );
    assert_eq!(written(&wire(Layout::Echo), &plain), [r#"42["say","chat:1",{"text":"hi"},"k1-7@chat:1"]"#]);
    let custom = Wire { namespace: "/x".into(), positions: false, ..wire(Layout::Rooms) };
    assert_eq!(written(&custom, &plain), [r#"42/x,["say",{"text":"hi"}]"#]);
}

#[test]
fn arguments_are_as_many_as_there_were() {
    let two = message(json(r#"[1,"a"]"#), &[("args", "2")], 7);
    assert_eq!(written(&wire(Layout::Rooms), &two), [r#"42["say",1,"a","k1-7@chat:1"]"#]);
    let none = message(json("[]"), &[("args", "0")], 7);
    assert_eq!(written(&wire(Layout::Rooms), &none), [r#"42["say","k1-7@chat:1"]"#]);
    let one = message(json("[1,2]"), &[], 7);
    assert_eq!(written(&wire(Layout::Rooms), &one), [r#"42["say",[1,2],"k1-7@chat:1"]"#]);
    let lie = message(json("3"), &[("args", "2")], 7);
    assert_eq!(written(&wire(Layout::Rooms), &lie), [r#"42["say",3,"k1-7@chat:1"]"#]);
}

#[test]
fn an_ephemeral_event_never_ends_with_a_string() {
    let rooms = wire(Layout::Rooms);
    assert_eq!(written(&rooms, &message(json("\"hi\""), &[], 0)), [r#"42["say","hi",null]"#]);
    assert_eq!(written(&rooms, &message(json("1"), &[], 0)), [r#"42["say",1]"#]);
    assert_eq!(written(&rooms, &message(json("[]"), &[("args", "0")], 0)), [r#"42["say",null]"#]);
    assert_eq!(
        written(&rooms, &message(json(r#"[1,"x"]"#), &[("args", "2")], 0)),
        [r#"42["say",1,"x",null]"#]
    );
    assert_eq!(
        written(&wire(Layout::Echo), &message(json("\"hi\""), &[], 0)),
        [r#"42["say","chat:1","hi",null]"#]
    );
    let plain = Wire { positions: false, ..rooms };
    assert_eq!(written(&plain, &message(json("\"hi\""), &[], 0)), [r#"42["say","hi"]"#]);
}

#[test]
fn bytes_travel_as_attachments() {
    let whole = message(Data::Binary(vec![1, 2].into()), &[], 7);
    assert_eq!(
        written(&wire(Layout::Rooms), &whole),
        [r#"451-["say",{"_placeholder":true,"num":0},"k1-7@chat:1"]"#, "[1, 2]"]
    );
    let inside = message(json(r#"{"a":{"$bytes":"AQ=="},"b":{"$bytes":"Ag=="}}"#), &[], 7);
    let custom = Wire { namespace: "/x".into(), ..wire(Layout::Rooms) };
    assert_eq!(
        written(&custom, &inside),
        [
            r#"452-/x,["say",{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}},"k1-7@chat:1"]"#,
            "[1]",
            "[2]"
        ]
    );
}

#[test]
fn answers_are_acks_and_the_hubs_own_words_are_events() {
    let channels = wire(Layout::Channels);
    let at = Position { epoch: "k1".parse().unwrap(), offset: 3 };
    let channel = ChannelName::parse("chat:1").unwrap();
    let published = Reply::Published(Published { position: Some(at), id: "x".into(), duplicate: false });
    let ok = Event::Ok { reference: Some(Ref::Number(12)), reply: published };
    assert_eq!(told(&channels, &ok), [r#"4312[{"epoch":"k1","offset":3,"duplicate":false}]"#]);
    let done = Event::Ok { reference: Some(Ref::Number(0)), reply: Reply::Done };
    assert_eq!(told(&channels, &done), ["430[{}]"]);
    let subscribed = Event::Subscribed {
        reference: Some(Ref::Number(1)),
        channel: channel.clone(),
        head: at,
        recovered: Some(true),
        replay: 0,
    };
    assert_eq!(told(&channels, &subscribed), [r#"431[{"epoch":"k1","offset":3,"recovered":true}]"#]);
    let problem = Problem::new(Code::Forbidden, "no").remedy("ask");
    let error = Event::Error { reference: Some(Ref::Number(2)), problem: problem.clone() };
    assert_eq!(
        told(&channels, &error),
        [r#"432[{"error":{"code":"forbidden","detail":"no","remedy":"ask"}}]"#]
    );
    let silent = Event::Error { reference: None, problem };
    assert_eq!(
        told(&channels, &silent),
        [r#"42["fanfare.error",{"code":"forbidden","detail":"no","remedy":"ask"}]"#]
    );
    let gap = Event::Gap(Gap { channel: channel.clone(), after: at, reason: GapReason::Expired });
    assert_eq!(
        told(&channels, &gap),
        [r#"42["fanfare.gap",{"channel":"chat:1","epoch":"k1","offset":3,"reason":"expired"}]"#]
    );
    let presence = Event::Presence(Presence {
        channel,
        action: PresenceAction::Present,
        members: vec![],
        more: false,
        count: 0,
        users: 0,
    });
    assert_eq!(told(&wire(Layout::Echo), &presence), [r#"42["presence:subscribed","chat:1",[]]"#]);
    assert!(
        told(&channels, &presence)[0]
            .starts_with(r#"42["fanfare.presence",{"channel":"chat:1","action":"present""#)
    );
}
