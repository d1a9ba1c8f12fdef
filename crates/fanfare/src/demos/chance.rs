//! Chance for demos: quick, small, not for secrets.

/// A xorshift64* generator.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Seeded by the system, or where it has no random bytes, always the same.
    pub fn new() -> Self {
        Self::seeded(getrandom::u64().unwrap_or(1))
    }

    pub fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Another one, that goes its own way.
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In [-1, 1), near 0 more often than far.
    pub fn swing(&mut self) -> f64 {
        self.unit() + self.unit() - 1.0
    }

    /// In 0..end; 0 when `end` is.
    pub fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    /// One of `all`.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut chance = Chance::seeded(7);
        let mut seen = [false; 6];
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&chance.unit()));
            assert!((-1.0..1.0).contains(&chance.swing()));
            seen[chance.below(6)] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(chance.below(0), 0);
    }
}
