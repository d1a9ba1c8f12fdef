//! A hashed timer wheel: one entry a connection, no timer task for any.
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32 as Ticks, AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::{
    connection::{Alarm, Connection},
    sync::Ordering,
};

/// Milliseconds a tick.
pub const TICK_MS: u64 = 250;
const SLOTS: usize = 1024;
/// Entries of connections that have gone are let go of at once when they are so many, and most of all.
const MANY: usize = 1024;

/// Entries by the tick at which they come up.
type Slot = Vec<(u32, Weak<Alarm>)>;

/// Wakes connections at about the time they asked for, at most one tick late; early only where ticks were held up when they asked, which are
/// made up for.
pub struct Wheel {
    now: Ticks,
    slots: Vec<Mutex<Slot>>,
    /// Entries in all slots.
    entries: AtomicUsize,
    /// About how many of them are of connections that have gone.
    gone: AtomicUsize,
}

impl Default for Wheel {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        Self { now: Ticks::new(1), slots, entries: AtomicUsize::new(0), gone: AtomicUsize::new(0) }
    }
}

/// A connection's place on the wheel, in one word so that arming and turning cannot cross: the tick of the one entry that counts (other
/// entries are stale, and dropped when they come up), and the tick at which the connection is due. 0: none.
#[derive(Clone, Copy)]
struct Timer {
    entry: u32,
    due: u32,
}

impl Timer {
    fn from_word(word: u64) -> Self {
        Self { entry: (word >> 32) as u32, due: word as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.entry) << 32 | u64::from(self.due)
    }
}

impl Wheel {
    /// Wakes the connection in `after_ms`. An earlier time replaces a later one at once; a later one takes effect when the earlier comes.
    pub fn arm(&self, connection: &Connection, after_ms: u64) {
        let alarm = &connection.alarm;
        // Ticks of a quarter of a second fill 32 bits after 34 years.
        let ticks = after_ms.div_ceil(TICK_MS).min(u64::from(u32::MAX >> 1)) as u32;
        let due = self.now.load(Relaxed) + ticks + 1;
        let before = alarm.timer.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let timer = Timer::from_word(word);
            let entry = if timer.entry == 0 || due < timer.entry { due } else { timer.entry };
            Some(Timer { entry, due }.word())
        });
        let before = before.map_or(0, |word| Timer::from_word(word).entry);
        if before == 0 || due < before {
            self.enter(due, alarm);
        }
    }

    /// Puts an entry on the wheel.
    fn enter(&self, tick: u32, alarm: &Arc<Alarm>) {
        if let Some(slot) = self.slots.get(tick as usize % SLOTS) {
            slot.lock().push((tick, Arc::downgrade(alarm)));
            self.entries.fetch_add(1, Relaxed);
        }
        // The wheel may have passed that slot before the entry stood in it.
        if self.now.load(Relaxed) >= tick {
            self.come_up(tick, alarm);
        }
    }

    /// One tick: wakes what is due.
    pub fn turn(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        let Some(slot) = self.slots.get(now as usize % SLOTS) else { return };
        let entries = std::mem::take(&mut *slot.lock());
        let before = entries.len();
        let (mut kept, mut found) = (0, 0);
        for (tick, weak) in entries {
            if tick > now {
                // Another lap.
                slot.lock().push((tick, weak));
                kept += 1;
            } else if let Some(alarm) = weak.upgrade() {
                self.come_up(tick, &alarm);
            } else {
                found += 1;
            }
        }
        self.entries.fetch_sub(before - kept, Relaxed);
        let gone = self.gone.load(Relaxed).saturating_sub(found);
        self.gone.store(gone, Relaxed);
        if gone > MANY && gone > self.entries.load(Relaxed) / 2 {
            self.sweep();
        }
    }

    /// A connection has gone. Its entry stays until it comes up, or until most are like it.
    pub fn forget(&self, connection: &Connection) {
        if Timer::from_word(connection.alarm.timer.load(Ordering::Acquire)).entry != 0 {
            self.gone.fetch_add(1, Relaxed);
        }
    }

    /// Lets go of the entries of connections that have gone.
    fn sweep(&self) {
        self.gone.store(0, Relaxed);
        for slot in &self.slots {
            let mut slot = slot.lock();
            let before = slot.len();
            slot.retain(|(_, weak)| weak.strong_count() > 0);
            let left = slot.len();
            slot.shrink_to(left * 2);
            self.entries.fetch_sub(before - left, Relaxed);
        }
    }

    /// The entry at this tick has come up: it wakes its connection, moves on, or is stale.
    fn come_up(&self, tick: u32, alarm: &Arc<Alarm>) {
        let now = self.now.load(Relaxed);
        let after = |word| Some(Timer::from_word(word).due).filter(|due| *due > now).unwrap_or(0);
        let before = alarm.timer.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let next = after(word);
            (Timer::from_word(word).entry == tick).then(|| Timer { entry: next, due: next }.word())
        });
        match before.map(after) {
            Ok(0) => alarm.wake(),
            Ok(next) => self.enter(next, alarm),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
