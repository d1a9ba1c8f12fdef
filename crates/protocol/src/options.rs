//! How a channel is read, and when a publisher is answered.
use crate::Position;

/// Where a reader begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Everything after this position; wins over the others, which then serve only after a gap.
    pub since: Option<Position>,
    /// The newest so many messages.
    pub last: Option<u64>,
    /// The newest of every key first (keyed channels).
    pub snapshot: bool,
}

/// The parameters of a subscription.
#[derive(Clone, PartialEq, Debug)]
pub struct SubscribeOptions {
    /// Where to begin.
    pub start: Start,
    /// Member events too. None leaves a subscription that is being sought as it was.
    pub presence: bool,
    /// At most this many messages a second for each key, newest wins; in (0, 1000].
    pub rate: Option<f64>,
    /// False: not what this client itself published.
    pub echo: bool,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { start: Start::default(), presence: false, rate: None, echo: true }
    }
}

/// When a publisher is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Ack {
    /// Accepted in order, in memory.
    Memory,
    /// On disk, synced.
    Stored,
}
