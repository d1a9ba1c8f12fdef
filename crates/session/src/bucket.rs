//! A token bucket that takes the time as an argument.

/// Remembers one moment only: when the commands so far would have come at the average rate (the "generic cell rate algorithm").
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Bucket {
    /// Microseconds on the session's own scale.
    due: u64,
}

impl Bucket {
    /// Takes one token.
    ///
    /// # Errors
    /// Milliseconds to wait when there is none; nothing is taken then.
    pub(crate) fn take(&mut self, now_us: u64, per_second: u32, burst: u32) -> Result<(), u64> {
        if per_second == 0 {
            return Ok(());
        }
        let interval = (1_000_000 / u64::from(per_second)).max(1);
        let slack = interval.saturating_mul(u64::from(burst));
        let due = self.due.max(now_us);
        let ahead = due - now_us;
        if ahead > slack {
            return Err((ahead - slack).div_ceil(1000));
        }
        self.due = due + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;

    #[test]
    fn a_burst_passes_then_the_average() {
        let mut bucket = Bucket::default();
        let passed = (0..100).filter(|_| bucket.take(1_000_000, 10, 5).is_ok()).count();
        assert_eq!(passed, 6, "one by the average and five above it");
        assert_eq!(bucket.take(1_000_000, 10, 5), Err(100));
        assert_eq!(bucket.take(1_100_000, 10, 5), Ok(()), "the time it named was enough");
        assert!(bucket.take(1_100_000, 10, 5).is_err(), "and gave one token");
    }

    #[test]
    fn a_long_pause_gives_no_more_than_the_burst() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(0, 1, 3).is_ok());
        let passed = (0..100).filter(|_| bucket.take(3_600_000_000, 1, 3).is_ok()).count();
        assert_eq!(passed, 4);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..10_000).all(|_| bucket.take(0, 0, 0).is_ok()));
    }
}
