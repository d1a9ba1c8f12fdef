//! Users whose tokens are refused although their time is not over.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use fanfare_protocol::{Code, Identity, Problem};
use parking_lot::Mutex;

use crate::Verified;

/// Most users that are remembered.
const MOST_USERS: usize = 1_000_000;

/// The users whose tokens were revoked; cheap to clone, all clones are one list.
///
/// The list is this process's memory: it does not survive a restart. An entry stays for the longest life that
/// the configuration says tokens have (`max_token_lifetime_ms`), and longer when a token with a later `exp` was refused
/// meanwhile. Beyond 1,000,000 users the entries that end first go.
#[derive(Clone, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    users: Mutex<Users>,
    /// The number of entries, so that nobody takes the lock while there are none.
    count: AtomicUsize,
    /// Milliseconds for which an entry stays at least.
    max_token_lifetime: AtomicU64,
}

#[derive(Default)]
struct Users {
    entries: HashMap<Arc<str>, Entry>,
    /// The number of entries at which the ended ones are looked for.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Tokens issued earlier are refused.
    before: u64,
    /// When the entry may be dropped.
    until: u64,
}

impl Revocations {
    /// How long entries made from now on stay at least, in milliseconds.
    pub(crate) fn set_max_token_lifetime(&self, ms: u64) {
        self.0.max_token_lifetime.store(ms, Ordering::Relaxed);
    }

    /// Refuses this user's tokens issued before `before_unix_ms`, normally now. `iat` has whole seconds, so a token of the
    /// same second counts as issued before; so does one without `iat`.
    pub fn revoke_user(&self, user: &str, before_unix_ms: u64) {
        let until = before_unix_ms.saturating_add(self.0.max_token_lifetime.load(Ordering::Relaxed));
        let mut users = self.0.users.lock();
        users
            .entries
            .entry(user.into())
            .and_modify(|entry| {
                entry.before = entry.before.max(before_unix_ms);
                entry.until = entry.until.max(until);
            })
            .or_insert(Entry { before: before_unix_ms, until });
        users.sweep(before_unix_ms);
        self.0.count.store(users.entries.len(), Ordering::Release);
    }

    /// Whether the identity's token was revoked.
    pub fn is_revoked(&self, identity: &Identity) -> bool {
        let Some(user) = &identity.user else { return false };
        if self.0.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut users = self.0.users.lock();
        let Some(entry) = users.entries.get_mut(&**user) else { return false };
        if identity.issued_at >= entry.before {
            return false;
        }
        entry.until = entry.until.max(identity.expires_at.unwrap_or(0));
        true
    }

    /// The outcome of a verification, `revoked` where the identity's token was revoked.
    pub(crate) fn pass(&self, verified: Verified) -> Verified {
        match verified {
            Ok(identity) if self.is_revoked(&identity) => {
                Err(Problem::new(Code::Revoked, "the user's tokens were revoked"))
            }
            verified => verified,
        }
    }

    /// How many users have an entry.
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// True when nobody's tokens are revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Users {
    /// Drops entries that ended, whenever the list has doubled since the last time.
    fn sweep(&mut self, now: u64) {
        const FEW: usize = 1_024;
        if self.entries.len() < self.sweep_at.max(FEW) {
            return;
        }
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() > MOST_USERS {
            let mut ends: Vec<u64> = self.entries.values().map(|entry| entry.until).collect();
            // A tenth more than needed, so that this does not happen at each revocation.
            let surplus = self.entries.len() - MOST_USERS + MOST_USERS / 10;
            let nth = surplus.min(ends.len() - 1);
            let (_, &mut last, _) = ends.select_nth_unstable(nth);
            self.entries.retain(|_, entry| entry.until >= last);
        }
        self.sweep_at = (self.entries.len() * 2).min(MOST_USERS + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(user: &str, issued_at: u64, expires_at: u64) -> Identity {
        Identity { user: Some(user.into()), issued_at, expires_at: Some(expires_at), ..Identity::default() }
    }

    #[test]
    fn only_the_users_earlier_tokens_are_refused() {
        let revocations = Revocations::default();
        assert!(!revocations.is_revoked(&token("ann", 0, 9_000)));
        revocations.revoke_user("ann", 5_500);
        assert!(revocations.is_revoked(&token("ann", 5_000, 9_000)));
        assert!(revocations.is_revoked(&token("ann", 0, 9_000)), "without iat");
        assert!(!revocations.is_revoked(&token("ann", 6_000, 9_000)));
        assert!(!revocations.is_revoked(&token("bob", 0, 9_000)));
        assert!(!revocations.is_revoked(&Identity::default()));
    }

    #[test]
    fn an_earlier_time_does_not_take_back_a_later_one() {
        let revocations = Revocations::default();
        revocations.revoke_user("ann", 5_000);
        revocations.revoke_user("ann", 3_000);
        assert!(revocations.is_revoked(&token("ann", 4_000, 9_000)));
    }

    #[test]
    fn entries_end_with_the_longest_token_and_not_before() {
        let revocations = Revocations::default();
        revocations.set_max_token_lifetime(1_000);
        revocations.revoke_user("short", 1_000);
        revocations.revoke_user("long", 1_000);
        assert!(revocations.is_revoked(&token("long", 0, 1_000_000)));
        for n in 0..2_048 {
            revocations.revoke_user(&format!("u{n}"), 500_000);
        }
        assert!(!revocations.is_revoked(&token("short", 0, 1_500)), "ended at 2,000");
        assert!(revocations.is_revoked(&token("long", 0, 1_000_000)), "a token until 1,000,000 was seen");
        assert!(revocations.is_revoked(&token("u2047", 0, 600_000)));
    }

    #[test]
    fn the_list_is_bounded() {
        let revocations = Revocations::default();
        let most = MOST_USERS + MOST_USERS / 20;
        for n in 0..most {
            revocations.revoke_user(&n.to_string(), n as u64);
        }
        assert!(revocations.len() <= MOST_USERS, "{}", revocations.len());
        assert!(revocations.is_revoked(&token(&(most - 1).to_string(), 0, 1)), "the newest stays");
        assert!(!revocations.is_revoked(&token("1", 0, 1)), "the oldest went");
    }
}
