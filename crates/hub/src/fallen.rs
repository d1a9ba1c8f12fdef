//! Readers that the tail no longer reaches: what is read from the broker for them, and how they go on when that has lost it too.
use fanfare_broker::Bounds;
use fanfare_protocol::{ChannelName, Code, Position, Problem, event::GapReason};

use crate::{
    connection::Connection,
    hub::{Hub, Slow},
    pump::{Fetch, Fetched, Range, Slow as SlowReader},
    read_newest::FOR_READERS,
    reader::KeyedPhase,
};

impl Hub {
    /// Answers a connection's [`crate::Pumped::Fetch`].
    ///
    /// # Errors
    /// `unavailable` when the broker cannot be reached: try again later.
    pub async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, Problem> {
        match fetch.range {
            Range::Log(read) => self.broker.read(&fetch.channel, read).await.map(Fetched::Log),
            Range::Keyed(read) => self.broker.read_keyed(&fetch.channel, read).await.map(Fetched::Keyed),
            Range::Newest(read) => {
                self.read_newest(&fetch.channel, read, FOR_READERS).await.map(Fetched::Newest)
            }
        }
    }

    /// After which offset something is left of a log, in the broker or in memory.
    pub(crate) fn left_after(&self, channel: &ChannelName, bounds: &Bounds) -> u64 {
        let held = bounds.held.saturating_sub(1);
        let in_tail = self.registry.get(channel).and_then(|channel| {
            let state = channel.lock();
            let tail = state.tail.as_ref().filter(|tail| tail.epoch() == bounds.epoch)?;
            Some(tail.start().offset)
        });
        in_tail.map_or(held, |start| start.min(held))
    }

    /// Decides how a reader goes on that fell off the log.
    ///
    /// # Errors
    /// `slow_consumer` when the namespace closes such connections.
    pub async fn fell_off(&self, connection: &Connection, slow: &SlowReader) -> Result<(), Problem> {
        let bounds = if slow.channel.is_internal() || slow.lost.reason == GapReason::Epoch {
            slow.lost.bounds
        } else {
            self.broker.bounds(&slow.channel).await?
        };
        let keyed = self.rules.policy(&slow.channel).keyed;
        let policy = self.rules.slow(&slow.channel);
        let same = slow.at.epoch == bounds.epoch;
        let to = |offset| Position { epoch: bounds.epoch, offset };
        let by_key = slow.snapshot || policy == Slow::Conflate;
        if slow.channel.is_internal() {
            connection.resume(slow, to(0), None, None);
            return Ok(());
        }
        if keyed && by_key && same && slow.at.offset >= bounds.tombstones_after {
            let phase = KeyedPhase { until: bounds.head, tombstones_after: slow.at.offset };
            // Who did not ask for the keyed state hears that messages are missing.
            let told = (!slow.snapshot).then_some(GapReason::Slow);
            connection.resume(slow, slow.at, Some(phase), told);
            return Ok(());
        }
        let reason = if same { GapReason::Slow } else { GapReason::Epoch };
        if keyed && by_key {
            let phase = KeyedPhase { until: bounds.head, tombstones_after: bounds.head };
            connection.resume(slow, to(0), Some(phase), Some(reason));
            return Ok(());
        }
        if policy == Slow::Close && same {
            return Err(Problem::new(
                Code::SlowConsumer,
                format!("the log of {} no longer holds what this reader had not read", slow.channel),
            ));
        }
        connection.resume(slow, to(self.left_after(&slow.channel, &bounds)), None, Some(reason));
        Ok(())
    }
}
