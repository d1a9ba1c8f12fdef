//! What one log takes of the shared budget.
use std::sync::Arc;

use crate::Budget;

/// Bytes that one log holds of a [`Budget`]; given back when the log goes.
#[derive(Debug)]
pub(super) struct Account {
    budget: Arc<Budget>,
    held: usize,
}

impl Account {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Counts bytes only if they fit the budget.
    #[must_use]
    pub(super) fn try_take(&mut self, bytes: usize) -> bool {
        let fits = bytes == 0 || self.budget.try_take(bytes);
        if fits {
            self.held += bytes;
        }
        fits
    }

    /// Counts bytes, whether or not they fit.
    pub(super) fn take(&mut self, bytes: usize) {
        self.budget.take(bytes);
        self.held += bytes;
    }

    /// Gives back at most what this log holds.
    pub(super) fn give(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.held, "a log gives back {bytes} of {}", self.held);
        let bytes = bytes.min(self.held);
        if bytes > 0 {
            self.held -= bytes;
            self.budget.give(bytes);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.give(self.held);
    }
}
