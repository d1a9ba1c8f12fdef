//! How long to wait before trying again.
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles the wait at each failure, and draws each wait anew between half and all of it, so that clients that lost
/// one hub together do not come back together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait; at least `asked`, what the hub asked for.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Without randomness everybody waits the same, which still works.
        let draw = getrandom::u32().unwrap_or(u32::MAX / 2);
        let wait = most / 2 + (most / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX));
        wait.max(asked.unwrap_or_default())
    }

    /// It worked; the next failure begins anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let first = backoff.next(None);
        assert!(first <= FIRST && first >= FIRST / 2, "{first:?}");
        for _ in 0..40 {
            assert!(backoff.next(None) <= LONGEST);
        }
        assert!(backoff.next(None) >= LONGEST / 2);
        assert_eq!(backoff.next(Some(Duration::from_secs(60))), Duration::from_secs(60));
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }
}
