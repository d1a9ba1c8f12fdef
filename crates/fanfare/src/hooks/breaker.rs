//! Stops asking an application that does not answer, and finds out when it does again.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts failures in a row. One for each kind of question.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: u32,
    /// Nothing is asked until then.
    until: Option<Instant>,
}

impl Breaker {
    pub fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause, state: Mutex::default() }
    }

    /// Whether to ask now. After a pause one question alone finds out, and the pause goes on for all others.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match state.until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.until = Some(now + self.pause);
                true
            }
        }
    }

    /// What came of it.
    pub fn record(&self, ok: bool, now: Instant) {
        let mut state = self.state.lock();
        if ok {
            *state = State::default();
            return;
        }
        state.failed = state.failed.saturating_add(1);
        if state.failed >= self.failures {
            state.until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_question_closes_it() {
        let breaker = Breaker::new(2, Duration::from_secs(5));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        breaker.record(false, at(0));
        breaker.record(true, at(0));
        breaker.record(false, at(0));
        assert!(breaker.admits(at(0)), "not in a row");
        breaker.record(false, at(0));
        assert!(!breaker.admits(at(0)) && !breaker.admits(at(4)));
        assert!(breaker.admits(at(5)), "one finds out");
        assert!(!breaker.admits(at(5)), "and only one");
        breaker.record(false, at(6));
        assert!(!breaker.admits(at(10)));
        assert!(breaker.admits(at(11)));
        breaker.record(true, at(11));
        assert!(breaker.admits(at(11)) && breaker.admits(at(11)));
    }
}
