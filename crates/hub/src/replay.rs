//! How much of the past a new reader is told of. What would cost too much to count is not told as the past: its `offset` then says how far
//! the count went, and what lies above it comes as live.
use std::{collections::HashMap, sync::Arc};

use fanfare_broker::{Bound, Bounds, Keyed, Read};
use fanfare_protocol::{ChannelName, ClientId, Message, Position, Problem};

use crate::{
    beginning::Beginning,
    hub::Hub,
    read_newest::{Limits, ReadNewest},
    tail::Keyless,
};

/// Messages that are looked at to count those of others.
const LOOKED_AT: u64 = 10_000;
/// Bytes of them at most; a page more when it ends in the middle of one.
const BYTES: usize = 4 << 20;
/// Bytes of one page.
const PAGE_BYTES: usize = 1 << 20;
/// To count the newest of every key.
const NEWEST: Limits = Limits { held: BYTES, messages: LOOKED_AT as usize, looked_at: LOOKED_AT };

/// Who is sent what.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Messages of this client are not.
    pub skip: Option<ClientId>,
    /// Only the newest of every key is.
    pub conflated: bool,
}

impl Sent {
    fn includes(&self, message: &Message) -> bool {
        self.skip.is_none() || message.origin != self.skip
    }
}

impl Hub {
    /// How many messages this reader will be sent up to the head, or as far as could be counted: that offset comes second.
    pub(crate) async fn count_replay(
        &self,
        name: &ChannelName,
        beginning: &Beginning,
        bounds: &Bounds,
        sent: Sent,
    ) -> Result<(u64, u64), Problem> {
        let head = bounds.head;
        let Some(mut after) = beginning.after.filter(|after| *after < head) else { return Ok((0, head)) };
        let mut count = 0;
        if let Some(phase) = beginning.keyed {
            while after < phase.until {
                let tombstones_after = phase.tombstones_after;
                let (until, limit) = (phase.until, LOOKED_AT as usize);
                let read = Keyed { after, until, tombstones_after, limit, bytes: PAGE_BYTES };
                let slice = self.broker.read_keyed(name, read).await?;
                count += slice.messages.iter().filter(|m| sent.includes(m)).count() as u64;
                after = slice.next;
            }
        }
        // Behind a snapshot, what a seek left unread of the log.
        let after = Position { epoch: bounds.epoch, offset: after };
        let (rest, upto) = if after.offset >= head {
            (0, head)
        } else if sent.conflated {
            self.count_newest(name, after, head, sent).await?
        } else if sent.skip.is_some() {
            self.count_others(name, after, head, sent).await?
        } else {
            (head - after.offset, head)
        };
        Ok((count + rest, upto))
    }

    /// Messages that are not the reader's own.
    async fn count_others(
        &self,
        name: &ChannelName,
        after: Position,
        head: u64,
        sent: Sent,
    ) -> Result<(u64, u64), Problem> {
        let (mut at, mut count, mut bytes) = (after, 0, 0);
        while at.offset < head && bytes < BYTES && at.offset - after.offset < LOOKED_AT {
            let messages = match self.in_tail(name, at, usize::MAX, usize::MAX) {
                Some(messages) => messages,
                None => {
                    let read = Read { after: at, limit: 1000, bytes: PAGE_BYTES, bound: Bound::Held };
                    let slice = self.broker.read(name, read).await?;
                    slice.map(|slice| slice.messages).unwrap_or_default()
                }
            };
            let Some(last) = messages.last() else { break };
            at.offset = last.offset;
            bytes += messages.iter().map(|message| message.weight()).sum::<usize>();
            count += messages.iter().filter(|m| m.offset <= head && sent.includes(m)).count() as u64;
        }
        Ok((count, at.offset.min(head)))
    }

    /// Keys of whose newest message the reader is not the author.
    async fn count_newest(
        &self,
        name: &ChannelName,
        after: Position,
        head: u64,
        sent: Sent,
    ) -> Result<(u64, u64), Problem> {
        let in_tail = self.in_tail(name, after, usize::MAX, usize::MAX);
        if let Some(messages) = in_tail.filter(|messages| !messages.is_empty()) {
            let upto = messages.last().map_or(head, |last| last.offset);
            let newest: HashMap<_, _> =
                messages.iter().map(|message| (message.key.as_ref(), message)).collect();
            return Ok((newest.values().filter(|m| sent.includes(m)).count() as u64, upto));
        }
        let read = ReadNewest { after, until: head, keyless: Keyless::Unknown };
        match self.read_newest(name, read, NEWEST).await? {
            Ok(slice) if slice.next >= head => {
                Ok((slice.messages.iter().filter(|m: &&Arc<Message>| sent.includes(m)).count() as u64, head))
            }
            _ => Ok((0, after.offset)),
        }
    }
}
