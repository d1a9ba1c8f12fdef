//! What every bare client can do, whatever its transport.
use std::{borrow::Cow, future::Future, net::SocketAddr, sync::Arc};

use fanfare_protocol::{Epoch, Position};
use serde::Deserialize;

use super::fault::Fault;

/// Something a client was told about one of its channels (by its place in the client's list).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A subscription began, or went on.
    Subscribed {
        /// Which channel.
        channel: usize,
        /// The head then.
        head: Position,
        /// Whether nothing was lost since.
        recovered: Option<bool>,
        /// How much of the past comes.
        replay: u64,
    },
    /// What lay before `after` is lost.
    Gap {
        /// Which channel.
        channel: usize,
        /// Where the log goes on.
        after: Position,
    },
    /// A message.
    Message {
        /// Which channel.
        channel: usize,
        /// Its offset.
        offset: u64,
        /// What it says.
        said: Said,
    },
    /// Where the client stands in all its channels.
    Cursor(String),
}

/// The `data` of the scenario's messages: who says what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Debug)]
pub struct Said {
    /// The publisher's number.
    pub from: u32,
    /// The how many-th of its messages.
    pub n: u32,
}

/// A bare client of one transport: it opens a connection that goes on from given positions, and hears what comes.
pub trait Client: Send {
    /// Opens a connection that resumes each channel after the position given for it.
    fn open(&mut self, from: &[Position]) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Waits for what comes next and appends it to `heard`; at least one thing, but for a poll that times out.
    fn hear(&mut self, heard: &mut Vec<Heard>) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Where a client connects, and the channels that it reads.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server, or a proxy before it.
    pub address: SocketAddr,
    /// Names in the order of the cursor's elements.
    pub channels: Arc<[String]>,
}

impl Target {
    /// A channel's place in the list.
    ///
    /// # Errors
    /// When the server speaks of a channel that was not asked for.
    pub fn index(&self, channel: &str) -> Result<usize, Fault> {
        self.channels
            .iter()
            .position(|own| own == channel)
            .ok_or_else(|| Fault::wrong(format!("unexpected channel {channel:?}")))
    }

    /// `channel=A&channel=B`.
    pub fn query(&self) -> String {
        self.channels.iter().map(|name| format!("channel={name}")).collect::<Vec<_>>().join("&")
    }
}

/// The cursor of these positions.
pub fn cursor(positions: &[Position]) -> String {
    positions.iter().map(Position::to_string).collect::<Vec<_>>().join("~")
}

/// A server frame, as far as these clients look.
#[derive(Deserialize, Debug)]
pub struct Frame<'a> {
    /// `message`, `subscribed`, ...; a message object has none.
    #[serde(rename = "type", default)]
    pub kind: &'a str,
    /// The channel; empty where none is named.
    #[serde(borrow, default)]
    pub channel: Cow<'a, str>,
    /// Of a message, a head or a gap.
    pub offset: Option<u64>,
    /// Of `subscribed` and `gap`.
    pub epoch: Option<&'a str>,
    /// Of `subscribed`.
    pub recovered: Option<bool>,
    /// Of `subscribed`.
    pub replay: Option<u64>,
    /// Of a message.
    pub data: Option<Said>,
    /// Of `cursor`.
    #[serde(borrow, default)]
    pub cursor: Cow<'a, str>,
    /// Of an answer to a publish.
    #[serde(rename = "ref")]
    pub reference: Option<u64>,
}

impl Frame<'_> {
    /// The position that a `subscribed` or `gap` names.
    ///
    /// # Errors
    /// When it names none.
    pub fn position(&self) -> Result<Position, Fault> {
        let epoch = self.epoch.and_then(|epoch| epoch.parse::<Epoch>().ok());
        match (epoch, self.offset) {
            (Some(epoch), Some(offset)) => Ok(Position { epoch, offset }),
            _ => Err(Fault::wrong(format!("no position in {self:?}"))),
        }
    }

    /// What the frame tells; none for frames that tell nothing of a channel.
    ///
    /// # Errors
    /// When it lacks something, or the server says that it failed.
    pub fn heard(&self, target: &Target) -> Result<Option<Heard>, Fault> {
        Ok(Some(match self.kind {
            "message" => self.message(target)?,
            "subscribed" => Heard::Subscribed {
                channel: target.index(&self.channel)?,
                head: self.position()?,
                recovered: self.recovered,
                replay: self.replay.unwrap_or(0),
            },
            "gap" => Heard::Gap { channel: target.index(&self.channel)?, after: self.position()? },
            "cursor" => Heard::Cursor(self.cursor.to_string()),
            "welcome" => return Ok(None),
            other => return Err(Fault::wrong(format!("unexpected {other}"))),
        }))
    }

    /// The message that the frame holds.
    ///
    /// # Errors
    /// When it lacks something.
    pub fn message(&self, target: &Target) -> Result<Heard, Fault> {
        match (self.offset, self.data) {
            (Some(offset), Some(said)) => {
                Ok(Heard::Message { channel: target.index(&self.channel)?, offset, said })
            }
            _ => Err(Fault::wrong(format!("a message without offset or data: {self:?}"))),
        }
    }
}

/// Reads a JSON frame.
///
/// # Errors
/// When it is none; the text is quoted.
pub fn json(bytes: &[u8]) -> Result<Frame<'_>, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::wrong(format!("{error} in {}", String::from_utf8_lossy(bytes))))
}
