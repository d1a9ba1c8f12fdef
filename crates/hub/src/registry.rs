//! Channels that this node reads, by name: 64 locked maps.
use std::{collections::HashMap, sync::Arc};

use fanfare_protocol::ChannelName;

use crate::{channel::Channel, sync::Mutex};

const MAPS: usize = 64;

/// One of the maps.
type Map = HashMap<ChannelName, Arc<Channel>>;

/// Every channel with interest on this node.
pub struct Registry {
    maps: Vec<Mutex<Map>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { maps: (0..MAPS).map(|_| Mutex::new(Map::new())).collect() }
    }
}

impl Registry {
    fn map(&self, name: &str) -> &Mutex<Map> {
        // FNV-1a: who chooses names to fall on one of the locks makes them wait for one another, and gains nothing; inside, hashes are keyed.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        &self.maps[(name.bytes().fold(0x811c_9dc5, mix) >> 8) as usize % MAPS]
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
