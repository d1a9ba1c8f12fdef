//! Answers count against the memory budget until the client has taken them: over HTTP/2 one that opens no window could leave hundreds of pages
//! here, on every connection.
use std::sync::Arc;

use axum::{
    body::{Body, HttpBody, to_bytes},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use fanfare_broker::Budget;
use fanfare_protocol::{Code, Problem};
use fanfare_transport::Refusal;
use http::header;

/// Answers up to this size are not worth counting: what the servers' own buffers take is more.
const SMALL: u64 = 4 << 10;

/// The bytes of an answer, which the budget knows of until the last piece of them is sent.
struct Held {
    bytes: Bytes,
    budget: Arc<Budget>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes.len());
    }
}

/// Counts the body of a whole JSON answer; without memory for it the answer is `unavailable`. Streams, and files that the program holds
/// anyway, pass.
pub async fn hold(budget: &Arc<Budget>, response: Response) -> Response {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json || response.body().size_hint().exact().is_none_or(|size| size <= SMALL) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // In memory as one piece already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    if !budget.try_take(bytes.len()) {
        let problem = Problem::new(Code::Unavailable, "the memory for answers is used up")
            .remedy("ask for less at once, try again in a moment, or raise limits.memory_bytes")
            .retry_after_ms(1000);
        return Refusal(problem).into_response();
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(Bytes::from_owner(Held { bytes, budget: budget.clone() })))
}
