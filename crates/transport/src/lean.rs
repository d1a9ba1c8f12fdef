//! The first requests of a TCP or TLS connection: WebSocket, SSE and stream go to lean drivers, polls are answered one by one, and with the first
//! of any other kind the connection goes to an HTTP server through a [`Rewind`]. An HTTP server's buffers alone cost more than an idle connection may.
use std::{future::Future, io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use fanfare_protocol::Problem;
use futures_util::{FutureExt, future::Either};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::{
    access::Secure,
    driver::Driver,
    head::HeadEnd,
    node::Node,
    plan::{Plan, Transport, plan},
    poll::poll,
    refusal::Refusal,
    rewind::Rewind,
    routes::one_way_headers,
    socket::{Io, Tcp, Tls},
    socketio::serve::{Service, abandon, serve},
};

/// How a request that may be lean begins, but for those that Socket.IO clients push.
const GET: &[u8] = b"GET ";
/// Head lines looked at; a request with more goes to the HTTP server.
const HEADERS: usize = 64;
/// How long the client of a refused request may take to read the answer and to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A head up to this size may be lean.
const LEAN_HEAD: usize = 16 << 10;
/// A body up to this size may be.
const LEAN_BODY: usize = 16 << 10;
/// How long it may be awaited here: most come with their heads, or at once.
const BODY: Duration = Duration::from_millis(50);

/// Who serves a connection.
pub enum Accepted<S> {
    /// Its own task, from now on (or nobody: it has ended).
    Taken,
    /// A poll, to be answered; another request may follow it.
    Poll(Box<Asked<S>>),
    /// An HTTP server.
    Http(Rewind<S>),
}

/// A request on a connection that no HTTP server holds.
pub struct Asked<S> {
    /// Where the answer goes.
    pub stream: S,
    /// What is asked.
    pub parts: Parts,
    /// Its body, which only what a Socket.IO client pushes has.
    pub body: Vec<u8>,
    /// What the client sent behind it.
    pub early: Vec<u8>,
    /// Who has ended its side of the connection may still wait for the answer. For Socket.IO such a request is an aborted one.
    pub may_end: bool,
}

/// What a listener accepts: a TCP socket, or TLS over one with its handshake done.
pub trait Lean: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether it is encrypted.
    const SECURE: bool;

    /// Serves a planned connection whose answer has been sent, in a task of its own; `early` is what the client sent behind its request.
    fn drive(self, node: &Arc<Node>, plan: Plan, early: &[u8]);

    /// Its bytes, for whoever drives a connection of another kind.
    fn into_io(self) -> Box<dyn Io>;
}

impl Lean for TcpStream {
    const SECURE: bool = false;

    fn drive(self, node: &Arc<Node>, plan: Plan, early: &[u8]) {
        tokio::spawn(Driver::new(node, plan, Tcp::new(self), early));
    }

    fn into_io(self) -> Box<dyn Io> {
        Box::new(Tcp::new(self))
    }
}

impl Lean for TlsStream<TcpStream> {
    const SECURE: bool = true;

    fn drive(self, node: &Arc<Node>, plan: Plan, early: &[u8]) {
        tokio::spawn(Driver::new(node, plan, Tls::new(self), early));
    }

    fn into_io(self) -> Box<dyn Io> {
        Box::new(Tls::new(self))
    }
}

/// Reads a request's head, of which `early` was read already, and serves what is lean; `within` is how long the head may take.
pub async fn accept<S: Lean>(
    node: &Arc<Node>,
    mut stream: S,
    early: Vec<u8>,
    within: Duration,
) -> Accepted<S> {
    let service = Service::socketio(node.clone());
    let Ok(Some((mut head, parsed))) =
        timeout(within, read_head(&mut stream, early, &service.beginning_of_posts())).await
    else {
        return Accepted::Taken;
    };
    let Some((mut parts, length)) = parsed else { return Accepted::Http(Rewind::new(stream, head)) };
    if S::SECURE {
        parts.extensions.insert(Secure);
    }
    let early = |head: &[u8]| head.get(length..).unwrap_or_default().to_vec();
    if asks_for_socketio(&service, &parts) {
        socketio_websocket(&service, &parts, stream, &early(&head)).await;
        return Accepted::Taken;
    }
    if is_poll(&service, &parts) {
        let may_end = !service.is_at(parts.uri.path());
        let (body, early) = (Vec::new(), early(&head));
        return Accepted::Poll(Box::new(Asked { stream, parts, body, early, may_end }));
    }
    if let Some(size) = push(&service, &parts) {
        let end = length + size;
        // Not there at once, or not at all: the HTTP server's to await and to judge.
        if !matches!(timeout(BODY, read_until(&mut stream, &mut head, end)).await, Ok(Ok(true))) {
            return Accepted::Http(Rewind::new(stream, head));
        }
        let early = head.split_off(end);
        drop(head.drain(..length));
        return Accepted::Poll(Box::new(Asked { stream, parts, body: head, early, may_end: false }));
    }
    let Some(transport) = lean_transport(&parts) else { return Accepted::Http(Rewind::new(stream, head)) };
    let plan = match plan(node, transport, &parts).await {
        Ok(plan) => plan,
        Err(problem) => {
            // Here and not by the HTTP server, which would ask whoever decides a second time.
            refuse(node, &mut stream, problem).await;
            return Accepted::Taken;
        }
    };
    drop(parts);
    let answer = answer(&plan);
    if stream.write_all(&answer).await.is_err() {
        return Accepted::Taken;
    }
    let early = head.get(length..).unwrap_or_default();
    stream.drive(node, plan, early);
    Accepted::Taken
}

/// Answers what is [`Accepted::Poll`] as [`routes`](crate::routes()) do, without a router: while a poll waits, its futures would be most of what is held.
pub fn answer_poll(
    node: &Arc<Node>,
    request: Request<Body>,
) -> impl Future<Output = Response> + Send + use<> {
    let service = Service::socketio(node.clone());
    if service.is_at(request.uri().path()) {
        return Either::Left(serve(State(Arc::new(service)), request));
    }
    Either::Right(poll(State(node.clone()), request).map(IntoResponse::into_response))
}

/// Answers a request that is refused; the connection ends with it.
async fn refuse(node: &Node, stream: &mut impl Lean, problem: Problem) {
    node.errors.count(problem.code);
    say_no(stream, &Refusal(problem).to_http1()).await;
}

async fn say_no(stream: &mut impl Lean, answer: &[u8]) {
    let told = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // What came after the request is thrown away: a socket closed with unread input is reset, and the answer lost.
        let mut scratch = [0; 512];
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever does not read its refusal in time does without.
    let _ = timeout(LAST_WORDS, told).await;
}

/// Whether a request is for a WebSocket of Socket.IO.
fn asks_for_socketio(service: &Service, parts: &Parts) -> bool {
    parts.method == Method::GET
        && parts.headers.contains_key(header::UPGRADE)
        && parts.headers.get_all(header::HOST).iter().count() == 1
        && service.is_at(parts.uri.path())
}

async fn socketio_websocket<S: Lean>(service: &Service, parts: &Parts, mut stream: S, early: &[u8]) {
    let (wanted, accept) = match service.websocket(parts) {
        Ok(wanted) => wanted,
        Err(refused) => return say_no(&mut stream, &refused.to_http1()).await,
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    match stream.write_all(answer.as_bytes()).await {
        Ok(()) => service.carry(wanted, stream.into_io(), early),
        Err(_) => abandon(&service.sessions, &wanted),
    }
}

/// What was read, and the head in it if it is one.
type Head = (Vec<u8>, Option<(Parts, usize)>);

/// None when the client went away first. `posts`: how a POST begins that may be lean.
async fn read_head(stream: &mut impl Lean, mut head: Vec<u8>, posts: &[u8]) -> Option<Head> {
    let mut end = HeadEnd::default();
    let mut read = !head.is_empty();
    loop {
        if !read {
            head.reserve(1024);
            if stream.read_buf(&mut head).await.ok()? == 0 {
                return if head.is_empty() { None } else { Some((head, None)) };
            }
        }
        read = false;
        // Cheaply turns away what is none of these before the whole head is there (uploads, HTTP/2).
        let begins = |how: &[u8]| head.iter().zip(how).all(|(is, should)| is == should);
        if !begins(GET) && (posts.is_empty() || !begins(posts)) {
            return Some((head, None));
        }
        if end.find(&head).is_some() {
            let parsed = parse(&head);
            return Some((head, parsed));
        }
        if head.len() >= LEAN_HEAD {
            return Some((head, None));
        }
    }
}

/// Reads until there are so many bytes; false when the client ended its side first.
async fn read_until(stream: &mut impl Lean, bytes: &mut Vec<u8>, end: usize) -> io::Result<bool> {
    while bytes.len() < end {
        bytes.reserve(end - bytes.len());
        if stream.read_buf(bytes).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A whole head and its length; none if it is one that the HTTP server should judge.
fn parse(head: &[u8]) -> Option<(Parts, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => Some((build(&request)?, length)),
        Ok(httparse::Status::Partial) | Err(_) => None,
    }
}

fn build(parsed: &httparse::Request<'_, '_>) -> Option<Parts> {
    if parsed.version != Some(1) {
        return None;
    }
    let uri: Uri = parsed.path?.parse().ok()?;
    let mut request = Request::builder().method(parsed.method?).uri(uri).version(Version::HTTP_11);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// The transport of a request that a lean driver can serve: a GET without a body; SSE and streams only where no page of another origin must be
/// told that it may read the answer.
fn lean_transport(parts: &Parts) -> Option<Transport> {
    let transport = Transport::of_path(parts.uri.path())?;
    let cross = transport != Transport::WebSocket && parts.headers.contains_key(header::ORIGIN);
    (is_plain(parts) && !cross).then_some(transport)
}

/// A poll, of a Socket.IO client too, that needs nothing of HTTP but an answer.
fn is_poll(service: &Service, parts: &Parts) -> bool {
    let path = parts.uri.path();
    is_plain(parts) && !asks_more(parts) && (path == "/v1/poll" || service.is_at(path))
}

/// The size of what a Socket.IO client pushes, where that too needs nothing but an answer, and is not large.
fn push(service: &Service, parts: &Parts) -> Option<usize> {
    let length = parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    let size = length.parse().ok().filter(|size| is_number && *size <= LEAN_BODY)?;
    let once = |name| parts.headers.get_all(name).iter().count() == 1;
    let is_lean = parts.method == Method::POST
        && once(header::CONTENT_LENGTH)
        && once(header::HOST)
        && !parts.headers.contains_key(header::TRANSFER_ENCODING)
        && !asks_more(parts);
    (is_lean && service.is_at(parts.uri.path())).then_some(size)
}

fn asks_more(parts: &Parts) -> bool {
    [header::EXPECT, header::UPGRADE].iter().any(|name| parts.headers.contains_key(name))
}

/// A GET without a body that says once where it goes.
fn is_plain(parts: &Parts) -> bool {
    let has_body = parts.headers.contains_key(header::TRANSFER_ENCODING)
        || parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    parts.method == Method::GET && !has_body && parts.headers.get_all(header::HOST).iter().count() == 1
}

/// The head of the answer. SSE and streams end with the connection, so they need no chunks.
fn answer(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut line = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    if plan.transport == Transport::WebSocket {
        line("Upgrade", "websocket");
        line("Connection", "Upgrade");
        line("Sec-WebSocket-Accept", &plan.accept);
        if let Some(name) = plan.subprotocol {
            line("Sec-WebSocket-Protocol", name);
        }
    } else {
        for (name, value) in one_way_headers(plan.transport) {
            line(name.as_str(), value);
        }
        line("Connection", "close");
    }
    if plan.caller.session_is_new {
        line("Fanfare-Session", plan.caller.session.reveal());
    }
    out.extend_from_slice(b"\r\n");
    let status: &[u8] = match plan.transport {
        Transport::WebSocket => b"HTTP/1.1 101 Switching Protocols\r\n",
        Transport::Sse | Transport::Stream | Transport::SocketIo => b"HTTP/1.1 200 OK\r\n",
    };
    [status, &out].concat()
}
