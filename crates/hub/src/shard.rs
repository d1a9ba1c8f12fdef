//! About 250 readers of one wire form that are stepped together.
use std::{sync::Arc, time::Duration};

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
    /// All readers, whatever their state.
    readers: Vec<Entry>,
    /// The same, shared with rounds; made anew after a change.
    shared: Option<Arc<[Entry]>>,
}

impl Shard {
    /// A shard without readers at a position.
    pub fn new(form: Form, kind: Kind, pace: Pace, at: Place, weight: u64) -> Arc<Self> {
        let state = Mutex::new(ShardState { at, weight, readers: Vec::new(), shared: None });
        Arc::new(Self { form, kind, pace, running: AtomicBool::new(false), state })
    }

    /// Whether readers of this form, kind and pace belong here.
    pub fn fits(&self, form: Form, kind: Kind, pace: Pace) -> bool {
        self.form == form && self.kind == kind && self.pace == pace
    }
}

impl ShardState {
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
