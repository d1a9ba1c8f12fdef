//! What falls due with time on this node.
use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{clock::unix_ms, hub::Hub, wheel::TICK_MS};

impl Hub {
    /// Turns the timer wheel, ends and renews memberships, lets the broker expire, sweeps idle channels and audits heads. Runs until dropped.
    pub async fn maintain(self: Arc<Self>) {
        // The wheel waits for nobody: a broker that answers late must not hold up pings and expiry.
        tokio::join!(self.turn_wheel(), self.keep_house());
    }

    async fn turn_wheel(&self) {
        let mut ticks = interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            self.wheel.turn();
        }
    }

    async fn keep_house(&self) {
        let mut ticks = interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u64;
        loop {
            ticks.tick().await;
            count += 1;
            self.broker.tick(unix_ms());
            self.tick_memberships().await;
            if count.is_multiple_of(1000 / TICK_MS) {
                self.sweep().await;
                self.audit().await;
            }
        }
    }

    /// Compares the head of every channel that is read with the broker's: the last message of a pub/sub can be lost, and nothing later
    /// would reveal it. What is missing is read and taken.
    pub async fn audit(&self) {
        if self.broker.delivers_all() {
            return;
        }
        for channel in self.registry.all() {
            if channel.lock().is_idle() {
                continue;
            }
            let Ok(bounds) = self.broker.bounds(&channel.name).await else { continue };
            let here = channel.lock().tail.as_ref().map(|tail| (tail.epoch(), tail.head().offset));
            if here.is_some_and(|(epoch, head)| epoch == bounds.epoch && head < bounds.head) {
                self.repair(&channel).await;
            }
        }
    }

    /// Reads what the deliveries left out, up to the broker's head.
    pub(crate) async fn repair(&self, channel: &Arc<crate::channel::Channel>) {
        loop {
            let Some(after) = ({
                let state = channel.lock();
                state.tail.as_ref().map(|tail| fanfare_protocol::Position {
                    epoch: tail.epoch(),
                    offset: tail.head().offset,
                })
            }) else {
                return;
            };
            let read = fanfare_broker::Read {
                after,
                limit: 1000,
                bytes: 1 << 20,
                bound: fanfare_broker::Bound::Held,
            };
            let Ok(Ok(slice)) = self.broker.read(&channel.name, read).await else { return };
            if slice.messages.is_empty() {
                return;
            }
            let taken = channel.lock().take(&slice.messages, self.tail_limit());
            self.follow_up(channel, taken);
        }
    }
}
