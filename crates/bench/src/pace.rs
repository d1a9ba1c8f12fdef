//! When to publish: so many in flight, or so many a second.

/// How publications are paced.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Closed loop: so many publications in flight; the next goes out when every reader has one.
    InFlight(u32),
    /// Open loop: so many a second, whatever the server does. Latency counts from the moment that the rate asked for, not from when the
    /// publication could leave: else a server that stalls would be measured only when it does not (coordinated omission).
    Rate(f64),
    /// Nothing is published: connections alone.
    Idle,
}

/// The timetable of an open loop.
#[derive(Debug)]
pub struct Timetable {
    per_second: f64,
    begin: u64,
    given: u64,
}

impl Timetable {
    /// From `begin` (nanoseconds) on.
    pub fn new(per_second: f64, begin: u64) -> Self {
        Self { per_second, begin, given: 0 }
    }

    /// When the next publication is due, in nanoseconds.
    pub fn next(&self) -> u64 {
        self.begin + (self.given as f64 * 1e9 / self.per_second) as u64
    }

    /// The moment for which the next publication was planned, if that has come.
    pub fn due(&mut self, now: u64) -> Option<u64> {
        let next = self.next();
        (next <= now).then(|| {
            self.given += 1;
            next
        })
    }

    /// Publications whose moment has come and that nobody has taken.
    pub fn overdue(&self, now: u64) -> u64 {
        let due = (now.saturating_sub(self.begin) as f64 * self.per_second / 1e9) as u64 + 1;
        due.saturating_sub(self.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timetable_gives_each_moment_once() {
        let mut table = Timetable::new(1000.0, 5_000_000);
        assert_eq!(table.due(4_999_999), None);
        assert_eq!(table.due(5_000_000), Some(5_000_000));
        assert_eq!(table.due(5_000_001), None);
        assert_eq!(table.next(), 6_000_000);
        assert_eq!(table.due(6_000_000), Some(6_000_000));
    }

    #[test]
    fn a_stall_is_charged_to_every_publication_that_it_held_up() {
        // 1,000 a second; the server takes nothing for 100 ms, then answers at once.
        let mut table = Timetable::new(1000.0, 0);
        let resumed = 100_000_000;
        assert_eq!(table.overdue(resumed), 101);
        let mut latencies = Vec::new();
        while let Some(planned) = table.due(resumed) {
            latencies.push((resumed - planned) / 1_000_000);
        }
        assert_eq!(latencies.len(), 101);
        assert_eq!((latencies[0], latencies[50], latencies[100]), (100, 50, 0));
        assert_eq!(table.overdue(resumed), 0);
    }
}
