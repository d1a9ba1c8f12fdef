//! A map of few entries by channel: no larger than what is in it, which is mostly one.
use fanfare_protocol::ChannelName;

/// Sorted by name.
#[derive(Debug)]
pub(super) struct Few<V>(Vec<(ChannelName, V)>);

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Few<V> {
    fn find(&self, channel: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| (**name).cmp(channel))
    }

    /// What is known of a channel.
    pub fn get(&self, channel: &str) -> Option<&V> {
        self.entry(channel).map(|(_, value)| value)
    }

    /// The same, with the channel's name.
    pub fn entry(&self, channel: &str) -> Option<&(ChannelName, V)> {
        self.0.get(self.find(channel).ok()?)
    }

    /// Whether anything is.
    pub fn has(&self, channel: &str) -> bool {
        self.find(channel).is_ok()
    }

    /// Knows this of a channel from now on; what was known before.
    pub fn insert(&mut self, channel: ChannelName, value: V) -> Option<V> {
        match self.find(&channel) {
            Ok(at) => self.0.get_mut(at).map(|(_, before)| std::mem::replace(before, value)),
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (channel, value));
                None
            }
        }
    }

    /// Knows nothing of a channel any more.
    pub fn remove(&mut self, channel: &str) -> Option<V> {
        let (_, value) = self.0.remove(self.find(channel).ok()?);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    /// Everything, by name.
    pub fn iter(&self) -> impl Iterator<Item = &(ChannelName, V)> {
        self.0.iter()
    }

    /// How many channels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_channel_is_known_once() {
        let mut few = Few::default();
        let name = |name| ChannelName::parse(name).unwrap();
        assert_eq!(few.insert(name("b"), 1), None);
        assert_eq!(few.insert(name("a"), 2), None);
        assert_eq!(few.insert(name("b"), 3), Some(1));
        let all: Vec<_> = few.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        assert_eq!(all, [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert!(few.has("a") && !few.has("c"));
        assert_eq!((few.remove("a"), few.remove("a"), few.get("b"), few.len()), (Some(2), None, Some(&3), 1));
        assert_eq!(few.remove("b"), Some(3));
        assert!(few.is_empty());
    }
}
