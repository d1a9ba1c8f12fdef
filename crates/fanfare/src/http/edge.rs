//! What every request passes, whatever it asks: the host check of development mode, CORS, the count of errors,
//! and the memory of answers.
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use fanfare_protocol::{Code, Problem};
use fanfare_transport::{Node, Refusal, access};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{Shared, answer, hold};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, Fanfare-Session, Last-Event-ID, If-None-Match");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("ETag, Retry-After, Fanfare-Session");
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// Refuses foreign hosts in development mode, answers preflights, tells allowed origins that they are, and counts errors. What it returns holds
/// the request no longer than those that it is passed on to: a poll may wait for a minute.
pub fn guard(
    State(app): State<Shared>,
    request: Request,
    next: Next,
) -> impl Future<Output = Response> + Send + use<> {
    around(app, request, |request| next.run(request))
}

/// The same, for whatever passes it on.
pub fn around<P, F>(app: Shared, request: Request, pass_on: P) -> impl Future<Output = Response> + use<P, F>
where
    P: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let (parts, body) = request.into_parts();
    let origin = allowed_origin(&app.node, &parts);
    let checked = access::check_host(&app.node, &parts).and_then(|()| check_host_once(&parts));
    let answered = match checked {
        Err(problem) => Ok(Refusal(problem).into_response()),
        Ok(()) if head_bytes(&parts) > app.node.rules.transport().header_bytes => Ok(answer::large_head()),
        Ok(()) if is_preflight(&parts) => Ok(preflight(origin.is_some())),
        Ok(()) => Err(pass_on(Request::from_parts(parts, body))),
    };
    async move {
        let mut response = match answered {
            Ok(response) => response,
            Err(passed_on) => hold::hold(app.node.hub.budget(), passed_on.await).await,
        };
        // Counted where the code is known; a WebSocket's own errors are its session's.
        if let Some(code) = response.extensions().get::<Code>() {
            app.node.errors.count(*code);
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            share(response.headers_mut(), origin);
        }
        response
    }
}

/// RFC 9112 §3.2: two names of one host are an attempt at being misunderstood.
fn check_host_once(parts: &Parts) -> Result<(), Problem> {
    if parts.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Problem::new(Code::BadRequest, "the header Host comes twice").remedy("send it once"));
    }
    Ok(())
}

/// Bytes of a head in its HTTP/1.1 form, about. A connection's first head has its limit before it is parsed; those after it, and HTTP/2's,
/// the servers' buffers bound only roughly.
fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let headers = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + headers.sum::<usize>()
}

/// Fetch standard, §4.8: a request that asks on behalf of another.
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// 204 to every origin: one that is not allowed learns it from the headers that are missing.
fn preflight(allowed: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if allowed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    }
    response
}

/// The request's origin, if its pages may use the hub: a listed one, the hub's own, in development mode any of this machine.
fn allowed_origin(node: &Node, parts: &Parts) -> Option<HeaderValue> {
    let origin = parts.headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let local = || {
        let host = text.split_once("://").map_or(text, |(_, host)| host);
        node.rules.is_dev() && access::is_loopback(host)
    };
    let allowed = node.rules.allows_origin(text) || access::is_own_origin(parts, text) || local();
    allowed.then(|| origin.clone())
}

fn share(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    // Also where no origin was sent: a cache must not give that answer to a page of another origin.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
}
