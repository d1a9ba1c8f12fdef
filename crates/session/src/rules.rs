//! What configuration allows: rights by namespace, and limits. Read anew at each check, so that a reload takes effect at once.
use std::sync::Arc;

use fanfare_protocol::{Code, Data, Identity, Problem, Right, Rights};

/// Configuration as a session sees it.
pub trait Rules: Send + Sync + 'static {
    /// What the channel's namespace allows anybody.
    fn anonymous(&self, channel: &str) -> Rights;
    /// What it allows any authenticated user besides.
    fn authenticated(&self, channel: &str) -> Rights;
    /// Whether the namespace has presence.
    fn presence(&self, channel: &str) -> bool;
    /// Whether the namespace is keyed.
    fn keyed(&self, channel: &str) -> bool;
    /// What the channel's namespace wants clients' messages to be like; none: anything.
    fn schema(&self, _channel: &str) -> Option<Arc<dyn Fit>> {
        None
    }
    /// The limits.
    fn limits(&self) -> Limits;
    /// A number that is another one after every change of what the rest of this says; none: ask each time.
    fn generation(&self) -> Option<u64> {
        None
    }
}

/// What messages must be like.
pub trait Fit: Send + Sync {
    /// Whether this data may be said as this event.
    ///
    /// # Errors
    /// `bad_request`, with the place in the data.
    fn check(&self, event: &str, data: &Data) -> Result<(), Problem>;

    /// Whether it says anything of this event in particular.
    fn names(&self, _event: &str) -> bool {
        true
    }
}

/// Limits of one connection. Sizes in bytes, times in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// Largest `data` of a message, compact.
    pub message_bytes: usize,
    /// Channels that one connection may read.
    pub channels_per_connection: usize,
    /// Channels that one connection may be a member of.
    pub memberships_per_connection: usize,
    /// Commands waiting for an earlier one of their channel.
    pub pending_commands: usize,
    /// Commands a second that one connection may send, on average; 0: no limit.
    pub commands_per_second: u32,
    /// Commands that may come at once above the average.
    pub commands_burst: u32,
    /// The server pings so often.
    pub ping_ms: u64,
    /// Silence after a ping that ends a connection.
    pub pong_ms: u64,
    /// A blocked connection whose socket accepts nothing for so long ends.
    pub stall_ms: u64,
    /// A publish with an id may be repeated so long.
    pub idempotency_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 10,
            channels_per_connection: 128,
            memberships_per_connection: 128,
            pending_commands: 1000,
            commands_per_second: 0,
            commands_burst: 1000,
            ping_ms: 25_000,
            pong_ms: 10_000,
            stall_ms: 120_000,
            idempotency_ms: 300_000,
        }
    }
}

/// Whether an identity may do this: what its credentials grant and what configuration grants add up. A channel that the token itself
/// subscribes its client to (`channels`) may be read.
///
/// # Errors
/// `unauthorized` without credentials, `forbidden` with.
pub fn check(
    rules: &dyn Rules,
    identity: &Identity,
    right: Right,
    channel: &str,
    event: Option<&str>,
) -> Result<(), Problem> {
    let by_rules = rules.anonymous(channel).has(right)
        || (!identity.is_anonymous() && rules.authenticated(channel).has(right));
    let own = right == Right::Subscribe && identity.channels.iter().any(|name| **name == *channel);
    if by_rules || own || identity.allows(right, channel, event) {
        return Ok(());
    }
    let what = right.name();
    Err(if identity.is_anonymous() {
        Problem::new(Code::Unauthorized, format!("{what} on {channel} needs credentials"))
    } else {
        Problem::new(Code::Forbidden, format!("these credentials do not allow {what} on {channel}"))
    })
}
