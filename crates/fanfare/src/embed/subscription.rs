//! A channel as a stream of what happens on it.
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use fanfare_hub::{Follower, Hub, PAGE_BYTES, Watch};
use fanfare_protocol::{ChannelName, Message, Position, Problem, Start, event::Gap};
use futures_util::{Stream, StreamExt, stream};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::sleep};

use crate::{Fanfare, MessageData};

/// Messages read ahead at most; beyond them, the log keeps what the reader has not taken.
const AHEAD: usize = 100;
/// How long a broker that did not answer is left alone.
const RETRY: Duration = Duration::from_millis(250);

/// What a [`Subscription`] yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// A message, in order.
    Message(Arc<Message>),
    /// Something was lost; what is left follows, from `after.offset + 1`. A reader that asked for a snapshot gets it next.
    Gap(Gap),
}

impl Delivery {
    /// The message, if it is one.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Self::Message(message) => Some(message),
            Self::Gap(_) => None,
        }
    }

    /// What the message says; None for a gap.
    ///
    /// # Errors
    /// The payload is not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<Option<T>> {
        self.message().map(|message| message.json()).transpose()
    }
}

/// A channel as a [`Stream`]: each message once, in order, however slowly it is taken: what was not taken yet stays in the log, and only
/// when the log loses it does a gap say so. Ends when the hub stops.
pub struct Subscription {
    position: Position,
    head: Position,
    recovered: Option<bool>,
    stream: Pin<Box<dyn Stream<Item = Delivery> + Send>>,
}

impl Subscription {
    pub(super) async fn begin(
        fanfare: &Fanfare,
        channel: ChannelName,
        start: Start,
    ) -> Result<Self, Problem> {
        let hub = fanfare.node().hub.clone();
        // Deliveries wake the reader before it knows where it begins: none can fall in between.
        let watch = hub.watch(&channel).await?;
        let following = hub.follow(&channel, &start).await?;
        let position = following.follower.at;
        let mut ready = VecDeque::new();
        if let Some(reason) = following.gap {
            ready.push_back(Delivery::Gap(Gap { channel, after: position, reason }));
        }
        let stopping = fanfare.stopping();
        let reader =
            Reader { hub, watch, follower: following.follower, snapshot: start.snapshot, ready, stopping };
        let stream = stream::unfold(reader, |mut reader| async {
            let delivery = reader.next().await?;
            Some((delivery, reader))
        });
        Ok(Self {
            position,
            head: following.bounds.head_position(),
            recovered: following.recovered,
            stream: Box::pin(stream),
        })
    }

    /// Everything up to here was yielded: where [`since`](super::Subscribing::since) goes on.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The channel's head when the subscription began: messages up to it are the past.
    pub fn head(&self) -> Position {
        self.head
    }

    /// Whether everything after `since` follows; None without `since`.
    pub fn recovered(&self) -> Option<bool> {
        self.recovered
    }

    /// The next message or gap; None when the hub stops.
    pub async fn next(&mut self) -> Option<Delivery> {
        StreamExt::next(self).await
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let polled = self.stream.as_mut().poll_next(cx);
        if let Poll::Ready(Some(delivery)) = &polled {
            self.position = match delivery {
                Delivery::Message(message) => message.position(),
                Delivery::Gap(gap) => gap.after,
            };
        }
        polled
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

/// A cursor that waits at the head.
struct Reader {
    hub: Arc<Hub>,
    watch: Watch,
    follower: Follower,
    snapshot: bool,
    ready: VecDeque<Delivery>,
    stopping: watch::Receiver<bool>,
}

impl Reader {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Some(delivery);
            }
            if *self.stopping.borrow() {
                return None;
            }
            let mut delivered = std::pin::pin!(self.watch.delivered());
            delivered.as_mut().enable();
            let before = self.follower.at;
            match self.hub.read_on(&mut self.follower, AHEAD, PAGE_BYTES).await {
                Ok(read) => {
                    if let Some(reason) = read.gap {
                        let channel = self.follower.channel.clone();
                        if self.snapshot {
                            // The newest per key fills the gap, wholly or after it is told.
                            let start = Start { since: Some(before), last: None, snapshot: true };
                            let Ok(again) = self.hub.follow(&channel, &start).await else { continue };
                            self.follower = again.follower;
                            if again.gap.is_none() {
                                continue;
                            }
                        }
                        let after = self.follower.at;
                        self.ready.push_back(Delivery::Gap(Gap { channel, after, reason }));
                    }
                    self.ready.extend(read.messages.into_iter().map(Delivery::Message));
                    if !self.ready.is_empty() || read.more {
                        continue;
                    }
                }
                Err(problem) => {
                    tracing::warn!(channel = %self.follower.channel, %problem, "a subscription waits for the broker");
                    sleep(RETRY).await;
                    continue;
                }
            }
            tokio::select! {
                () = delivered => {}
                // An error means that the hub is gone.
                changed = self.stopping.changed() => if changed.is_err() { return None },
            }
        }
    }
}
