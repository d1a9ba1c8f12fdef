//! About 250 readers of one wire form that are stepped together.
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    connection::Connection,
    form::Form,
    place::Place,
    reader::{Kind, ReaderKey},
    sync::{AtomicBool, Mutex},
};

/// Readers of one shard at most, so that big channels use every core.
pub const SHARD_READERS: usize = 250;

/// How a shard is stepped.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// At once, every message.
    Live,
    /// At most once in this time, the newest of every key.
    Every(Duration),
}

/// A reader as its shard knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose reader.
    pub connection: Arc<Connection>,
    /// Which of its readers.
    pub key: ReaderKey,
}

/// Readers of one channel, one wire form and one pace, with their common position.
#[derive(Debug)]
pub struct Shard {
    /// What they are written.
    pub form: Form,
    /// Messages or members.
    pub kind: Kind,
    /// How they are stepped.
    pub pace: Pace,
    /// Whether a round is scheduled or under way.
    pub running: AtomicBool,
    /// Position and readers.
    pub state: Mutex<ShardState>,
}

/// What the shard lock guards. A round moves `at` and takes its list of readers in one step under this lock, so that a reader is either in the
/// list or registered with a cursor that the next round continues.
#[derive(Debug)]
pub struct ShardState {
    /// Rounds have taken everything up to here.
    pub at: Place,
    /// The channel's running weight at `at`.
    pub weight: u64,
    /// The last rounds that it took part in with the channel's other shards.
    pub rounds: u64,
    /// When it last began one.
    pub begun: Option<Instant>,
    /// Where the last two ticks of a paced shard began, the older first: nobody in it that keeps up stands further back.
    pub ticks: [Place; 2],
    /// Readers of a paced shard that a tick passed by while they read by themselves, and when their own window ends: the round looks after them.
    pub owed: Vec<(Instant, Entry)>,
    /// All readers, whatever their state.
    readers: Vec<Entry>,
    /// The same, shared with rounds; made anew after a change.
    shared: Option<Arc<[Entry]>>,
}

impl Shard {
    /// A shard without readers at a position.
    pub fn new(form: Form, kind: Kind, pace: Pace, at: Place, weight: u64) -> Arc<Self> {
        let state = Mutex::new(ShardState {
            at,
            weight,
            rounds: 0,
            begun: None,
            ticks: [at; 2],
            owed: Vec::new(),
            readers: Vec::new(),
            shared: None,
        });
        Arc::new(Self { form, kind, pace, running: AtomicBool::new(false), state })
    }

    /// The window of a shard that is written the newest of every key.
    pub fn window(&self) -> Option<Duration> {
        match (self.kind, self.pace) {
            (Kind::Messages, Pace::Every(window)) => Some(window),
            _ => None,
        }
    }

    /// Whether readers of this form, kind and pace belong here.
    pub fn fits(&self, form: Form, kind: Kind, pace: Pace) -> bool {
        self.form == form && self.kind == kind && self.pace == pace
    }
}

impl ShardState {
    /// Nothing has been taken since: everybody stands here.
    pub fn stand(&mut self, at: Place, weight: u64) {
        (self.at, self.weight, self.ticks) = (at, weight, [at; 2]);
    }

    /// A tick begins at the present position.
    pub fn tick(&mut self) {
        self.ticks = [self.ticks[1], self.at];
    }

    /// How many readers.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Adds a reader.
    pub fn add(&mut self, entry: Entry) {
        self.readers.push(entry);
        self.shared = None;
    }

    /// Removes a reader.
    pub fn remove(&mut self, connection: &Connection, key: ReaderKey) {
        let found =
            self.readers.iter().position(|e| std::ptr::eq(&*e.connection, connection) && e.key == key);
        if let Some(at) = found {
            self.readers.swap_remove(at);
            self.shared = None;
        }
    }

    /// The readers as a round takes them.
    pub fn readers(&mut self) -> Arc<[Entry]> {
        self.shared.get_or_insert_with(|| self.readers.clone().into()).clone()
    }
}
