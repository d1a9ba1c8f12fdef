//! Channels that this node reads, by name: 64 locked maps.
use std::{collections::HashMap, sync::Arc};

use fanfare_protocol::ChannelName;

use crate::{channel::Channel, sync::Mutex};

const MAPS: usize = 64;

/// One of the maps.
type Map = HashMap<ChannelName, Arc<Channel>, ahash::RandomState>;

/// Every channel with interest on this node.
pub struct Registry {
    maps: [Mutex<Map>; MAPS],
    /// Chooses among the maps.
    hasher: ahash::RandomState,
}

impl Default for Registry {
    fn default() -> Self {
        Self { maps: std::array::from_fn(|_| Mutex::default()), hasher: ahash::RandomState::new() }
    }
}

impl Registry {
    fn map(&self, name: &str) -> &Mutex<Map> {
        &self.maps[self.hasher.hash_one(name) as usize % MAPS]
    }

    /// The channel, if this node reads it.
    pub fn get(&self, name: &str) -> Option<Arc<Channel>> {
        self.map(name).lock().get(name).cloned()
    }

    /// The channel, entered now if it was not, and kept there until its `joining` falls again.
    pub fn join(&self, name: &ChannelName) -> Arc<Channel> {
        let mut map = self.map(name).lock();
        let channel = map.entry(name.clone()).or_insert_with(|| Arc::new(Channel::new(name.clone()))).clone();
        channel.lock().joining += 1;
        channel
    }

    /// Removes the channel if nobody counts on it: under registry and channel lock, so that nobody can begin to.
    pub fn remove_idle(&self, channel: &Arc<Channel>) -> bool {
        let mut map = self.map(&channel.name).lock();
        let mut state = channel.lock();
        if !state.is_idle() || state.closed {
            return false;
        }
        state.closed = true;
        map.remove(&channel.name);
        true
    }

    /// Every channel, for sweeps and lists.
    pub fn all(&self) -> Vec<Arc<Channel>> {
        self.maps.iter().flat_map(|map| map.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// How many channels.
    pub fn len(&self) -> usize {
        self.maps.iter().map(|map| map.lock().len()).sum()
    }
}
