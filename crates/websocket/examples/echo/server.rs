//! One echoing connection, over any byte stream. The differential tests use it over an in-memory pipe.

use fanfare_websocket::{Decoder, Limits, Message, Opcode, frame, handshake};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Request heads above this many bytes are refused.
const MAX_HEAD: usize = 16 * 1024;
/// How long the client may take to end the connection after a Close.
const LINGER: Duration = Duration::from_secs(1);

/// Does the handshake, then echoes text and binary messages until either side closes.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, limits: Limits) -> io::Result<()> {
    let Some(early) = accept(stream).await? else { return Ok(()) };
    let mut decoder = Decoder::new(limits);
    let mut scratch = vec![0; 64 * 1024];
    let mut out = Vec::new();
    let mut open = echo(&mut decoder, &early, &mut out);
    loop {
        stream.write_all(&out).await?;
        stream.flush().await?;
        out.clear();
        if !open {
            break;
        }
        let read = stream.read(&mut scratch).await?;
        if read == 0 {
            return Ok(());
        }
        open = echo(&mut decoder, scratch.get(..read).unwrap_or_default(), &mut out);
    }
    // Closing a socket with unread input resets it and can destroy the Close on its way, so read to the end first.
    stream.shutdown().await?;
    let drain = async {
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(LINGER, drain).await.unwrap_or(Ok(()))
}

/// Decodes `input`, appends the answers to `out`; false once a Close was written.
fn echo(decoder: &mut Decoder, mut input: &[u8], out: &mut Vec<u8>) -> bool {
    loop {
        match decoder.feed(&mut input) {
            Ok(Some(Message::Text(data))) => frame::append_frame(out, Opcode::Text, &data),
            Ok(Some(Message::Binary(data))) => frame::append_frame(out, Opcode::Binary, &data),
            Ok(Some(Message::Ping(data))) => frame::append_frame(out, Opcode::Pong, &data),
            Ok(Some(Message::Pong(_))) => {}
            Ok(Some(Message::Close(close))) => {
                out.extend_from_slice(&frame::close_reply(close.as_ref()));
                return false;
            }
            Ok(None) => return true,
            Err(error) => {
                out.extend_from_slice(&frame::close_frame(error.close_code(), error.reason()));
                return false;
            }
        }
    }
}

/// Answers the upgrade request; gives the bytes that came after its head, or `None` when it was refused.
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let end = match request.parse(&head) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => continue,
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        let pairs = request.headers.iter().map(|header| (header.name, header.value));
        let (answer, accepted) = match handshake::validate(pairs) {
            Ok(request) => {
                let mut answer = Vec::new();
                request.append_response(&mut answer, request.subprotocols.first().copied());
                (answer, true)
            }
            Err(error) => (format!("HTTP/1.1 {} {error}\r\n\r\n", error.status()).into_bytes(), false),
        };
        stream.write_all(&answer).await?;
        return Ok(accepted.then(|| head.split_off(end)));
    }
}
