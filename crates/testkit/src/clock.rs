//! Time that passes only when a test says so.
use std::time::{Duration, Instant};

use fanfare_session::Now;

/// A virtual clock: the monotonic and the wall clock go together, from 2025-10-09 on.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    micros: u64,
}

/// What the wall clock shows at the start, in milliseconds since 1970.
pub const START_UNIX_MS: u64 = 1_760_000_000_000;

impl Default for Clock {
    fn default() -> Self {
        // Only differences to this instant are ever seen.
        Self { start: Instant::now(), micros: 0 }
    }
}

impl Clock {
    /// The time as a session wants it.
    pub fn now(&self) -> Now {
        Now {
            mono: self.start + Duration::from_micros(self.micros),
            unix_ms: START_UNIX_MS + self.micros / 1000,
        }
    }

    /// Lets milliseconds pass.
    pub fn advance_ms(&mut self, ms: u64) {
        self.micros += ms * 1000;
    }

    /// Moves on to an instant, rounded up to whole milliseconds as timers do; a past one moves nothing.
    pub fn advance_to(&mut self, at: Instant) {
        let target = at.saturating_duration_since(self.start).as_micros().div_ceil(1000) * 1000;
        self.micros = self.micros.max(u64::try_from(target).unwrap_or(u64::MAX));
    }
}
