//! What was published, as the test knows it.
use std::collections::{BTreeMap, HashMap};

use fanfare_protocol::{ChannelName, ClientId, Epoch, Position};

#[derive(Clone, Debug)]
pub struct Entry {
    pub serial: u64,
    pub origin: Option<ClientId>,
    pub key: Option<String>,
    pub tombstone: bool,
}

#[derive(Default)]
pub struct Log {
    pub epoch: Option<Epoch>,
    /// By epoch and offset; epochs that are over stay.
    entries: HashMap<Epoch, BTreeMap<u64, Entry>>,
    /// Ephemeral messages by serial.
    pub ephemeral: HashMap<u64, Option<ClientId>>,
}

impl Log {
    pub fn push(&mut self, at: Position, entry: Entry) {
        self.epoch = Some(at.epoch);
        let before = self.entries.entry(at.epoch).or_default().insert(at.offset, entry);
        assert!(before.is_none(), "the broker gave {at} twice");
    }

    pub fn get(&self, at: Position) -> Option<&Entry> {
        self.entries.get(&at.epoch)?.get(&at.offset)
    }

    /// Messages with `after < offset <= to`.
    pub fn range(&self, epoch: Epoch, after: u64, to: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let entries = self.entries.get(&epoch).filter(|_| after < to);
        entries.into_iter().flat_map(move |e| e.range(after + 1..=to)).map(|(offset, entry)| (*offset, entry))
    }
}

pub type Truth = HashMap<ChannelName, Log>;
