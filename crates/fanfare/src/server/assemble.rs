//! From a configuration to a running node: budget, broker, hub, authenticator, and the tasks that keep them going.
use std::{path::Path, sync::Arc};

use fanfare_auth::{Authenticator, ConfigError};
use fanfare_broker::{
    Broker, Budget,
    memory::{MemoryBroker, MemorySettings},
};
use fanfare_hub::{Hub, Spawn, unix_ms};
use fanfare_protocol::Epoch;
use fanfare_transport::{Authorizer, Node};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use crate::{
    config::{Config, Live},
    events::Registry,
    hooks::{Hooks, UrlFault, serve_calls},
    store::{Store, StoreError},
};

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
    /// The hook's URL cannot be asked.
    #[error("hooks.url: {0}")]
    Hooks(String),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// The application's handlers.
    pub registry: Arc<Registry>,
    /// The data directory, if messages are kept in one.
    pub store: Option<Store>,
    /// Aborted on drop.
    pub tasks: JoinSet<()>,
}

/// Builds a node, whose messages are kept in the directory, or without one in memory. Must be called on a Tokio runtime.
pub(crate) fn assemble(
    live: &Arc<Live>,
    authorizer: Option<Arc<dyn Authorizer>>,
    data: Option<&Path>,
) -> Result<Assembled, StartError> {
    let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    // Before the configuration is read, so that no reload falls in between.
    let changes = live.changes();
    let config = live.config();
    let auth = Arc::new(Authenticator::new(config.auth.to_auth())?);
    let budget = Arc::new(Budget::new(config.limits.memory_bytes));
    let store = data.map(|directory| Store::open(live, directory)).transpose()?;
    let broker: Arc<dyn Broker> = match &store {
        Some(store) => store.broker(),
        None => Arc::new(in_memory(live, &budget)?),
    };
    let spawner = runtime.clone();
    let spawn: Spawn = Box::new(move |round| drop(spawner.spawn(round)));
    let hub = Hub::new(broker, live.clone(), budget, spawn);
    let hooks = Hooks::new(live, &hub, authorizer.clone(), &runtime)
        .map_err(|fault: UrlFault| StartError::Hooks(fault.to_string()))?;
    let authorizer = match &hooks {
        Some(hooks) => Some(hooks.clone() as Arc<dyn Authorizer>),
        None => authorizer,
    };
    let node = Node::new(hub.clone(), auth, live.clone(), authorizer, env!("CARGO_PKG_VERSION"));
    let registry = Registry::new(hub.clone(), live.clone(), runtime.clone());
    node.set_application(registry.clone());
    if let Some(hooks) = &hooks {
        serve_calls(hooks, &registry, &config);
    }
    let mut tasks = JoinSet::new();
    tasks.spawn_on(hub.clone().maintain(), &runtime);
    if store.is_some() {
        tasks.spawn_on(adopt_members(hub), &runtime);
        tasks.spawn_on(read_back_clients(node.clone()), &runtime);
    }
    tasks.spawn_on(follow_reloads(changes, node.clone()), &runtime);
    let warming = node.auth.clone();
    tasks.spawn_on(async move { warming.warm_up(unix_ms()).await }, &runtime);
    Ok(Assembled { node, registry, store, tasks })
}

fn in_memory(live: &Arc<Live>, budget: &Arc<Budget>) -> Result<MemoryBroker, StartError> {
    let limits = &live.config().limits;
    let epoch = Epoch::from_random(getrandom::u64().map_err(StartError::Random)?);
    let settings = MemorySettings {
        channels_limit: limits.channels,
        idempotency_ms: u64::try_from(limits.idempotency.as_millis()).unwrap_or(u64::MAX),
        idempotency_ids: limits.idempotency_ids,
        ..MemorySettings::new(epoch)
    };
    Ok(MemoryBroker::new(settings, live.clone(), budget.clone()))
}

/// Members of before the start stay members while their clients come back.
async fn adopt_members(hub: Arc<Hub>) {
    match hub.adopt_members().await {
        Ok(members) => tracing::debug!(members, "members of before the start"),
        Err(problem) => tracing::warn!(%problem, "members of before the start end with their leases"),
    }
}

/// Socket.IO clients of before the start go on where they were.
async fn read_back_clients(node: Arc<Node>) {
    if let Err(problem) = node.read_back_clients().await {
        // The first of them who comes back has it tried again.
        tracing::warn!(%problem, "what was known of Socket.IO clients cannot be read yet");
    }
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
