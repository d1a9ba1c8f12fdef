//! Decisions that an embedding application takes itself.
use std::{future::Future, pin::Pin, sync::Arc};

use fanfare_protocol::{ChannelName, ClientId, Identity, Problem, Publish, SubscribeOptions};
use http::request::Parts;

use crate::{access::Caller, node::Node};

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
    let asker = Asker { identity, client: caller.client, request: Arc::new(request.clone()) };
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
