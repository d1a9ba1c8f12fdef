//! Answers: JSON, and the refusals that belong to no handler.
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use fanfare_protocol::{Code, Problem, json};
use fanfare_transport::Refusal;
use http::{HeaderValue, StatusCode, Uri, header};

/// A handler's outcome.
pub type Answer = Result<Response, Refusal>;

/// 200 with a JSON body.
pub fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers are of the moment, unless the handler says otherwise.
pub async fn uncached(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// There is no such path. An empty name between two slashes is a bad channel name, not an unknown path.
pub async fn not_found(uri: Uri) -> Refusal {
    if uri.path().contains("/v1/channels//") {
        return Refusal(
            Problem::new(Code::BadRequest, "a channel name is empty")
                .remedy("put the channel's name into the path"),
        );
    }
    let shown: String = uri.path().chars().take(80).collect();
    Refusal(
        Problem::new(Code::NotFound, format!("nothing is served at {shown}"))
            .remedy("the API is under /v1; docs/protocol.md lists its paths"),
    )
}

/// The path is there, but not with this method; the router adds `Allow`.
pub async fn wrong_method(request: Request) -> Response {
    // RFC 9110 §15.5.6 wants 405, which no code of the table has: it is a bad request with its own status.
    let detail = format!("{} is not served here", request.method());
    let problem = Problem::new(Code::BadRequest, detail).remedy("use a method that the header Allow names");
    with_status(problem, StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
}

/// The request's head is larger than it may be (RFC 6585 §5: 431).
pub fn large_head() -> Response {
    let problem = Problem::new(Code::TooLarge, "the request's head is larger than this server accepts")
        .remedy("send less in headers and URL, or raise limits.header_bytes");
    with_status(problem, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request header fields too large")
}

/// A problem under a status that its code does not have.
fn with_status(problem: Problem, status: StatusCode, title: &str) -> Response {
    let document: Result<serde_json::Map<_, _>, _> =
        serde_json::from_slice(&json::problem_document(&problem));
    let mut response = Refusal(problem).into_response();
    *response.status_mut() = status;
    if let Ok(mut document) = document {
        document.insert("status".into(), status.as_u16().into());
        document.insert("title".into(), title.into());
        if let Ok(body) = serde_json::to_vec(&document) {
            *response.body_mut() = Body::from(body);
        }
    }
    response
}
