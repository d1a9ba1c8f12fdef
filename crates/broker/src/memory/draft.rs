//! A message made ready outside of every lock, so that a log only has to number it.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Data, Epoch, EventName, Message, Position, Tags};

use crate::Append;

/// A message without a place in its log yet.
pub(super) struct Draft {
    /// Offset 0 and no epoch until [`Draft::place`].
    pub message: Arc<Message>,
    /// [`Message::weight`], worked out once.
    pub weight: usize,
    /// Append only if this is the head.
    pub condition: Option<Position>,
    /// When the key is removed, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Whether `message.id` is the publisher's own.
    pub remembered: bool,
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
        let weight = message.weight();
        let expires_ms = publish.ttl_ms.map(|ttl_ms| unix_ms.saturating_add(ttl_ms));
        Self { message: Arc::new(message), weight, condition: publish.condition, expires_ms, remembered }
    }

    /// What the broker itself appends when a key's `ttl_ms` is over.
    pub fn tombstone(
        channel: &ChannelName,
        event: &EventName,
        key: Arc<str>,
        id: Arc<str>,
        now_ms: u64,
    ) -> Self {
        let message = Message {
            channel: channel.clone(),
            epoch: Epoch::NONE,
            offset: 0,
            event: event.clone(),
            data: Data::NULL,
            id,
            time: now_ms,
            key: Some(key),
            user: None,
            client: None,
            origin: None,
            tags: Tags::default(),
        };
        let weight = message.weight();
        Self { message: Arc::new(message), weight, condition: None, expires_ms: None, remembered: false }
    }

    /// Takes the channel's own copy of its name, so that what is kept of a channel holds it once.
    pub fn share_name(&mut self, channel: &ChannelName) {
        Arc::make_mut(&mut self.message).channel = channel.clone();
    }

    /// Gives the message its place. Nobody else holds it yet, so this copies nothing.
    pub fn place(&mut self, epoch: Epoch, offset: u64) {
        let message = Arc::make_mut(&mut self.message);
        message.epoch = epoch;
        message.offset = offset;
    }
}
