//! The wheel in virtual turns.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use fanfare_broker::Budget;
use fanfare_protocol::{ClientId, Event, Message};

use super::{SLOTS, TICK_MS, Wheel};
use crate::{Connection, Counters, Form, Pulled, WireForm};

struct Nothing;
impl WireForm for Nothing {
    fn id(&self) -> u16 {
        900
    }
    fn message(&self, _: &Message, _: &mut Vec<u8>) {}
    fn event(&self, _: &Event, _: &mut Vec<u8>) {}
}

#[derive(Default)]
struct Woken(AtomicUsize);
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Rig {
    wheel: Wheel,
    connection: Arc<Connection>,
    woken: Arc<Woken>,
}

impl Rig {
    fn new() -> Self {
        let counters = Arc::new(Counters::new(Arc::new(Budget::new(1 << 20))));
        let client = ClientId::parse("AAAAAAAAAAAAAAAA").unwrap();
        let connection = Connection::new(1, Form(&Nothing), client, Box::new(Pulled), counters);
        let rig = Self { wheel: Wheel::default(), connection, woken: Arc::default() };
        rig.register();
        rig
    }

    fn register(&self) {
        self.connection.register(&Waker::from(self.woken.clone()));
    }

    /// Turns until the connection is woken; the number of that turn, if there is one among so many.
    fn turns_to_wake(&self, at_most: u64) -> Option<u64> {
        let before = self.woken.0.load(SeqCst);
        let found = (1..=at_most).find(|_| {
            self.wheel.turn();
            self.woken.0.load(SeqCst) > before
        });
        self.register();
        found
    }

    fn entries(&self) -> usize {
        self.wheel.slots.iter().map(|slot| slot.lock().len()).sum()
    }
}

#[test]
fn wakes_never_early_and_at_most_one_tick_late() {
    for after_ms in [0, 1, TICK_MS - 1, TICK_MS, TICK_MS + 1, 10_000, SLOTS as u64 * TICK_MS * 3 + 17] {
        let rig = Rig::new();
        assert!(!rig.connection.is_armed());
        rig.wheel.arm(&rig.connection, after_ms);
        assert!(rig.connection.is_armed());
        let turns = rig.turns_to_wake(5 * SLOTS as u64).expect("never woken");
        assert!(!rig.connection.is_armed(), "so that who was woken too early knows to ask again");
        // A turn may come at once after arming: only whole ticks after the first count.
        assert!((turns - 1) * TICK_MS >= after_ms, "{after_ms} ms: early, after {turns} turns");
        assert!((turns - 2.min(turns)) * TICK_MS <= after_ms, "{after_ms} ms: late, after {turns} turns");
        assert_eq!(rig.turns_to_wake(2 * SLOTS as u64), None, "woken twice for one arming");
    }
}

#[test]
fn an_earlier_time_replaces_a_later_one_and_a_later_one_an_earlier() {
    let rig = Rig::new();
    rig.wheel.arm(&rig.connection, 40 * TICK_MS);
    rig.wheel.arm(&rig.connection, 5 * TICK_MS);
    assert_eq!(rig.turns_to_wake(100), Some(6));
    assert_eq!(rig.turns_to_wake(100), None);
    rig.wheel.arm(&rig.connection, 5 * TICK_MS);
    rig.wheel.arm(&rig.connection, 40 * TICK_MS);
    assert_eq!(rig.turns_to_wake(100), Some(41));
}

#[test]
fn arming_back_and_forth_leaves_no_growing_heap_of_entries() {
    let rig = Rig::new();
    // A reader that blocks and drains: the deadline jumps between far and near, and is always put off before it comes.
    for _ in 0..10_000 {
        rig.wheel.arm(&rig.connection, 120_000);
        rig.wheel.arm(&rig.connection, 25_000);
        rig.wheel.turn();
    }
    assert!(rig.entries() <= 4, "{} entries for one connection", rig.entries());
    assert!(rig.turns_to_wake(101).is_some());
}

#[test]
fn a_dropped_connection_is_forgotten() {
    let rig = Rig::new();
    rig.wheel.arm(&rig.connection, 1000);
    let Rig { wheel, connection, .. } = rig;
    drop(connection);
    for _ in 0..10 {
        wheel.turn();
    }
    assert!(wheel.slots.iter().all(|slot| slot.lock().is_empty()));
}

#[test]
fn entries_of_connections_that_have_gone_are_let_go_of_when_most_are_theirs() {
    let wheel = Wheel::default();
    let rigs: Vec<Rig> = (0..3000).map(|_| Rig::new()).collect();
    for rig in &rigs {
        wheel.arm(&rig.connection, 60_000);
    }
    let entries = || wheel.slots.iter().map(|slot| slot.lock().len()).sum::<usize>();
    assert_eq!(entries(), 3000);
    let mut rigs = rigs.into_iter();
    for rig in rigs.by_ref().take(1400) {
        wheel.forget(&rig.connection);
    }
    wheel.turn();
    assert_eq!(entries(), 3000, "fewer than half: they come up by themselves");
    for rig in rigs.by_ref().take(200) {
        wheel.forget(&rig.connection);
    }
    wheel.turn();
    assert_eq!(entries(), 1400);
    // Who is still there is woken in time.
    let left: Vec<Rig> = rigs.collect();
    for _ in 0..60_000 / TICK_MS {
        wheel.turn();
    }
    assert!(left.iter().all(|rig| rig.woken.0.load(SeqCst) == 1));
    assert_eq!(entries(), 0);
}
