//! The bodies of frames: messages, channels, deadlines, marks.
use bytes::Bytes;
use fanfare_protocol::{ChannelName, ClientId, Data, Epoch, EventName, Message};

/// A message's body, taken apart without copying.
///
/// ```text
/// offset u64 | time u64 | weight u32 | expires u64 (0: never) | shape u8 | event | id | key? | user? | client 16? | origin 16?
/// | tags u8 x (name | value) | data to the end            words are length u16 | bytes
/// ```
pub(crate) struct MessageBody<'a> {
    pub offset: u64,
    pub time: u64,
    /// [`Message::weight`], so that retention need not build the message.
    pub weight: u32,
    pub expires_ms: Option<u64>,
    binary: bool,
    event: &'a str,
    pub id: &'a str,
    pub key: Option<&'a str>,
    user: Option<&'a str>,
    client: Option<ClientId>,
    origin: Option<ClientId>,
    tags: Vec<(&'a str, &'a str)>,
    data: &'a [u8],
}

/// Bytes of a message's body before its shape.
pub(crate) const FIXED: usize = 28;
/// Where `expires` stands in a message's body.
pub(crate) const EXPIRES_AT: usize = 20;

const BINARY: u8 = 1;
const KEY: u8 = 2;
const USER: u8 = 4;
const CLIENT: u8 = 8;
const ORIGIN: u8 = 16;

/// Writes a message's body.
pub(crate) fn write_message(message: &Message, weight: usize, expires_ms: Option<u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + 96 + message.data.len());
    out.extend_from_slice(&message.offset.to_le_bytes());
    out.extend_from_slice(&message.time.to_le_bytes());
    out.extend_from_slice(&(weight as u32).to_le_bytes());
    out.extend_from_slice(&expires_ms.unwrap_or(0).to_le_bytes());
    let (binary, data) = match &message.data {
        Data::Json(bytes) => (0, bytes),
        Data::Binary(bytes) => (BINARY, bytes),
    };
    let flag = |bit, present: bool| if present { bit } else { 0 };
    out.push(
        binary
            | flag(KEY, message.key.is_some())
            | flag(USER, message.user.is_some())
            | flag(CLIENT, message.client.is_some())
            | flag(ORIGIN, message.origin.is_some()),
    );
    word(&message.event, &mut out);
    word(&message.id, &mut out);
    for text in [&message.key, &message.user].into_iter().flatten() {
        word(text, &mut out);
    }
    for client in [message.client, message.origin].into_iter().flatten() {
        out.extend_from_slice(client.as_str().as_bytes());
    }
    out.push(message.tags.len() as u8);
    for (name, value) in message.tags.iter() {
        word(name, &mut out);
        word(value, &mut out);
    }
    out.extend_from_slice(data);
    out
}

impl<'a> MessageBody<'a> {
    /// A message's offset alone.
    pub fn offset(body: &[u8]) -> Option<u64> {
        Reader(body).u64()
    }

    /// A message's weight alone.
    pub fn weight(body: &[u8]) -> Option<u32> {
        let mut reader = Reader(body);
        let (_, _, weight) = (reader.u64()?, reader.u64()?, reader.u32()?);
        Some(weight)
    }

    /// Takes a body apart; none if it is not one.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (offset, time, weight) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let expires_ms = Some(reader.u64()?).filter(|ms| *ms > 0);
        let shape = reader.u8()?;
        let has = |bit| shape & bit != 0;
        let (event, id) = (reader.word()?, reader.word()?);
        let key = if has(KEY) { Some(reader.word()?) } else { None };
        let user = if has(USER) { Some(reader.word()?) } else { None };
        let client = if has(CLIENT) { Some(reader.client()?) } else { None };
        let origin = if has(ORIGIN) { Some(reader.client()?) } else { None };
        let count = reader.u8()?;
        let mut tags = Vec::new();
        for _ in 0..count {
            tags.push((reader.word()?, reader.word()?));
        }
        let (binary, data) = (has(BINARY), reader.0);
        Some(Self {
            offset,
            time,
            weight,
            expires_ms,
            binary,
            event,
            id,
            key,
            user,
            client,
            origin,
            tags,
            data,
        })
    }

    /// The event's name.
    pub fn event(&self) -> EventName {
        EventName::internal(self.event)
    }

    /// Whether it removes its key.
    pub fn is_tombstone(&self) -> bool {
        self.key.is_some() && !self.binary && self.data == b"null"
    }

    /// The message itself.
    pub fn message(&self, channel: &ChannelName, epoch: Epoch) -> Message {
        let data = Bytes::copy_from_slice(self.data);
        Message {
            channel: channel.clone(),
            epoch,
            offset: self.offset,
            event: self.event(),
            data: if self.binary { Data::Binary(data) } else { Data::Json(data) },
            id: self.id.into(),
            time: self.time,
            key: self.key.map(Into::into),
            user: self.user.map(Into::into),
            client: self.client,
            origin: self.origin,
            tags: self.tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }
}

/// A channel's body: who it is and where it stands.
///
/// ```text
/// head u64 | newest u64 | tombstones after u64 | epoch u8 + bytes | name to the end
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChannelBody {
    /// The last offset written before this frame.
    pub head: u64,
    pub newest_ms: u64,
    pub tombstones_after: u64,
    pub epoch: Epoch,
    pub name: ChannelName,
}

impl ChannelBody {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + self.name.len());
        for number in [self.head, self.newest_ms, self.tombstones_after] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let epoch = self.epoch.as_str().as_bytes();
        out.push(epoch.len() as u8);
        out.extend_from_slice(epoch);
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    pub fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (head, newest_ms, tombstones_after) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let len = reader.u8()?;
        let epoch = std::str::from_utf8(reader.take(usize::from(len))?).ok()?.parse().ok()?;
        let text = std::str::from_utf8(reader.0).ok()?;
        let name = match text.strip_prefix('$').and_then(|rest| rest.split_once(':')) {
            Some((kind, of)) => ChannelName::internal(kind, of),
            None => ChannelName::parse(text).ok()?,
        };
        Some(Self { head, newest_ms, tombstones_after, epoch, name })
    }
}

/// Writes keys and their new deadlines.
pub(crate) fn write_renew<'a>(keys: impl Iterator<Item = (&'a str, u64)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, expires_ms) in keys {
        out.extend_from_slice(&expires_ms.to_le_bytes());
        word(key, &mut out);
    }
    out
}

/// Reads what [`write_renew`] wrote.
pub(crate) fn read_renew(body: &[u8]) -> Option<Vec<(&str, u64)>> {
    let (mut reader, mut keys) = (Reader(body), Vec::new());
    while !reader.0.is_empty() {
        let expires_ms = reader.u64()?;
        keys.push((reader.word()?, expires_ms));
    }
    Some(keys)
}

/// Reads a mark: how far its segment was synced.
pub(crate) fn read_mark(body: &[u8]) -> Option<u64> {
    Reader(body).u64()
}

fn word(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn word(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(usize::from(len))?).ok()
    }

    fn client(&mut self) -> Option<ClientId> {
        ClientId::parse(std::str::from_utf8(self.take(16)?).ok()?).ok()
    }
}
