//! The transports as routes of any axum or hyper server.
use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on},
};
use fanfare_protocol::{Code, Problem};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::{
    access::SESSION_HEADER,
    body::LinkBody,
    driver::Driver,
    lean::Lean,
    node::Node,
    plan::{Plan, Transport, plan},
    poll,
    refusal::Refusal,
    rewind::Rewind,
    socket::{Io, Stream},
};

/// `/v1/ws`, `/v1/sse`, `/v1/stream` and `/v1/poll`.
pub fn routes(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/ws", on(MethodFilter::GET.or(MethodFilter::CONNECT), websocket))
        .route("/v1/sse", get(sse))
        .route("/v1/stream", get(stream))
        .route("/v1/poll", get(poll::poll))
        .with_state(node)
}

async fn websocket(State(node): State<Arc<Node>>, mut request: Request) -> Result<Response, Refusal> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let plan = plan(&node, Transport::WebSocket, &parts).await?;
    if parts.extensions.get::<hyper::upgrade::OnUpgrade>().is_none() && parts.version < Version::HTTP_11 {
        return Err(Problem::new(Code::BadRequest, "a WebSocket needs HTTP/1.1 or HTTP/2").into());
    }
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    if let Some(name) = plan.subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    tell_session(headers, &plan);
    if parts.version < Version::HTTP_2 {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&plan.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        // What a listener of ours accepted comes out of the server's hands, whose buffers stay behind.
        let taken = match take_back::<TcpStream>(upgraded) {
            Ok((tcp, early)) => return tcp.drive(&node, plan, &early),
            Err(upgraded) => take_back::<TlsStream<TcpStream>>(upgraded),
        };
        match taken {
            Ok((tls, early)) => tls.drive(&node, plan, &early),
            Err(upgraded) => {
                tokio::spawn(Driver::new(&node, plan, Stream::new(TokioIo::new(upgraded)), &[]));
            }
        }
    });
    Ok(response)
}

/// The stream under an upgraded connection and what was read of it, if it is of this type.
fn take_back<S: Lean>(upgraded: Upgraded) -> Result<(S, Vec<u8>), Upgraded> {
    let parts = downcast::<TokioIo<Rewind<S>>>(upgraded)?;
    let (stream, rest) = parts.io.into_inner().into_parts();
    // What the server had read already came before what it had not.
    Ok((stream, [&parts.read_buf[..], &rest].concat()))
}

/// The bytes under an upgraded connection, and what was read of them.
pub(crate) fn carried_of(upgraded: Upgraded) -> (Box<dyn Io>, Vec<u8>) {
    let taken = match take_back::<TcpStream>(upgraded) {
        Ok((tcp, early)) => return (tcp.into_io(), early),
        Err(upgraded) => take_back::<TlsStream<TcpStream>>(upgraded),
    };
    match taken {
        Ok((tls, early)) => (tls.into_io(), early),
        Err(upgraded) => (Box::new(Stream::new(TokioIo::new(upgraded))), Vec::new()),
    }
}

async fn sse(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Refusal> {
    one_way(node, Transport::Sse, request).await
}

async fn stream(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Refusal> {
    one_way(node, Transport::Stream, request).await
}

async fn one_way(node: Arc<Node>, transport: Transport, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    let plan = plan(&node, transport, &parts).await?;
    let mut headers = HeaderMap::new();
    for (name, value) in one_way_headers(transport) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    tell_session(&mut headers, &plan);
    let body =
        if parts.method == Method::HEAD { Body::empty() } else { Body::new(LinkBody::new(&node, plan)) };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers of an SSE or stream answer.
pub(crate) fn one_way_headers(transport: Transport) -> [(http::HeaderName, &'static str); 3] {
    let kind = if transport == Transport::Sse { "text/event-stream" } else { "application/x-ndjson" };
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (http::HeaderName::from_static("x-accel-buffering"), "no"),
    ]
}

fn tell_session(headers: &mut HeaderMap, plan: &Plan) {
    if plan.caller.session_is_new
        && let Ok(session) = HeaderValue::from_str(plan.caller.session.reveal())
    {
        headers.insert(SESSION_HEADER, session);
    }
}
