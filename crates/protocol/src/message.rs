//! What a channel holds.
use std::{ops::Deref, sync::Arc};

use bytes::Bytes;

use crate::{ChannelName, ClientId, Epoch, EventName, Position};

/// A message's payload, checked and compact, so that every wire form of it can be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// Compact JSON text; bytes inside it stand as `{"$bytes":"BASE64"}`.
    Json(Bytes),
    /// Bytes as a whole: MessagePack binary, in JSON base64 with `"encoding":"base64"`.
    Binary(Bytes),
}

impl Data {
    /// `null`, the payload of a message without data.
    pub const NULL: Self = Self::Json(Bytes::from_static(b"null"));

    /// Bytes that count against `limits.message_bytes`.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(bytes) | Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True for zero bytes of binary; JSON is never empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True for JSON `null`: with a key, the message that removes the key.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Json(bytes) if bytes.as_ref() == b"null")
    }
}

/// Name and value.
pub type Tag = (Arc<str>, Arc<str>);

/// A message's tags, in the order given; cheap to clone. Most messages have none, which costs nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tags(Option<Arc<[Tag]>>);

impl Deref for Tags {
    type Target = [Tag];
    fn deref(&self) -> &[Tag] {
        self.0.as_deref().unwrap_or_default()
    }
}
impl From<Vec<Tag>> for Tags {
    fn from(tags: Vec<Tag>) -> Self {
        Self((!tags.is_empty()).then(|| tags.into()))
    }
}
impl<const N: usize> From<[Tag; N]> for Tags {
    fn from(tags: [Tag; N]) -> Self {
        Vec::from(tags).into()
    }
}
impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        Vec::from_iter(tags).into()
    }
}

/// One entry of a channel's log. Built once by the broker and shared by every reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The channel.
    pub channel: ChannelName,
    /// The epoch that `offset` belongs to; not part of the message's own wire object.
    pub epoch: Epoch,
    /// 1, 2, 3, ... without holes; 0 for an ephemeral message, which has no place in the log.
    pub offset: u64,
    /// The event's name.
    pub event: EventName,
    /// The payload.
    pub data: Data,
    /// The publisher's idempotency id, or the server's.
    pub id: Arc<str>,
    /// Milliseconds since 1970, by the server's clock.
    pub time: u64,
    /// The key of a keyed message.
    pub key: Option<Arc<str>>,
    /// The user who published.
    pub user: Option<Arc<str>>,
    /// The client who published; never for an API key.
    pub client: Option<ClientId>,
    /// Whose `echo=0` subscriptions skip this message: `client`, or the one that an API key named. Not on the wire.
    pub origin: Option<ClientId>,
    /// At most 16 pairs, in the order given.
    pub tags: Tags,
}

impl Message {
    /// True for a message that is kept nowhere.
    pub fn is_ephemeral(&self) -> bool {
        self.offset == 0
    }

    /// True for a message that removes its key.
    pub fn is_tombstone(&self) -> bool {
        self.key.is_some() && self.data.is_null()
    }

    /// Where the message stands.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }

    /// Bytes that this message occupies in memory, near enough for limits.
    pub fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let words = self.id.len()
            + self.key.as_ref().map_or(0, |k| k.len())
            + self.user.as_ref().map_or(0, |u| u.len());
        size_of::<Self>() + 64 + self.data.len() + words + tags
    }
}

/// One member of a channel's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The client's public name, the member's key.
    pub client: ClientId,
    /// Its user, if it has one.
    pub user: Option<Arc<str>>,
    /// The token's `info` (JSON), if any.
    pub info: Option<Data>,
    /// What it entered with (JSON, `null` if nothing).
    pub data: Data,
    /// Milliseconds since 1970.
    pub entered_at: u64,
}
