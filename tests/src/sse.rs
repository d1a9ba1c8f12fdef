//! Server-sent events as a browser reads them, block by block.
use serde_json::Value;

use crate::{
    http::{Lines, Request},
    wait::within,
};

/// One block: what stands between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// `id:`
    pub id: Option<String>,
    /// `event:`
    pub event: Option<String>,
    /// `data:` lines, joined.
    pub data: Option<String>,
    /// `retry:`
    pub retry: Option<u64>,
    /// Comments.
    pub comments: Vec<String>,
}

impl Block {
    /// The data as JSON.
    ///
    /// # Panics
    /// When there is none, or it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("no data: {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether a browser would dispatch an event.
    pub fn is_event(&self) -> bool {
        self.data.is_some()
    }
}

/// An open event stream.
#[derive(Debug)]
pub struct Sse {
    lines: Lines,
    /// Headers of the answer, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Sse {
    /// Opens one, which must succeed.
    ///
    /// # Panics
    /// When the answer is not 200 or not an event stream.
    pub async fn open(request: Request) -> Self {
        let streamed = request.header("Accept", "text/event-stream").open().await;
        if streamed.status != 200 {
            let reply = streamed.whole().await;
            panic!("{} {}", reply.status, reply.text());
        }
        assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
        let headers = streamed.headers.clone();
        Self { lines: Lines::new(streamed), headers }
    }

    /// The next block, comments and all; none at the clean end.
    ///
    /// # Panics
    /// When none comes in time, or a line is none of the format's.
    #[track_caller]
    pub fn block(&mut self) -> impl Future<Output = Option<Block>> {
        within(self.read())
    }

    /// As [`Sse::block`], for as long as it takes.
    ///
    /// # Panics
    /// When a line is none of the format's.
    pub async fn read(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let line = self.lines.read().await?;
            if line.is_empty() {
                return Some(block);
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => block.comments.push(value),
                "id" => block.id = Some(value),
                "event" => block.event = Some(value),
                "retry" => block.retry = Some(value.parse().unwrap()),
                "data" => match &mut block.data {
                    Some(data) => *data = format!("{data}\n{value}"),
                    none => *none = Some(value),
                },
                _ => panic!("not a field of server-sent events: {line:?}"),
            }
        }
    }

    /// The next block that a browser would dispatch; none at the clean end.
    ///
    /// # Panics
    /// When none comes in time.
    #[track_caller]
    pub fn event(&mut self) -> impl Future<Output = Option<Block>> {
        within(async {
            loop {
                match self.read().await {
                    Some(block) if !block.is_event() => {}
                    other => return other,
                }
            }
        })
    }

    /// The next event, which must have this name.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> impl Future<Output = Block> {
        let event = self.event();
        async move {
            let block = event.await.unwrap_or_else(|| panic!("the stream ended, {name} expected"));
            assert_eq!(block.event.as_deref().unwrap_or("message"), name, "{block:?}");
            block
        }
    }

    /// Opens one and reads `fanfare.subscribed` of its only channel.
    ///
    /// # Panics
    /// As [`Sse::open`] and [`Sse::expect`].
    pub async fn subscribed(request: Request) -> (Self, Block) {
        let mut sse = Self::open(request).await;
        let subscribed = sse.expect("fanfare.subscribed").await;
        (sse, subscribed)
    }
}
