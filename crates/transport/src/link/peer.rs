//! A native WebSocket client as the application's handlers see it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fanfare_broker::{Append, Author};
use fanfare_hub::{Hub, unix_ms};
use fanfare_protocol::{Args, ChannelName, ClientId, Code, EventName, Problem, Publish};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::application::{Later, Peer, private_channel};

/// The tag of a message that the client is to answer, with the id that its `answer` names.
pub(crate) const ANSWER_TAG: &str = "answer";

/// What the application asks of a connection; its driver does it.
pub(super) enum Ask {
    Join(ChannelName, oneshot::Sender<Result<(), Problem>>),
    Leave(ChannelName, oneshot::Sender<()>),
    /// The client's answer to this id is waited for.
    Expect(u64, oneshot::Sender<Args>),
    /// It is waited for no more.
    Forget(u64),
    /// The visit to a namespace ends.
    End(Arc<str>),
    /// The whole connection ends.
    Disconnect(Problem),
}

pub(super) struct NativePeer {
    sid: String,
    namespace: Arc<str>,
    client: ClientId,
    hub: Arc<Hub>,
    asks: mpsc::UnboundedSender<Ask>,
    /// The last id of an event that wants an answer, shared by the namespaces of a connection.
    last: Arc<AtomicU64>,
}

impl NativePeer {
    pub fn new(
        sid: String,
        namespace: Arc<str>,
        client: ClientId,
        hub: Arc<Hub>,
        asks: mpsc::UnboundedSender<Ask>,
        last: Arc<AtomicU64>,
    ) -> Self {
        Self { sid, namespace, client, hub, asks, last }
    }

    /// Asks the driver and waits for its word. Nobody answers when the connection is gone.
    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        drop(self.asks.send(ask(sender)));
        receiver
    }
}

fn gone() -> Problem {
    Problem::new(Code::Unavailable, "the client is gone")
}

impl Peer for NativePeer {
    fn sid(&self) -> &str {
        &self.sid
    }

    fn client(&self) -> ClientId {
        self.client
    }

    fn join(&self, channel: ChannelName) -> Later<Result<(), Problem>> {
        let joined = self.ask(|done| Ask::Join(channel, done));
        Box::pin(async move { joined.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn leave(&self, channel: ChannelName) -> Later<()> {
        let left = self.ask(|done| Ask::Leave(channel, done));
        // Who is gone reads nothing.
        Box::pin(async move { left.await.unwrap_or_default() })
    }

    /// A message with the tag `answer` on the client's private channel; the client answers with the command of that name.
    fn request(&self, event: EventName, args: Args, within: Duration) -> Later<Result<Args, Problem>> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = self.ask(|done| Ask::Expect(id, done));
        let channel = private_channel(&self.sid);
        let joined = self.join(channel.clone());
        let (hub, asks) = (self.hub.clone(), self.asks.clone());
        let asked = async move {
            joined.await?;
            let (data, args_tag) = args.into_data();
            let own = (ANSWER_TAG.into(), id.to_string().into());
            let tags = [own].into_iter().chain(args_tag).collect();
            let publish = Publish { event, tags, ..Publish::new(channel, data) };
            hub.publish(Append { publish, author: Author::default(), unix_ms: unix_ms() }).await?;
            answer.await.map_err(|_| gone())
        };
        Box::pin(async move {
            let late =
                || Problem::new(Code::Unavailable, format!("no answer within {} ms", within.as_millis()));
            let answered = timeout(within, asked).await.unwrap_or_else(|_| Err(late()));
            if answered.is_err() {
                drop(asks.send(Ask::Forget(id)));
            }
            answered
        })
    }

    fn disconnect(&self, problem: Problem, connection: bool) {
        let ask = if connection { Ask::Disconnect(problem) } else { Ask::End(self.namespace.clone()) };
        drop(self.asks.send(ask));
    }
}
