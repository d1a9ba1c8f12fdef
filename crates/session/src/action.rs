//! What a session asks of the world, and what the world tells it.
use std::{sync::Arc, time::Instant};

use fanfare_protocol::{
    Args, ChannelName, ClientId, Code, Data, Event, EventName, Identity, Position, Problem, Publish,
    SubscribeOptions,
    command::{Page, Token},
    event::{HistoryPage, MembersPage, Published},
};

/// The time, as an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For intervals.
    pub mono: Instant,
    /// For the wire: milliseconds since 1970.
    pub unix_ms: u64,
}

/// Joins a [`HubCall`] to its [`HubEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a session asks of its driver, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Write this frame, before any data that is written later.
    Send(Event),
    /// Write a WebSocket Ping (other transports: a keep-alive).
    Ping,
    /// Do this.
    Hub(HubCall),
    /// What [`crate::Session::join`] asked for has come to be, or why not.
    Joined {
        /// The channel.
        channel: ChannelName,
        /// The connection reads it.
        result: Result<(), Problem>,
    },
    /// Write what was sent, then close.
    Close(Close),
}

/// How a connection ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

/// A close frame's reason is at most so long (RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code).
const REASON_BYTES: usize = 123;

impl Close {
    /// The close that ends a connection because of this problem.
    pub fn of(problem: &Problem) -> Self {
        let mut reason = format!("{}: {}", problem.code.name(), problem.detail);
        while reason.len() > REASON_BYTES {
            reason.pop();
        }
        Self { code: problem.code.close(), reason }
    }
}

/// Who publishes or enters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Author {
    /// The user, if the credentials name one.
    pub user: Option<Arc<str>>,
    /// The token's `info`.
    pub info: Option<Data>,
    /// The client; none for API keys.
    pub client: Option<ClientId>,
}

/// What a session asks of the hub (or of auth). Calls with a ticket are answered by one [`HubEvent`] with that ticket; their order
/// per channel is the order in which they must take effect.
#[derive(Clone, PartialEq, Debug)]
pub enum HubCall {
    /// Verify credentials.
    Authenticate {
        /// Joins the answer.
        ticket: Ticket,
        /// As sent.
        token: Token,
    },
    /// Attach a reader, or move the one that is attached (a seek). Rights were checked.
    Subscribe {
        /// Joins the answer.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// How to read it.
        options: SubscribeOptions,
    },
    /// Hand over nothing more of this channel from this moment on: a command's token grants it no longer. Follows its `Subscribe`; ends with
    /// `Unsubscribe` or the next `Subscribe`. Not answered.
    Until {
        /// The channel.
        channel: ChannelName,
        /// Milliseconds since 1970; none lifts the limit.
        unix_ms: Option<u64>,
    },
    /// Detach the reader, now: nothing of the channel is written afterwards. Not answered.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Append. Rights, size and rate were checked.
    Publish {
        /// Joins the answer.
        ticket: Ticket,
        /// What.
        publish: Box<Publish>,
        /// By whom.
        author: Author,
    },
    /// Read a page of the past.
    History {
        /// Joins the answer.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// Which page.
        page: Page,
    },
    /// Read a page of members.
    Members {
        /// Joins the answer.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// Members a page; 0 for counts only.
        limit: usize,
        /// The last client of the page before.
        after: Option<ClientId>,
    },
    /// Become a member, or change one's data; held by this connection until it leaves or ends.
    Enter {
        /// Joins the answer.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// Who.
        author: Author,
        /// What others see.
        data: Data,
    },
    /// Stop being a member, now.
    Leave {
        /// Joins the answer.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// Who asks.
        user: Option<Arc<str>>,
    },
    /// Hand an event to the application. Size and rate were checked. Calls are made in the order in which they are asked for.
    Call {
        /// Joins the answer.
        ticket: Ticket,
        /// `/`, `/chat`.
        namespace: Arc<str>,
        /// The event's name.
        event: EventName,
        /// Its arguments.
        args: Args,
    },
    /// The client answers an event of the application's.
    Answer {
        /// Joins the answer.
        ticket: Ticket,
        /// Which event.
        id: Arc<str>,
        /// The answer.
        args: Args,
    },
    /// Who this connection is now, for lists and revocation; nothing is delivered after `identity.expires_at`.
    Identify {
        /// The identity.
        identity: Arc<Identity>,
    },
}

/// What the world tells a session.
#[derive(Clone, PartialEq, Debug)]
pub enum HubEvent {
    /// Answers [`HubCall::Authenticate`].
    Authenticated(Ticket, Result<Arc<Identity>, Problem>),
    /// Answers [`HubCall::Subscribe`]. Data flows only after the `subscribed` that this causes was sent.
    Subscribed(Ticket, Result<Subscribed, Problem>),
    /// Answers [`HubCall::Publish`].
    Published(Ticket, Result<Published, Problem>),
    /// Answers [`HubCall::History`].
    History(Ticket, Result<HistoryPage, Problem>),
    /// Answers [`HubCall::Members`].
    Members(Ticket, Result<MembersPage, Problem>),
    /// Answers [`HubCall::Enter`] and [`HubCall::Leave`] (`not_found` when there was nothing to leave).
    Entered(Ticket, Result<(), Problem>),
    /// Answers [`HubCall::Call`].
    Called(Ticket, Result<Args, Problem>),
    /// Answers [`HubCall::Answer`] (`not_found` when nobody waits for it).
    Answered(Ticket, Result<(), Problem>),
    /// The hub ended a subscription.
    Ended(ChannelName, Code),
    /// The connection must end: revoked, draining, fallen off the log, disconnected by an operator.
    Disconnect(Problem),
}

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribed {
    /// The head at that moment.
    pub head: Position,
    /// Whether everything after `since` follows; none when `since` was not given.
    pub recovered: Option<bool>,
    /// How many messages of the past follow.
    pub replay: u64,
}

/// Signs of life, told by the driver. Silence counts only while nothing is waiting to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Bytes came in.
    Received,
    /// The socket accepted bytes. It may be told late, just before a timeout. In the first second after a ping it is no sign of life:
    /// it may be the ping itself.
    Accepted,
    /// Output is waiting for the socket.
    Blocked,
    /// Nothing waits any more.
    Drained,
}
