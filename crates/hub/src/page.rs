//! Reading without a subscription: history pages, snapshots, polls and in-process readers.
use std::sync::Arc;

use fanfare_broker::{Bound, Bounds, Keyed, KeyedSlice, Read, ReadBack, Slice};
use fanfare_protocol::{
    ChannelName, Message, Position, Problem, Start,
    command::Page,
    event::{GapReason, HistoryPage},
};

use crate::{
    beginning::beginning,
    hub::{Hub, Joined},
    place::Place,
    reader::KeyedPhase,
};

/// Bytes of messages in one answer at most (one message more, when it alone is larger).
pub const PAGE_BYTES: usize = 256 << 10;

/// A reader that is not attached: it asks when it wants more.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Which channel.
    pub channel: ChannelName,
    /// Where it stands.
    pub at: Position,
    /// The newest per key up to here come first.
    pub keyed: Option<KeyedPhase>,
    /// Asked for a snapshot: what the log loses is continued by key.
    pub snapshot: bool,
}

/// Where a follower begins.
#[derive(Clone, Debug)]
pub struct Following {
    /// The reader.
    pub follower: Follower,
    /// What `since` came to.
    pub recovered: Option<bool>,
    /// Why something was lost before `follower.at`.
    pub gap: Option<GapReason>,
    /// The log at that moment.
    pub bounds: Bounds,
}

/// What a follower read.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// In order.
    pub messages: Vec<Arc<Message>>,
    /// Why something was lost before these messages.
    pub gap: Option<GapReason>,
    /// Whether more is there already.
    pub more: bool,
    /// When the newest message was published, in milliseconds since 1970; 0 when unknown.
    pub newest_ms: u64,
}

impl Hub {
    /// Where a new reader begins that is not attached.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn follow(&self, channel: &ChannelName, start: &Start) -> Result<Following, Problem> {
        let bounds = self.broker.bounds(channel).await?;
        let policy = self.rules.policy(channel);
        let tail_from =
            self.registry.get(channel).and_then(|c| c.lock().tail.as_ref().map(|tail| tail.start().offset));
        let beginning = beginning(start, &bounds, &policy, tail_from);
        let offset = beginning.after.unwrap_or(bounds.head);
        let at = Position { epoch: bounds.epoch, offset };
        let follower =
            Follower { channel: channel.clone(), at, keyed: beginning.keyed, snapshot: start.snapshot };
        Ok(Following { follower, recovered: beginning.recovered, gap: beginning.gap, bounds })
    }

    /// Reads on for a follower, and moves it.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn read_on(
        &self,
        follower: &mut Follower,
        limit: usize,
        bytes: usize,
    ) -> Result<Followed, Problem> {
        if let Some(phase) = follower.keyed {
            let read = Keyed {
                after: follower.at.offset,
                until: phase.until,
                tombstones_after: phase.tombstones_after,
                limit,
                bytes,
            };
            let slice = self.broker.read_keyed(&follower.channel, read).await?;
            if slice.bounds.epoch != follower.at.epoch {
                return Ok(self.lost(follower, &slice.bounds));
            }
            follower.at.offset = slice.next;
            if slice.next >= phase.until {
                follower.keyed = None;
            }
            let more = follower.keyed.is_some() || slice.bounds.head > slice.next;
            let newest_ms = slice.bounds.newest_ms;
            return Ok(Followed { messages: slice.messages, gap: None, more, newest_ms });
        }
        let read = Read { after: follower.at, limit, bytes, bound: Bound::Held };
        match self.broker.read(&follower.channel, read).await? {
            Ok(slice) => {
                if let Some(last) = slice.messages.last() {
                    follower.at.offset = last.offset;
                }
                let more = slice.bounds.head > follower.at.offset;
                Ok(Followed { messages: slice.messages, gap: None, more, newest_ms: slice.bounds.newest_ms })
            }
            Err(lost) => {
                // Without history, what a waiting reader is owed is in memory alone.
                let in_tail = self
                    .in_tail(&follower.channel, follower.at, limit, bytes)
                    .filter(|messages| !messages.is_empty());
                let Some(messages) = in_tail else { return Ok(self.lost(follower, &lost.bounds)) };
                follower.at.offset = messages.last().map_or(follower.at.offset, |last| last.offset);
                let more = lost.bounds.head > follower.at.offset;
                Ok(Followed { messages, gap: None, more, newest_ms: lost.bounds.newest_ms })
            }
        }
    }

    /// Lets a follower that asked for a snapshot go on by key where the log has gone by: told by a gap only when removals may be missing.
    fn by_key(&self, follower: &mut Follower, bounds: &Bounds) -> Option<Followed> {
        if !follower.snapshot || !self.rules.policy(&follower.channel).keyed {
            return None;
        }
        let start = Start { since: Some(follower.at), last: None, snapshot: true };
        let policy = self.rules.policy(&follower.channel);
        let beginning = beginning(&start, bounds, &policy, None);
        follower.keyed = Some(beginning.keyed?);
        follower.at = Position { epoch: bounds.epoch, offset: beginning.after.unwrap_or(bounds.head) };
        let gap = beginning.gap.map(|gap| if gap == GapReason::Epoch { gap } else { GapReason::Slow });
        Some(Followed { messages: Vec::new(), gap, more: true, newest_ms: bounds.newest_ms })
    }

    /// Moves a follower over what was lost.
    fn lost(&self, follower: &mut Follower, bounds: &Bounds) -> Followed {
        if let Some(followed) = self.by_key(follower, bounds) {
            return followed;
        }
        let reason = if bounds.epoch == follower.at.epoch { GapReason::Slow } else { GapReason::Epoch };
        follower.at = Position { epoch: bounds.epoch, offset: self.left_after(&follower.channel, bounds) };
        follower.keyed = None;
        let more = bounds.head > follower.at.offset;
        Followed { messages: Vec::new(), gap: Some(reason), more, newest_ms: bounds.newest_ms }
    }

    /// What the tail holds behind a follower, if it reaches back to it.
    pub(crate) fn in_tail(
        &self,
        channel: &ChannelName,
        at: Position,
        limit: usize,
        bytes: usize,
    ) -> Option<Vec<Arc<Message>>> {
        let channel = self.registry.get(channel)?;
        let state = channel.lock();
        let tail = state.tail.as_ref().filter(|tail| tail.epoch() == at.epoch)?;
        let messages = tail.messages_after(Place::at(at.offset))?;
        let mut weight = 0;
        let fits = |message: &Arc<Message>| {
            let first = weight == 0;
            weight += message.weight();
            first || weight <= bytes
        };
        let kept = messages.filter(|(place, _)| place.ephemeral == 0).map(|(_, message)| message.clone());
        Some(kept.take(limit.max(1)).take_while(fits).collect())
    }

    /// Keeps the deliveries of a channel coming, for a poll or an in-process reader that waits for them.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn watch(&self, channel: &ChannelName) -> Result<Watch, Problem> {
        let joined = self.join(channel).await?;
        joined.0.lock().watchers += 1;
        Ok(Watch(joined))
    }

    /// A page of the past.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn history(&self, channel: &ChannelName, page: &Page) -> Result<HistoryPage, Problem> {
        if page.reverse {
            let read = ReadBack { before: page.before, limit: page.limit, bytes: PAGE_BYTES * 4 };
            let mut slice = self.broker.read_back(channel, read).await?;
            let mut gap = false;
            if let Some(since) = page.since {
                let usable = since.epoch == slice.bounds.epoch && since.offset <= slice.bounds.head;
                gap = !usable || since.offset + 1 < slice.bounds.oldest;
                if usable {
                    let before = slice.messages.len();
                    slice.messages.retain(|message| message.offset > since.offset);
                    if slice.messages.len() < before {
                        return Ok(HistoryPage {
                            head: slice.bounds.head_position(),
                            messages: slice.messages,
                            more: false,
                            gap,
                        });
                    }
                }
            }
            let more = slice.messages.last().is_some_and(|oldest| {
                oldest.offset > slice.bounds.oldest
                    && page.since.is_none_or(|since| oldest.offset > since.offset + 1)
            });
            return Ok(HistoryPage {
                head: slice.bounds.head_position(),
                messages: slice.messages,
                more,
                gap,
            });
        }
        self.history_forward(channel, page).await
    }

    async fn history_forward(&self, channel: &ChannelName, page: &Page) -> Result<HistoryPage, Problem> {
        let bounds = self.broker.bounds(channel).await?;
        let from_oldest = Position { epoch: bounds.epoch, offset: bounds.oldest.saturating_sub(1) };
        let read = |after| Read { after, limit: page.limit, bytes: PAGE_BYTES * 4, bound: Bound::Retained };
        let (mut slice, gap) =
            match self.broker.read(channel, read(page.since.unwrap_or(from_oldest))).await? {
                Ok(slice) => (slice, false),
                Err(lost) => {
                    let after =
                        Position { epoch: lost.bounds.epoch, offset: lost.bounds.oldest.saturating_sub(1) };
                    let slice = self.broker.read(channel, read(after)).await?;
                    let nothing = Slice { messages: Vec::new(), bounds: lost.bounds };
                    (slice.unwrap_or(nothing), page.since.is_some())
                }
            };
        let head = slice.bounds.head_position();
        let mut more = slice
            .messages
            .last()
            .map_or(slice.bounds.oldest <= slice.bounds.head && page.limit == 0, |m| m.offset < head.offset);
        if let Some(before) = page.before.filter(|b| b.epoch == head.epoch && b.offset <= head.offset + 1) {
            let whole = slice.messages.len();
            slice.messages.retain(|message| message.offset < before.offset);
            more = more
                && slice.messages.len() == whole
                && slice.messages.last().is_some_and(|m| m.offset + 1 < before.offset);
        }
        Ok(HistoryPage { messages: slice.messages, head, more, gap })
    }

    /// A page of keyed state after an offset: the newest per key up to `until` (the head, if absent), without tombstones.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn snapshot(
        &self,
        channel: &ChannelName,
        after: u64,
        until: Option<u64>,
        limit: usize,
    ) -> Result<(KeyedSlice, u64), Problem> {
        let bounds = self.broker.bounds(channel).await?;
        let until = until.unwrap_or(bounds.head).min(bounds.head);
        let read = Keyed { after, until, tombstones_after: bounds.head, limit, bytes: PAGE_BYTES * 4 };
        Ok((self.broker.read_keyed(channel, read).await?, until))
    }
}

/// Wakes whoever waits for a channel's deliveries.
pub struct Watch(Joined);

impl Watch {
    /// Waits for the next delivery after this was first polled or enabled. Check the log between enabling and awaiting.
    pub fn delivered(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.0.watch.notified()
    }

    /// The newest offset delivered to this node.
    pub fn head(&self) -> Option<Position> {
        let state = self.0.0.lock();
        state.tail.as_ref().map(|tail| Position { epoch: tail.epoch(), offset: tail.head().offset })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.0.lock().watchers -= 1;
    }
}
