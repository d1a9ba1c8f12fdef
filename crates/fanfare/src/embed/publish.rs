//! Publishing from inside the program.
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use fanfare_broker::{Append, Author};
use fanfare_hub::unix_ms;
use fanfare_protocol::{
    Ack, ChannelName, ClientId, Code, Data, EventName, Identity, Position, Problem, Publish,
    event::Published, json, name::check_word,
};
use fanfare_session::checks;
use fanfare_transport::Node;
use serde::Serialize;

use crate::Fanfare;

/// Name and value pairs of one message, at most.
const TAGS: usize = 16;

impl Fanfare {
    /// Publishes `data` on a channel; await it. The program needs no right for it.
    ///
    /// Awaiting waits while the channel's readers are too far behind. Errors are those that a client would get: `bad_request` for a name or
    /// payload that cannot be, `too_large`, `conflict`, `unavailable`.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// #[derive(serde::Serialize)]
    /// struct Paid { order: u32 }
    ///
    /// let first = fanfare.publish("orders:ada", Paid { order: 7 }).event("paid").id("payment-7").await?;
    /// // The same payment, told twice, is published once.
    /// let again = fanfare.publish("orders:ada", Paid { order: 7 }).event("paid").id("payment-7").await?;
    /// assert!(again.duplicate);
    /// assert_eq!(first.position, again.position);
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, channel: &str, data: impl Serialize) -> Publishing {
        Publishing::new(self, channel, checked(&data))
    }

    /// Publishes bytes, which JSON clients get as base64.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// fanfare.publish_bytes("frames", &b"\x00\x01"[..]).ephemeral().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_bytes(&self, channel: &str, data: impl Into<Bytes>) -> Publishing {
        Publishing::new(self, channel, Ok(Data::Binary(data.into())))
    }
}

/// The payload by the rules of the wire: compact, not too deep, no lone surrogates, so that every form of it can be made.
fn checked(data: &impl Serialize) -> Result<Data, Problem> {
    let refused = |error| Problem::new(Code::BadRequest, format!("data cannot be JSON: {error}"));
    let text = serde_json::to_vec(data).map_err(refused)?;
    let body = [&b"{\"data\":"[..], &text, b"}"].concat();
    // Read as HTTP reads it; the channel is not looked at.
    Ok(json::publish(&body, Some(ChannelName::internal("embed", "")))?.data)
}

/// A message on its way; await it to publish.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct Publishing {
    fanfare: Fanfare,
    draft: Result<Publish, Problem>,
    user: Option<Arc<str>>,
    author: Option<ClientId>,
}

impl Publishing {
    fn new(fanfare: &Fanfare, channel: &str, data: Result<Data, Problem>) -> Self {
        let draft = ChannelName::parse(channel).and_then(|channel| Ok(Publish::new(channel, data?)));
        Self { fanfare: fanfare.clone(), draft, user: None, author: None }
    }

    /// The first error stays.
    fn with(mut self, set: impl FnOnce(&mut Publish) -> Result<(), Problem>) -> Self {
        if let Ok(draft) = &mut self.draft
            && let Err(problem) = set(draft)
        {
            self.draft = Err(problem);
        }
        self
    }

    /// The event's name; `message` without it.
    pub fn event(self, name: &str) -> Self {
        self.with(|draft| EventName::parse(name).map(|event| draft.event = event))
    }

    /// The key whose newest message a keyed channel keeps; publishing `()` with a key removes the key.
    pub fn key(self, key: &str) -> Self {
        self.with(|draft| check_word("key", key).map(|()| draft.key = Some(key.into())))
    }

    /// An idempotency id: a second message with it, within five minutes, is not published again.
    pub fn id(self, id: &str) -> Self {
        self.with(|draft| check_word("id", id).map(|()| draft.id = Some(id.into())))
    }

    /// One more of at most 16 tags.
    pub fn tag(self, name: &str, value: &str) -> Self {
        self.with(|draft| {
            check_word("tags", name)?;
            check_word("tags", value)?;
            if draft.tags.len() >= TAGS {
                return Err(Problem::new(Code::BadRequest, format!("more than {TAGS} tags")));
            }
            let one = (Arc::from(name), Arc::from(value));
            draft.tags = draft.tags.iter().cloned().chain([one]).collect();
            Ok(())
        })
    }

    /// Kept nowhere: only who reads at the head gets it (clients' WebSockets and streams, not [`Fanfare::subscribe`]).
    pub fn ephemeral(self) -> Self {
        self.with(|draft| {
            draft.ephemeral = true;
            Ok(())
        })
    }

    /// Keyed channels: the key is removed after so many milliseconds.
    pub fn ttl_ms(self, ms: u64) -> Self {
        self.with(|draft| {
            draft.ttl_ms = Some(ms);
            Ok(())
        })
    }

    /// Publish only if this is the channel's head, else `conflict`.
    pub fn if_head(self, head: Position) -> Self {
        self.with(|draft| {
            draft.condition = Some(head);
            Ok(())
        })
    }

    /// When awaiting ends: accepted in memory, or stored. Without it as the namespace says.
    pub fn ack(self, ack: Ack) -> Self {
        self.with(|draft| {
            draft.ack = Some(ack);
            Ok(())
        })
    }

    /// The user on whose behalf: `user` of the message.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The client on whose behalf: `client` of the message, and the one whose `echo=0` subscriptions skip it.
    pub fn client(mut self, client: ClientId) -> Self {
        self.author = Some(client);
        self
    }

    async fn send(self) -> Result<Published, Problem> {
        let publish = self.draft?;
        let node: &Arc<Node> = self.fanfare.node();
        if publish.key.is_some() && publish.ephemeral {
            return Err(Problem::new(Code::BadRequest, "an ephemeral message has no key"));
        }
        checks::check_message(&node.rules.limits(), &Identity::default(), &publish)?;
        while let Some(congestion) = node.hub.congestion(&publish.channel) {
            congestion.clear().await;
        }
        let author = Author { user: self.user, client: self.author };
        node.hub.publish(Append { publish, author, unix_ms: unix_ms() }).await
    }
}

impl IntoFuture for Publishing {
    type Output = Result<Published, Problem>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
