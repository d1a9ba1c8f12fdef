//! Beginning to read a channel from inside the program.
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use fanfare_protocol::{ChannelName, Position, Problem, Start};
use fanfare_session::checks::check_options;

use super::subscription::Subscription;
use crate::Fanfare;

impl Fanfare {
    /// Reads a channel; await it for the [`Subscription`]. The program needs no right for it.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// use fanfare::{Delivery, MessageData};
    ///
    /// let mut orders = fanfare.subscribe("orders").await?;
    /// fanfare.publish("orders", 1).await?;
    /// fanfare.publish("orders", 2).await?;
    /// let Some(Delivery::Message(first)) = orders.next().await else { panic!() };
    /// assert_eq!(first.json::<u32>()?, 1);
    ///
    /// // Later, perhaps in another process that wrote the position down: nothing is missed.
    /// let position = orders.position();
    /// drop(orders);
    /// let mut orders = fanfare.subscribe("orders").since(position).await?;
    /// assert_eq!(orders.recovered(), Some(true));
    /// let Some(Delivery::Message(second)) = orders.next().await else { panic!() };
    /// assert_eq!(second.json::<u32>()?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, channel: &str) -> Subscribing {
        Subscribing { fanfare: self.clone(), channel: ChannelName::parse(channel), start: Start::default() }
    }
}

/// A subscription about to begin: from now, unless told otherwise; await it.
#[must_use = "nothing is read until this is awaited"]
#[derive(Debug)]
pub struct Subscribing {
    fanfare: Fanfare,
    channel: Result<ChannelName, Problem>,
    start: Start,
}

impl Subscribing {
    /// Everything after this position. What is gone by then is told as a [`Delivery::Gap`](super::Delivery::Gap) first.
    pub fn since(mut self, position: Position) -> Self {
        self.start.since = Some(position);
        self
    }

    /// The newest `count` messages first. With `since`, only after a gap.
    pub fn last(mut self, count: u64) -> Self {
        self.start.last = Some(count);
        self
    }

    /// The newest message of every key first (keyed channels). With `since`, only after a gap.
    pub fn snapshot(mut self) -> Self {
        self.start.snapshot = true;
        self
    }
}

impl IntoFuture for Subscribing {
    type Output = Result<Subscription, Problem>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let channel = self.channel?;
            let options = fanfare_protocol::SubscribeOptions { start: self.start, ..Default::default() };
            check_options(&*self.fanfare.node().rules, &channel, &options)?;
            Subscription::begin(&self.fanfare, channel, self.start).await
        })
    }
}
