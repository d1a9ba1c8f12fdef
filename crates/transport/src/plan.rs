//! What a request for a connection asks, worked out before anything is answered: the same for the lean listener and for routes.
use std::sync::Arc;

use fanfare_hub::Form;
use fanfare_protocol::{
    Code, Format, Identity, Problem,
    options::{SubscribeRequest, from_query, from_query_or_none},
};
use fanfare_session::checks;
use fanfare_websocket::handshake;
use http::{HeaderMap, Method, Version, request::Parts};

use crate::{
    access::{self, Caller},
    authorizer::{Afterwards, ask_reading},
    forms,
    node::Node,
    query,
};

/// Milliseconds over which those come back who connect to a server that is stopping.
const LATE_SPREAD_MS: u64 = 4000;

/// A way to hold a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// `/v1/ws`.
    WebSocket,
    /// `/v1/sse`.
    Sse,
    /// `/v1/stream`.
    Stream,
    /// One namespace of a Socket.IO connection.
    SocketIo,
}

impl Transport {
    /// Its name in lists and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stream => "stream",
            Self::SocketIo => "socketio",
        }
    }

    /// Whether the client says everything in its request, and hears only what that asked for.
    pub fn is_one_way(self) -> bool {
        matches!(self, Self::Sse | Self::Stream)
    }

    /// The transport of a path.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/ws" => Some(Self::WebSocket),
            "/v1/sse" => Some(Self::Sse),
            "/v1/stream" => Some(Self::Stream),
            _ => None,
        }
    }
}

/// A connection that may be opened.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How it is held.
    pub transport: Transport,
    /// The encoding of frames.
    pub format: Format,
    /// What its readers are written.
    pub form: Form,
    /// Who it is.
    pub caller: Caller,
    /// What it reads from the start.
    pub request: SubscribeRequest,
    /// The connection ends at once, and is told inside why: a WebSocket's credentials were refused (browsers hide the status of a refused
    /// upgrade), or the server is stopping.
    pub refused: Option<Problem>,
    /// WebSocket: `Sec-WebSocket-Accept`.
    pub accept: String,
    /// WebSocket: the subprotocol selected.
    pub subprotocol: Option<&'static str>,
    /// The request itself, for the application's authorizer.
    pub parts: Option<Arc<Parts>>,
}

/// Works out what a request asks.
///
/// # Errors
/// The problem to answer it with.
pub async fn plan(node: &Node, transport: Transport, parts: &Parts) -> Result<Plan, Problem> {
    // Before credentials are looked at, which may cost.
    server_limit(node)?;
    let mut plan = match transport {
        Transport::WebSocket => websocket(node, parts).await,
        Transport::Sse | Transport::Stream | Transport::SocketIo => one_way(node, transport, parts).await,
    }?;
    if node.is_draining() {
        // Whoever comes late is told inside what the others were told: an EventSource never comes back from a 503.
        let spread = node.hub.number() * 797 % LATE_SPREAD_MS;
        let problem = Problem::new(Code::Draining, "the server is stopping").retry_after_ms(1000 + spread);
        plan.refused.get_or_insert(problem);
    }
    Ok(plan)
}

async fn websocket(node: &Node, parts: &Parts) -> Result<Plan, Problem> {
    let over_h2 = parts.version >= Version::HTTP_2;
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let checked = if over_h2 { handshake::validate_connect(headers) } else { handshake::validate(headers) };
    let upgrade = checked.map_err(|error| {
        Problem::new(Code::BadRequest, format!("not a WebSocket handshake: {error}"))
            .remedy("connect with a WebSocket client, version 13")
    })?;
    if !over_h2 && parts.method != Method::GET {
        return Err(Problem::new(Code::BadRequest, "a WebSocket handshake is a GET"));
    }
    let (format, subprotocol) = subprotocol(&upgrade.subprotocols)?;
    access::check_origin(node, parts)?;
    let prepared = Afterwards::prepare(node, parts);
    let parts = prepared.as_ref().unwrap_or(parts);
    let request = from_query_or_none(&query::pairs(parts.uri.query())?)?;
    let (session, session_is_new) = access::session(parts)?;
    let client = session.client();
    let (identity, mut refused) = match access::identity(node, parts).await {
        Ok(identity) => (identity, None),
        Err(problem) => (Arc::default(), Some(problem)),
    };
    if let Err(problem) = user_limit(node, &identity) {
        refused = Some(problem);
    }
    Ok(Plan {
        transport: Transport::WebSocket,
        format,
        form: if format == Format::Json { forms::WS_JSON } else { forms::WS_MSGPACK },
        caller: Caller { identity, session, session_is_new, client },
        request,
        refused,
        accept: upgrade.accept,
        subprotocol,
        parts: node.keeps_requests().then(|| Arc::new(parts.clone())),
    })
}

/// Selects the subprotocol. A token alone selects nothing, which no client accepts.
fn subprotocol(offered: &[&str]) -> Result<(Format, Option<&'static str>), Problem> {
    const KNOWN: [(&str, Format); 2] =
        [("fanfare.v1.json", Format::Json), ("fanfare.v1.msgpack", Format::MsgPack)];
    let selected = offered.iter().find_map(|name| KNOWN.into_iter().find(|(known, _)| known == name));
    match selected {
        Some((name, format)) => Ok((format, Some(name))),
        None if offered.is_empty() => Ok((Format::Json, None)),
        None => Err(Problem::new(Code::BadRequest, "none of the offered subprotocols is spoken here")
            .remedy("offer fanfare.v1.json or fanfare.v1.msgpack, also beside fanfare.token.TOKEN")),
    }
}

async fn one_way(node: &Node, transport: Transport, parts: &Parts) -> Result<Plan, Problem> {
    let caller = access::caller(node, parts).await?;
    let mut request = from_query(&query::pairs(parts.uri.query())?)?;
    if transport == Transport::Sse
        && let Some(id) = last_event_id(&parts.headers)
    {
        request.resume(&id);
    }
    user_limit(node, &caller.identity)?;
    check_reading(node, &caller.identity, &request)?;
    ask_reading(node, &caller, parts, &request.channels, &request.options).await?;
    let form = match transport {
        Transport::Sse => forms::sse(request.channels.len(), request.envelope),
        _ => forms::STREAM,
    };
    Ok(Plan {
        transport,
        format: Format::Json,
        form,
        caller,
        request,
        refused: None,
        accept: String::new(),
        subprotocol: None,
        parts: node.authorizer.is_some().then(|| Arc::new(parts.clone())),
    })
}

fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("last-event-id")?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned()).filter(|id| !id.is_empty())
}

/// Whether there is room for one connection more of this identity.
///
/// # Errors
/// `limit_exceeded`, worth retrying.
pub(crate) fn check_room(node: &Node, identity: &Identity) -> Result<(), Problem> {
    server_limit(node)?;
    user_limit(node, identity)
}

fn server_limit(node: &Node) -> Result<(), Problem> {
    if node.hub.directory().len() < node.rules.transport().connections {
        return Ok(());
    }
    Err(too_many("this server holds as many connections as it may"))
}

fn user_limit(node: &Node, identity: &Identity) -> Result<(), Problem> {
    let limit = node.rules.transport().connections_per_user;
    match &identity.user {
        Some(user) if node.hub.directory().of_user(user) >= limit => {
            Err(too_many("this user holds as many connections as one user may"))
        }
        _ => Ok(()),
    }
}

fn too_many(what: &'static str) -> Problem {
    Problem::new(Code::LimitExceeded, what).retry_after_ms(1000).worth_retrying()
}

/// Checks what reading these channels takes, before anything is answered: the rules are the session's own.
///
/// # Errors
/// As [`checks::check_request`].
pub fn check_reading(node: &Node, identity: &Identity, request: &SubscribeRequest) -> Result<(), Problem> {
    checks::check_request(&*node.rules, identity, &request.channels, &request.options)
}
