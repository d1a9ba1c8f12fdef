//! JSON bodies of HTTP: what requests carry, what answers hold.
use std::sync::Arc;

use crate::{
    ChannelName, Command, Cursor, Data, Member, Message, Problem, Publish, Reply,
    event::{Gap, Published},
    fields::{Fields, Name, Raw, Scalar, missing, not_json, wrong},
    frames,
    json_scan::Json,
    request::{self, member_data},
    sink::{JsonSink, Object, Sink, label, list},
};

/// Publications in one `POST /v1/messages`, at most.
pub const PUBLICATIONS: usize = 1000;
/// Users in one `POST /v1/users/online`, at most.
pub const USERS: usize = 1000;

/// The answer to a poll.
#[derive(Clone, Copy, Debug)]
pub struct Poll<'a> {
    /// At most 1,000.
    pub messages: &'a [Arc<Message>],
    /// Where the next poll goes on.
    pub cursor: &'a Cursor,
    /// What was lost, before the messages.
    pub gaps: &'a [Gap],
    /// Milliseconds until the next poll is worth it; 0 when more waits.
    pub poll_after_ms: u64,
}

fn body<'a>(body: &'a [u8]) -> Result<Fields<'a>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| not_json())?;
    Fields::split(Raw::Json(Json::parse(text).ok_or_else(not_json)?))
}

/// Reads one publication. The path's channel beats the body's.
///
/// # Errors
/// `bad_request` saying which field breaks which rule.
pub fn publish(bytes: &[u8], channel: Option<ChannelName>) -> Result<Publish, Problem> {
    request::publish(&body(bytes)?, channel)
}

/// Reads `{"messages":[...]}`: each publication good or refused alone.
///
/// # Errors
/// `bad_request` when the body has not this form, `limit_exceeded` beyond 1,000 publications: none is to be run.
pub fn publish_many(bytes: &[u8]) -> Result<Vec<Result<Publish, Problem>>, Problem> {
    let fields = body(bytes)?;
    let messages = list_field(&fields, Name::Messages, PUBLICATIONS, "an array of publications")?;
    let one = |raw| Fields::split(raw).and_then(|fields| request::publish(&fields, None));
    Ok(messages.into_iter().map(one).collect())
}

/// Reads a call: `{"event","data":[...],"namespace"}`, as the command of that name.
///
/// # Errors
/// `bad_request` saying which field breaks which rule, `limit_exceeded` for too many arguments.
pub fn call(bytes: &[u8]) -> Result<Command, Problem> {
    request::call(&body(bytes)?)
}

/// Reads `{"data":...}` of a member that enters or updates; an empty body or absent `data` is `null`.
///
/// # Errors
/// `bad_request` when the body is not such an object or its data breaks the rules of data.
pub fn presence_data(bytes: &[u8]) -> Result<Data, Problem> {
    if bytes.is_empty() {
        return Ok(Data::NULL);
    }
    member_data(&body(bytes)?)
}

/// Reads `{"users":["ada",...]}`.
///
/// # Errors
/// `bad_request` when the body has not this form, `limit_exceeded` beyond 1,000 users.
pub fn users(bytes: &[u8]) -> Result<Vec<String>, Problem> {
    let fields = body(bytes)?;
    let text = |raw: Raw<'_>| match raw.scalar() {
        Scalar::Text(text) => Ok(text.into_owned()),
        _ => Err(wrong(Name::Users, "an array of strings")),
    };
    list_field(&fields, Name::Users, USERS, "an array of strings")?.into_iter().map(text).collect()
}

fn list_field<'a>(
    fields: &Fields<'a>,
    name: Name,
    most: usize,
    expected: &str,
) -> Result<Vec<Raw<'a>>, Problem> {
    let raw = fields.raw(name).ok_or_else(|| missing(name))?;
    raw.elements(most).map_err(|problem| problem.unwrap_or_else(|| wrong(name, expected)))
}

fn written(write: impl FnOnce(&mut JsonSink<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(&mut JsonSink(&mut out));
    out
}

/// An error as `application/problem+json` (RFC 9457).
pub fn problem_document(problem: &Problem) -> Vec<u8> {
    written(|sink| frames::problem(sink, problem))
}

/// The answer to a request; an `ok` frame without `type` and `ref`.
pub fn reply(reply: &Reply) -> Vec<u8> {
    written(|sink| frames::reply(sink, reply))
}

/// The answer to one publication.
pub fn published(published: &Published) -> Vec<u8> {
    written(|sink| frames::published(sink, published))
}

/// The answer to publish-many: `{"results":[...]}`, in the order of the request.
pub fn results(results: &[Result<Published, Problem>]) -> Vec<u8> {
    written(|sink| {
        let mut o = Object::open(sink);
        list(o.value(label!("results")), results, |sink, result| match result {
            Ok(published) => frames::published(sink, published),
            Err(problem) => {
                let mut o = Object::open(sink);
                frames::problem(o.value(label!("error")), problem);
                o.close();
            }
        });
        o.close();
    })
}

/// The answer to a poll.
pub fn poll(answer: &Poll<'_>) -> Vec<u8> {
    written(|sink| {
        let mut o = Object::open(sink);
        list(o.value(label!("messages")), answer.messages, |sink, message| frames::message(sink, message));
        o.text(label!("cursor"), &answer.cursor.to_string());
        list(o.value(label!("gap")), answer.gaps, frames::gap);
        o.uint(label!("poll_after_ms"), answer.poll_after_ms);
        o.close();
    })
}

/// A page of a keyed channel's state: `head` is the channel's, `next` is opaque and none on the last page.
pub fn snapshot(messages: &[Arc<Message>], head: crate::Position, next: Option<&str>) -> Vec<u8> {
    written(|sink| {
        let mut o = Object::open(sink);
        list(o.value(label!("messages")), messages, |sink, message| frames::message(sink, message));
        o.text(label!("epoch"), head.epoch.as_str())
            .uint(label!("offset"), head.offset)
            .text_if(label!("next"), next);
        o.close();
    })
}

/// The answer to who of these users is online.
pub fn online<T: AsRef<str>>(users: &[T]) -> Vec<u8> {
    written(|sink| {
        let mut o = Object::open(sink);
        list(o.value(label!("online")), users, |sink, user| sink.text(user.as_ref()));
        o.close();
    })
}

/// A member's own object, as presence frames and pages hold it.
pub fn member(member: &Member) -> Vec<u8> {
    written(|sink| frames::member(sink, member))
}
