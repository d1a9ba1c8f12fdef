//! How a channel is read, and when a publisher is answered.
use crate::{Code, Position, Problem};

pub use crate::query::{
    SubscribeRequest, from_query, from_query_or_none, limit_from_query, members_from_query, page_from_query,
};

/// Channels in one request, at most.
pub const CHANNELS: usize = 16;
/// Entries of a page whose request names no `limit`.
pub const LIMIT: usize = 100;
/// Entries of a page, and messages that `last` asks for, at most: what is above is clamped.
pub const LIMIT_MOST: usize = 1000;
/// Seconds that a long-poll waits, at most: what is above is clamped.
pub const WAIT_MOST: f64 = 60.0;
/// Messages a second for each key that `rate` may ask for, at most.
pub const RATE_MOST: f64 = 1000.0;

/// Checks a `rate`.
///
/// # Errors
/// `bad_request` outside (0, 1000].
pub(crate) fn check_rate(rate: f64) -> Result<f64, Problem> {
    if rate > 0.0 && rate <= RATE_MOST {
        return Ok(rate);
    }
    Err(Problem::new(Code::BadRequest, "rate is not a number above 0, up to 1000")
        .remedy("send rate as messages a second, such as 10 or 0.5"))
}

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
