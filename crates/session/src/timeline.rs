//! The session's own scale of time: microseconds since it began, half the size of an `Instant`.
use std::time::{Duration, Instant};

use crate::Now;

/// A moment that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where the scale begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline(Instant);

impl Timeline {
    pub(crate) fn starting(now: Now) -> Self {
        Self(now.mono)
    }

    /// Microseconds since the session began.
    pub(crate) fn micros(self, now: Now) -> u64 {
        u64::try_from(now.mono.saturating_duration_since(self.0).as_micros()).unwrap_or(NEVER)
    }

    /// When `unix_ms` will be, if the wall clock goes on as it does now. [`NEVER`] when it is out of reach.
    pub(crate) fn of_unix(self, now: Now, unix_ms: u64) -> u64 {
        let ahead = unix_ms.saturating_sub(now.unix_ms).saturating_mul(1000);
        self.micros(now).saturating_add(ahead)
    }

    /// The moment as the driver's timer wants it.
    pub(crate) fn instant(self, micros: u64) -> Option<Instant> {
        if micros == NEVER { None } else { self.0.checked_add(Duration::from_micros(micros)) }
    }
}
