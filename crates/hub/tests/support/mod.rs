//! What the hub's tests share: a wire form that can be read back, a socket with chosen appetite, a broker that answers late.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod broker;
pub mod form;
pub mod rules;
pub mod socket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Wake,
};

use fanfare_broker::{Append, Author};
use fanfare_protocol::{ChannelName, ClientId, Data, EventName, Publish, Tags};

/// Remembers that it was woken.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Flag {
    pub fn raise(&self) {
        self.0.store(true, SeqCst);
    }
    pub fn take(&self) -> bool {
        self.0.swap(false, SeqCst)
    }
    pub fn is_up(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

/// Client number `n`.
pub fn client(n: usize) -> ClientId {
    ClientId::parse(&format!("client{n:010}")).unwrap()
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// A message as its publisher sends it.
pub struct Draft<'a> {
    pub channel: &'a ChannelName,
    pub serial: u64,
    pub pad: usize,
    pub key: Option<String>,
    pub null: bool,
    pub ephemeral: bool,
    pub origin: Option<ClientId>,
    pub unix_ms: u64,
}

impl Draft<'_> {
    pub fn append(self) -> Append {
        let data = if self.null {
            Data::NULL
        } else {
            Data::Json(format!("\"{}\"", "x".repeat(self.pad)).into_bytes().into())
        };
        Append {
            publish: Publish {
                channel: self.channel.clone(),
                event: EventName::parse("say").unwrap(),
                data,
                key: self.key.map(Into::into),
                id: Some(format!("s{}", self.serial).into()),
                tags: Tags::default(),
                ephemeral: self.ephemeral,
                ack: None,
                ttl_ms: None,
                condition: None,
                client: None,
            },
            author: Author { user: None, client: self.origin },
            unix_ms: self.unix_ms,
        }
    }
}

/// A plain message.
pub fn say(channel: &ChannelName, serial: u64, pad: usize) -> Append {
    Draft { channel, serial, pad, key: None, null: false, ephemeral: false, origin: None, unix_ms: 1 }
        .append()
}
