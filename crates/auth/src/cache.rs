//! Tokens that were verified already, so that a client which polls does not cost a signature check each time.
use std::{collections::HashMap, mem, sync::Arc};

use fanfare_protocol::Identity;
use parking_lot::Mutex;

use crate::api_keys::TokenDigest;

/// Most tokens that are remembered.
pub(crate) const CACHE_TOKENS: usize = 10_000;

/// Identities by the digest of their token, the longest unused forgotten first, near enough: two generations of
/// half the size, where a use moves an entry into the young one and a full young one replaces the old.
#[derive(Default)]
pub(crate) struct TokenCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<TokenDigest, Entry>,
    old: HashMap<TokenDigest, Entry>,
}

#[derive(Clone)]
struct Entry {
    identity: Arc<Identity>,
    /// The edition of the keys that verified the token; under another it must be verified anew.
    edition: u64,
}

impl TokenCache {
    /// The identity of a token verified under this edition of the keys, expired or not.
    pub(crate) fn get(&self, digest: &TokenDigest, edition: u64) -> Option<Arc<Identity>> {
        let mut generations = self.0.lock();
        let entry = match generations.young.get(digest) {
            Some(entry) => entry.clone(),
            None => {
                let entry = generations.old.remove(digest)?;
                generations.put(*digest, entry.clone());
                entry
            }
        };
        (entry.edition == edition).then_some(entry.identity)
    }

    /// Remembers a verified token.
    pub(crate) fn put(&self, digest: TokenDigest, edition: u64, identity: Arc<Identity>) {
        self.0.lock().put(digest, Entry { identity, edition });
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let generations = self.0.lock();
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    fn put(&mut self, digest: TokenDigest, entry: Entry) {
        self.old.remove(&digest);
        if self.young.len() >= CACHE_TOKENS / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_keys::digest;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::default();
        let identity = Arc::new(Identity::default());
        let used = digest("used");
        cache.put(used, 1, identity.clone());
        for n in 0..3 * CACHE_TOKENS {
            cache.put(digest(&n.to_string()), 1, identity.clone());
            assert!(cache.get(&used, 1).is_some(), "forgotten after {n} others");
            assert!(cache.len() <= CACHE_TOKENS, "{} entries", cache.len());
        }
        assert!(cache.get(&digest("0"), 1).is_none(), "the first unused one is gone");
    }

    #[test]
    fn another_edition_of_the_keys_does_not_see_it() {
        let cache = TokenCache::default();
        cache.put(digest("t"), 1, Arc::new(Identity::default()));
        assert!(cache.get(&digest("t"), 1).is_some());
        assert!(cache.get(&digest("t"), 2).is_none());
    }
}
