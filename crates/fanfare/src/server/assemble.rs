//! From a configuration to a running node: budget, broker, hub, authenticator, and the tasks that keep them going.
use std::sync::Arc;

use fanfare_auth::{Authenticator, ConfigError};
use fanfare_broker::{
    Budget,
    memory::{MemoryBroker, MemorySettings},
};
use fanfare_hub::{Hub, Spawn, unix_ms};
use fanfare_protocol::Epoch;
use fanfare_transport::{Authorizer, Node};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use crate::config::{Config, Live};

/// Why a hub cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong; every fault with its place and remedy.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigErrors),
    /// A key of `[auth]` cannot be used.
    #[error(transparent)]
    Keys(#[from] ConfigError),
    /// A hub lives on a Tokio runtime.
    #[error("there is no Tokio runtime here: build the hub inside #[tokio::main] or Runtime::block_on")]
    NoRuntime,
    /// The system gives no random bytes, without which there are no epochs and sessions.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A node with its tasks, which end when this is dropped.
pub(crate) struct Assembled {
    pub node: Arc<Node>,
    /// Aborted on drop.
    pub tasks: JoinSet<()>,
}

/// Builds a node. Must be called on a Tokio runtime.
pub(crate) fn assemble(
    live: &Arc<Live>,
    authorizer: Option<Arc<dyn Authorizer>>,
) -> Result<Assembled, StartError> {
    let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    // Before the configuration is read, so that no reload falls in between.
    let changes = live.changes();
    let config = live.config();
    let epoch = Epoch::from_random(getrandom::u64().map_err(StartError::Random)?);
    let auth = Arc::new(Authenticator::new(config.auth.to_auth())?);
    let budget = Arc::new(Budget::new(config.limits.memory_bytes));
    let settings = MemorySettings {
        channels_limit: config.limits.channels,
        idempotency_ms: u64::try_from(config.limits.idempotency.as_millis()).unwrap_or(u64::MAX),
        ..MemorySettings::new(epoch)
    };
    let broker = Arc::new(MemoryBroker::new(settings, live.clone(), budget.clone()));
    let spawner = runtime.clone();
    let spawn: Spawn = Box::new(move |round| drop(spawner.spawn(round)));
    let hub = Hub::new(broker, live.clone(), budget, spawn);
    let node = Node::new(hub.clone(), auth, live.clone(), authorizer, env!("CARGO_PKG_VERSION"));
    let mut tasks = JoinSet::new();
    tasks.spawn_on(hub.maintain(), &runtime);
    tasks.spawn_on(follow_reloads(changes, node.clone()), &runtime);
    let warming = node.auth.clone();
    tasks.spawn_on(async move { warming.warm_up(unix_ms()).await }, &runtime);
    Ok(Assembled { node, tasks })
}

/// Takes over what is made from the configuration and does not ask for it anew each time. What is connected stays connected.
async fn follow_reloads(mut changes: watch::Receiver<Arc<Config>>, node: Arc<Node>) {
    while changes.changed().await.is_ok() {
        let config = changes.borrow_and_update().clone();
        node.hub.budget().set_limit(config.limits.memory_bytes);
        if let Err(error) = node.auth.reload(config.auth.to_auth()) {
            tracing::error!(%error, "the old keys stay");
        }
    }
}
