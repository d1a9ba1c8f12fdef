//! Reading over Server-Sent Events (HTML standard §9.2), with whole message objects as data.
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::{
    super::{
        client::http::{Http, read as read_whole},
        exit::Failure,
    },
    Tail, message_frame,
};

/// The hub writes at least a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest line that is kept.
const LINE: usize = 64 << 20;

/// Reads until the stream ends.
///
/// # Errors
/// Why it ended, if not by the count or in good order.
pub async fn read(tail: &mut Tail<'_>) -> Result<(), Failure> {
    let mut query = tail.query();
    query.push(("envelope", "1".into()));
    let path = tail.hub.path("/v1/sse", &query);
    let hub = tail.hub.clone();
    let cursor = tail.positions.cursor.clone();
    let mut headers = vec![("accept", "text/event-stream")];
    if let Some(cursor) = &cursor {
        headers.push(("last-event-id", cursor));
    }
    let mut http = Http::new(&hub, Some(tail.session.clone()));
    let answer = http.send(Method::GET, &path, &headers, Bytes::new(), Duration::ZERO).await?;
    if answer.status() != StatusCode::OK {
        return read_whole(answer).await.map(drop);
    }
    let mut body = answer.into_body();
    let mut blocks = Blocks::default();
    while !tail.is_done() {
        let frame = match timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(Failure::Network(format!("the stream broke: {error}"))),
            Ok(None) => return Ok(()),
            Err(_) => return Err(Failure::Network("the hub is silent".into())),
        };
        let Ok(chunk) = frame.into_data() else { continue };
        for block in blocks.feed(&chunk)? {
            take(tail, block)?;
        }
    }
    Ok(())
}

fn take(tail: &mut Tail<'_>, block: Block) -> Result<(), Failure> {
    if let Some(ms) = block.retry {
        tail.retry_after = Some(Duration::from_millis(ms));
    }
    if !block.data.is_empty() {
        let retry_after = tail.retry_after;
        let raw = if block.event.starts_with("fanfare.") { block.data } else { message_frame(&block.data) };
        tail.frame(&raw)?;
        tail.retry_after = retry_after;
    }
    // After the message: what was not printed is asked for again.
    if let Some(id) = block.id
        && !tail.is_done()
    {
        tail.positions.cursor = Some(id);
    }
    Ok(())
}

/// One block of the stream.
#[derive(Default, Debug, PartialEq, Eq)]
struct Block {
    event: String,
    data: String,
    id: Option<String>,
    retry: Option<u64>,
}

/// Cuts the stream into blocks.
#[derive(Default)]
struct Blocks {
    line: Vec<u8>,
    block: Block,
}

impl Blocks {
    /// Takes bytes and gives the blocks that they complete. Lines end with LF or CRLF; the hub never sends a CR alone.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Block>, Failure> {
        let mut done = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LINE {
                return Err(Failure::Network("the hub sent a line without end".into()));
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                if let Some(block) = self.line(line.trim_end_matches(['\n', '\r'])) {
                    done.push(block);
                }
            }
        }
        Ok(done)
    }

    fn line(&mut self, line: &str) -> Option<Block> {
        if line.is_empty() {
            return Some(std::mem::take(&mut self.block));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.block.event),
            "data" => {
                if !self.block.data.is_empty() {
                    self.block.data.push('\n');
                }
                self.block.data.push_str(value);
            }
            "id" => self.block.id = Some(value.to_owned()),
            "retry" => self.block.retry = value.parse().ok(),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_of_the_bytes_gives_the_same_blocks() {
        let text = ": hi\n\nid: e-1\ndata: {\"a\":\ndata: 1}\n\nevent: fanfare.gap\r\ndata:{}\r\n\r\nid: e-9\n\nretry: 70\n\n";
        let whole = Blocks::default().feed(text.as_bytes()).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(
            whole[1],
            Block { id: Some("e-1".into()), data: "{\"a\":\n1}".into(), ..Block::default() }
        );
        assert_eq!(whole[2], Block { event: "fanfare.gap".into(), data: "{}".into(), ..Block::default() });
        assert_eq!((whole[3].id.as_deref(), whole[4].retry), (Some("e-9"), Some(70)));
        for cut in 0..text.len() {
            let mut blocks = Blocks::default();
            let (front, back) = text.as_bytes().split_at(cut);
            let mut parts = blocks.feed(front).unwrap();
            parts.extend(blocks.feed(back).unwrap());
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }
}
