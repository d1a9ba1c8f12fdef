//! Publishing, and waiting while readers cannot keep up.
use std::sync::Arc;

use fanfare_broker::{Append, Appending};
use fanfare_protocol::ChannelName;

use crate::{channel::Channel, hub::Hub};

/// Publishers wait when the slowest shard is so many bytes behind the head, or half of the tail if that is less. The rest of the tail is for
/// readers that were in step a moment ago: how long a socket may be full before its reader falls off.
const LAG: u64 = 512 << 10;

impl Hub {
    /// Hands a message to the broker. Readers get it from the broker's delivery, never from here.
    pub fn publish(&self, append: Append) -> Appending {
        self.counters.published.inc();
        self.broker.append(append)
    }

    /// The channel, when its slowest shard is too far behind: publishers wait for [`Congestion::clear`].
    pub fn congestion(&self, channel: &str) -> Option<Congestion> {
        let channel = self.registry.get(channel)?;
        let limit = LAG.min(self.tail_limit() as u64 / 2);
        (channel.lag() > limit).then(|| {
            self.counters.waits.inc();
            Congestion { channel, limit }
        })
    }
}

/// A channel whose readers must be written to before more is published.
#[derive(Debug)]
pub struct Congestion {
    channel: Arc<Channel>,
    limit: u64,
}

impl Congestion {
    /// Which channel.
    pub fn name(&self) -> &ChannelName {
        &self.channel.name
    }

    /// Returns when the slowest shard is near enough to the head again.
    pub async fn clear(self) {
        // Those who wait take turns: woken all at once, the same one could win each time.
        let _turn = self.channel.turn.lock().await;
        loop {
            let mut moved = std::pin::pin!(self.channel.room.notified());
            moved.as_mut().enable();
            if self.channel.lag() <= self.limit {
                return;
            }
            moved.await;
        }
    }
}
