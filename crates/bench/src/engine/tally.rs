//! What is counted while a run goes on.

use std::time::Instant;

use crate::latency::Latencies;
use crate::stamp::Seeker;
use crate::times::Times;

/// Counters of one run.
pub struct Tally {
    began: Instant,
    /// When publications were meant to go out.
    pub times: Times,
    /// Finds stamps.
    pub seeker: Seeker,
    /// Publications.
    pub published: u64,
    /// Deliveries to readers that keep up.
    pub delivered: u64,
    /// Deliveries that publications so far have yet to make.
    pub outstanding: i64,
    /// Deliveries to slow readers.
    pub delivered_slow: u64,
    /// Latencies of the counted part.
    pub latencies: Latencies,
    /// Latencies count of publications meant for this moment or later, up to the other.
    pub counted: (u64, u64),
    /// Stamps of channels that the reader does not read.
    pub misdelivered: u64,
    /// Gaps that the server told.
    pub gaps: u64,
    /// Readers that the server cut off or that failed, once they were ready.
    pub closed: u64,
    /// Why the first of them ended.
    pub first_end: Option<String>,
    /// Bytes received.
    pub bytes: u64,
    /// Rises with every delivery and acknowledgement: whoever waits sees that something happens.
    pub progress: u64,
}

impl Tally {
    pub fn new(lanes: usize) -> Self {
        Self {
            began: Instant::now(),
            times: Times::new(lanes),
            seeker: Seeker::default(),
            published: 0,
            delivered: 0,
            outstanding: 0,
            delivered_slow: 0,
            latencies: Latencies::default(),
            counted: (u64::MAX, u64::MAX),
            misdelivered: 0,
            gaps: 0,
            closed: 0,
            first_end: None,
            bytes: 0,
            progress: 0,
        }
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts a delivery to a reader that keeps up.
    #[inline]
    pub fn deliver(&mut self, lane: u32, seq: u32, now: u64) {
        self.delivered += 1;
        self.outstanding -= 1;
        self.progress += 1;
        if let Some(meant) = self.times.of(lane, seq)
            && meant >= self.counted.0
            && meant < self.counted.1
        {
            self.latencies.record(now.saturating_sub(meant));
        }
    }

    /// Notes a reader's end.
    pub fn end(&mut self, why: &crate::peer::Ended) {
        self.closed += 1;
        self.first_end.get_or_insert_with(|| why.to_string());
    }
}
