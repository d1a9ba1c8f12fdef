//! How much of the past a new reader is told of.
use std::sync::Arc;

use fanfare_broker::{Bound, Bounds, Keyed, Read};
use fanfare_protocol::{ChannelName, ClientId, Position, Problem};

use crate::{beginning::Beginning, hub::Hub};

impl Hub {
    /// How many messages this reader will be sent up to the head, or as far as could be counted: that offset comes second.
    pub(crate) async fn count_replay(
        &self,
        name: &ChannelName,
        beginning: &Beginning,
        bounds: &Bounds,
        skip: Option<ClientId>,
        conflated: bool,
    ) -> Result<(u64, u64), Problem> {
        let head = bounds.head;
        let Some(after) = beginning.after.filter(|after| *after < head) else { return Ok((0, head)) };
        let mine = |m: &Arc<fanfare_protocol::Message>| skip.is_some() && m.origin == skip;
        if let Some(phase) = beginning.keyed {
            let (mut after, mut count) = (after, 0);
            while after < phase.until {
                let tombstones_after = phase.tombstones_after;
                let read =
                    Keyed { after, until: phase.until, tombstones_after, limit: 10_000, bytes: 16 << 20 };
                let slice = self.broker.read_keyed(name, read).await?;
                count += slice.messages.iter().filter(|m| !mine(m)).count() as u64;
                after = slice.next;
            }
            // What a seek left unread of the log behind its snapshot.
            return Ok((count + head.saturating_sub(phase.until), head));
        }
        if skip.is_none() && !conflated {
            return Ok((head - after, head));
        }
        let (mut at, mut count) = (after, 0);
        let mut keys = std::collections::HashSet::new();
        while at < head {
            let after = Position { epoch: bounds.epoch, offset: at };
            let read = Read { after, limit: 10_000, bytes: 16 << 20, bound: Bound::Held };
            let messages = match self.broker.read(name, read).await? {
                Ok(slice) => slice.messages,
                // What a reader is owed beyond what the broker holds is in memory alone.
                Err(_) => self.in_tail(name, after, usize::MAX, usize::MAX).unwrap_or_default(),
            };
            let Some(last) = messages.last() else { break };
            at = last.offset;
            for message in messages.iter().filter(|m| m.offset <= head && !mine(m)) {
                count += 1;
                keys.insert(message.key.clone());
            }
        }
        Ok((if conflated { keys.len() as u64 } else { count }, at.min(head)))
    }
}
