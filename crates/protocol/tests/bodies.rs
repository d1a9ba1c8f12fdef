//! HTTP bodies: what publish, publish-many, presence and online carry, and what answers hold.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::sync::Arc;

use fanfare_protocol::{
    ChannelName, Code, Cursor, Data, Position, Problem, Reply,
    event::{Gap, GapReason, HistoryPage, Published},
    json,
};
use support::frames::message;

mod support {
    pub mod frames;
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn at(offset: u64) -> Position {
    Position { epoch: "k3f9".parse().unwrap(), offset }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_publication_takes_its_channel_from_the_path_or_the_body() {
    let publish = json::publish(br#" {"event":"say","data":{"a": 1}} "#, Some(channel("chat:1"))).unwrap();
    assert_eq!((&*publish.channel, &*publish.event), ("chat:1", "say"));
    assert_eq!(publish.data, Data::from_json(br#"{"a":1}"#).unwrap());
    let beaten = json::publish(br#"{"channel":"other"}"#, Some(channel("chat:1"))).unwrap();
    assert_eq!(&*beaten.channel, "chat:1");
    assert_eq!(&*json::publish(br#"{"channel":"other"}"#, None).unwrap().channel, "other");
    for bad in [&b"{}"[..], b"", b"[]", b"5", b"{", b"{\"channel\":5}", b"{\"channel\":\"a\xff\"}", b"{}{}"] {
        assert_eq!(json::publish(bad, None).unwrap_err().code, Code::BadRequest, "{bad:?}");
    }
}

#[test]
fn publish_many_refuses_bad_ones_alone() {
    let body = br#"{"messages":[{"channel":"a","data":1},{"channel":"a b"},7,{"channel":"b","event":"error"},{"channel":"c"}]}"#;
    let read = json::publish_many(body).unwrap();
    let codes: Vec<_> = read.iter().map(|one| one.as_ref().err().map(|problem| problem.code)).collect();
    let bad = Some(Code::BadRequest);
    assert_eq!(codes, [None, bad, bad, bad, None]);
    assert!(json::publish_many(br#"{"messages":[]}"#).unwrap().is_empty());
    for bad in [&b"{}"[..], b"[]", b"{\"messages\":5}", b"{\"messages\":null}", b"{\"messages\":[}"] {
        assert_eq!(json::publish_many(bad).unwrap_err().code, Code::BadRequest, "{bad:?}");
    }
    let many = |count: usize| format!(r#"{{"messages":[{}]}}"#, vec![r#"{"channel":"a"}"#; count].join(","));
    assert_eq!(json::publish_many(many(1000).as_bytes()).unwrap().len(), 1000);
    assert_eq!(json::publish_many(many(1001).as_bytes()).unwrap_err().code, Code::LimitExceeded);
    assert_eq!(json::publish_many(many(5000).as_bytes()).unwrap_err().code, Code::LimitExceeded);
}

#[test]
fn presence_and_users_are_read() {
    assert_eq!(json::presence_data(b"").unwrap(), Data::NULL);
    assert_eq!(json::presence_data(b"{}").unwrap(), Data::NULL);
    assert_eq!(json::presence_data(br#"{"data": [1]}"#).unwrap(), Data::from_json(b"[1]").unwrap());
    assert!(json::presence_data(b"[]").is_err());
    assert_eq!(json::users(br#"{"users":["ada","bob"]}"#).unwrap(), ["ada", "bob"]);
    assert!(json::users(b"{}").is_err() && json::users(br#"{"users":[1]}"#).is_err());
    assert_eq!(text(json::online(&["ada", "b\"ob"])), r#"{"online":["ada","b\"ob"]}"#);
    let crowd = format!(r#"{{"users":[{}]}}"#, vec![r#""u""#; 1001].join(","));
    assert_eq!(json::users(crowd.as_bytes()).unwrap_err().code, Code::LimitExceeded);
}

#[test]
fn problems_are_documents() {
    let problem = Problem::new(Code::Conflict, "not the \"head\"").remedy("read it").at(at(44));
    assert_eq!(
        text(json::problem_document(&problem)),
        r#"{"type":"urn:fanfare:problem:conflict","title":"Conflict","status":409,"detail":"not the \"head\"","code":"conflict","retryable":false,"remedy":"read it","epoch":"k3f9","offset":44}"#
    );
    let retryable = text(json::problem_document(&Problem::new(Code::Unavailable, "no broker")));
    assert!(
        retryable.contains(r#""retryable":true"#) && retryable.contains(r#""retry_after_ms":1000"#),
        "{retryable}"
    );
    let waiting = text(json::problem_document(&Problem::new(Code::RateLimited, "slow").retry_after_ms(70)));
    assert!(waiting.contains(r#""retry_after_ms":70"#), "{waiting}");
}

#[test]
fn answers_have_the_documented_fields() {
    let published = Published { position: Some(at(42)), id: "u-7".into(), duplicate: true };
    let plain = r#"{"offset":42,"epoch":"k3f9","id":"u-7","duplicate":true}"#;
    assert_eq!(text(json::published(&published)), plain);
    assert_eq!(text(json::reply(&Reply::Published(published.clone()))), plain);
    assert_eq!(text(json::reply(&Reply::Done)), "{}");
    let results = json::results(&[Ok(published), Err(Problem::new(Code::Forbidden, "no").remedy("ask"))]);
    let refused = r#"{"error":{"type":"urn:fanfare:problem:forbidden","title":"Forbidden","status":403,"detail":"no","code":"forbidden","retryable":false,"remedy":"ask"}}"#;
    assert_eq!(text(results), format!(r#"{{"results":[{plain},{refused}]}}"#));
    let object = r#"{"channel":"chat:1","offset":42,"event":"say","data":{"text":"hi"},"id":"u-7","time":1760000000123}"#;
    let page = HistoryPage { messages: vec![Arc::new(message())], head: at(44), more: false, gap: true };
    assert_eq!(
        text(json::reply(&Reply::History(page))),
        format!(r#"{{"messages":[{object}],"epoch":"k3f9","offset":44,"more":false,"gap":true}}"#)
    );
    assert_eq!(
        text(json::snapshot(&[Arc::new(message())], at(44), Some("x"))),
        format!(r#"{{"messages":[{object}],"epoch":"k3f9","offset":44,"next":"x"}}"#)
    );
    let gaps = [Gap { channel: channel("chat:1"), after: at(40), reason: GapReason::Slow }];
    let (messages, cursor) = ([Arc::new(message())], Cursor(vec![Some(at(42)), None]));
    let poll = json::Poll { messages: &messages, cursor: &cursor, gaps: &gaps, poll_after_ms: 250 };
    assert_eq!(
        text(json::poll(&poll)),
        format!(
            r#"{{"messages":[{object}],"cursor":"k3f9-42~","gap":[{{"channel":"chat:1","epoch":"k3f9","offset":40,"reason":"slow"}}],"poll_after_ms":250}}"#
        )
    );
}
