//! The newest of every key inside a range of the log, read from the broker: for readers with a rate that memory no longer reaches.
use std::{collections::HashMap, sync::Arc};

use fanfare_broker::{Bound, Bounds, Keyed, Lost, Read, ReadBack};
use fanfare_protocol::{ChannelName, Epoch, Message, Position, Problem, event::GapReason};

use crate::{
    hub::Hub,
    tail::{Keyless, READ_BYTES},
};

/// Messages that one read of the broker returns at most.
const PAGE: usize = 1000;

/// Which range.
#[derive(Clone, Copy, Debug)]
pub struct ReadNewest {
    /// Exclusive.
    pub after: Position,
    /// Inclusive; at least `after`.
    pub until: u64,
    /// What is known of messages without a key in it.
    pub keyless: Keyless,
}

/// How much one read may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of messages held at a time. With more keys than fit, the range is read in pieces, each conflated by itself.
    pub held: usize,
    /// Messages returned from a keyed channel.
    pub messages: usize,
    /// Messages looked at.
    pub looked_at: u64,
}

/// For a connection that catches up.
pub const FOR_READERS: Limits = Limits { held: 1 << 20, messages: PAGE, looked_at: u64::MAX };

/// The newest of every key, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct NewestSlice {
    /// The log's epoch.
    pub epoch: Epoch,
    /// In offset order.
    pub messages: Vec<Arc<Message>>,
    /// Everything up to here has been taken into account; below `until` when a limit was reached.
    pub next: u64,
}

impl Hub {
    /// The newest of every key behind a position. A keyed channel's broker knows them; of others the log is read through.
    ///
    /// # Errors
    /// What the broker answers. Ok with [`Lost`] when something that may be the newest of its key is gone.
    pub(crate) async fn read_newest(
        &self,
        channel: &ChannelName,
        read: ReadNewest,
        limits: Limits,
    ) -> Result<Result<NewestSlice, Lost>, Problem> {
        if self.rules.policy(channel).keyed {
            let bounds = self.broker.bounds(channel).await?;
            if bounds.epoch == read.after.epoch && read.after.offset >= bounds.tombstones_after {
                return self.read_newest_of_keyed(channel, read, limits, bounds).await;
            }
        }
        self.scan(channel, read, limits).await
    }

    async fn read_newest_of_keyed(
        &self,
        channel: &ChannelName,
        read: ReadNewest,
        limits: Limits,
        bounds: Bounds,
    ) -> Result<Result<NewestSlice, Lost>, Problem> {
        let keyless = match read.keyless {
            Keyless::None => None,
            Keyless::At(offset) => match self.message_at(channel, read.after.epoch, offset).await? {
                Ok(message) => Some(message),
                Err(lost) => return Ok(Err(lost)),
            },
            Keyless::Unknown => match self.find_keyless(channel, read, limits).await? {
                Some(found) => found,
                None => return Ok(Err(Lost { reason: GapReason::Expired, bounds })),
            },
        };
        let keyed = Keyed {
            after: read.after.offset,
            until: read.until,
            tombstones_after: read.after.offset,
            limit: limits.messages,
            bytes: if limits.messages == PAGE { READ_BYTES } else { limits.held },
        };
        let slice = self.broker.read_keyed(channel, keyed).await?;
        let mut messages = slice.messages;
        if let Some(message) = keyless.filter(|message| message.offset <= slice.next) {
            let at = messages.partition_point(|other| other.offset < message.offset);
            messages.insert(at, message);
        }
        Ok(Ok(NewestSlice { epoch: slice.bounds.epoch, messages, next: slice.next }))
    }

    async fn message_at(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        offset: u64,
    ) -> Result<Result<Arc<Message>, Lost>, Problem> {
        let after = Position { epoch, offset: offset.saturating_sub(1) };
        let read = Read { after, limit: 1, bytes: 1, bound: Bound::Held };
        let slice = match self.broker.read(channel, read).await? {
            Ok(slice) => slice,
            Err(lost) => return Ok(Err(lost)),
        };
        let found = slice.messages.into_iter().find(|message| message.offset == offset);
        Ok(found.ok_or(Lost { reason: GapReason::Expired, bounds: slice.bounds }))
    }

    /// The newest message without a key in the range, looked for backwards; none when that cannot be known.
    async fn find_keyless(
        &self,
        channel: &ChannelName,
        read: ReadNewest,
        limits: Limits,
    ) -> Result<Option<Option<Arc<Message>>>, Problem> {
        let mut before = read.until + 1;
        while before > read.after.offset + 1 {
            if read.until + 1 - before >= limits.looked_at {
                return Ok(None);
            }
            let position = Position { epoch: read.after.epoch, offset: before };
            // One beyond the head is as good as none.
            let page = ReadBack { before: Some(position), limit: PAGE, bytes: READ_BYTES };
            let slice = self.broker.read_back(channel, page).await?;
            let Some(oldest) = slice.messages.last().map(|message| message.offset) else { return Ok(None) };
            let range = read.after.offset + 1..=read.until;
            let inside = |message: &&Arc<Message>| message.key.is_none() && range.contains(&message.offset);
            if let Some(found) = slice.messages.iter().find(inside) {
                return Ok(Some(Some(found.clone())));
            }
            before = oldest;
        }
        Ok(Some(None))
    }

    /// Reads the log through, one page at a time, and keeps the newest of every key.
    async fn scan(
        &self,
        channel: &ChannelName,
        read: ReadNewest,
        limits: Limits,
    ) -> Result<Result<NewestSlice, Lost>, Problem> {
        let mut newest: HashMap<Option<Arc<str>>, Arc<Message>> = HashMap::new();
        let (mut at, mut held) = (read.after, 0);
        while at.offset < read.until && held < limits.held && at.offset - read.after.offset < limits.looked_at
        {
            let page = Read { after: at, limit: PAGE, bytes: READ_BYTES, bound: Bound::Held };
            let slice = match self.broker.read(channel, page).await? {
                Ok(slice) => slice,
                Err(lost) if newest.is_empty() => return Ok(Err(lost)),
                // The next read finds it lost from there.
                Err(_) => break,
            };
            let before = at.offset;
            for message in slice.messages.into_iter().filter(|message| message.offset <= read.until) {
                at.offset = message.offset;
                held += message.weight();
                let old = newest.insert(message.key.clone(), message);
                held -= old.map_or(0, |old| old.weight());
            }
            if at.offset == before {
                break;
            }
        }
        let mut messages: Vec<_> = newest.into_values().collect();
        messages.sort_unstable_by_key(|message| message.offset);
        Ok(Ok(NewestSlice { epoch: at.epoch, messages, next: at.offset }))
    }
}
