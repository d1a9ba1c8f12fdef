//! A key set fetched from a URL and kept: by its endpoint, the keys inside by their id.
use std::{sync::Arc, time::Duration};

use fanfare_protocol::{Code, Problem};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    ConfigError, JwksConfig,
    fetch::{Document, Endpoint},
    jwk,
    key::Key,
};

/// Longest time that an answer's `max-age` can make a set last, in milliseconds.
const LONGEST_AGE_MS: u64 = 24 * 3_600 * 1_000;

/// The key set of one URL.
pub(crate) struct Jwks {
    url: String,
    settings: JwksConfig,
    endpoint: Endpoint,
    shared: Mutex<Shared>,
}

struct Shared {
    /// The newest keys that were fetched; they stay while the endpoint is down.
    keys: Arc<Vec<Key>>,
    /// Counts the sets that differed from their predecessor; 0 before the first.
    edition: u64,
    /// Milliseconds since 1970 from which on the set is fetched again.
    stale_at: u64,
    /// When the last fetch began, in milliseconds since 1970.
    attempted_at: Option<u64>,
    /// Whether the last fetch failed.
    failed: bool,
    /// The fetch under way: its sender is dropped when it ends, however it ends.
    fetching: Option<watch::Receiver<()>>,
}

/// The keys as they were at one moment.
#[derive(Clone)]
pub(crate) struct KeySet {
    pub(crate) keys: Arc<Vec<Key>>,
    /// Changes whenever the keys do.
    pub(crate) edition: u64,
}

/// What can be done for a token whose key is not there.
pub(crate) enum Refetch {
    /// Wait for this fetch, then look again.
    Wait(Fetching),
    /// A fetch was tried too short a time ago.
    TooSoon,
}

/// A fetch under way, shared by all that wait for it.
pub(crate) struct Fetching(watch::Receiver<()>);

impl Fetching {
    /// Waits until the fetch ended, well or not.
    pub(crate) async fn ended(mut self) {
        // Nothing is ever sent: this returns when the sender is gone.
        let _ = self.0.changed().await;
    }
}

impl Jwks {
    pub(crate) fn new(url: &str, settings: &JwksConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            url: url.to_owned(),
            settings: settings.clone(),
            endpoint: Endpoint::new(url, settings.ca_file.as_deref())?,
            shared: Mutex::new(Shared {
                keys: Arc::default(),
                edition: 0,
                stale_at: 0,
                attempted_at: None,
                failed: false,
                fetching: None,
            }),
        })
    }

    /// Whether this is the set of that URL, fetched that way: then a reload keeps it.
    pub(crate) fn is(&self, url: &str, settings: &JwksConfig) -> bool {
        self.url == url && self.settings == *settings
    }

    /// The keys. Where they are stale, a fetch begins that nobody waits for.
    pub(crate) fn keys(self: &Arc<Self>, now: u64) -> KeySet {
        let mut shared = self.shared.lock();
        if shared.edition > 0 && now >= shared.stale_at {
            let _ = self.refetch_locked(&mut shared, now);
        }
        KeySet { keys: shared.keys.clone(), edition: shared.edition }
    }

    /// Fetches the set for the sake of a key that is not in it, unless that was tried a short time ago. However many
    /// ask, there is one fetch at a time.
    pub(crate) fn refetch(self: &Arc<Self>, now: u64) -> Refetch {
        self.refetch_locked(&mut self.shared.lock(), now)
    }

    fn refetch_locked(self: &Arc<Self>, shared: &mut Shared, now: u64) -> Refetch {
        if let Some(fetching) = &shared.fetching
            && fetching.has_changed().is_ok()
        {
            return Refetch::Wait(Fetching(fetching.clone()));
        }
        // Measured in both directions, so that a clock set back does not stop fetching.
        let recent = |at: u64| now.abs_diff(at) < self.settings.min_interval_ms;
        if shared.attempted_at.is_some_and(recent) {
            return Refetch::TooSoon;
        }
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!("keys can only be fetched inside a tokio runtime");
            return Refetch::TooSoon;
        };
        let (ended, fetching) = watch::channel(());
        shared.attempted_at = Some(now);
        shared.fetching = Some(fetching.clone());
        let this = self.clone();
        // A task of its own: whoever asked may leave, the others still wait.
        runtime.spawn(async move {
            this.fetch(now).await;
            drop(ended);
        });
        Refetch::Wait(Fetching(fetching))
    }

    async fn fetch(&self, now: u64) {
        let timeout = Duration::from_millis(self.settings.timeout_ms);
        let fetched = self.endpoint.get(self.settings.max_bytes, timeout).await;
        let outcome = fetched.map_err(|error| error.to_string()).and_then(|document| {
            let (keys, skipped) = jwk::read_set(&document.body)?;
            Ok((keys, skipped, document))
        });
        let mut shared = self.shared.lock();
        shared.fetching = None;
        shared.failed = outcome.is_err();
        match outcome {
            Ok((keys, skipped, document)) => self.take(&mut shared, keys, skipped, &document, now),
            Err(error) => {
                tracing::warn!(url = %self.url, kept = shared.keys.len(), "the key set was not fetched: {error}");
            }
        }
    }

    fn take(&self, shared: &mut Shared, keys: Vec<Key>, skipped: usize, document: &Document, now: u64) {
        if shared.edition == 0 || *shared.keys != keys {
            tracing::info!(url = %self.url, keys = keys.len(), skipped, "new key set");
            if keys.is_empty() {
                tracing::warn!(url = %self.url, "the key set holds no key that verifies tokens");
            }
            shared.keys = Arc::new(keys);
            shared.edition += 1;
        }
        let own =
            document.max_age.filter(|&seconds| seconds > 0).map(|seconds| seconds.saturating_mul(1_000));
        let age = own.unwrap_or(self.settings.refresh_ms);
        let age = age.min(LONGEST_AGE_MS).max(self.settings.min_interval_ms);
        shared.stale_at = now.saturating_add(age);
    }

    /// `unavailable` when nobody can say whether a key that is not there exists: none were fetched yet, or the last
    /// fetch failed.
    pub(crate) fn outage(&self, now: u64) -> Option<Problem> {
        let shared = self.shared.lock();
        if shared.edition > 0 && !shared.failed {
            return None;
        }
        let since = shared.attempted_at.map_or(0, |at| now.abs_diff(at));
        let wait = self.settings.min_interval_ms.saturating_sub(since).max(1_000);
        Some(
            Problem::new(Code::Unavailable, "the keys that verify tokens cannot be fetched for now")
                .remedy("try again; if it stays, look at the server's log and at auth.jwks_url")
                .retry_after_ms(wait),
        )
    }
}
