//! A hashed timer wheel: one entry a connection, no timer task for any.
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64 as Ticks, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::{connection::Connection, sync::Ordering};

/// Milliseconds a tick.
pub const TICK_MS: u64 = 250;
const SLOTS: usize = 1024;

/// Wakes connections at about the time they asked for, never early, at most one tick late.
pub struct Wheel {
    now: Ticks,
    slots: Vec<Mutex<Vec<Weak<Connection>>>>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { now: Ticks::new(1), slots: (0..SLOTS).map(|_| Mutex::default()).collect() }
    }
}

impl Wheel {
    /// Wakes the connection in `after_ms`. An earlier time replaces a later one at once; a later one takes effect when the earlier comes.
    pub fn arm(&self, connection: &Arc<Connection>, after_ms: u64) {
        let due = self.now.load(Relaxed) + after_ms.div_ceil(TICK_MS) + 1;
        let before = connection.due.swap(due, Ordering::Relaxed);
        if before == 0 || due < before {
            self.enter(due, Arc::downgrade(connection));
        }
    }

    fn enter(&self, due: u64, connection: Weak<Connection>) {
        if let Some(slot) = self.slots.get(due as usize % SLOTS) {
            slot.lock().push(connection);
        }
    }

    /// One tick: wakes what is due.
    pub fn turn(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        let Some(slot) = self.slots.get(now as usize % SLOTS) else { return };
        for weak in std::mem::take(&mut *slot.lock()) {
            let Some(connection) = weak.upgrade() else { continue };
            let due = connection.due.load(Ordering::Relaxed);
            if due > now {
                self.enter(due, weak);
            } else if due != 0 {
                connection.due.store(0, Ordering::Relaxed);
                connection.wake();
            }
        }
    }
}
