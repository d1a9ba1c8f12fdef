//! The events that `docs/vectors/events.json` holds by name.
#![allow(dead_code, reason = "each test uses a part")]
use std::sync::Arc;

use fanfare_protocol::{
    Args, ChannelName, ClientId, Code, Cursor, Data, Event, EventName, Member, Message, Position, Presence,
    PresenceAction, Problem, Ref, Reply, SessionId, Tags,
    event::{Gap, GapReason, HistoryPage, MembersPage, Published, Welcome},
};

fn channel() -> ChannelName {
    ChannelName::parse("chat:1").unwrap()
}

fn client() -> ClientId {
    ClientId::parse("u3o5eRkC0vWmDGsE").unwrap()
}

fn at(offset: u64) -> Position {
    Position { epoch: "k3f9".parse().unwrap(), offset }
}

fn json(text: &str) -> Data {
    Data::from_json(text.as_bytes()).unwrap()
}

/// The message that most vectors hold.
pub fn message() -> Message {
    Message {
        channel: channel(),
        epoch: at(0).epoch,
        offset: 42,
        event: EventName::parse("say").unwrap(),
        data: json(r#"{"text":"hi"}"#),
        id: "u-7".into(),
        time: 1_760_000_000_123,
        key: None,
        user: None,
        client: None,
        origin: Some(client()),
        tags: Tags::default(),
    }
}

fn full() -> Message {
    Message {
        key: Some("k".into()),
        user: Some("ada".into()),
        client: Some(client()),
        tags: [("lang".into(), "en".into()), ("quote".into(), "\"\\".into())].into(),
        ..message()
    }
}

fn members() -> Vec<Member> {
    vec![
        Member {
            client: client(),
            user: Some("ada".into()),
            info: Some(json(r#"{"role":"host"}"#)),
            data: json(r#"{"name":"Ada"}"#),
            entered_at: 1_760_000_000_123,
        },
        Member {
            client: ClientId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            user: None,
            info: None,
            data: Data::NULL,
            entered_at: 1_760_000_000_456,
        },
    ]
}

fn welcome(user: Option<&str>, expires_at: Option<u64>) -> Event {
    Event::Welcome(Box::new(Welcome {
        session: SessionId::from_random(*b"0123456789abcdef"),
        client: client(),
        ping_ms: 25_000,
        idempotency_ms: 300_000,
        version: "0.1.0",
        time: 1_760_000_000_123,
        user: user.map(Into::into),
        expires_at,
    }))
}

fn ok(reference: i64, reply: Reply) -> Event {
    Event::Ok { reference: Some(Ref::Number(reference)), reply }
}

fn published(position: Option<Position>) -> Reply {
    Reply::Published(Published { position, id: "u-7".into(), duplicate: false })
}

fn members_page(members: Vec<Member>, count: u64, users: u64) -> Reply {
    let next = members.last().map(|member| member.client);
    Reply::Members(MembersPage { members, count, users, next })
}

fn error(reference: Option<i64>, problem: Problem) -> Event {
    Event::Error { reference: reference.map(Ref::Number), problem }
}

fn say(message: Message) -> Event {
    Event::Message(Arc::new(message))
}

/// The event of a vector.
pub fn frame(name: &str) -> Event {
    match name {
        "welcome" => welcome(Some("ada"), Some(1_760_003_600_000)),
        "welcome without a user" => welcome(None, None),
        "message" => say(message()),
        "message with everything" => say(full()),
        "message of bytes" => say(Message { data: Data::Binary(vec![1, 2, 3].into()), ..message() }),
        "message with bytes inside" => say(Message { data: json(r#"{"a":{"$bytes":"AQID"}}"#), ..message() }),
        "message with bytes that are no base64" => {
            say(Message { data: json(r#"{"$bytes":"*"}"#), ..message() })
        }
        "ephemeral message" => say(Message { offset: 0, ..message() }),
        "tombstone" => say(Message { data: Data::NULL, key: Some("k".into()), ..message() }),
        "gap" => Event::Gap(Gap { channel: channel(), after: at(40), reason: GapReason::Expired }),
        "presence" => Event::Presence(Presence {
            channel: channel(),
            action: PresenceAction::Enter,
            members: members(),
            more: false,
            count: 3,
            users: 2,
        }),
        "unsubscribed" => Event::Unsubscribed { channel: channel(), code: Code::Revoked },
        "pong" => Event::Pong { reference: Some(Ref::Number(9)), time: 1_760_000_000_123 },
        "disconnect" => Event::Disconnect(Problem::new(Code::Draining, "stopping").retry_after_ms(1200)),
        "disconnect for good" => Event::Disconnect(Problem::new(Code::Unauthorized, "bad token")),
        "cursor" => Event::Cursor(Cursor(vec![Some(at(42)), None, Some("a1-7".parse().unwrap())])),
        reply => answer(reply),
    }
}

/// The events that answer a command.
fn answer(name: &str) -> Event {
    match name {
        "ok" => ok(3, Reply::Done),
        "ok to auth" => Event::Ok {
            reference: Some(Ref::Text("a".into())),
            reply: Reply::Authenticated { user: Some("ada".into()), expires_at: Some(1_760_003_600_000) },
        },
        "ok to publish" => ok(4, published(Some(at(42)))),
        "ok to an ephemeral publish" => ok(4, published(None)),
        "ok to history" => {
            let messages = vec![Arc::new(message())];
            ok(5, Reply::History(HistoryPage { messages, head: at(44), more: true, gap: false }))
        }
        "ok to history after a loss" => {
            ok(5, Reply::History(HistoryPage { messages: Vec::new(), head: at(44), more: false, gap: true }))
        }
        "ok to members" => ok(6, members_page(members(), 3, 2)),
        "ok to call" => {
            let args = vec![json(r#"{"id":7}"#), Data::Binary(vec![1, 2, 3].into()), Data::NULL];
            ok(7, Reply::Called(Args(args)))
        }
        "ok to call without an answer" => ok(7, Reply::Called(Args::default())),
        "ok to members, last page" => ok(6, members_page(Vec::new(), 0, 0)),
        "subscribed" => Event::Subscribed {
            reference: Some(Ref::Number(2)),
            channel: channel(),
            head: at(44),
            recovered: Some(true),
            replay: 3,
        },
        "subscribed without since" => {
            Event::Subscribed { reference: None, channel: channel(), head: at(0), recovered: None, replay: 0 }
        }
        "error" => error(Some(2), Problem::new(Code::Forbidden, "no right").remedy("ask")),
        "error that is retryable" => {
            error(None, Problem::new(Code::RateLimited, "too fast").remedy("wait").retry_after_ms(250))
        }
        "error of a conditional publish" => {
            error(Some(4), Problem::new(Code::Conflict, "not the head").remedy("read").at(at(44)))
        }
        unknown => panic!("no event for the vector {unknown:?}"),
    }
}
