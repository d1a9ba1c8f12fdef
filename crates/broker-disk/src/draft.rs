//! A message made ready outside of every lock, so that a log only has to number it.
use std::sync::Arc;

use fanfare_broker::Append;
use fanfare_protocol::{ChannelName, Data, Epoch, EventName, Message, Position, Tags};

use crate::{frame::crc, queue::Entry, record::write_message};

/// A message without a place in its log yet.
pub(crate) struct Draft {
    pub message: Message,
    /// Append only if this is the head.
    pub condition: Option<Position>,
    expires_ms: Option<u64>,
    /// Whether `message.id` is the publisher's own.
    pub remembered: bool,
    ends_key: bool,
}

impl Draft {
    /// What a publisher sent. `server_id` is asked only where the publisher gave no id.
    pub fn new(append: Append, server_id: impl FnOnce() -> Arc<str>) -> Self {
        let Append { publish, author, unix_ms } = append;
        let remembered = publish.id.is_some();
        let message = Message {
            channel: publish.channel,
            epoch: Epoch::NONE,
            offset: 0,
            event: publish.event,
            data: publish.data,
            id: publish.id.unwrap_or_else(server_id),
            time: unix_ms,
            key: publish.key,
            user: author.user,
            client: author.client,
            origin: author.client.or(publish.client),
            tags: publish.tags,
        };
        let expires_ms = publish.ttl_ms.map(|ttl_ms| unix_ms.saturating_add(ttl_ms).max(1));
        Self { message, condition: publish.condition, expires_ms, remembered, ends_key: false }
    }

    /// What the broker itself appends when a key's `ttl_ms` is over.
    pub fn tombstone(
        channel: &ChannelName,
        event: EventName,
        key: Arc<str>,
        id: Arc<str>,
        time: u64,
    ) -> Self {
        let message = Message {
            channel: channel.clone(),
            epoch: Epoch::NONE,
            offset: 0,
            event,
            data: Data::NULL,
            id,
            time,
            key: Some(key),
            user: None,
            client: None,
            origin: None,
            tags: Tags::default(),
        };
        Self { message, condition: None, expires_ms: None, remembered: false, ends_key: true }
    }

    /// The message in its place, ready to be written.
    pub fn place(mut self, epoch: Epoch, offset: u64, loose: bool) -> Entry {
        self.message.epoch = epoch;
        self.message.offset = offset;
        let weight = self.message.weight();
        let body = write_message(&self.message, weight, self.expires_ms);
        Entry {
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            expires_ms: self.expires_ms,
            remembered: self.remembered,
            body_crc: crc(&body),
            body,
            loose,
            ends_key: self.ends_key,
            message: Arc::new(self.message),
        }
    }
}
