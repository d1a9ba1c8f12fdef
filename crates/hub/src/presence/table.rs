//! The table of memberships: what its lock guards.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use fanfare_broker::Budget;
use fanfare_protocol::{ChannelName, ClientId, Code, Data, Member, Problem};

use super::Entering;
use crate::clock::unix_ms;

/// Who holds a membership, and what falls due next.
pub(super) struct Membership {
    pub(super) member: Member,
    /// Connections that hold it.
    pub(super) holders: HashSet<u64>,
    /// When its lease is renewed, or it ends.
    pub(super) due: u64,
    /// When it ends if nobody holds it. Until then its lease is renewed all the same: whoever polls holds it now and then only.
    pub(super) ends: u64,
    /// How long it lasts unheld.
    pub(super) grace_ms: u64,
    /// Bytes that the budget counts for it.
    pub(super) counted: usize,
    /// From before this node's start, and not renewed since: the broker ends it with its lease, if nobody comes back for it.
    pub(super) adopted: bool,
}

impl Membership {
    /// When to look at it again, its lease having been renewed now.
    pub(super) fn next_due(&self, now: u64, lease_ms: u64) -> u64 {
        let renewal = now + lease_ms / 3;
        if self.holders.is_empty() { renewal.min(self.ends) } else { renewal }
    }
}

/// A channel and its member.
pub(super) type Key = (ChannelName, ClientId);

/// Bytes of a membership's entries in the table's maps, about.
const ENTRY_BYTES: usize = 512;

/// Bytes that the budget counts for a membership.
fn weight(member: &Member) -> usize {
    let info = member.info.as_ref().map_or(0, Data::len);
    ENTRY_BYTES + member.data.len() + info + member.user.as_ref().map_or(0, |user| user.len())
}

/// A membership belongs to the user who entered.
pub(super) fn same_user(member: &Member, user: Option<&Arc<str>>) -> Result<(), Problem> {
    if member.user.as_ref() == user {
        return Ok(());
    }
    Err(Problem::new(Code::Conflict, "another user is present with this session")
        .remedy("use a new session for another user"))
}

/// What the lock of [`super::Memberships`] guards.
pub(super) struct Table {
    /// What the memberships take of the hub's memory.
    pub(super) budget: Arc<Budget>,
    pub(super) memberships: HashMap<Key, Membership>,
    pub(super) due: BTreeSet<(u64, ChannelName, ClientId)>,
    pub(super) by_client: HashMap<ClientId, HashSet<ChannelName>>,
    /// How many memberships of this node each channel has.
    pub(super) by_channel: HashMap<ChannelName, usize>,
    /// Open connections of each client, and polls that wait: they hold what the client entered over HTTP, and after the grace what a
    /// connection held that was lost.
    pub(super) open: BTreeMap<(ClientId, u64), Option<Arc<str>>>,
    /// The node stops: who is lost now may come back to the next one.
    pub(super) stopping: bool,
}

/// How many memberships there may be.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) of_channel: usize,
    /// Over HTTP.
    pub(super) of_client: usize,
}

/// What is known when a client enters.
pub(super) struct Known {
    /// When it entered, if it is a member already, by whichever node.
    pub(super) entered_at: Option<u64>,
    /// Members of the channel on all nodes.
    pub(super) present: usize,
    pub(super) most: Most,
}

impl Table {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            memberships: HashMap::new(),
            due: BTreeSet::new(),
            by_client: HashMap::new(),
            by_channel: HashMap::new(),
            open: BTreeMap::new(),
            stopping: false,
        }
    }

    /// The open connections of a client as this user.
    pub(super) fn open_of(&self, client: ClientId, user: Option<&Arc<str>>) -> HashSet<u64> {
        let open = self.open.range((client, 0)..=(client, u64::MAX));
        open.filter(|(_, by)| by.as_ref() == user).map(|((_, connection), _)| *connection).collect()
    }

    /// Has a connection hold the memberships of its client and user that are `which`.
    pub(super) fn hold(
        &mut self,
        connection: u64,
        client: ClientId,
        user: Option<&Arc<str>>,
        which: impl Fn(&Membership) -> bool,
    ) {
        for channel in self.by_client.get(&client).cloned().unwrap_or_default() {
            let key = (channel, client);
            let Some(membership) = self.memberships.get_mut(&key) else { continue };
            if membership.member.user.as_ref() != user || !which(membership) {
                continue;
            }
            membership.holders.insert(connection);
            if membership.adopted {
                // Its lease has run since before the start.
                self.set_due(&key, unix_ms());
            }
        }
    }

    pub(super) fn set_due(&mut self, key: &Key, due: u64) {
        if let Some(membership) = self.memberships.get_mut(key) {
            self.due.remove(&(membership.due, key.0.clone(), key.1));
            membership.due = due;
            self.due.insert((due, key.0.clone(), key.1));
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Membership> {
        let membership = self.memberships.remove(key)?;
        self.due.remove(&(membership.due, key.0.clone(), key.1));
        if let Some(channels) = self.by_client.get_mut(&key.1) {
            channels.remove(&key.0);
            if channels.is_empty() {
                self.by_client.remove(&key.1);
            }
        }
        if let Some(count) = self.by_channel.get_mut(&key.0) {
            *count -= 1;
            if *count == 0 {
                self.by_channel.remove(&key.0);
            }
        }
        self.budget.give(membership.counted);
        Some(membership)
    }

    /// Whether this node may hold one membership more.
    fn check_room(&self, key: &Key, over_http: bool, known: &Known) -> Result<(), Problem> {
        let most = known.most;
        // What was entered here and not delivered yet is in no roster.
        let here = self.by_channel.get(&key.0).copied().unwrap_or_default();
        // Who is a member by another node already does not make them more.
        if known.entered_at.is_none() && here.max(known.present) >= most.of_channel {
            let detail = format!("{} has as many members as it may, {}", key.0, most.of_channel);
            return Err(Problem::new(Code::LimitExceeded, detail)
                .remedy("try again when others have left, or raise limits.members_per_channel"));
        }
        // A connection counts its own; over HTTP there is none.
        let own = self.by_client.get(&key.1).map_or(0, HashSet::len);
        if over_http && own >= most.of_client {
            let detail = format!("a client may enter {} channels", most.of_client);
            return Err(Problem::new(Code::LimitExceeded, detail).remedy("leave channels first"));
        }
        Ok(())
    }

    /// Counts what a membership takes now instead of what it took.
    fn count(&self, before: usize, now: usize) -> Result<(), Problem> {
        if now > before && !self.budget.try_take(now - before) {
            return Err(Problem::new(Code::Unavailable, "the memory for members is used up")
                .remedy("try again in a moment, or raise limits.memory_bytes")
                .retry_after_ms(1000));
        }
        self.budget.give(before.saturating_sub(now));
        Ok(())
    }

    /// Writes a membership down; the member as it is now.
    pub(super) fn enter(
        &mut self,
        key: &Key,
        known: Known,
        entering: Entering,
        lease_ms: u64,
    ) -> Result<Member, Problem> {
        let now = unix_ms();
        let held = self.memberships.get(key).map(|m| (m.member.entered_at, m.counted));
        if held.is_none() {
            self.check_room(key, entering.connection.is_none(), &known)?;
        }
        let member = Member {
            client: entering.client,
            user: entering.user,
            info: entering.info,
            data: entering.data,
            entered_at: held.map(|held| held.0).or(known.entered_at).unwrap_or(now),
        };
        let open = self.open_of(entering.client, member.user.as_ref());
        let counted = weight(&member);
        self.count(held.map_or(0, |held| held.1), counted)?;
        if held.is_none() {
            *self.by_channel.entry(key.0.clone()).or_default() += 1;
        }
        let membership = self.memberships.entry(key.clone()).or_insert_with(|| Membership {
            member: member.clone(),
            holders: HashSet::new(),
            due: 0,
            ends: 0,
            grace_ms: entering.grace_ms,
            counted,
            adopted: false,
        });
        membership.adopted = false;
        membership.member = member.clone();
        membership.counted = counted;
        membership.grace_ms = entering.grace_ms;
        membership.holders.extend(entering.connection);
        if entering.connection.is_none() {
            membership.holders.extend(open);
        }
        membership.ends = now + entering.grace_ms;
        let due = membership.next_due(now, lease_ms);
        self.set_due(key, due);
        self.by_client.entry(entering.client).or_default().insert(key.0.clone());
        Ok(member)
    }

    pub(super) fn check_user(&self, key: &Key, user: Option<&Arc<str>>) -> Result<(), Problem> {
        self.memberships.get(key).map_or(Ok(()), |membership| same_user(&membership.member, user))
    }

    pub(super) fn adopt(&mut self, key: Key, member: Member, lease_ms: u64) {
        if self.memberships.contains_key(&key) {
            return;
        }
        let (counted, now) = (weight(&member), unix_ms());
        // It is there whether or not it fits.
        self.budget.take(counted);
        let holders = self.open_of(key.1, member.user.as_ref());
        let due = if holders.is_empty() { now + lease_ms } else { now };
        let ends = now + lease_ms;
        let membership =
            Membership { member, holders, due, ends, grace_ms: lease_ms, counted, adopted: true };
        self.due.insert((due, key.0.clone(), key.1));
        *self.by_channel.entry(key.0.clone()).or_default() += 1;
        self.by_client.entry(key.1).or_default().insert(key.0.clone());
        self.memberships.insert(key, membership);
    }

    /// The broker was asked to renew a lease, and has it still or has `lost` it. The member, if it is to enter again.
    pub(super) fn renewed(&mut self, key: &Key, lost: bool) -> Option<Member> {
        let membership = self.memberships.get_mut(key)?;
        let adopted = std::mem::take(&mut membership.adopted);
        if !lost {
            return None;
        }
        if adopted {
            // It had ended before somebody came back.
            self.remove(key);
            return None;
        }
        Some(membership.member.clone())
    }
}
