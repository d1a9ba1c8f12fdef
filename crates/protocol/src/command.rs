//! What a client says.
use std::sync::Arc;

use crate::{Ack, Args, ChannelName, ClientId, Data, EventName, Position, SubscribeOptions, Tags};

/// A client's own number or name for a request, echoed in the reply.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ref {
    /// An integer.
    Number(i64),
    /// A string, at most 128 bytes.
    Text(Arc<str>),
}

/// A command with the client's reference to it.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Echoed in the reply; without it an `ok` is not sent.
    pub reference: Option<Ref>,
    /// What to do.
    pub command: Command,
}

/// What a client asks for on a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Show or renew credentials.
    Auth {
        /// A JWT or API key.
        token: Token,
    },
    /// Read a channel, or seek where it is read already.
    Subscribe {
        /// Which.
        channel: ChannelName,
        /// How.
        options: SubscribeOptions,
        /// Grants for this channel only.
        token: Option<Token>,
    },
    /// Stop reading.
    Unsubscribe {
        /// Which.
        channel: ChannelName,
    },
    /// Say something.
    Publish {
        /// What.
        publish: Box<Publish>,
        /// Grants for this channel only.
        token: Option<Token>,
    },
    /// A page of the past.
    History {
        /// Of which channel.
        channel: ChannelName,
        /// Which page.
        page: Page,
    },
    /// Who is there.
    Members {
        /// In which channel.
        channel: ChannelName,
        /// Members a page; 0 for counts only.
        limit: usize,
        /// Where the page begins: the last client of the page before.
        after: Option<ClientId>,
    },
    /// Become a member, or change what one's membership says.
    Enter {
        /// Of which channel.
        channel: ChannelName,
        /// Shown to others.
        data: Data,
        /// Grants for this channel only.
        token: Option<Token>,
    },
    /// Stop being a member.
    Leave {
        /// Of which channel.
        channel: ChannelName,
    },
    /// An event for the application's own handlers.
    Call {
        /// `/`, `/chat`; the application knows which there are.
        namespace: Arc<str>,
        /// The event's name.
        event: EventName,
        /// Its arguments.
        args: Args,
    },
    /// The answer to an event that the application wants answered.
    Answer {
        /// As the event's tag `ack` said.
        id: Arc<str>,
        /// What is answered.
        args: Args,
    },
    /// Answer me.
    Ping,
}

/// Credentials as sent. Never logged: its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A message that is not yet in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Where.
    pub channel: ChannelName,
    /// The event's name.
    pub event: EventName,
    /// The payload.
    pub data: Data,
    /// The key, for keyed channels.
    pub key: Option<Arc<str>>,
    /// The publisher's idempotency id.
    pub id: Option<Arc<str>>,
    /// At most 16 pairs.
    pub tags: Tags,
    /// Kept nowhere; only readers at the head get it.
    pub ephemeral: bool,
    /// When the publisher is answered; the namespace's choice if absent.
    pub ack: Option<Ack>,
    /// Keyed: the key is removed after so many milliseconds.
    pub ttl_ms: Option<u64>,
    /// Append only if this is the head.
    pub condition: Option<Position>,
    /// API keys only: the client whose `echo=0` subscriptions skip this.
    pub client: Option<ClientId>,
}

impl Publish {
    /// A message with nothing but data.
    pub fn new(channel: ChannelName, data: Data) -> Self {
        Self {
            channel,
            event: EventName::default(),
            data,
            key: None,
            id: None,
            tags: Tags::default(),
            ephemeral: false,
            ack: None,
            ttl_ms: None,
            condition: None,
            client: None,
        }
    }
}

/// Which part of the past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// Exclusive; from the oldest if absent.
    pub since: Option<Position>,
    /// Exclusive; an unusable one is ignored.
    pub before: Option<Position>,
    /// Messages a page, 1 to 1,000.
    pub limit: usize,
    /// From `before` or the head backwards.
    pub reverse: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { since: None, before: None, limit: 100, reverse: false }
    }
}
