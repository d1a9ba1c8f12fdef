//! What one reader has seen of one channel: order, losses, repeats.

/// Ranges of missing numbers that one reader remembers. What is missing beyond it counts as lost for good, and as a repeat if it comes.
const RANGES: usize = 1024;

/// How one delivery stands to those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The next one, or one that leaves a hole behind.
    New,
    /// Later than one that was published after it.
    Late,
    /// It was here before.
    Repeat,
}

/// One reader's place in one channel.
#[derive(Clone, Default, Debug)]
pub struct Track {
    /// The highest number seen; 0: none.
    last: u32,
    /// Numbers skipped and not seen since, as inclusive ranges in rising order.
    missing: Vec<(u32, u32)>,
    /// Numbers skipped that are in none of them.
    forgotten: u32,
    repeats: u32,
    disorder: u32,
}

/// Totals over readers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Faults {
    /// Published, and never came.
    pub lost: u64,
    /// Came more than once.
    pub repeated: u64,
    /// Came after one that was published later.
    pub disordered: u64,
}

impl Faults {
    /// Whether everything came once and in order.
    pub fn none(&self) -> bool {
        *self == Self::default()
    }
}

impl Track {
    /// Begins behind `last`: what was published before this reader came is none of its business.
    pub fn begin(last: u32) -> Self {
        Self { last, ..Self::default() }
    }

    /// The highest number seen.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Takes a delivery.
    #[inline]
    pub fn see(&mut self, seq: u32) -> Seen {
        if seq == self.last.wrapping_add(1) {
            self.last = seq;
            return Seen::New;
        }
        self.see_out_of_turn(seq)
    }

    fn see_out_of_turn(&mut self, seq: u32) -> Seen {
        if seq > self.last {
            if self.missing.len() < RANGES {
                self.missing.push((self.last + 1, seq - 1));
            } else {
                self.forgotten += seq - self.last - 1;
            }
            self.last = seq;
            return Seen::New;
        }
        if self.fill(seq) {
            self.disorder += 1;
            Seen::Late
        } else {
            self.repeats += 1;
            Seen::Repeat
        }
    }

    /// Takes `seq` out of what is missing; false if it was not.
    fn fill(&mut self, seq: u32) -> bool {
        let missing = &mut self.missing;
        let at = missing.partition_point(|&(_, end)| end < seq);
        let Some(&(first, end)) = missing.get(at).filter(|range| range.0 <= seq) else { return false };
        let left = (first < seq).then(|| (first, seq - 1));
        let right = (seq < end).then(|| (seq + 1, end));
        missing.splice(at..=at, left.into_iter().chain(right));
        true
    }

    /// What went wrong, if `published` numbers were given out in this channel.
    pub fn faults(&self, published: u32) -> Faults {
        let holes: u64 = self.missing.iter().map(|&(first, end)| u64::from(end - first) + 1).sum();
        let lost = holes + u64::from(self.forgotten) + u64::from(published.saturating_sub(self.last));
        Faults { lost, repeated: u64::from(self.repeats), disordered: u64::from(self.disorder) }
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seqs: &[u32], published: u32) -> Faults {
        let mut track = Track::default();
        for &seq in seqs {
            track.see(seq);
        }
        track.faults(published)
    }

    fn faults(lost: u64, repeated: u64, disordered: u64) -> Faults {
        Faults { lost, repeated, disordered }
    }

    #[test]
    fn everything_once_and_in_order_is_no_fault() {
        assert_eq!(after(&[1, 2, 3, 4], 4), faults(0, 0, 0));
        assert!(after(&[], 0).none());
    }

    #[test]
    fn losses_are_counted_in_the_middle_at_the_start_and_at_the_end() {
        assert_eq!(after(&[1, 4], 4), faults(2, 0, 0));
        assert_eq!(after(&[3], 3), faults(2, 0, 0));
        assert_eq!(after(&[1], 5), faults(4, 0, 0));
        assert_eq!(after(&[], 7), faults(7, 0, 0));
    }

    #[test]
    fn repeats_are_told_from_disorder() {
        assert_eq!(after(&[1, 2, 2, 1, 3], 3), faults(0, 2, 0));
        assert_eq!(after(&[1, 3, 2], 3), faults(0, 0, 1));
        assert_eq!(after(&[1, 3, 2, 2], 3), faults(0, 1, 1));
        assert_eq!(after(&[5, 1, 2, 4, 3], 5), faults(0, 0, 4));
    }

    #[test]
    fn a_reader_that_begins_later_misses_nothing_of_before() {
        let mut track = Track::begin(10);
        assert_eq!(track.see(11), Seen::New);
        assert_eq!(track.faults(11), faults(0, 0, 0));
        assert_eq!(track.see(14), Seen::New);
        assert_eq!(track.see(12), Seen::Late);
        assert_eq!(track.see(12), Seen::Repeat);
        assert_eq!(track.faults(14), faults(1, 1, 1));
    }

    #[test]
    fn losses_are_counted_however_torn_a_reader_is() {
        let odd: Vec<u32> = (0..5000).map(|n| n * 2 + 1).collect();
        assert_eq!(after(&odd, 9999), faults(4999, 0, 0));
    }

    #[test]
    fn any_order_agrees_with_a_plain_count() {
        // A small multiplicative generator; the seed is in the message.
        for seed in 1..200_u64 {
            let mut state = seed;
            let mut draw = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let (mut track, mut seen, mut top) = (Track::default(), [false; 41], 0);
            let (mut repeated, mut disordered) = (0, 0);
            for _ in 0..60 {
                let seq = draw(40) as u32 + 1;
                track.see(seq);
                match (std::mem::replace(&mut seen[seq as usize], true), seq > top) {
                    (true, _) => repeated += 1,
                    (false, false) => disordered += 1,
                    (false, true) => top = seq,
                }
            }
            let lost = (1..=40).filter(|&seq| !seen[seq]).count() as u64;
            assert_eq!(track.faults(40), faults(lost, repeated, disordered), "seed {seed}");
        }
    }
}
