//! Figures that are counted where things happen, and read by whoever exports them.
//!
//! Each is kept in stripes, and each thread counts in its own: threads that count the same would take the cache line from one another each
//! time. Reading adds the stripes up.
use std::{
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

const STRIPES: usize = 8;

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe<T>(T);

#[derive(Debug, Default)]
struct Striped<T>([Stripe<T>; STRIPES]);

impl<T> Striped<T> {
    /// This thread's.
    fn own(&self) -> &T {
        thread_local! {
            static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let mut own = OWN.get();
        if own == usize::MAX {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            own = NEXT.fetch_add(1, Relaxed) % STRIPES;
            OWN.set(own);
        }
        &self.0[own % STRIPES].0
    }

    fn each(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &stripe.0)
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Count(Striped<AtomicU64>);

impl Count {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds so many.
    pub fn add(&self, n: u64) {
        self.0.own().fetch_add(n, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.each().map(|own| own.load(Relaxed)).sum()
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Level(Striped<AtomicI64>);

impl Level {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// One less.
    pub fn dec(&self) {
        self.add(-1);
    }
    /// So many more, or fewer.
    pub fn add(&self, n: isize) {
        self.0.own().fetch_add(n as i64, Relaxed);
    }
    /// The number.
    pub fn get(&self) -> i64 {
        self.0.each().map(|own| own.load(Relaxed)).sum()
    }
}

/// A histogram with powers of two as bounds: bucket `n` counts values below `2^n`.
#[derive(Debug, Default)]
pub struct Spread(Striped<Values>);

#[derive(Debug, Default)]
struct Values {
    buckets: [AtomicU64; 32],
    sum: AtomicU64,
}

impl Spread {
    /// Counts a value.
    pub fn record(&self, value: u64) {
        let own = self.0.own();
        let bucket = (64 - value.leading_zeros() as usize).min(31);
        if let Some(bucket) = own.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        own.sum.fetch_add(value, Relaxed);
    }
    /// (upper bound, values below it) for every bucket, and the sum of all values.
    pub fn snapshot(&self) -> (Vec<(u64, u64)>, u64) {
        let mut total = 0;
        let rows = (0..32).map(|n| {
            total +=
                self.0.each().filter_map(|own| own.buckets.get(n)).map(|own| own.load(Relaxed)).sum::<u64>();
            (1_u64 << n, total)
        });
        (rows.collect(), self.0.each().map(|own| own.sum.load(Relaxed)).sum())
    }
}
