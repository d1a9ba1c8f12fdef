//! The demos, embedded into the binary.
use axum::{
    extract::Path,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, header};

use super::page;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The one page that may hear another server: a public feed of trades, by its WebSocket.
const POLICY_OF_TRADES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `GET /demos`: relative addresses in the pages need the slash.
pub async fn without_slash() -> Redirect {
    Redirect::permanent("demos/")
}

/// `GET /demos/`.
pub async fn index(headers: HeaderMap) -> Response {
    serve("index", &headers)
}

/// `GET /demos/{path}`: a demo by its name, or a file of theirs.
pub async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match path.strip_suffix('/') {
        Some(name) if !name.contains('/') => Redirect::permanent(&format!("../{name}")).into_response(),
        _ => serve(&path, &headers),
    }
}

fn serve(path: &str, request: &HeaderMap) -> Response {
    let file = if path.contains('.') { format!("demos/{path}") } else { format!("demos/{path}.html") };
    let mut response = page::serve(&file, request);
    let policy = if path == "trades" { POLICY_OF_TRADES } else { POLICY };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
