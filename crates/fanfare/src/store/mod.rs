//! The data directory: where it is, opening it, and what the log says of what was found in it.
mod directory;
mod error;

use std::{fmt, path::Path, sync::Arc};

use fanfare_broker_disk::{Counters, DiskBroker, DiskSettings, Opened, Usage};

pub(crate) use directory::{development, development_path, make};
pub use error::StoreError;

use crate::config::{Config, Live};

/// Channels that are named in the log when they lost their past; more are only counted.
const NAMED: usize = 10;

/// An open data directory.
#[derive(Clone)]
pub struct Store(Arc<DiskBroker>);

impl Store {
    /// Opens a directory, made if it is not there. Reads its whole log, so that damage is known before anything is served.
    pub(crate) fn open(live: &Arc<Live>, directory: &Path) -> Result<Self, StoreError> {
        make(directory)?;
        let broker = DiskBroker::open(settings(&live.config(), directory), live.clone())?;
        tell(directory, broker.opened());
        Ok(Self(Arc::new(broker)))
    }

    pub(crate) fn broker(&self) -> Arc<DiskBroker> {
        self.0.clone()
    }

    /// The figures.
    pub(crate) fn counters(&self) -> &Counters {
        self.0.counters()
    }

    /// What the log takes on disk; nothing when the system does not say.
    pub(crate) fn usage(&self) -> Usage {
        self.0.usage().unwrap_or_default()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(self.0.opened()).finish()
    }
}

/// How the store in a directory behaves by this configuration.
pub(crate) fn settings(config: &Config, directory: &Path) -> DiskSettings {
    let limits = &config.limits;
    DiskSettings {
        idempotency_ms: u64::try_from(limits.idempotency.as_millis()).unwrap_or(u64::MAX),
        idempotency_ids: limits.idempotency_ids,
        channels_limit: limits.channels,
        ..DiskSettings::new(directory)
    }
}

/// Logs what was found. The broker itself has told of a cut end, with its place.
fn tell(directory: &Path, opened: &Opened) {
    let Opened { channels, messages, unclean, power_cut, reset, .. } = opened;
    tracing::info!(directory = %directory.display(), channels, messages, "the data directory is open");
    if *power_cut {
        tracing::warn!("the machine stopped without stopping this hub: what was not synced then may be lost");
    } else if *unclean {
        tracing::warn!("the hub was ended without stopping in order; everything it had written is there");
    }
    if !reset.is_empty() {
        let names: Vec<_> = reset.iter().take(NAMED).map(|name| &**name).collect();
        let more = reset.len().saturating_sub(NAMED);
        tracing::warn!(channels = %names.join(", "), more, "these channels begin again in a new epoch; their readers are told of a gap");
    }
}
