//! The first request's head, read whole before the HTTP server is asked: a stranger's head has its limit and its time, and one that is too
//! large gets its answer (a server that closes with unread input resets the connection, and the answer is lost).
use std::{io, time::Duration};

use fanfare_transport::{HeadEnd, Lean, Rewind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What HTTP/2 begins with (RFC 9113 section 3.4), as far as no HTTP/1.1 request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// How long the rest of a refused head is read and thrown away.
const DISCARD: Duration = Duration::from_secs(1);

const TOO_LARGE: &str = r#"{"type":"about:blank","title":"Request header fields too large","status":431,"code":"too_large","detail":"the request's head is larger than this server accepts","retryable":false,"remedy":"send less in headers and URL, or raise limits.header_bytes"}"#;
const TOO_MANY: &str = r#"{"type":"about:blank","title":"Limit exceeded","status":429,"code":"limit_exceeded","detail":"this server holds as many connections as it may","retryable":true,"retry_after_ms":1000,"remedy":"try again in a moment, or raise limits.connections"}"#;

/// Reads until the head is whole. None when there is nothing to serve: it was too large and answered so, or the client went away.
pub(crate) async fn complete<S: Lean>(rewind: Rewind<S>, limit: usize) -> Option<Rewind<S>> {
    let (mut stream, mut early) = rewind.into_parts();
    let mut end = HeadEnd::default();
    let mut length = end.find(&early);
    while length.is_none() && !is_http2(&early) {
        if early.len() > limit {
            refuse(stream, "431 Request Header Fields Too Large", TOO_LARGE).await;
            return None;
        }
        early.reserve(1024);
        if stream.read_buf(&mut early).await.ok()? == 0 {
            // Half a request: the HTTP server knows what to say.
            break;
        }
        length = end.find(&early);
    }
    if length.is_some_and(|length| length > limit) {
        refuse(stream, "431 Request Header Fields Too Large", TOO_LARGE).await;
        return None;
    }
    Some(Rewind::new(stream, early))
}

/// Says that there is no room, and ends.
pub(crate) async fn turn_away(stream: TcpStream) {
    refuse(stream, "429 Too Many Requests\r\nRetry-After: 1", TOO_MANY).await;
}

fn is_http2(early: &[u8]) -> bool {
    early.starts_with(PREFACE)
}

/// Answers and ends; `status` may be followed by header lines.
async fn refuse(mut stream: impl Lean, status: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let discarded = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut scratch = vec![0; 4096];
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever does not read its refusal in time does without.
    let _ = timeout(DISCARD, discarded).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_is_known_by_its_preface() {
        assert!(is_http2(b"PRI * HTTP/2.0\r\n"));
        assert!(!is_http2(b"PRI * HTTP"));
        assert!(!is_http2(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(!is_http2(b""));
    }
}
