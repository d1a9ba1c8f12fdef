//! When each publication was meant to go out.

/// Times of the newest publications of each lane, so that a delivery's latency can be told from its number alone.
#[derive(Debug)]
pub struct Times {
    /// Nanoseconds since the run began; a ring for each lane, one after the other.
    rings: Vec<u64>,
    /// Length of one ring, a power of two.
    each: usize,
    /// Publications so far, by lane.
    published: Vec<u32>,
}

/// Entries of all rings together: 8 bytes each.
const ENTRIES: usize = 1 << 22;

impl Times {
    /// For so many lanes.
    pub fn new(lanes: usize) -> Self {
        let each = (ENTRIES / lanes.max(1)).clamp(64, 1 << 20).next_power_of_two();
        Self { rings: vec![0; each * lanes], each, published: vec![0; lanes] }
    }

    /// Gives the next number of a lane, meant to go out at `at`.
    pub fn publish(&mut self, lane: u32, at: u64) -> u32 {
        let Some(published) = self.published.get_mut(lane as usize) else { return 0 };
        *published += 1;
        let seq = *published;
        let slot = lane as usize * self.each + (seq as usize & (self.each - 1));
        if let Some(entry) = self.rings.get_mut(slot) {
            *entry = at;
        }
        seq
    }

    /// Numbers given out in a lane.
    pub fn published(&self, lane: u32) -> u32 {
        self.published.get(lane as usize).copied().unwrap_or(0)
    }

    /// When a publication was meant to go out; none when it is too long ago to be remembered, or was never published.
    #[inline]
    pub fn of(&self, lane: u32, seq: u32) -> Option<u64> {
        let published = *self.published.get(lane as usize)?;
        if seq == 0 || seq > published || (published - seq) as usize >= self.each {
            return None;
        }
        self.rings.get(lane as usize * self.each + (seq as usize & (self.each - 1))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_one_and_times_are_kept_by_lane() {
        let mut times = Times::new(2);
        assert_eq!(times.publish(0, 10), 1);
        assert_eq!(times.publish(1, 20), 1);
        assert_eq!(times.publish(0, 30), 2);
        assert_eq!((times.of(0, 1), times.of(0, 2), times.of(1, 1)), (Some(10), Some(30), Some(20)));
        assert_eq!(
            (times.of(0, 0), times.of(0, 3), times.of(1, 2), times.of(2, 1)),
            (None, None, None, None)
        );
    }

    #[test]
    fn what_is_too_old_is_none_rather_than_wrong() {
        let mut times = Times::new(ENTRIES);
        for at in 1..=100 {
            times.publish(3, at);
        }
        assert_eq!(times.of(3, 100), Some(100));
        assert_eq!(times.of(3, 37), Some(37));
        assert_eq!(times.of(3, 36), None);
    }
}
