//! The one definition of every frame and answer of the server: which fields, in which order.
use crate::{
    Args, Data, Event, Member, Message, Position, Presence, Problem, Ref, Reply,
    event::{Gap, HistoryPage, MembersPage, Published, Welcome},
    sink::{Object, Sink, list},
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
    o.text("type", event.type_name());
    match event {
        Event::Welcome(welcome) => welcome_fields(&mut o, welcome),
        Event::Ok { reference, reply } => {
            reference_field(&mut o, reference.as_ref());
            reply_fields(&mut o, reply);
        }
        Event::Subscribed { reference, channel, head, recovered, replay } => {
            reference_field(&mut o, reference.as_ref());
            o.text("channel", channel);
            position_fields(&mut o, *head);
            if let Some(recovered) = recovered {
                o.flag("recovered", *recovered);
            }
            o.uint("replay", *replay);
        }
        Event::Message(message) => message_fields(&mut o, message),
        Event::Gap(gap) => gap_fields(&mut o, gap),
        Event::Presence(presence) => presence_fields(&mut o, presence),
        Event::Unsubscribed { channel, code } => {
            o.text("channel", channel).text("code", code.name());
        }
        Event::Error { reference, problem } => {
            reference_field(&mut o, reference.as_ref());
            o.text("code", problem.code.name());
            o.text("detail", &problem.detail).text("remedy", problem.remedy_text());
            o.flag("retryable", problem.is_retryable());
            o.uint_if("retry_after_ms", problem.wait_ms());
            if let Some(position) = problem.position {
                position_fields(&mut o, position);
            }
        }
        Event::Pong { reference, time } => {
            reference_field(&mut o, reference.as_ref());
            o.uint("time", *time);
        }
        Event::Disconnect(problem) => {
            o.text("code", problem.code.name()).text("detail", &problem.detail);
            o.uint_if("retry_after_ms", problem.retry_after_ms);
        }
        Event::Cursor(cursor) => {
            o.text("cursor", &cursor.to_string());
        }
    }
    o.close();
}

fn reference_field<S: Sink>(o: &mut Object<'_, S>, reference: Option<&Ref>) {
    match reference {
        None => {}
        Some(Ref::Number(n)) => o.value("ref").int(*n),
        Some(Ref::Text(text)) => o.value("ref").text(text),
    }
}

fn position_fields<S: Sink>(o: &mut Object<'_, S>, position: Position) {
    o.text("epoch", position.epoch.as_str()).uint("offset", position.offset);
}

fn welcome_fields<S: Sink>(o: &mut Object<'_, S>, welcome: &Welcome) {
    o.text("session", welcome.session.reveal()).text("client", welcome.client.as_str());
    o.uint("ping_ms", welcome.ping_ms).uint("idempotency_ms", welcome.idempotency_ms);
    o.text("version", welcome.version).uint("time", welcome.time);
    o.text_if("user", welcome.user.as_deref()).uint_if("expires_at", welcome.expires_at);
}

fn message_fields<S: Sink>(o: &mut Object<'_, S>, message: &Message) {
    o.text("channel", &message.channel);
    if !message.is_ephemeral() {
        o.uint("offset", message.offset);
    }
    o.text("event", &message.event);
    o.value("data").data(&message.data);
    if S::TEXTUAL && matches!(message.data, Data::Binary(_)) {
        o.text("encoding", "base64");
    }
    o.text("id", &message.id).uint("time", message.time);
    o.text_if("key", message.key.as_deref()).text_if("user", message.user.as_deref());
    o.text_if("client", message.client.as_ref().map(|client| client.as_str()));
    if !message.tags.is_empty() {
        let mut tags = Object::open(o.value("tags"));
        for (name, value) in message.tags.iter() {
            tags.entry(name, value);
        }
        tags.close();
    }
}

/// A message as a whole frame.
pub(crate) fn message_frame<S: Sink>(sink: &mut S, message: &Message) {
    let mut o = Object::open(sink);
    o.text("type", "message");
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
    o.text("channel", &gap.channel);
    position_fields(o, gap.after);
    o.text("reason", gap.reason.name());
}

/// A gap as polls list it, without `type`.
pub(crate) fn gap<S: Sink>(sink: &mut S, gap: &Gap) {
    let mut o = Object::open(sink);
    gap_fields(&mut o, gap);
    o.close();
}

fn presence_fields<S: Sink>(o: &mut Object<'_, S>, presence: &Presence) {
    o.text("channel", &presence.channel).text("action", presence.action.name());
    list(o.value("members"), &presence.members, member);
    o.flag("more", presence.more).uint("count", presence.count).uint("users", presence.users);
}

pub(crate) fn member<S: Sink>(sink: &mut S, member: &Member) {
    let mut o = Object::open(sink);
    o.text("client", member.client.as_str()).text_if("user", member.user.as_deref());
    if let Some(info) = &member.info {
        o.value("info").data(info);
    }
    o.value("data").data(&member.data);
    o.uint("entered_at", member.entered_at);
    o.close();
}

fn reply_fields<S: Sink>(o: &mut Object<'_, S>, reply: &Reply) {
    match reply {
        Reply::Done => {}
        Reply::Authenticated { user, expires_at } => {
            o.text_if("user", user.as_deref()).uint_if("expires_at", *expires_at);
        }
        Reply::Published(published) => published_fields(o, published),
        Reply::History(page) => history_fields(o, page),
        Reply::Members(page) => members_fields(o, page),
        Reply::Called(args) => args_field(o, args),
    }
}

/// Always an array, as a call's own arguments are.
fn args_field<S: Sink>(o: &mut Object<'_, S>, args: &Args) {
    list(o.value("data"), &args.0, |sink, data| match data {
        Data::Binary(bytes) if S::TEXTUAL => {
            let mut o = Object::open(sink);
            o.value("$bytes").data(&Data::Binary(bytes.clone()));
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
        o.uint("offset", position.offset).text("epoch", position.epoch.as_str());
    }
    o.text("id", &published.id);
    if published.position.is_some() {
        o.flag("duplicate", published.duplicate);
    }
}

/// The answer to one publication.
pub(crate) fn published<S: Sink>(sink: &mut S, published: &Published) {
    let mut o = Object::open(sink);
    published_fields(&mut o, published);
    o.close();
}

fn history_fields<S: Sink>(o: &mut Object<'_, S>, page: &HistoryPage) {
    list(o.value("messages"), &page.messages, |sink, item| message(sink, item));
    position_fields(o, page.head);
    o.flag("more", page.more);
    if page.gap {
        o.flag("gap", true);
    }
}

fn members_fields<S: Sink>(o: &mut Object<'_, S>, page: &MembersPage) {
    list(o.value("members"), &page.members, member);
    o.uint("count", page.count).uint("users", page.users);
    o.text_if("next", page.next.as_ref().map(|client| client.as_str()));
}

/// A problem document (RFC 9457).
pub(crate) fn problem<S: Sink>(sink: &mut S, problem: &Problem) {
    let code = problem.code;
    let mut o = Object::open(sink);
    o.text("type", &format!("urn:fanfare:problem:{}", code.name())).text("title", code.row().title);
    o.uint("status", code.status().into()).text("detail", &problem.detail);
    o.text("code", code.name()).flag("retryable", problem.is_retryable());
    o.text("remedy", problem.remedy_text()).uint_if("retry_after_ms", problem.wait_ms());
    if let Some(position) = problem.position {
        position_fields(&mut o, position);
    }
    o.close();
}
