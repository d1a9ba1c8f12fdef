//! Polls on an HTTP/1.1 connection that no HTTP server holds, and what Socket.IO clients push between them: one that waits for a minute should
//! cost no more than any idle connection.
use std::{io, io::Write as _, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    response::Response,
};
use fanfare_transport::{Asked, LAST_ANSWER, Lean};
use http::{Request, StatusCode, header, request::Parts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use crate::http::Http;

/// What a client may send behind a poll that waits; more stays in the socket until the poll is answered.
const AHEAD: usize = 4 << 10;

/// Answers a poll. The stream, and what came behind the request, where another may follow.
pub(crate) fn answer<S: Lean>(
    asked: Asked<S>,
    http: &Http,
    stall: Duration,
    last: impl Fn() -> bool,
) -> impl Future<Output = Option<(S, Vec<u8>)>> {
    let Asked { mut stream, parts, body, mut early, may_end } = asked;
    let closes = wants_close(&parts);
    let mut answering = Box::pin(http.poll(Request::from_parts(parts, Body::from(body))));
    async move {
        let response = tokio::select! {
            // What was pushed is taken, though nobody may wait for the answer any more.
            biased;
            response = &mut answering => Some(response),
            () = gone(&mut stream, &mut early, may_end) => None,
        };
        drop(answering);
        let response = response?;
        let close = closes || last();
        let written = Box::pin(timeout(stall, write(&mut stream, response, close))).await;
        if !matches!(written, Ok(Ok(()))) || close {
            let _ = Box::pin(timeout(LAST_ANSWER, stream.shutdown())).await;
            return None;
        }
        Some((stream, early))
    }
}

/// Done when the client has gone. One that has only ended its side, as soon as it had asked, has a moment for its answer where it may.
async fn gone(stream: &mut impl Lean, early: &mut Vec<u8>, may_end: bool) {
    while early.len() < AHEAD {
        let mut few = [0; 64];
        match stream.read(&mut few).await {
            Ok(0) if may_end => return Box::pin(sleep(LAST_ANSWER)).await,
            Ok(0) => return,
            Ok(read) => early.extend_from_slice(few.get(..read).unwrap_or_default()),
            Err(_) => return,
        }
    }
    std::future::pending().await
}

fn wants_close(parts: &Parts) -> bool {
    let values = parts.headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Writes a whole answer (RFC 9112 section 4).
async fn write(stream: &mut impl Lean, response: Response, close: bool) -> io::Result<()> {
    let (parts, body) = response.into_parts();
    // In memory as one piece already; what the budget counts for it is given back when it is written.
    let body: Bytes = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
    let mut head = Vec::with_capacity(512);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    write!(head, "HTTP/1.1 {} {reason}\r\n", parts.status.as_str())?;
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    write!(head, "date: {}\r\n", httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    if parts.status != StatusCode::NOT_MODIFIED {
        write!(head, "content-length: {}\r\n", body.len())?;
    }
    if close {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    if body.len() <= AHEAD {
        // One piece of the network.
        head.extend_from_slice(&body);
        stream.write_all(&head).await?;
    } else {
        stream.write_all(&head).await?;
        stream.write_all(&body).await?;
    }
    stream.flush().await
}
