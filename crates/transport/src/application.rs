//! The application's own logic, as every transport calls it: namespaces, events with arguments and answers, rooms.
//!
//! An [`Application`] has namespaces (`/`, `/chat`). A client that comes to one is a [`Visit`]: the application's middlewares decide whether it
//! may, and events from it go to their handlers. What handlers do to that client goes through its [`Peer`], which is the transport's: Socket.IO,
//! a native WebSocket, or nothing at all for a call over HTTP. Who implements what:
//!
//! | | implements | calls |
//! |---|---|---|
//! | a transport | [`Peer`], one for each connection and namespace | [`Application::knows`], [`Application::enter`], every method of [`Visit`] |
//! | the application | [`Application`], [`Visit`] | every method of [`Peer`] |
//!
//! **Order.** A transport calls [`Visit::call`] in the order in which events came, without waiting for answers. Handlers run on tasks of their own;
//! the application keeps the order of one visit's events, unless a handler was declared concurrent, and bounds how many wait
//! ([`Visit::has_room`]: read no more from a client while it has none).
//!
//! **Rooms are channels.** [`room_channel`] says which. A handler's `join` becomes [`Peer::join`]; an emit to a room is a publication on its channel,
//! an emit to one client one on its private channel ([`private_channel`]), one to a whole namespace one on [`namespace_channel`]. The application
//! joins a peer to the last two itself, when there is something to say there. How arguments stand in a message: [`Args::into_data`]
//! and [`Args::of_message`]. A message is kept from the client that caused it by its origin: a peer therefore joins with `echo` off.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use fanfare_protocol::{Args, ChannelName, ClientId, Code, Data, EventName, Identity, Position, Problem};
use percent_encoding::{percent_decode_str, percent_encode_byte};
use serde::de::DeserializeOwned;

use crate::authorizer::Asker;

/// An outcome, later; it borrows nothing.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// How a client comes to a namespace.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// `/`, `/chat`; checked by [`fanfare_protocol::name::check_namespace`], without query.
    pub namespace: Arc<str>,
    /// Who it is by its credentials, and the request that its connection came with.
    pub asker: Asker,
    /// What it said in coming: the payload of Socket.IO's CONNECT, a JSON object. `{}` where a transport has no such thing.
    pub auth: Data,
    /// The name of its transport, for lists and handlers: `websocket`, `socketio`, `http`.
    pub transport: &'static str,
    /// It goes on from an interrupted connection, under the same [`Peer::sid`], and has missed nothing.
    pub recovered: bool,
    /// The channels of the rooms that it is in already, because it goes on. Middlewares see it coming as anyone.
    pub channels: Vec<ChannelName>,
}

impl Handshake {
    /// Who it is by its credentials.
    pub fn user(&self) -> Option<&str> {
        self.asker.identity.user.as_deref()
    }

    /// What it said in coming, as a type of the program's own.
    ///
    /// # Errors
    /// `bad_request` when it is of another type.
    pub fn auth_as<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let Data::Json(text) = &self.auth else { return Err(unfit("bytes")) };
        serde_json::from_slice(text).map_err(unfit)
    }

    /// One field of what it said; none where it is absent or of another type.
    pub fn auth_field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut fields: serde_json::Map<String, serde_json::Value> = self.auth_as().ok()?;
        serde_json::from_value(fields.remove(name)?).ok()
    }

    /// A header of the request that its connection came with.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.asker.request.headers.get(name)?.to_str().ok()
    }
}

fn unfit(what: impl fmt::Display) -> Problem {
    Problem::new(Code::BadRequest, format!("auth does not fit: {what}"))
        .remedy("send auth as the application wants it")
}

/// What an application does, by namespace.
pub trait Application: Send + Sync + 'static {
    /// Whether any handler could ask for the request that a connection came with. Where not, it is not kept.
    fn wants_requests(&self) -> bool;

    /// Counters for `/metrics`: name, what it counts, value.
    fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        Vec::new()
    }

    /// Whether there is such a namespace. What a transport says where there is none is its own (Socket.IO: `Invalid namespace`, but for `/`).
    fn knows(&self, namespace: &str) -> bool;

    /// A client comes to a namespace: runs its middlewares. Nothing is sent to the client by this. Without a peer, for a call over HTTP, nobody is
    /// there who could join a room.
    ///
    /// Errors: `not_found` where there is no such namespace; what a middleware says.
    fn enter(
        &self,
        handshake: Handshake,
        peer: Option<Arc<dyn Peer>>,
    ) -> Later<Result<Arc<dyn Visit>, Problem>>;
}

/// One client in one namespace, from [`Application::enter`] to [`Visit::end`].
pub trait Visit: Send + Sync + 'static {
    /// Who it is, as middlewares say, else as its credentials do.
    fn user(&self) -> Option<Arc<str>>;

    /// The client knows that it is in (Socket.IO: CONNECT was answered): handlers for new clients run, before its first event. Called once, for
    /// visits with a peer.
    fn begin(&self);

    /// Whether another event may be handed over now; while not, its connection is not read. Call [`Visit::call`] with what was read all the same.
    fn has_room(&self) -> bool;

    /// An event came. Its place in the order is taken when this is called; the future is the answer (which may be dropped where none is wanted,
    /// or where the client is gone: the handler runs to its end).
    ///
    /// Errors: `not_found` where no handler has that event; `bad_request` for arguments of other types than the handler's; `unavailable` when
    /// the deadline has passed; `internal` when the handler panicked; what the handler says.
    fn call(&self, event: EventName, args: Args) -> Later<Result<Args, Problem>>;

    /// The connection showed new credentials of the same user.
    fn renew(&self, identity: Arc<Identity>);

    /// The client is gone, or going: handlers of `disconnecting` run once, with the rooms that it was in. Later calls of this do nothing.
    fn end(&self, why: End);
}

/// Why a visit ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The client said so (Socket.IO: DISCONNECT).
    Client,
    /// The application or the hub ended it.
    Server,
    /// The connection broke, or was silent too long.
    Lost,
}

impl End {
    /// As handlers know it from Node.js.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client namespace disconnect",
            Self::Server => "server namespace disconnect",
            Self::Lost => "transport close",
        }
    }
}

/// A client in a namespace, as its transport shows it to the application. Methods may be called from any task, also after the client is gone.
pub trait Peer: Send + Sync + 'static {
    /// Public, unique among all peers of all nodes, without control characters, at most 64 bytes of `[A-Za-z0-9_.-]`; Socket.IO's `sid` of the
    /// namespace, which a recovered connection keeps.
    fn sid(&self) -> &str;

    /// The client, whose subscriptions without `echo` skip what has it as origin.
    fn client(&self) -> ClientId;

    /// Reads a channel from now on, as a subscription of the client that no right is needed for; `echo` off. Done when the reader is attached: a
    /// message published afterwards arrives. Joining twice is once.
    ///
    /// Errors: `limit_exceeded` at the connection's limit of channels; `unavailable`.
    fn join(&self, channel: ChannelName) -> Later<Result<(), Problem>>;

    /// Reads it no more: when done, nothing of it is written. Harmless where it was not read.
    fn leave(&self, channel: ChannelName) -> Later<()>;

    /// Whether nothing is read over its connection any more. What it read then is not to be left for it: an interrupted client comes back to
    /// that.
    fn is_gone(&self) -> bool {
        false
    }

    /// How its client comes back to what it read when its connection is lost, under the same [`Peer::sid`] (Socket.IO's recovery): then it reads
    /// its private channel too, from where it had not, joined before or not. None: it never does.
    fn absence(&self) -> Option<Arc<dyn Absence>> {
        None
    }

    /// Sends an event that the client is to answer (Socket.IO: with an ack id), and waits for the answer.
    ///
    /// Errors: `unavailable` when the time has passed or the client is gone; `limit_exceeded` when too many of its answers are outstanding.
    fn request(&self, event: EventName, args: Args, within: Duration) -> Later<Result<Args, Problem>>;

    /// Ends the client's visit to the namespace, or with `connection` its whole connection; [`Visit::end`] follows.
    fn disconnect(&self, problem: Problem, connection: bool);
}

impl fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.sid())
    }
}

impl fmt::Debug for dyn Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Application")
    }
}

/// A client that may be cut off and come back.
pub trait Absence: Send + Sync {
    /// Whether it may still come back, now.
    fn may_end(&self) -> bool;

    /// Something was published on its private channel, which it may not be reading: without that it does not come back as the same.
    fn told(&self, at: Position);
}

/// A peer that may be gone.
pub type WeakPeer = Weak<dyn Peer>;

/// What may not stand in a room's part of a channel's name; `%` too, so that decoding gives back what was encoded.
fn bad_in_room(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, ',' | '*' | '{' | '}' | '%')
}

/// A namespace ends at the first `:`, and a channel that begins with `$` is the hub's own.
fn bad_in_space(c: char) -> bool {
    bad_in_room(c) || matches!(c, ':' | '$')
}

/// The channel of a room: of `/` the room's own name, of `/chat` it is `chat:ROOM`. Characters that are illegal in channel names are
/// percent-encoded.
///
/// # Errors
/// `bad_request` for an empty room, or one whose channel's name would be too long.
pub fn room_channel(namespace: &str, room: &str) -> Result<ChannelName, Problem> {
    let encoded = encode(room, bad_in_room);
    ChannelName::parse(&match namespace.trim_start_matches('/') {
        "" => match encoded.strip_prefix('$') {
            Some(rest) => format!("%24{rest}"),
            None => encoded,
        },
        _ if room.is_empty() => String::new(),
        space => format!("{}:{encoded}", encode(space, bad_in_space)),
    })
}

/// Percent-encodes the characters that are bad here, and no others.
fn encode(text: &str, is_bad: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bad(c) {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|byte| out.push_str(percent_encode_byte(byte)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The room of a namespace that a channel is; none for channels of others.
pub fn channel_room(namespace: &str, channel: &ChannelName) -> Option<String> {
    if channel.is_internal() {
        return None;
    }
    let name: &str = match namespace.trim_start_matches('/') {
        "" => channel,
        space => channel.strip_prefix(&format!("{}:", encode(space, bad_in_space)))?,
    };
    Some(percent_decode_str(name).decode_utf8().ok()?.into_owned())
}

/// The prefix of a namespace's channels, as configuration names it (`chat` for `/chat`); none for `/`.
pub fn namespace_prefix(namespace: &str) -> Option<String> {
    let space = namespace.trim_start_matches('/');
    (!space.is_empty()).then(|| encode(space, bad_in_space))
}

/// The channel that one peer alone reads: `$to:SID`.
pub fn private_channel(sid: &str) -> ChannelName {
    ChannelName::internal("to", sid)
}

/// The channel that every peer of a namespace reads: `$all:/chat`.
pub fn namespace_channel(namespace: &str) -> ChannelName {
    ChannelName::internal("all", namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_channels_and_back() {
        for (namespace, room, channel) in [
            ("/", "lobby", "lobby"),
            ("/", "chat:lobby", "chat:lobby"),
            ("/", "$to:x", "%24to:x"),
            ("/", "a b,c*{}%", "a%20b%2Cc%2A%7B%7D%25"),
            ("/", "a\u{2003}é", "a%E2%80%83é"),
            ("/chat", "lobby", "chat:lobby"),
            ("/chat", "$x:y", "chat:$x:y"),
            ("/a:b$/c", "r", "a%3Ab%24/c:r"),
        ] {
            let made = room_channel(namespace, room).unwrap();
            assert_eq!(&*made, channel, "{namespace} {room}");
            assert_eq!(channel_room(namespace, &made).as_deref(), Some(room), "{namespace} {room}");
        }
        assert!(room_channel("/", "").is_err());
        assert!(room_channel("/chat", "").is_err());
        assert!(room_channel("/", &"x".repeat(256)).is_err());
        let other = ChannelName::parse("news:today").unwrap();
        assert_eq!(channel_room("/chat", &other), None);
        assert_eq!(channel_room("/", &private_channel("abc")), None);
    }
}
