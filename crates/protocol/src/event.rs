//! What the server says.
use std::sync::Arc;

use crate::{Args, ChannelName, ClientId, Code, Cursor, Member, Message, Position, Problem, Ref, SessionId};

/// One frame from the server.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// First on a WebSocket.
    Welcome(Box<Welcome>),
    /// A command was carried out.
    Ok {
        /// The client's reference.
        reference: Option<Ref>,
        /// The fields of the same HTTP answer.
        reply: Reply,
    },
    /// A subscription begins, or goes on from elsewhere.
    Subscribed {
        /// The client's reference.
        reference: Option<Ref>,
        /// The channel.
        channel: ChannelName,
        /// The head: messages up to it are the past, above it live.
        head: Position,
        /// Whether everything after `since` follows; none when `since` was not given.
        recovered: Option<bool>,
        /// How many messages of the past follow.
        replay: u64,
    },
    /// A message of a channel.
    Message(Arc<Message>),
    /// Something was lost; what is left follows, from `after.offset + 1`.
    Gap(Gap),
    /// Members, or what changed among them.
    Presence(Presence),
    /// A subscription ended by the server.
    Unsubscribed {
        /// The channel.
        channel: ChannelName,
        /// Why.
        code: Code,
    },
    /// A command was refused.
    Error {
        /// The client's reference.
        reference: Option<Ref>,
        /// Why, and what to do.
        problem: Problem,
    },
    /// The answer to a ping.
    Pong {
        /// The client's reference.
        reference: Option<Ref>,
        /// Milliseconds since 1970.
        time: u64,
    },
    /// The connection ends.
    Disconnect(Problem),
    /// Stream only: where a reader stands after a quiet spell.
    Cursor(Cursor),
}

/// The first frame of a WebSocket.
#[derive(Clone, PartialEq, Debug)]
pub struct Welcome {
    /// The client's secret.
    pub session: SessionId,
    /// Its public name.
    pub client: ClientId,
    /// The server pings so often, in milliseconds.
    pub ping_ms: u64,
    /// A publish with an id may be repeated so long.
    pub idempotency_ms: u64,
    /// The server's version.
    pub version: &'static str,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The user, if known.
    pub user: Option<Arc<str>>,
    /// When the token expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
}

/// Why, and from where, a reader goes on after a loss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The channel.
    pub channel: ChannelName,
    /// What is left follows from `after.offset + 1`.
    pub after: Position,
    /// Why.
    pub reason: GapReason,
}

/// Why something was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GapReason {
    /// Retention removed it.
    Expired,
    /// The position belongs to another epoch, or lies beyond the head.
    Epoch,
    /// The reader fell off the log.
    Slow,
}

impl GapReason {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Epoch => "epoch",
            Self::Slow => "slow",
        }
    }
}

/// Members of a channel, or what changed among them in one tick.
#[derive(Clone, PartialEq, Debug)]
pub struct Presence {
    /// The channel.
    pub channel: ChannelName,
    /// What happened to these members.
    pub action: PresenceAction,
    /// At most 100.
    pub members: Vec<Member>,
    /// `present` pages: whether another follows.
    pub more: bool,
    /// Clients that are members now.
    pub count: u64,
    /// Distinct users among them.
    pub users: u64,
}

/// What happened to members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceAction {
    /// They were there already.
    Present,
    /// They came.
    Enter,
    /// Their data changed.
    Update,
    /// They left.
    Leave,
}

impl PresenceAction {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Enter => "enter",
            Self::Update => "update",
            Self::Leave => "leave",
        }
    }
}

/// The fields of an `ok`, and of the HTTP answer to the same request.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// Credentials were taken.
    Authenticated {
        /// The user, if any.
        user: Option<Arc<str>>,
        /// Milliseconds since 1970.
        expires_at: Option<u64>,
    },
    /// A message was appended (or, ephemeral, sent on: then without a position).
    Published(Published),
    /// A page of the past.
    History(HistoryPage),
    /// A page of members.
    Members(MembersPage),
    /// What the application's handler answered.
    Called(Args),
}

/// The answer to a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// None for an ephemeral message.
    pub position: Option<Position>,
    /// The publisher's id, or the server's.
    pub id: Arc<str>,
    /// True when the id had been published already; the position is the first one's.
    pub duplicate: bool,
}

/// A page of the past.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryPage {
    /// In the order asked for.
    pub messages: Vec<Arc<Message>>,
    /// The channel's head.
    pub head: Position,
    /// Whether more follows in that direction.
    pub more: bool,
    /// True when what follows `since` was lost.
    pub gap: bool,
}

/// A page of members.
#[derive(Clone, PartialEq, Debug)]
pub struct MembersPage {
    /// Ordered by client.
    pub members: Vec<Member>,
    /// Clients that are members.
    pub count: u64,
    /// Distinct users among them.
    pub users: u64,
    /// Where the next page begins, if there is one.
    pub next: Option<ClientId>,
}
