//! Chance that can be repeated: a small generator, and running a test for many seeds.
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// SplitMix64: the same numbers for the same seed, everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but without, `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}

/// Runs a test for the seeds `0..count`; when one fails, its seed is printed and the failure goes on. With `FANFARE_SEED` in the
/// environment only that seed runs.
///
/// # Panics
/// When the test does.
pub fn for_each_seed(count: u64, mut test: impl FnMut(u64)) {
    let wanted = std::env::var("FANFARE_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = wanted.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with seed {seed}; run it alone with FANFARE_SEED={seed}");
            resume_unwind(failure);
        }
    }
}
