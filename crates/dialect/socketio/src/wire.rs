//! How messages and what else the hub says become Socket.IO's packets. A message's bytes depend on it and on the form alone, so all who asked for the
//! form share them.
use fanfare_protocol::{
    Data, Event, Format, Member, Message, PresenceAction, Problem, Ref, Reply, args::ARGS_TAG, json as native,
};

use crate::{
    attachments, json, msgpack, offset,
    packet::{Kind, push_head},
};

/// How an event carries a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Layout {
    /// What handlers joined: `[event, ...args, offset]`.
    Rooms,
    /// What clients subscribed to: `[event, data, {channel,id,time,user,client,key}, offset]`.
    Channels,
    /// Laravel Echo's: `[event, channel, data, offset]`.
    Echo,
}

/// How packets are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Parser {
    /// Text, with bytes as attachments.
    Json,
    /// A packet is one MessagePack map in a binary frame.
    MsgPack,
}

/// Where packets go: text, its Engine.IO type included, and bytes.
pub trait Frames {
    /// One text packet.
    fn text(&mut self, packet: &[u8]);
    /// One binary packet.
    fn binary(&mut self, bytes: &[u8]);
}

/// One form of packets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wire {
    /// Of which namespace.
    pub namespace: Box<str>,
    /// How messages stand in events.
    pub layout: Layout,
    /// How packets are encoded.
    pub parser: Parser,
    /// Whether events end with their position, as clients need that can recover.
    pub positions: bool,
}

impl Wire {
    /// Writes a packet: an array or object as compact JSON, in which bytes stand as the hub writes them.
    pub fn packet(&self, kind: Kind, id: Option<u64>, json: &[u8], frames: &mut dyn Frames) {
        if self.parser == Parser::MsgPack {
            return frames.binary(&msgpack::encode(kind, &self.namespace, id, json));
        }
        let mut out = Vec::with_capacity(json.len() + self.namespace.len() + 24);
        out.push(b'4');
        if attachments::may_hold_bytes(json) {
            let (json, taken) = attachments::take_out(json);
            push_head(&mut out, kind, taken.len(), &self.namespace, id);
            out.extend_from_slice(&json);
            frames.text(&out);
            taken.iter().for_each(|bytes| frames.binary(bytes));
            return;
        }
        push_head(&mut out, kind, 0, &self.namespace, id);
        out.extend_from_slice(json);
        frames.text(&out);
    }

    /// Writes a message as an event.
    pub fn message(&self, message: &Message, frames: &mut dyn Frames) {
        let mut array = Vec::with_capacity(message.data.len() + 200);
        array.push(b'[');
        json::push_string(&mut array, &message.event);
        let ends_with_text = match self.layout {
            Layout::Rooms => push_args(&mut array, message),
            Layout::Channels => {
                array.push(b',');
                push_data(&mut array, &message.data);
                push_about(&mut array, message);
                false
            }
            Layout::Echo => {
                array.push(b',');
                json::push_string(&mut array, &message.channel);
                array.push(b',');
                push_data(&mut array, &message.data);
                is_text(&message.data)
            }
        };
        if self.positions {
            if !message.is_ephemeral() {
                array.push(b',');
                offset::push_element(&mut array, &message.channel, message.position());
            } else if ends_with_text {
                // A client takes a string at the end of an event for its position.
                array.extend_from_slice(b",null");
            }
        }
        array.push(b']');
        self.packet(Kind::Event, None, &array, frames);
    }

    /// Writes what else there is to say: answers as acks, the rest as events of the hub's own.
    pub fn event(&self, event: &Event, frames: &mut dyn Frames) {
        match event {
            Event::Ok { reference, reply } => self.answer(reference.as_ref(), &reply_json(reply), frames),
            Event::Subscribed { reference, head, recovered, .. } => {
                let reply = format!(
                    "{{\"epoch\":\"{}\",\"offset\":{},\"recovered\":{}}}",
                    head.epoch,
                    head.offset,
                    recovered.unwrap_or(false)
                );
                self.answer(reference.as_ref(), reply.as_bytes(), frames);
            }
            Event::Error { reference: Some(reference), problem } => {
                self.answer(Some(reference), &error_json(problem), frames);
            }
            Event::Error { reference: None, problem } => {
                self.own("fanfare.error", problem_json(problem).as_bytes(), frames);
            }
            Event::Presence(presence) if self.layout == Layout::Echo => {
                let members: Vec<String> = presence.members.iter().map(echo_member).collect();
                match presence.action {
                    PresenceAction::Present => {
                        self.echo("presence:subscribed", &presence.channel, &json::array(&members), frames);
                    }
                    PresenceAction::Enter => members
                        .iter()
                        .for_each(|member| self.echo("presence:joining", &presence.channel, member, frames)),
                    PresenceAction::Leave => members
                        .iter()
                        .for_each(|member| self.echo("presence:leaving", &presence.channel, member, frames)),
                    PresenceAction::Update => {}
                }
            }
            Event::Gap(_) | Event::Presence(_) | Event::Unsubscribed { .. } => {
                self.own(&format!("fanfare.{}", event.type_name()), &fields_json(event), frames);
            }
            Event::Message(message) => self.message(message, frames),
            Event::Welcome(_) | Event::Pong { .. } | Event::Disconnect(_) | Event::Cursor(_) => {}
        }
    }

    fn answer(&self, reference: Option<&Ref>, object: &[u8], frames: &mut dyn Frames) {
        if let Some(Ref::Number(id)) = reference
            && let Ok(id) = u64::try_from(*id)
        {
            self.packet(Kind::Ack, Some(id), &[b"[", object, b"]"].concat(), frames);
        }
    }

    fn own(&self, name: &str, object: &[u8], frames: &mut dyn Frames) {
        let mut array = vec![b'['];
        json::push_string(&mut array, name);
        array.push(b',');
        array.extend_from_slice(object);
        array.push(b']');
        self.packet(Kind::Event, None, &array, frames);
    }

    fn echo(&self, name: &str, channel: &str, data: &str, frames: &mut dyn Frames) {
        let array = json::array(&[json::string(name).as_str(), json::string(channel).as_str(), data]);
        self.packet(Kind::Event, None, array.as_bytes(), frames);
    }
}

/// Appends the payload, bytes as the hub writes them inside JSON.
fn push_data(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Json(text) => out.extend_from_slice(text),
        Data::Binary(bytes) => attachments::push_bytes(out, bytes),
    }
}

fn is_text(data: &Data) -> bool {
    matches!(data, Data::Json(text) if text.starts_with(b"\""))
}

/// Appends `,` and the arguments of an event; true when the array as it stands ends with a string.
fn push_args(out: &mut Vec<u8>, message: &Message) -> bool {
    let count = message.tags.iter().find(|(name, _)| **name == *ARGS_TAG).map(|(_, count)| count);
    if let (Some(count), Data::Json(text)) = (count, &message.data)
        && let Some(elements) = std::str::from_utf8(text).ok().and_then(json::elements)
        && count.parse() == Ok(elements.len())
    {
        for element in &elements {
            out.push(b',');
            out.extend_from_slice(element.as_bytes());
        }
        // Without arguments the event's own name is the end.
        return elements.last().is_none_or(|last| last.starts_with('"'));
    }
    out.push(b',');
    push_data(out, &message.data);
    is_text(&message.data)
}

/// Appends `,` and what is known of a message beside its data.
fn push_about(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(b",{\"channel\":");
    json::push_string(out, &message.channel);
    out.extend_from_slice(b",\"id\":");
    json::push_string(out, &message.id);
    out.extend_from_slice(format!(",\"time\":{}", message.time).as_bytes());
    let client = message.client.as_ref().map(|client| client.as_str());
    for (name, value) in
        [("user", message.user.as_deref()), ("client", client), ("key", message.key.as_deref())]
    {
        if let Some(value) = value {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::push_string(out, value);
        }
    }
    out.push(b'}');
}

fn reply_json(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Published(published) => match published.position {
            Some(at) => format!(
                "{{\"epoch\":\"{}\",\"offset\":{},\"duplicate\":{}}}",
                at.epoch, at.offset, published.duplicate
            )
            .into_bytes(),
            None => format!("{{\"id\":{}}}", json::string(&published.id)).into_bytes(),
        },
        other => native::reply(other),
    }
}

/// A problem as clients of this dialect see it.
pub fn problem_json(problem: &Problem) -> String {
    format!(
        "{{\"code\":\"{}\",\"detail\":{},\"remedy\":{}}}",
        problem.code.name(),
        json::string(&problem.detail),
        json::string(problem.remedy_text())
    )
}

/// The element of an ack that says no.
pub fn error_json(problem: &Problem) -> Vec<u8> {
    format!("{{\"error\":{}}}", problem_json(problem)).into_bytes()
}

/// The payload of a CONNECT_ERROR.
pub fn refusal_json(problem: &Problem) -> String {
    format!(
        "{{\"message\":{},\"data\":{{\"code\":\"{}\",\"remedy\":{}}}}}",
        json::string(&problem.detail),
        problem.code.name(),
        json::string(problem.remedy_text())
    )
}

/// A native frame without its `type`, which the event's name says.
fn fields_json(event: &Event) -> Vec<u8> {
    let mut frame = Vec::new();
    Format::Json.encode(event, &mut frame);
    let head = format!("{{\"type\":\"{}\",", event.type_name());
    match frame.strip_prefix(head.as_bytes()) {
        Some(rest) => [b"{", rest].concat(),
        None => frame,
    }
}

/// A member as Laravel Echo knows them.
fn echo_member(member: &Member) -> String {
    let id = member.user.as_deref().unwrap_or(member.client.as_str());
    let mut info = Vec::new();
    match &member.info {
        Some(told) => push_data(&mut info, told),
        None => push_data(&mut info, &member.data),
    }
    let info = String::from_utf8(info).unwrap_or_else(|_| "null".to_owned());
    format!("{{\"user_id\":{},\"user_info\":{info}}}", json::string(id))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
