//! A bare client of the polls, long and short.
use std::{borrow::Cow, time::Duration};

use fanfare_protocol::Position;
use fanfare_testkit::Random;
use serde::Deserialize;

use super::{
    client::{self, Client, Frame, Heard, Target},
    fault::Fault,
    http::HttpConnection,
};

/// A short poll asks again after the server's advice, but at most so much later: scenarios are short.
const MOST_PATIENCE: Duration = Duration::from_millis(120);

/// Reads channels over `/v1/poll`, carrying the cursor itself.
#[derive(Debug)]
pub struct PollClient {
    target: Target,
    /// Seconds that a poll may wait; 0: short polls.
    wait: u64,
    random: Random,
    connection: Option<HttpConnection>,
    cursor: Option<String>,
    patience: Duration,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    messages: Vec<Frame<'a>>,
    #[serde(borrow)]
    cursor: Cow<'a, str>,
    #[serde(borrow, default)]
    gap: Vec<Frame<'a>>,
    poll_after_ms: u64,
}

impl PollClient {
    /// A client that is not connected yet.
    pub fn new(target: Target, wait: u64, seed: u64) -> Self {
        Self {
            target,
            wait,
            random: Random::new(seed),
            connection: None,
            cursor: None,
            patience: Duration::ZERO,
        }
    }

    /// A poll is a subscription of its own: it begins at the cursor it gave, and a channel without a gap was recovered.
    fn take(&mut self, body: &[u8], heard: &mut Vec<Heard>) -> Result<(), Fault> {
        let answer: Answer<'_> = serde_json::from_slice(body)
            .map_err(|error| Fault::wrong(format!("{error} in {}", String::from_utf8_lossy(body))))?;
        let mut gaps = vec![None; self.target.channels.len()];
        for gap in &answer.gap {
            if let Some(slot) = gaps.get_mut(self.target.index(&gap.channel)?) {
                *slot = Some(gap.position()?);
            }
        }
        for (channel, (element, gap)) in answer.cursor.split('~').zip(&gaps).enumerate() {
            let head: Position =
                element.parse().map_err(|_| Fault::wrong(format!("the cursor {}", answer.cursor)))?;
            heard.push(Heard::Subscribed { channel, head, recovered: Some(gap.is_none()), replay: 0 });
            heard.extend(gap.map(|after| Heard::Gap { channel, after }));
        }
        for message in &answer.messages {
            heard.push(message.message(&self.target)?);
        }
        heard.push(Heard::Cursor(answer.cursor.to_string()));
        self.patience = Duration::from_millis(answer.poll_after_ms).min(MOST_PATIENCE);
        self.cursor = Some(answer.cursor.into_owned());
        Ok(())
    }
}

impl Client for PollClient {
    async fn open(&mut self, from: &[Position]) -> Result<(), Fault> {
        self.connection = None;
        let cursor = client::cursor(from);
        if let Some(own) = &self.cursor
            && *own != cursor
        {
            return Err(Fault::wrong(format!("the cursor is {own}, what came ends at {cursor}")));
        }
        self.cursor = Some(cursor);
        self.connection = Some(HttpConnection::open(self.target.address).await?);
        Ok(())
    }

    async fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        if self.wait == 0 {
            tokio::time::sleep(std::mem::take(&mut self.patience)).await;
        }
        let Some(cursor) = self.cursor.clone() else { return Err(Fault::wrong("not open")) };
        let mut path = format!("/v1/poll?{}&since={cursor}", self.target.query());
        if self.wait > 0 {
            path.push_str(&format!("&wait={}", self.wait));
        }
        let tag = format!("W/\"{cursor}\"");
        // Some clients ask conditionally, as browsers do by themselves.
        let headers = [("If-None-Match", tag.as_str())];
        let conditional = self.random.percent(50);
        let headers = if conditional { &headers[..] } else { &[] };
        let Some(connection) = &mut self.connection else { return Err(Fault::wrong("not open")) };
        let (head, body) = connection.call("GET", &path, headers, b"").await?;
        match head.status {
            200 => self.take(&body, heard),
            304 if conditional => {
                self.patience = MOST_PATIENCE;
                Ok(())
            }
            status => Err(Fault::refused(status, &body)),
        }
    }
}
