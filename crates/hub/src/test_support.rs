//! What unit tests share: messages, and a wire form that counts what it encodes.
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use fanfare_protocol::{ChannelName, ClientId, Cursor, Data, Epoch, Event, EventName, Message, Tags};

use crate::{Form, WireForm};

/// A message is `[offset:id]`, a cursor `<cursor>`, an event its `Debug`.
pub struct Counting {
    id: u16,
    encoded: AtomicU64,
}

impl Counting {
    /// A form of its own for a test, with its counter.
    pub fn form(id: u16) -> (Form, &'static AtomicU64) {
        let form: &'static Self = Box::leak(Box::new(Self { id, encoded: AtomicU64::new(0) }));
        (Form(form), &form.encoded)
    }
}

impl WireForm for Counting {
    fn id(&self) -> u16 {
        self.id
    }
    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        self.encoded.fetch_add(1, SeqCst);
        let pad = ".".repeat(message.data.len());
        out.extend(format!("[{}:{}{pad}]", message.offset, message.id).bytes());
    }
    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Presence(p) => {
                let members = p.members.iter().map(|m| m.client.as_str().trim_start_matches('m'));
                let members: Vec<_> = members.map(|m| m.trim_start_matches('0')).collect();
                out.extend(
                    format!("{}{}:{};", p.action.name(), if p.more { "+" } else { "" }, members.join(","))
                        .bytes(),
                );
            }
            other => out.extend(format!("{other:?}").bytes()),
        }
    }
    fn cursor(&self, cursor: &Cursor, out: &mut Vec<u8>) {
        out.extend(format!("<{cursor}>").bytes());
    }
}

pub fn epoch() -> Epoch {
    "e".parse().unwrap()
}

pub fn client(n: u64) -> ClientId {
    ClientId::parse(&format!("m{n:015}")).unwrap()
}

/// Message `offset` (0: ephemeral) with an id and so many bytes of payload.
pub fn message(offset: u64, id: u64, pad: usize) -> Message {
    Message {
        channel: ChannelName::parse("c").unwrap(),
        epoch: epoch(),
        offset,
        event: EventName::parse("say").unwrap(),
        data: Data::Json("x".repeat(pad).into_bytes().into()),
        id: id.to_string().into(),
        time: 0,
        key: None,
        user: None,
        client: None,
        origin: None,
        tags: Tags::default(),
    }
}
