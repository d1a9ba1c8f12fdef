//! Decisions that an embedding application takes itself.
use std::{future::Future, pin::Pin, sync::Arc};

use fanfare_protocol::{ChannelName, ClientId, Identity, Problem, Publish, SubscribeOptions};
use http::request::Parts;
use parking_lot::Mutex;

use crate::{
    access::Caller,
    application::{Later, Peer},
    node::Node,
};

/// A decision, now or later.
pub type Decision<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// Who asks, and the request that they came with.
#[derive(Clone, Debug)]
pub struct Asker {
    /// What credentials and configuration say.
    pub identity: Arc<Identity>,
    /// The client's public name.
    pub client: ClientId,
    /// The request: its headers, its extensions (what the application's own middleware put there).
    pub request: Arc<Parts>,
    /// The client's connection, where there is one that things can be done to, and [`Authorizer::wants_peers`].
    pub peer: Option<Arc<dyn Peer>>,
}

/// What is to be done once a request has become a connection.
pub type Then = Box<dyn FnOnce(Asker) -> Later<()> + Send>;

/// Gathers what a decision about a request wants done to the client once it is there. In the extensions of requests whose clients can be spoken to.
#[derive(Clone, Default)]
pub struct Afterwards(Arc<Mutex<Vec<Then>>>);

impl Afterwards {
    /// Those of the request that somebody came with.
    pub(crate) fn of(asker: &Asker) -> Option<Self> {
        asker.request.extensions.get().cloned()
    }

    /// Does this then.
    pub fn add(&self, then: Then) {
        self.0.lock().push(then);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The client is there: does what was gathered, in order, on a task of its own.
    pub(crate) fn run(&self, asker: &Asker) {
        let all = std::mem::take(&mut *self.0.lock());
        let asker = asker.clone();
        tokio::spawn(async move {
            for then in all {
                then(asker.clone()).await;
            }
        });
    }

    /// The request with a place for it, where an authorizer decides that may have something done to clients.
    pub(crate) fn prepare(node: &Node, parts: &Parts) -> Option<Parts> {
        node.authorizer.as_ref().filter(|authorizer| authorizer.wants_peers())?;
        let mut parts = parts.clone();
        parts.extensions.insert(Self::default());
        Some(parts)
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Afterwards({})", self.0.lock().len())
    }
}

/// To which namespace a Socket.IO client comes, and what it said in coming: in the extensions of the request that [`Authorizer::connect`] is shown.
#[derive(Clone, Debug)]
pub struct ComingTo {
    /// `/`, `/chat`.
    pub namespace: Arc<str>,
    /// The payload of its CONNECT: a JSON object.
    pub auth: Option<Arc<str>>,
}

/// Asks the application, if it decides itself, whether channels may be read so.
///
/// # Errors
/// What the application says.
pub async fn ask_reading<'a>(
    node: &Node,
    caller: &Caller,
    request: &Parts,
    channels: impl IntoIterator<Item = &'a ChannelName>,
    options: &SubscribeOptions,
) -> Result<(), Problem> {
    let Some(authorizer) = &node.authorizer else { return Ok(()) };
    let identity = caller.identity.clone();
    let asker = Asker { identity, client: caller.client, request: Arc::new(request.clone()), peer: None };
    for channel in channels {
        authorizer.subscribe(&asker, channel, options).await?;
    }
    Ok(())
}

/// Decides what an application's users may do, beside tokens and configuration. Every method allows by default (`connect`: leaves the identity as it
/// is); rights of tokens and namespaces are asked first, so an application that decides everything itself configures its namespaces open.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides who a request is. `None`: whoever its token says.
    fn connect<'a>(&'a self, _request: &'a Parts) -> Decision<'a, Option<Identity>> {
        Box::pin(async { Ok(None) })
    }

    /// Decides about reading a channel, where rights were found sufficient: subscriptions, polls, pages of the past and snapshots, and, with
    /// `options.presence`, who its members are.
    fn subscribe<'a>(
        &'a self,
        _asker: &'a Asker,
        _channel: &'a ChannelName,
        _options: &'a SubscribeOptions,
    ) -> Decision<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether [`Authorizer::publish`] has a say about this channel. Messages to others do not wait behind those it is asked about.
    fn decides_publishing(&self, _asker: &Asker, _channel: &ChannelName) -> bool {
        true
    }

    /// Whether decisions may want to do something to the client itself: then [`Asker::peer`] is there, where the client has a connection.
    fn wants_peers(&self) -> bool {
        false
    }

    /// A connection has ended whose requests were decided about. It decides nothing any more; return at once.
    fn disconnected(&self, _asker: &Asker, _transport: &'static str) {}

    /// Counters for `/metrics`: name, what it counts, value.
    fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        Vec::new()
    }

    /// Decides about a message whose rights were found sufficient; it may be changed.
    fn publish<'a>(&'a self, _asker: &'a Asker, _publish: &'a mut Publish) -> Decision<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
