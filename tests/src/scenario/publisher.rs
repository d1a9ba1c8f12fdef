//! Publishers that are cut off too: every message has an idempotency id, and what was not answered is said again.
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use fanfare_testkit::Random;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    client::{self, Said},
    fault::Fault,
    http::HttpConnection,
    ledger::Ledger,
    websocket::{Subprotocol, WebSocket},
};

/// How a publisher speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// WebSocket commands, many under way at once.
    Pipelined,
    /// One HTTP request a message.
    Single,
    /// HTTP requests of many messages.
    Many,
}

/// Publishes its messages in order.
#[derive(Debug)]
pub struct Publisher {
    /// Its number.
    pub from: u32,
    /// How it speaks.
    pub means: Means,
    /// The server, or a proxy before it.
    pub address: SocketAddr,
    /// Names of all channels.
    pub names: Arc<[String]>,
    /// The channel of each of its messages.
    pub messages: Vec<usize>,
    /// Answers are kept here.
    pub ledger: Arc<Ledger>,
    /// Its chance.
    pub random: Random,
    /// The longest pause between two writes.
    pub pause: Duration,
    /// Messages that were said again.
    pub repeated: u64,
    /// Messages that were found to be there already.
    pub duplicates: u64,
}

#[derive(Deserialize)]
struct Published {
    offset: u64,
    duplicate: bool,
}

#[derive(Deserialize)]
struct Ok {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "ref")]
    reference: Option<usize>,
    #[serde(flatten)]
    published: Option<Published>,
}

impl Publisher {
    /// Publishes everything; the publisher with its counts.
    ///
    /// # Errors
    /// When the server refuses something, or `deadline` has passed.
    pub async fn run(mut self, deadline: Instant) -> Result<Self, Fault> {
        // Not answered yet, by place in `messages`.
        let mut waiting: BTreeSet<usize> = BTreeSet::new();
        let mut next = 0;
        while next < self.messages.len() || !waiting.is_empty() {
            self.repeated += waiting.len() as u64;
            let cut = tokio::time::timeout_at(deadline, async {
                match self.means {
                    Means::Pipelined => self.pipelined(&mut waiting, &mut next).await,
                    Means::Single => self.requests(&mut waiting, &mut next, 1).await,
                    Means::Many => self.requests(&mut waiting, &mut next, 50).await,
                }
            })
            .await;
            match cut {
                Err(_) => {
                    let all = self.messages.len();
                    return Err(Fault::wrong(format!(
                        "publisher {} has said {next} of {all} in time",
                        self.from
                    )));
                }
                Ok(Err(Fault::Cut(_))) => {
                    tokio::time::sleep(Duration::from_millis(self.random.below(10))).await
                }
                Ok(other) => other?,
            }
        }
        Ok(self)
    }

    fn message(&self, at: usize) -> Value {
        let said = json!({"from": self.from, "n": at, "text": "the quick brown fox jumps over the lazy dog"});
        json!({"id": format!("p{}-{at}", self.from), "data": said})
    }

    fn channel(&self, at: usize) -> Result<(usize, &str), Fault> {
        let channel = self.messages.get(at).copied();
        channel
            .and_then(|channel| Some((channel, self.names.get(channel)?.as_str())))
            .ok_or_else(|| Fault::wrong(format!("an answer to message {at}, which was never sent")))
    }

    fn acknowledged(&mut self, at: usize, published: &Published) -> Result<(), Fault> {
        let (channel, _) = self.channel(at)?;
        self.duplicates += u64::from(published.duplicate);
        self.ledger.acknowledged(channel, published.offset, Said { from: self.from, n: at as u32 })
    }

    async fn rest(&mut self) {
        let most = u64::try_from(self.pause.as_micros()).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(self.random.below(most))).await;
    }

    /// One connection over which commands are written without waiting for the answers to earlier ones.
    async fn pipelined(&mut self, waiting: &mut BTreeSet<usize>, next: &mut usize) -> Result<(), Fault> {
        let mut socket = WebSocket::open(self.address, Subprotocol::Json, "").await?;
        let again: Vec<usize> = waiting.iter().copied().collect();
        self.say(&mut socket, &again).await?;
        while *next < self.messages.len() || !waiting.is_empty() {
            let window = 1 + self.random.index(64);
            let free = window.saturating_sub(waiting.len()).min(self.messages.len() - *next);
            let fresh: Vec<usize> = (*next..*next + free).collect();
            *next += free;
            waiting.extend(&fresh);
            self.say(&mut socket, &fresh).await?;
            let mut payload = Some(socket.next().await?);
            while let Some(bytes) = payload {
                let answer: Ok = serde_json::from_slice(&bytes).map_err(|error| {
                    Fault::wrong(format!("{error} in {}", String::from_utf8_lossy(&bytes)))
                })?;
                match (answer.kind.as_str(), answer.reference, answer.published) {
                    ("welcome", ..) => {}
                    ("ok", Some(at), Some(published)) => {
                        self.acknowledged(at, &published)?;
                        waiting.remove(&at);
                    }
                    _ => return Err(Fault::wrong(format!("unexpected {}", String::from_utf8_lossy(&bytes)))),
                }
                payload = socket.ready().await?;
            }
            self.rest().await;
        }
        Ok(())
    }

    /// Writes commands, by chance as frames of their own or as arrays.
    async fn say(&mut self, socket: &mut WebSocket, which: &[usize]) -> Result<(), Fault> {
        let mut frames = Vec::new();
        let size = if self.random.percent(50) { 1 } else { 16 };
        for batch in which.chunks(size) {
            let mut commands = Vec::with_capacity(batch.len());
            for at in batch {
                let (_, name) = self.channel(*at)?;
                let mut command = self.message(*at);
                command["type"] = "publish".into();
                command["ref"] = (*at).into();
                command["channel"] = name.into();
                commands.push(command);
            }
            let payload = if size == 1 {
                commands.first().map(Value::to_string)
            } else {
                Some(Value::from(commands).to_string())
            };
            socket.frame(payload.unwrap_or_default().as_bytes(), &mut frames);
        }
        if frames.is_empty() { Ok(()) } else { socket.send_raw(&frames).await }
    }

    /// One kept-alive connection with a request of up to `most` messages at a time.
    async fn requests(
        &mut self,
        waiting: &mut BTreeSet<usize>,
        next: &mut usize,
        most: usize,
    ) -> Result<(), Fault> {
        let mut http = HttpConnection::open(self.address).await?;
        while *next < self.messages.len() || !waiting.is_empty() {
            if waiting.is_empty() {
                let fresh = (1 + self.random.index(most)).min(self.messages.len() - *next);
                waiting.extend(*next..*next + fresh);
                *next += fresh;
            }
            let batch: Vec<usize> = waiting.iter().copied().collect();
            if let (Means::Single, Some(at)) = (self.means, batch.first()) {
                let (_, name) = self.channel(*at)?;
                let path = format!("/v1/channels/{name}/messages");
                let (head, body) =
                    http.call("POST", &path, &[], self.message(*at).to_string().as_bytes()).await?;
                let published: Published =
                    serde_json::from_slice(&body).map_err(|_| Fault::refused(head.status, &body))?;
                self.acknowledged(*at, &published)?;
            } else {
                self.many(&mut http, &batch).await?;
            }
            waiting.clear();
            self.rest().await;
        }
        Ok(())
    }

    async fn many(&mut self, http: &mut HttpConnection, batch: &[usize]) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Published>,
        }
        let mut messages = Vec::with_capacity(batch.len());
        for at in batch {
            let mut message = self.message(*at);
            message["channel"] = self.channel(*at)?.1.into();
            messages.push(message);
        }
        let body = json!({ "messages": messages }).to_string();
        let (head, body) = http.call("POST", "/v1/messages", &[], body.as_bytes()).await?;
        let answer: Results =
            serde_json::from_slice(&body).map_err(|_| Fault::refused(head.status, &body))?;
        if answer.results.len() != batch.len() {
            return Err(Fault::refused(head.status, &body));
        }
        for (at, published) in batch.iter().zip(&answer.results) {
            self.acknowledged(*at, published)?;
        }
        Ok(())
    }
}

/// Where channels stand now, asked of the server itself.
///
/// # Errors
/// When it does not say.
pub async fn positions(
    server: SocketAddr,
    names: &[String],
) -> Result<Vec<fanfare_protocol::Position>, Fault> {
    let mut http = HttpConnection::open(server).await?;
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("/v1/channels/{name}/messages?limit=1");
        let (head, body) = http.call("GET", &path, &[], b"").await?;
        if head.status != 200 {
            return Err(Fault::refused(head.status, &body));
        }
        positions.push(client::json(&body)?.position()?);
    }
    Ok(positions)
}
