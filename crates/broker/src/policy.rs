//! What a namespace's configuration says of its channels' logs.
use fanfare_protocol::{Ack, ChannelName};

/// How a channel's log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelPolicy {
    /// Newest messages that a new read may return; 0: no history.
    pub size: u64,
    /// Age in milliseconds after which a new read may not return a message.
    pub ttl_ms: u64,
    /// Bytes of messages that a new read may return.
    pub bytes: u64,
    /// Whether the newest message of every key is kept beside the log.
    pub keyed: bool,
    /// When readers see a message, and when publishers are answered that ask for nothing else.
    pub ack: Ack,
}

impl Default for ChannelPolicy {
    fn default() -> Self {
        Self { size: 1000, ttl_ms: 24 * 3600 * 1000, bytes: 64 << 20, keyed: false, ack: Ack::Memory }
    }
}

/// Finds a channel's policy. Asked anew for each operation, or when the generation is another, so that a reload takes effect at once.
pub trait Policies: Send + Sync + 'static {
    /// A number that is another one after every change of what [`Policies::policy`] says; none: ask each time.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// The policy of a channel; internal names (`$presence:...`) are keyed and keep little log.
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy;
}
