//! A bare client of the event stream: what a browser's `EventSource` does, and what a page does with its events.
use bytes::BytesMut;
use fanfare_protocol::Position;

use super::{
    client::{self, Client, Heard, Said, Target},
    fault::Fault,
    http::HttpConnection,
};

/// Reads channels over `/v1/sse`. It resumes with `Last-Event-ID` as soon as it has seen an `id:`, with `since` before.
#[derive(Debug)]
pub struct SseClient {
    target: Target,
    /// Whether messages come with everything about them; else the cursor alone tells channel and offset.
    envelope: bool,
    connection: Option<HttpConnection>,
    partial: BytesMut,
    /// The newest `id:`, or where the first connection began.
    last_id: Option<String>,
    /// Whether `last_id` came from the server.
    told: bool,
}

/// One block of `text/event-stream`.
#[derive(Default)]
struct Block<'a> {
    event: &'a str,
    id: Option<&'a str>,
    data: Option<&'a str>,
}

impl<'a> Block<'a> {
    /// The server writes one `data:` line, as its JSON is compact.
    fn parse(text: &'a str) -> Result<Self, Fault> {
        let mut block = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => block.event = value,
                "id" => block.id = Some(value),
                "data" if block.data.is_some() => return Err(Fault::wrong("two data lines in a block")),
                "data" => block.data = Some(value),
                // A comment, or the server's advice on when to come back.
                "" | "retry" => {}
                other => return Err(Fault::wrong(format!("a field {other:?} in an event stream"))),
            }
        }
        Ok(block)
    }
}

impl SseClient {
    /// A client that is not connected yet.
    pub fn new(target: Target, envelope: bool) -> Self {
        Self { target, envelope, connection: None, partial: BytesMut::new(), last_id: None, told: false }
    }

    fn block(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        let block = Block::parse(text)?;
        let Some(data) = block.data else {
            // A cursor on its own after a quiet spell, or a comment.
            if let Some(id) = block.id {
                heard.push(Heard::Cursor(id.to_owned()));
                self.keep(id);
            }
            return Ok(());
        };
        if block.event.starts_with("fanfare.") {
            let told = client::json(data.as_bytes())?.heard(&self.target)?;
            if let (Some(id), Some(Heard::Subscribed { .. })) = (block.id, &told)
                && self.last_id.as_deref() != Some(id)
            {
                return Err(Fault::wrong(format!("asked for {:?}, subscribed at {id}", self.last_id)));
            }
            heard.extend(told);
        } else {
            heard.push(self.message(&block, data)?);
        }
        if let Some(id) = block.id {
            self.keep(id);
        }
        Ok(())
    }

    /// A message: its cursor differs from the one before in one element, which is its position.
    fn message(&self, block: &Block<'_>, data: &str) -> Result<Heard, Fault> {
        let id = block.id.ok_or_else(|| Fault::wrong("a message without id"))?;
        let before = self.last_id.as_deref().unwrap_or_default();
        let mut moved = id.split('~').zip(before.split('~')).enumerate().filter(|(_, (new, old))| new != old);
        let (Some((channel, (new, _))), None) = (moved.next(), moved.next()) else {
            return Err(Fault::wrong(format!("one message moved the cursor from {before} to {id}")));
        };
        let at: Position =
            new.parse().map_err(|error| Fault::wrong(format!("{error:?} in the cursor {id}")))?;
        if self.envelope {
            let heard = client::json(data.as_bytes())?.message(&self.target)?;
            return match heard {
                Heard::Message { channel: own, offset, .. } if own == channel && offset == at.offset => {
                    Ok(heard)
                }
                _ => Err(Fault::wrong(format!("the cursor moved from {before} to {id} with {heard:?}"))),
            };
        }
        if block.event != "message" {
            return Err(Fault::wrong(format!("an event {:?}", block.event)));
        }
        let said: Said =
            serde_json::from_str(data).map_err(|error| Fault::wrong(format!("{error} in {data}")))?;
        Ok(Heard::Message { channel, offset: at.offset, said })
    }

    fn keep(&mut self, id: &str) {
        self.told = true;
        let last = self.last_id.get_or_insert_default();
        last.clear();
        last.push_str(id);
    }
}

impl Client for SseClient {
    async fn open(&mut self, from: &[Position]) -> Result<(), Fault> {
        self.connection = None;
        self.partial.clear();
        let cursor = client::cursor(from);
        if let Some(last) = &self.last_id
            && *last != cursor
        {
            return Err(Fault::wrong(format!("the last id is {last}, what came ends at {cursor}")));
        }
        let mut path = format!("/v1/sse?{}", self.target.query());
        if self.envelope {
            path.push_str("&envelope=1");
        }
        let mut headers = vec![("Accept", "text/event-stream")];
        if self.told {
            headers.push(("Last-Event-ID", &cursor));
        } else {
            path.push_str(&format!("&since={cursor}"));
        }
        let mut connection = HttpConnection::open(self.target.address).await?;
        connection.send("GET", &path, &headers, b"").await?;
        let head = connection.head().await?;
        if head.status != 200
            || !head.header("content-type").is_some_and(|t| t.starts_with("text/event-stream"))
        {
            return Err(Fault::refused(head.status, &connection.body().await.unwrap_or_default()));
        }
        self.last_id = Some(cursor);
        self.connection = Some(connection);
        Ok(())
    }

    async fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        let before = heard.len();
        while heard.len() == before {
            let Some(connection) = &mut self.connection else { return Err(Fault::wrong("not open")) };
            let Some(piece) = connection.piece().await? else {
                return Err(Fault::wrong("the server ended the event stream"));
            };
            self.partial.extend_from_slice(&piece);
            while let Some(end) = self.partial.windows(2).position(|two| two == b"\n\n") {
                let block = self.partial.split_to(end + 2);
                let text =
                    std::str::from_utf8(&block).map_err(|_| Fault::wrong("an event that is not UTF-8"))?;
                self.block(text, heard)?;
            }
        }
        Ok(())
    }
}
