//! The configuration of a running hub, which a reload replaces.
use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use fanfare_broker::{ChannelPolicy, Policies};
use fanfare_protocol::{Ack, ChannelName, Rights};
use fanfare_session::{Limits, Rules, rules::Fit};
use tokio::sync::watch;

use super::{Change, Config, Namespace, Slow, reload};

/// How long the hub's own channels (`$presence:...`) remember that a key was removed, in milliseconds: far longer than a reader that
/// is still attached can be behind.
const INTERNAL_TTL_MS: u64 = 3_600_000;
/// Bytes that one of the hub's own channels may hold.
const INTERNAL_BYTES: u64 = 64 << 20;

/// The present configuration. Everyone who asks gets the newest; a reload takes effect at the next question.
#[derive(Debug)]
pub struct Live {
    config: watch::Sender<Arc<Config>>,
    /// Rises behind every change.
    generation: AtomicU64,
}

impl Live {
    /// Begins with a configuration.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config: watch::Sender::new(Arc::new(config)), generation: AtomicU64::new(0) })
    }

    /// The present configuration.
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Tells of every reload, for those who keep something made from the configuration (keys, budgets).
    pub fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// Takes over what can change while running and returns what differs. Settings that need a restart keep their old value and are
    /// named. Nothing is taken over when dev mode would be switched: it turns every right on or off.
    pub fn reload(&self, new: Config) -> Vec<Change> {
        let old = self.config();
        let changes = reload::changes(&old, &new);
        if old.dev == new.dev && changes.iter().any(|change| !change.needs_restart) {
            self.config.send_replace(Arc::new(reload::keep_fixed(&old, new)));
            // Behind it: who reads the new number reads the new configuration.
            self.generation.fetch_add(1, Release);
        }
        changes
    }

    /// What becomes of a reader of this channel that fell off the log.
    pub fn slow(&self, channel: &str) -> Slow {
        self.with(channel, |namespace| namespace.slow, Slow::Close)
    }

    /// Newest messages of a channel kept in memory, in bytes.
    pub fn tail_bytes(&self) -> usize {
        self.config.borrow().limits.tail_bytes
    }

    /// Whether pages of this origin may use the hub. The request's own origin is the caller's to compare.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.config.borrow().origins().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    fn with<T>(&self, channel: &str, read: impl Fn(&Namespace) -> T, otherwise: T) -> T {
        self.config.borrow().namespace(channel).map_or(otherwise, read)
    }
}

impl Rules for Live {
    fn anonymous(&self, channel: &str) -> Rights {
        self.with(channel, |namespace| namespace.anonymous, Rights::NONE)
    }

    fn authenticated(&self, channel: &str) -> Rights {
        self.with(channel, |namespace| namespace.authenticated, Rights::NONE)
    }

    fn presence(&self, channel: &str) -> bool {
        self.with(channel, |namespace| namespace.presence, false)
    }

    fn keyed(&self, channel: &str) -> bool {
        self.with(channel, |namespace| namespace.keyed, false)
    }

    fn schema(&self, channel: &str) -> Option<Arc<dyn Fit>> {
        let schema = self.with(channel, |namespace| namespace.schema.clone(), None)?;
        Some(schema)
    }

    fn limits(&self) -> Limits {
        self.config.borrow().limits.session()
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Acquire))
    }
}

impl Policies for Live {
    fn generation(&self) -> Option<u64> {
        Rules::generation(self)
    }

    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        let config = self.config.borrow();
        let stored = config.data.is_some();
        // What handlers say to one client, or to a whole namespace, is kept as the rooms of that namespace are.
        if let Some(namespace) = said_by_handlers(channel) {
            let kept = config.namespace(&format!("{namespace}:"));
            return kept.map_or_else(ChannelPolicy::default, |kept| kept.policy(stored));
        }
        if channel.is_internal() {
            return ChannelPolicy {
                size: 0,
                ttl_ms: INTERNAL_TTL_MS,
                bytes: INTERNAL_BYTES,
                keyed: true,
                ack: Ack::Memory,
            };
        }
        config.namespace(channel).map_or_else(ChannelPolicy::default, |namespace| namespace.policy(stored))
    }
}

/// The prefix whose policy a channel of the handlers' own follows: `$to:SID` the default's, `$all:/chat` that of `chat:...`.
fn said_by_handlers(channel: &str) -> Option<&str> {
    match channel.strip_prefix('$')?.split_once(':')? {
        ("to", _) => Some(""),
        ("all", namespace) => Some(namespace.trim_start_matches('/')),
        _ => None,
    }
}
