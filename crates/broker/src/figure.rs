//! Figures that are counted where things happen, and read by whoever exports them.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds so many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

impl Level {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }
    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
    /// So many more, or fewer.
    pub fn add(&self, n: isize) {
        self.0.fetch_add(n as i64, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A histogram with powers of two as bounds: bucket `n` counts values below `2^n`.
#[derive(Debug, Default)]
pub struct Spread {
    buckets: [AtomicU64; 32],
    sum: AtomicU64,
}

impl Spread {
    /// Counts a value.
    pub fn record(&self, value: u64) {
        let bucket = (64 - value.leading_zeros() as usize).min(31);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }
    /// (upper bound, values below it) for every bucket, and the sum of all values.
    pub fn snapshot(&self) -> (Vec<(u64, u64)>, u64) {
        let mut total = 0;
        let rows = self.buckets.iter().enumerate().map(|(n, bucket)| {
            total += bucket.load(Relaxed);
            (1_u64 << n, total)
        });
        (rows.collect(), self.sum.load(Relaxed))
    }
}
