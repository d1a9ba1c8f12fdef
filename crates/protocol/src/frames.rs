//! The one definition of every frame and answer of the server: which fields, in which order.
use crate::{
    Args, Data, Event, Member, Message, Position, Presence, Problem, Ref, Reply,
    event::{Gap, HistoryPage, MembersPage, Published, Welcome},
    sink::{Object, Sink, label, list},
};

impl Event {
    /// The frame's `type`; over SSE, the event's name after `fanfare.`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Ok { .. } => "ok",
            Self::Subscribed { .. } => "subscribed",
            Self::Message(_) => "message",
            Self::Gap(_) => "gap",
            Self::Presence(_) => "presence",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Error { .. } => "error",
            Self::Pong { .. } => "pong",
            Self::Disconnect(_) => "disconnect",
            Self::Cursor(_) => "cursor",
        }
    }
}

/// A whole frame.
pub(crate) fn event<S: Sink>(sink: &mut S, event: &Event) {
    let mut o = Object::open(sink);
    o.text(label!("type"), event.type_name());
    match event {
        Event::Welcome(welcome) => welcome_fields(&mut o, welcome),
        Event::Ok { reference, reply } => {
            reference_field(&mut o, reference.as_ref());
            reply_fields(&mut o, reply);
        }
        Event::Subscribed { reference, channel, head, recovered, replay } => {
            reference_field(&mut o, reference.as_ref());
            o.text(label!("channel"), channel);
            position_fields(&mut o, *head);
            if let Some(recovered) = recovered {
                o.flag(label!("recovered"), *recovered);
            }
            o.uint(label!("replay"), *replay);
        }
        Event::Message(message) => message_fields(&mut o, message),
        Event::Gap(gap) => gap_fields(&mut o, gap),
        Event::Presence(presence) => presence_fields(&mut o, presence),
        Event::Unsubscribed { channel, code } => {
            o.text(label!("channel"), channel).text(label!("code"), code.name());
        }
        Event::Error { reference, problem } => {
            reference_field(&mut o, reference.as_ref());
            o.text(label!("code"), problem.code.name());
            o.text(label!("detail"), &problem.detail).text(label!("remedy"), problem.remedy_text());
            o.flag(label!("retryable"), problem.is_retryable());
            o.uint_if(label!("retry_after_ms"), problem.wait_ms());
            if let Some(position) = problem.position {
                position_fields(&mut o, position);
            }
        }
        Event::Pong { reference, time } => {
            reference_field(&mut o, reference.as_ref());
            o.uint(label!("time"), *time);
        }
        Event::Disconnect(problem) => {
            o.text(label!("code"), problem.code.name()).text(label!("detail"), &problem.detail);
            o.uint_if(label!("retry_after_ms"), problem.retry_after_ms);
        }
        Event::Cursor(cursor) => {
            o.text(label!("cursor"), &cursor.to_string());
        }
    }
    o.close();
}

fn reference_field<S: Sink>(o: &mut Object<'_, S>, reference: Option<&Ref>) {
    match reference {
        None => {}
        Some(Ref::Number(n)) => o.value(label!("ref")).int(*n),
        Some(Ref::Text(text)) => o.value(label!("ref")).text(text),
    }
}

fn position_fields<S: Sink>(o: &mut Object<'_, S>, position: Position) {
    o.text(label!("epoch"), position.epoch.as_str()).uint(label!("offset"), position.offset);
}

fn welcome_fields<S: Sink>(o: &mut Object<'_, S>, welcome: &Welcome) {
    o.text(label!("session"), welcome.session.reveal()).text(label!("client"), welcome.client.as_str());
    o.uint(label!("ping_ms"), welcome.ping_ms).uint(label!("idempotency_ms"), welcome.idempotency_ms);
    o.text(label!("version"), welcome.version).uint(label!("time"), welcome.time);
    o.text_if(label!("user"), welcome.user.as_deref()).uint_if(label!("expires_at"), welcome.expires_at);
}

fn message_fields<S: Sink>(o: &mut Object<'_, S>, message: &Message) {
    o.text(label!("channel"), &message.channel);
    if !message.is_ephemeral() {
        o.uint(label!("offset"), message.offset);
    }
    o.text(label!("event"), &message.event);
    o.value(label!("data")).data(&message.data);
    if S::TEXTUAL && matches!(message.data, Data::Binary(_)) {
        o.text(label!("encoding"), "base64");
    }
    o.text(label!("id"), &message.id).uint(label!("time"), message.time);
    o.text_if(label!("key"), message.key.as_deref()).text_if(label!("user"), message.user.as_deref());
    o.text_if(label!("client"), message.client.as_ref().map(|client| client.as_str()));
    if !message.tags.is_empty() {
        let mut tags = Object::open(o.value(label!("tags")));
        for (name, value) in message.tags.iter() {
            tags.entry(name, value);
        }
        tags.close();
    }
}

/// A message as a whole frame.
pub(crate) fn message_frame<S: Sink>(sink: &mut S, message: &Message) {
    let mut o = Object::open(sink);
    o.text(label!("type"), "message");
    message_fields(&mut o, message);
    o.close();
}

/// A message's own object, without `type`.
pub(crate) fn message<S: Sink>(sink: &mut S, message: &Message) {
    let mut o = Object::open(sink);
    message_fields(&mut o, message);
    o.close();
}

fn gap_fields<S: Sink>(o: &mut Object<'_, S>, gap: &Gap) {
    o.text(label!("channel"), &gap.channel);
    position_fields(o, gap.after);
    o.text(label!("reason"), gap.reason.name());
}

/// A gap as polls list it, without `type`.
pub(crate) fn gap<S: Sink>(sink: &mut S, gap: &Gap) {
    let mut o = Object::open(sink);
    gap_fields(&mut o, gap);
    o.close();
}

fn presence_fields<S: Sink>(o: &mut Object<'_, S>, presence: &Presence) {
    o.text(label!("channel"), &presence.channel).text(label!("action"), presence.action.name());
    list(o.value(label!("members")), &presence.members, member);
    o.flag(label!("more"), presence.more)
        .uint(label!("count"), presence.count)
        .uint(label!("users"), presence.users);
}

pub(crate) fn member<S: Sink>(sink: &mut S, member: &Member) {
    let mut o = Object::open(sink);
    o.text(label!("client"), member.client.as_str()).text_if(label!("user"), member.user.as_deref());
    if let Some(info) = &member.info {
        o.value(label!("info")).data(info);
    }
    o.value(label!("data")).data(&member.data);
    o.uint(label!("entered_at"), member.entered_at);
    o.close();
}

fn reply_fields<S: Sink>(o: &mut Object<'_, S>, reply: &Reply) {
    match reply {
        Reply::Done => {}
        Reply::Authenticated { user, expires_at } => {
            o.text_if(label!("user"), user.as_deref()).uint_if(label!("expires_at"), *expires_at);
        }
        Reply::Published(published) => published_fields(o, published),
        Reply::History(page) => history_fields(o, page),
        Reply::Members(page) => members_fields(o, page),
        Reply::Called(args) => args_field(o, args),
    }
}

/// Always an array, as a call's own arguments are.
fn args_field<S: Sink>(o: &mut Object<'_, S>, args: &Args) {
    list(o.value(label!("data")), &args.0, |sink, data| match data {
        Data::Binary(bytes) if S::TEXTUAL => {
            let mut o = Object::open(sink);
            o.value(label!("$bytes")).data(&Data::Binary(bytes.clone()));
            o.close();
        }
        data => sink.data(data),
    });
}

/// An answer to an HTTP request: an `ok` without `type` and `ref`.
pub(crate) fn reply<S: Sink>(sink: &mut S, reply: &Reply) {
    let mut o = Object::open(sink);
    reply_fields(&mut o, reply);
    o.close();
}

fn published_fields<S: Sink>(o: &mut Object<'_, S>, published: &Published) {
    if let Some(position) = published.position {
        o.uint(label!("offset"), position.offset).text(label!("epoch"), position.epoch.as_str());
    }
    o.text(label!("id"), &published.id);
    if published.position.is_some() {
        o.flag(label!("duplicate"), published.duplicate);
    }
}

/// The answer to one publication.
pub(crate) fn published<S: Sink>(sink: &mut S, published: &Published) {
    let mut o = Object::open(sink);
    published_fields(&mut o, published);
    o.close();
}

fn history_fields<S: Sink>(o: &mut Object<'_, S>, page: &HistoryPage) {
    list(o.value(label!("messages")), &page.messages, |sink, item| message(sink, item));
    position_fields(o, page.head);
    o.flag(label!("more"), page.more);
    if page.gap {
        o.flag(label!("gap"), true);
    }
}

fn members_fields<S: Sink>(o: &mut Object<'_, S>, page: &MembersPage) {
    list(o.value(label!("members")), &page.members, member);
    o.uint(label!("count"), page.count).uint(label!("users"), page.users);
    o.text_if(label!("next"), page.next.as_ref().map(|client| client.as_str()));
}

/// A problem document (RFC 9457).
pub(crate) fn problem<S: Sink>(sink: &mut S, problem: &Problem) {
    let code = problem.code;
    let mut o = Object::open(sink);
    o.text(label!("type"), &format!("urn:fanfare:problem:{}", code.name()))
        .text(label!("title"), code.row().title);
    o.uint(label!("status"), code.status().into()).text(label!("detail"), &problem.detail);
    o.text(label!("code"), code.name()).flag(label!("retryable"), problem.is_retryable());
    o.text(label!("remedy"), problem.remedy_text()).uint_if(label!("retry_after_ms"), problem.wait_ms());
    if let Some(position) = problem.position {
        position_fields(&mut o, position);
    }
    o.close();
}
