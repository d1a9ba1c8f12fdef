//! Requests of Engine.IO: handshakes, GET and POST of the polling transport, WebSockets.
use std::{
    future::{Future, poll_fn},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use fanfare_dialect_socketio::engine::{Fault, Packet, Query, Transport, decode_text};
use fanfare_protocol::{Code, Identity, Problem};
use fanfare_websocket::{
    frame::{self, Opcode},
    handshake,
};
use http::{HeaderValue, Method, StatusCode, Version, header, request::Parts};
use tokio::{sync::oneshot, time::timeout};

use super::{
    bare::EngineHandler,
    counted::{Unread, answer, arrive, full},
    engine::{Engine, Opening},
    request::Kept,
    sessions::{Handle, Reply, Sessions, Told},
    settings::SocketIoSettings,
    websocket::{Carried, WebSocket},
};
use crate::{
    access, application::Later, node::Node, plan::check_room, refusal::Refusal, routes::carried_of,
    socket::Io,
};

/// How long a POST may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// How long a WebSocket may take to take a session over.
const UPGRADE: Duration = Duration::from_secs(10);

/// Engine.IO under one path, for Socket.IO or a program's own words.
#[derive(Clone)]
pub(crate) struct Service {
    pub node: Arc<Node>,
    pub sessions: Arc<Sessions>,
    pub handler: Option<Arc<dyn EngineHandler>>,
    pub settings: Arc<SocketIoSettings>,
}

/// The routes of Socket.IO, where it is enabled.
pub fn routes(node: Arc<Node>) -> Router {
    let service = Service::socketio(node);
    if service.settings.enabled { service.router() } else { Router::new() }
}

/// The routes of Engine.IO alone, under the path of these settings.
pub fn engine_routes(node: Arc<Node>, settings: SocketIoSettings, handler: Arc<dyn EngineHandler>) -> Router {
    Service { node, sessions: Arc::default(), handler: Some(handler), settings: settings.into() }.router()
}

/// What a request for a WebSocket comes to.
pub(crate) enum Wanted {
    /// A session of its own.
    Session(Box<Opening>),
    /// To take this one over; false: another has, and it is closed.
    TakeOver(Arc<Handle>, bool),
}

impl Service {
    /// Socket.IO.
    pub fn socketio(node: Arc<Node>) -> Self {
        let settings = node.socketio.settings(&*node.rules);
        Self { sessions: node.socketio.sessions.clone(), node, handler: None, settings }
    }

    /// Whether it is served, and under this path.
    pub fn is_at(&self, path: &str) -> bool {
        let served = &*self.settings.path;
        self.settings.enabled && (path == served || path == served.trim_end_matches('/'))
    }

    /// How requests begin that push packets; empty where it is not served.
    pub fn beginning_of_posts(&self) -> Vec<u8> {
        let path = self.settings.path.trim_end_matches('/');
        if self.settings.enabled { format!("POST {path}").into_bytes() } else { Vec::new() }
    }

    /// Its settings as they are now: those of Socket.IO may be loaded again while it runs.
    fn settings(&self) -> Arc<SocketIoSettings> {
        match &self.handler {
            None => self.node.socketio.settings(&*self.node.rules),
            Some(_) => self.settings.clone(),
        }
    }

    fn router(self) -> Router {
        let path = self.settings.path.clone();
        let bare = path.trim_end_matches('/').to_owned();
        let mut router = Router::new().route(&path, any(serve));
        if !bare.is_empty() && bare != *path {
            router = router.route(&bare, any(serve));
        }
        router.with_state(Arc::new(self))
    }

    fn open(&self, parts: &Parts, upgraded: bool) -> Result<Opening, Refused> {
        if self.node.is_draining() {
            return Err(Problem::new(Code::Draining, "the server is stopping").retry_after_ms(1000).into());
        }
        access::check_origin(&self.node, parts).map_err(|_| Fault::Forbidden)?;
        check_room(&self.node, &Identity::default())?;
        if self.sessions.len() >= self.node.rules.transport().connections {
            let problem =
                Problem::new(Code::LimitExceeded, "this server holds as many connections as it may");
            return Err(problem.retry_after_ms(1000).worth_retrying().into());
        }
        let handle = self.sessions.open(upgraded)?;
        Ok(Opening {
            node: self.node.clone(),
            sessions: self.sessions.clone(),
            handle,
            settings: self.settings(),
            request: Kept::new(&self.node, parts),
            handler: self.handler.clone(),
        })
    }

    /// What a request for a WebSocket comes to, and its `Sec-WebSocket-Accept`.
    pub fn websocket(&self, parts: &Parts) -> Result<(Wanted, String), Refused> {
        let query = Query::parse(parts.uri.query())?;
        if query.transport != Transport::WebSocket {
            return Err(Fault::BadRequest.into());
        }
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let checked = match parts.version >= Version::HTTP_2 {
            true => handshake::validate_connect(headers),
            false => handshake::validate(headers),
        };
        let accept = checked.map_err(|_| Fault::BadRequest)?.accept;
        let wanted = match query.sid {
            None => Wanted::Session(Box::new(self.open(parts, true)?)),
            Some(sid) => {
                let handle = self.sessions.get(&sid).ok_or(Fault::UnknownSession)?;
                let first = !handle.claimed.swap(true, Ordering::AcqRel);
                Wanted::TakeOver(handle, first)
            }
        };
        Ok((wanted, accept))
    }

    /// Carries what was wanted, in a task of its own.
    pub fn carry(&self, wanted: Wanted, io: Box<dyn Io>, early: &[u8]) {
        let socket = WebSocket::new(&self.node, &self.settings(), io, early);
        match wanted {
            Wanted::Session(opening) => drop(tokio::spawn(Engine::websocket(*opening, socket))),
            Wanted::TakeOver(handle, true) => {
                let budget = self.node.hub.budget().clone();
                tokio::spawn(async move {
                    let probing = timeout(UPGRADE, probe(&handle, socket, budget));
                    if let Ok(Some(socket)) = probing.await {
                        handle.upgraded.store(true, Ordering::Release);
                        handle.tell(Told::Upgrade(Box::new(socket.into_upgraded())));
                    } else {
                        handle.claimed.store(false, Ordering::Release);
                    }
                });
            }
            Wanted::TakeOver(_, false) => drop(tokio::spawn(turn_away(socket))),
        }
    }
}

/// Why a request is not served.
pub(crate) enum Refused {
    Fault(Fault),
    Problem(Problem),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Refused {
    /// The whole answer in the bytes of HTTP/1.1.
    pub fn to_http1(&self) -> Vec<u8> {
        match self {
            Self::Problem(problem) => Refusal(problem.clone()).to_http1(),
            Self::Fault(fault) => {
                let (status, body) = (fault.status(), fault.json());
                let reason = if status == 403 { "Forbidden" } else { "Bad Request" };
                format!(
                    "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
                     vary: origin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes()
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => Refusal(problem).into_response(),
            Self::Fault(fault) => {
                let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
                let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
                (status, kind, fault.json()).into_response()
            }
        }
    }
}

/// What a request comes to.
enum Step {
    /// This answer.
    Now(Response),
    /// What the session says, perhaps after a long time: nothing of the request is held meanwhile.
    Wait(oneshot::Receiver<Reply>),
    /// What it says once the body is there.
    Push(Later<Result<Response, Refused>>),
}

pub(crate) fn serve(
    State(service): State<Arc<Service>>,
    request: Request,
) -> impl Future<Output = Response> + Send + use<> {
    let step = step(&service, request);
    let node = service.node.clone();
    async move {
        let answer = match step {
            Ok(Step::Now(answer)) => Ok(answer),
            Ok(Step::Wait(reply)) => {
                let _waiting = Waiting::new(&node);
                answered(&node, reply).await
            }
            Ok(Step::Push(push)) => push.await,
            Err(refused) => Err(refused),
        };
        answer.unwrap_or_else(Refused::into_response)
    }
}

fn step(service: &Arc<Service>, request: Request) -> Result<Step, Refused> {
    let query = Query::parse(request.uri().query())?;
    let upgrades = request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT;
    if query.transport == Transport::WebSocket {
        if !upgrades {
            return Err(Fault::BadRequest.into());
        }
        return upgrade(service, request).map(Step::Now);
    }
    let Some(sid) = query.sid else {
        if request.method() != Method::GET {
            return Err(Fault::BadHandshakeMethod.into());
        }
        let (parts, _) = request.into_parts();
        let (engine, open) = Engine::polling(service.open(&parts, false)?);
        tokio::spawn(engine);
        return Ok(Step::Now(text(open)));
    };
    let handle = service.sessions.get(&sid).ok_or(Fault::UnknownSession)?;
    if handle.upgraded.load(Ordering::Acquire) {
        return Err(Fault::BadRequest.into());
    }
    match *request.method() {
        Method::GET => {
            let (reply, answer) = oneshot::channel();
            handle.tell(Told::Get(reply));
            Ok(Step::Wait(answer))
        }
        Method::POST => Ok(Step::Push(Box::pin(push(service.clone(), handle, request.into_body())))),
        _ => Err(Fault::BadRequest.into()),
    }
}

fn text(body: impl IntoResponse) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=UTF-8"), (header::CACHE_CONTROL, "no-store")];
    (kind, body).into_response()
}

async fn answered(node: &Node, reply: oneshot::Receiver<Reply>) -> Result<Response, Refused> {
    match reply.await {
        Ok(Reply::Packets(body)) => Ok(text(answer(node.hub.budget(), body))),
        Ok(Reply::Taken) => Ok(text("ok")),
        Ok(Reply::Refused(fault)) => Err(fault.into()),
        // The session ended meanwhile.
        Err(_) => Err(Fault::UnknownSession.into()),
    }
}

/// A GET that waits: its session has its place among the connections, so the one that carries it needs none.
struct Waiting<'a>(&'a Node);

impl<'a> Waiting<'a> {
    fn new(node: &'a Node) -> Self {
        node.parked.fetch_add(1, Ordering::Relaxed);
        Self(node)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lowers the flag of a POST under way.
struct Posting<'a>(&'a Handle);

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.0.posting.store(false, Ordering::Release);
    }
}

async fn push(service: Arc<Service>, handle: Arc<Handle>, body: Body) -> Result<Response, Refused> {
    if handle.posting.swap(true, Ordering::AcqRel) {
        handle.tell(Told::Fault);
        return Err(Fault::BadRequest.into());
    }
    let _posting = Posting(&handle);
    let most = service.settings().max_payload;
    let arriving = timeout(ARRIVAL, arrive(body, most, service.node.hub.budget())).await;
    let arrived = match arriving.unwrap_or(Err(Unread::Broken)) {
        Ok(arrived) => arrived,
        Err(Unread::TooLarge) => {
            return Ok((StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")]).into_response());
        }
        Err(why) => {
            handle.tell(Told::Fault);
            return Err(match why {
                Unread::Full => full().into(),
                Unread::Broken | Unread::TooLarge => Fault::BadRequest.into(),
            });
        }
    };
    let (reply, answer) = oneshot::channel();
    handle.tell(Told::Post(arrived, reply));
    answered(&service.node, answer).await
}

fn upgrade(service: &Arc<Service>, mut request: Request) -> Result<Response, Refused> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let (wanted, accept) = service.websocket(&parts)?;
    let mut response = StatusCode::OK.into_response();
    if parts.version < Version::HTTP_2 {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
    let service = service.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let (io, early) = carried_of(upgraded);
                service.carry(wanted, io, &early);
            }
            Err(_) => abandon(&service.sessions, &wanted),
        }
    });
    Ok(response)
}

/// The client went away before its WebSocket was open.
pub(crate) fn abandon(sessions: &Sessions, wanted: &Wanted) {
    match wanted {
        Wanted::Session(opening) => sessions.close(&opening.handle),
        Wanted::TakeOver(handle, true) => handle.claimed.store(false, Ordering::Release),
        Wanted::TakeOver(_, false) => {}
    }
}

/// `2probe`, `3probe`, then `5`: the WebSocket takes the session over. None when it says anything else.
async fn probe(
    handle: &Handle,
    mut socket: WebSocket,
    budget: Arc<fanfare_broker::Budget>,
) -> Option<WebSocket> {
    let mut out: Vec<u8> = Vec::new();
    let mut probed = false;
    loop {
        let carried = poll_fn(|cx| {
            while !out.is_empty() {
                match socket.io.try_write(&out) {
                    Ok(0) => return Poll::Ready(Carried::Gone),
                    Ok(n) => drop(out.drain(..n)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        match socket.io.poll_writable(cx) {
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_)) => return Poll::Ready(Carried::Gone),
                            Poll::Pending => return Poll::Pending,
                        }
                    }
                    Err(_) => return Poll::Ready(Carried::Gone),
                }
            }
            if let Poll::Ready(Err(_)) = socket.io.poll_flush(cx) {
                return Poll::Ready(Carried::Gone);
            }
            socket.poll_message(cx, &budget, 0)
        })
        .await;
        match carried {
            Carried::Again => {}
            Carried::Say(frame) => out.extend_from_slice(&frame),
            Carried::Text(text) => match decode_text(std::str::from_utf8(&text).ok()?) {
                Ok(Packet::Ping("probe")) if !probed => {
                    probed = true;
                    frame::append_frame(&mut out, Opcode::Text, b"3probe");
                    // The client stops fetching when what it fetches now is answered.
                    handle.tell(Told::Probe);
                }
                Ok(Packet::Upgrade) if probed => return Some(socket),
                _ => return None,
            },
            Carried::Binary(_) | Carried::Close(_) | Carried::Late(_) | Carried::Gone => return None,
        }
    }
}

/// Closes a WebSocket whose session has another.
async fn turn_away(mut socket: WebSocket) {
    // One small frame on a new socket: if even that is not taken, the end says the same.
    let _ = socket.io.try_write(&frame::close_frame(1000, ""));
    poll_fn(|cx| {
        let _ = socket.io.poll_flush(cx);
        socket.poll_linger(cx)
    })
    .await;
}
