//! A problem as an HTTP answer (RFC 9457).
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use fanfare_protocol::{Problem, json};
use http::{HeaderValue, StatusCode, header};

/// A problem that answers a request.
#[derive(Debug)]
pub struct Refusal(pub Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Refusal {
    /// The whole answer in the bytes of HTTP/1.1, for a connection that no HTTP server holds and that ends with it.
    pub(crate) fn to_http1(&self) -> Vec<u8> {
        let mut answer = Response::new(());
        self.describe(&mut answer);
        let body = json::problem_document(&self.0);
        let status = answer.status();
        let mut out =
            format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default())
                .into_bytes();
        for (name, value) in answer.headers() {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        // As on every answer: what is told depends on where the asking page is from.
        let rest = format!("vary: origin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        out.extend_from_slice(rest.as_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Status and headers.
    fn describe<B>(&self, response: &mut Response<B>) {
        *response.status_mut() =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(ms) = self.0.wait_ms() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if self.0.code.status() == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(json::problem_document(&self.0)));
        self.describe(&mut response);
        response.extensions_mut().insert(self.0.code);
        response
    }
}
