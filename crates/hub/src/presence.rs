//! Memberships held by this node's clients: leases on keys of a hidden channel.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use fanfare_broker::{Append, Author, Budget};
use fanfare_protocol::{
    ChannelName, ClientId, Code, Data, EventName, Member, Problem, Publish, event::MembersPage,
};
use parking_lot::Mutex;

use crate::{clock::unix_ms, connection::Connection, directory::Listed, hub::Hub, member};

/// Who holds a membership, and what falls due next.
struct Membership {
    member: Member,
    /// Connections that hold it.
    holders: HashSet<u64>,
    /// When its lease is renewed, or it ends.
    due: u64,
    /// When it ends if nobody holds it. Until then its lease is renewed all the same: whoever polls holds it now and then only.
    ends: u64,
    /// How long it lasts unheld.
    grace_ms: u64,
    /// Bytes that the budget counts for it.
    counted: usize,
    /// From before this node's start, and not renewed since: the broker ends it with its lease, if nobody comes back for it.
    adopted: bool,
}

impl Membership {
    /// When to look at it again, its lease having been renewed now.
    fn next_due(&self, now: u64, lease_ms: u64) -> u64 {
        let renewal = now + lease_ms / 3;
        if self.holders.is_empty() { renewal.min(self.ends) } else { renewal }
    }
}

type Key = (ChannelName, ClientId);

/// Bytes of a membership's entries in the table's maps, about.
const ENTRY_BYTES: usize = 512;

/// Bytes that the budget counts for a membership.
fn weight(member: &Member) -> usize {
    let info = member.info.as_ref().map_or(0, Data::len);
    ENTRY_BYTES + member.data.len() + info + member.user.as_ref().map_or(0, |user| user.len())
}

/// A membership belongs to the user who entered.
fn same_user(member: &Member, user: Option<&Arc<str>>) -> Result<(), Problem> {
    if member.user.as_ref() == user {
        return Ok(());
    }
    Err(Problem::new(Code::Conflict, "another user is present with this session")
        .remedy("use a new session for another user"))
}

struct Table {
    /// What the memberships take of the hub's memory.
    budget: Arc<Budget>,
    memberships: HashMap<Key, Membership>,
    due: BTreeSet<(u64, ChannelName, ClientId)>,
    by_client: HashMap<ClientId, HashSet<ChannelName>>,
    /// How many memberships of this node each channel has.
    by_channel: HashMap<ChannelName, usize>,
    /// Open connections of each client, and polls that wait: they hold what the client entered over HTTP, and after the grace what a
    /// connection held that was lost.
    open: BTreeMap<(ClientId, u64), Option<Arc<str>>>,
    /// The node stops: who is lost now may come back to the next one.
    stopping: bool,
}

/// What fell due.
pub(crate) enum Due {
    Renew(ChannelName, ClientId),
    End(ChannelName, ClientId),
}

/// The memberships of this node's clients.
pub struct Memberships {
    table: Mutex<Table>,
}

impl Table {
    /// The open connections of a client as this user.
    fn open_of(&self, client: ClientId, user: Option<&Arc<str>>) -> HashSet<u64> {
        let open = self.open.range((client, 0)..=(client, u64::MAX));
        open.filter(|(_, by)| by.as_ref() == user).map(|((_, connection), _)| *connection).collect()
    }

    /// Has a connection hold the memberships of its client and user that are `which`.
    fn hold(
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

    fn set_due(&mut self, key: &Key, due: u64) {
        if let Some(membership) = self.memberships.get_mut(key) {
            self.due.remove(&(membership.due, key.0.clone(), key.1));
            membership.due = due;
            self.due.insert((due, key.0.clone(), key.1));
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Membership> {
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
    fn enter(
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

    fn check_user(&self, key: &Key, user: Option<&Arc<str>>) -> Result<(), Problem> {
        self.memberships.get(key).map_or(Ok(()), |membership| same_user(&membership.member, user))
    }

    fn adopt(&mut self, key: Key, member: Member, lease_ms: u64) {
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
    fn renewed(&mut self, key: &Key, lost: bool) -> Option<Member> {
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

/// How many memberships there may be.
#[derive(Clone, Copy)]
struct Most {
    of_channel: usize,
    /// Over HTTP.
    of_client: usize,
}

/// What is known when a client enters.
struct Known {
    /// When it entered, if it is a member already, by whichever node.
    entered_at: Option<u64>,
    /// Members of the channel on all nodes.
    present: usize,
    most: Most,
}

impl Memberships {
    /// None yet; what they take is counted in the budget.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        let table = Table {
            budget,
            memberships: HashMap::new(),
            due: BTreeSet::new(),
            by_client: HashMap::new(),
            by_channel: HashMap::new(),
            open: BTreeMap::new(),
            stopping: false,
        };
        Self { table: Mutex::new(table) }
    }

    /// A connection has ended: what it alone held lasts for the grace.
    pub(crate) fn lost(&self, connection: u64, client: ClientId, now: u64) {
        let mut table = self.table.lock();
        table.open.remove(&(client, connection));
        for channel in table.by_client.get(&client).cloned().unwrap_or_default() {
            let key = (channel, client);
            let Some(membership) = table.memberships.get_mut(&key) else { continue };
            if membership.holders.remove(&connection) && membership.holders.is_empty() {
                membership.ends = now + membership.grace_ms;
                let due = membership.due.min(membership.ends);
                table.set_due(&key, due);
            }
        }
    }

    /// A connection of a client is a user's from now on: when the grace of one that was lost is over, it holds what that held. What is left
    /// from before this node's start it holds at once.
    pub(crate) fn opened(&self, connection: u64, client: ClientId, user: Option<&Arc<str>>) {
        let mut table = self.table.lock();
        table.open.insert((client, connection), user.cloned());
        table.hold(connection, client, user, |membership| membership.adopted);
    }

    /// A stream or poll of a client begins: it holds what the client is a member of.
    pub(crate) fn hold(&self, connection: u64, client: ClientId, user: Option<&Arc<str>>) {
        let mut table = self.table.lock();
        table.open.insert((client, connection), user.cloned());
        table.hold(connection, client, user, |_| true);
    }

    /// Takes over a membership that the broker has from before this node's start.
    pub(crate) fn adopt(&self, channel: ChannelName, member: Member, lease_ms: u64) {
        self.table.lock().adopt((channel, member.client), member, lease_ms);
    }

    fn take_due(&self, now: u64, lease_ms: u64) -> Vec<Due> {
        let mut table = self.table.lock();
        let mut found = Vec::new();
        while let Some((due, channel, client)) = table.due.first().cloned() {
            if due > now {
                break;
            }
            let key = (channel.clone(), client);
            let unheld = table.memberships.get(&key).filter(|m| m.holders.is_empty() && now >= m.ends);
            let user = unheld.map(|membership| membership.member.user.clone());
            let open = user.map(|user| table.open_of(client, user.as_ref()));
            if let (Some(open), Some(membership)) = (open, table.memberships.get_mut(&key)) {
                membership.holders = open;
            }
            let lasting = table.memberships.get(&key).filter(|m| !m.holders.is_empty() || now < m.ends);
            if let Some(next) = lasting.map(|membership| membership.next_due(now, lease_ms)) {
                table.set_due(&key, next);
                found.push(Due::Renew(channel, client));
            } else {
                let gone = table.remove(&key);
                if !table.stopping && gone.is_some_and(|membership| !membership.adopted) {
                    found.push(Due::End(channel, client));
                }
            }
        }
        found
    }
}

/// Who enters, and how long it lasts when nobody holds it.
#[derive(Clone, Debug)]
pub struct Entering {
    /// The client.
    pub client: ClientId,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// The token's `info`.
    pub info: Option<Data>,
    /// What others see.
    pub data: Data,
    /// The connection that holds it; none over HTTP, where the client's streams and polls do.
    pub connection: Option<u64>,
    /// Milliseconds that it lasts unheld.
    pub grace_ms: u64,
}

impl Hub {
    /// Makes a client a member, or changes what its membership says.
    ///
    /// # Errors
    /// `conflict` when another user holds the membership of this client; `limit_exceeded` when the channel, or over HTTP the client, has as
    /// many as it may; `unavailable` when memory is used up; what the broker answers.
    pub async fn enter(&self, channel: &ChannelName, entering: Entering) -> Result<(), Problem> {
        let hidden = ChannelName::internal("presence", channel);
        let joined = self.join(&hidden).await?;
        let (known, present) = {
            let state = joined.0.lock();
            let roster = state.roster.as_ref();
            let known = roster.and_then(|roster| roster.get(entering.client).cloned());
            let present = roster.map_or(0, |roster| usize::try_from(roster.count()).unwrap_or(usize::MAX));
            (known, present)
        };
        known.as_ref().map_or(Ok(()), |known| same_user(known, entering.user.as_ref()))?;
        let lease_ms = self.rules.presence_lease_ms();
        let most = Most {
            of_channel: self.rules.members_per_channel(),
            of_client: self.rules.memberships_per_client(),
        };
        let known = Known { entered_at: known.map(|known| known.entered_at), present, most };
        let (client, grace_ms) = (entering.client, entering.grace_ms);
        let key = (channel.clone(), client);
        let member = self.memberships.table.lock().enter(&key, known, entering, lease_ms)?;
        let ttl = lease_ms.max(grace_ms + 1000);
        self.append_member(&hidden, client, member::encode(&member), Some(ttl)).await
    }

    /// Ends a membership now. False when the client is no member.
    ///
    /// # Errors
    /// `conflict` when another user holds it; what the broker answers.
    pub async fn leave(
        &self,
        channel: &ChannelName,
        client: ClientId,
        user: Option<&Arc<str>>,
    ) -> Result<bool, Problem> {
        let removed = {
            let mut table = self.memberships.table.lock();
            let key = (channel.clone(), client);
            table.check_user(&key, user)?;
            table.remove(&key).is_some()
        };
        self.end(channel, client, user, removed).await
    }

    /// Tells of a membership's end; `removed` when it was this node's.
    async fn end(
        &self,
        channel: &ChannelName,
        client: ClientId,
        user: Option<&Arc<str>>,
        removed: bool,
    ) -> Result<bool, Problem> {
        let hidden = ChannelName::internal("presence", channel);
        if !removed {
            let joined = self.join(&hidden).await?;
            let state = joined.0.lock();
            let Some(member) = state.roster.as_ref().and_then(|roster| roster.get(client)) else {
                return Ok(false);
            };
            same_user(member, user)?;
        }
        self.append_member(&hidden, client, Data::NULL, None).await?;
        Ok(true)
    }

    /// A connection stops holding its client's membership by leaving; it ends unless another connection of the client holds it.
    ///
    /// # Errors
    /// `conflict` when another user holds it; what the broker answers.
    pub async fn leave_as(
        &self,
        channel: &ChannelName,
        client: ClientId,
        user: Option<&Arc<str>>,
        connection: u64,
    ) -> Result<bool, Problem> {
        let removed = {
            let mut table = self.memberships.table.lock();
            let key = (channel.clone(), client);
            table.check_user(&key, user)?;
            if let Some(membership) = table.memberships.get_mut(&key) {
                let held = membership.holders.remove(&connection);
                if !membership.holders.is_empty() {
                    return Ok(held);
                }
            }
            // Under the same lock, so that whoever enters meanwhile is not taken out.
            table.remove(&key).is_some()
        };
        self.end(channel, client, user, removed).await
    }

    async fn append_member(
        &self,
        hidden: &ChannelName,
        client: ClientId,
        data: Data,
        ttl_ms: Option<u64>,
    ) -> Result<(), Problem> {
        let publish = Publish {
            event: EventName::internal("member"),
            key: Some(client.as_str().into()),
            ttl_ms,
            ..Publish::new(hidden.clone(), data)
        };
        self.broker
            .append(Append { publish, author: Author::default(), unix_ms: unix_ms() })
            .await
            .map(|_| ())
    }

    /// A page of a channel's members.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn members(
        &self,
        channel: &ChannelName,
        limit: usize,
        after: Option<ClientId>,
    ) -> Result<MembersPage, Problem> {
        let joined = self.join(&ChannelName::internal("presence", channel)).await?;
        let state = joined.0.lock();
        let empty = MembersPage { members: Vec::new(), count: 0, users: 0, next: None };
        Ok(state.roster.as_ref().map_or(empty, |roster| roster.page(limit, after)))
    }

    /// A stream or poll of a client is open: it holds the client's memberships until [`Hub::disconnect`] or [`Hub::release_client`].
    pub fn hold_client(&self, connection: u64, client: ClientId, user: Option<&Arc<str>>) {
        self.memberships.hold(connection, client, user);
    }

    /// Whose connection this is, as the directory lists it: also after it has become another user's.
    pub fn identify(&self, connection: &Arc<Connection>, listed: Listed) {
        self.memberships.opened(connection.id, listed.client, listed.identity.user.as_ref());
        self.directory.put(connection, listed);
    }

    /// The node stops: whoever is lost from now on stays a member until the lease ends, and may come back to the node that starts next.
    pub fn keep_members(&self) {
        self.memberships.table.lock().stopping = true;
    }

    /// A poll of a client has ended.
    pub fn release_client(&self, connection: u64, client: ClientId) {
        self.memberships.lost(connection, client, unix_ms());
    }

    /// Does what fell due: leases to renew, memberships to end.
    pub(crate) async fn tick_memberships(&self) {
        let lease_ms = self.rules.presence_lease_ms();
        for due in self.memberships.take_due(unix_ms(), lease_ms) {
            let done = match due {
                Due::Renew(channel, client) => self.renew(&channel, client, lease_ms).await,
                Due::End(channel, client) => {
                    let hidden = ChannelName::internal("presence", &channel);
                    self.append_member(&hidden, client, Data::NULL, None).await
                }
            };
            if let Err(problem) = done {
                tracing::warn!(%problem, "a membership could not be renewed or ended");
            }
        }
    }

    async fn renew(&self, channel: &ChannelName, client: ClientId, lease_ms: u64) -> Result<(), Problem> {
        let hidden = ChannelName::internal("presence", channel);
        let keys = [Arc::from(client.as_str())];
        let lost = !self.broker.renew(&hidden, &keys, lease_ms).await?.is_empty();
        let member = self.memberships.table.lock().renewed(&(channel.clone(), client), lost);
        match member {
            // The lease ended while nobody could renew it: enter again.
            Some(member) => {
                self.append_member(&hidden, client, member::encode(&member), Some(lease_ms)).await
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::SessionId;

    use super::*;

    const MOST: Most = Most { of_channel: 2, of_client: 2 };

    fn client(n: u32) -> ClientId {
        SessionId::parse(&format!("{n:022}")).unwrap().client()
    }

    fn enter(memberships: &Memberships, channel: &str, n: u32, data: &str) -> Result<(), Code> {
        let entering = Entering {
            client: client(n),
            user: None,
            info: None,
            data: Data::Json(data.to_owned().into()),
            connection: None,
            grace_ms: 1000,
        };
        let key = (ChannelName::parse(channel).unwrap(), client(n));
        let known = Known { entered_at: None, present: 0, most: MOST };
        let entered = memberships.table.lock().enter(&key, known, entering, 30_000);
        entered.map(|_| ()).map_err(|problem| problem.code)
    }

    fn leave(memberships: &Memberships, channel: &str, n: u32) {
        let key = (ChannelName::parse(channel).unwrap(), client(n));
        assert!(memberships.table.lock().remove(&key).is_some());
    }

    #[test]
    fn what_members_take_is_counted_and_given_back() {
        let budget = Arc::new(Budget::new(2000));
        let memberships = Memberships::new(budget.clone());
        enter(&memberships, "a", 1, "1").unwrap();
        let small = budget.used();
        enter(&memberships, "a", 1, &"1".repeat(1001)).unwrap();
        assert_eq!(budget.used(), small + 1000);
        // What does not fit changes nothing.
        assert_eq!(enter(&memberships, "a", 1, &"1".repeat(2000)), Err(Code::Unavailable));
        assert_eq!(enter(&memberships, "b", 2, "1"), Err(Code::Unavailable));
        assert_eq!(budget.used(), small + 1000);
        enter(&memberships, "a", 1, "1").unwrap();
        assert_eq!(budget.used(), small);
        enter(&memberships, "b", 2, "1").unwrap();
        leave(&memberships, "a", 1);
        leave(&memberships, "b", 2);
        assert_eq!(budget.used(), 0);
        let table = memberships.table.lock();
        assert!(table.by_channel.is_empty() && table.by_client.is_empty() && table.due.is_empty());
    }

    fn due(memberships: &Memberships, ms_from_now: u64) -> Vec<&'static str> {
        let found = memberships.take_due(unix_ms() + ms_from_now, 30_000);
        found.iter().map(|due| if matches!(due, Due::End(..)) { "end" } else { "renew" }).collect()
    }

    fn adopt(memberships: &Memberships, n: u32) -> Key {
        let (data, entered_at) = (Data::NULL, 1);
        let member = Member { client: client(n), user: None, info: None, data, entered_at };
        let channel = ChannelName::parse("a").unwrap();
        memberships.adopt(channel.clone(), member, 30_000);
        (channel, client(n))
    }

    #[test]
    fn what_was_there_before_the_start_is_renewed_once_somebody_holds_it_and_else_left_to_its_lease() {
        let budget = Arc::new(Budget::new(1 << 20));
        let memberships = Memberships::new(budget.clone());
        memberships.hold(7, client(1), None);
        let early = adopt(&memberships, 1);
        let late = adopt(&memberships, 2);
        adopt(&memberships, 3);
        assert_eq!(due(&memberships, 100), ["renew"], "its stream is open already");
        assert!(memberships.table.lock().renewed(&early, false).is_none());
        memberships.hold(8, client(2), None);
        assert_eq!(due(&memberships, 100), ["renew"], "at once, for its lease may soon be over");
        assert!(
            memberships.table.lock().renewed(&late, true).is_none(),
            "too late: it is no member any more"
        );
        assert!(!memberships.table.lock().memberships.contains_key(&late));
        // The first lost its lease later, as any membership may: it enters again.
        assert!(memberships.table.lock().renewed(&early, true).is_some());
        assert_eq!(due(&memberships, 30_001), ["renew"], "the third one's lease ends it");
        memberships.lost(7, client(1), unix_ms());
        assert_eq!(due(&memberships, 60_002), ["end"]);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_polls_now_and_then_stays_and_its_lease_is_renewed() {
        let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
        let channel = ChannelName::parse("a").unwrap();
        let entering = Entering {
            client: client(1),
            user: None,
            info: None,
            data: Data::NULL,
            connection: None,
            grace_ms: 30_000,
        };
        let known = Known { entered_at: None, present: 0, most: MOST };
        memberships.table.lock().enter(&(channel, client(1)), known, entering, 30_000).unwrap();
        let start = unix_ms();
        let mut last_renewal = 0;
        for second in 1..=120 {
            // A poll a second, none at the moment of the tick.
            memberships.hold(second, client(1), None);
            memberships.lost(second, client(1), start + second * 1000);
            for due in memberships.take_due(start + second * 1000, 30_000) {
                assert!(matches!(due, Due::Renew(..)), "second {second}");
                last_renewal = second;
            }
            assert!(second - last_renewal <= 11, "second {second}: not renewed since {last_renewal}");
        }
        let ends = |ms: u64| {
            memberships.take_due(start + 120_000 + ms, 30_000).iter().any(|due| matches!(due, Due::End(..)))
        };
        assert!(!ends(29_000), "nobody has polled for a while");
        assert!(ends(30_000), "nobody has polled for the whole time");
    }

    #[test]
    fn another_open_connection_of_the_client_holds_what_a_lost_one_held_once_the_grace_is_over() {
        let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
        memberships.opened(0, client(1), None);
        enter(&memberships, "a", 1, "1").unwrap();
        let now = unix_ms();
        memberships.lost(0, client(1), now);
        memberships.opened(8, client(1), None);
        assert_eq!(due(&memberships, 60_000), ["renew"], "its grace is over, and it came back");
        memberships.lost(8, client(1), now);
        assert_eq!(due(&memberships, 120_000), ["end"]);
    }

    #[test]
    fn a_node_that_stops_leaves_memberships_to_their_leases() {
        let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
        enter(&memberships, "a", 1, "1").unwrap();
        memberships.table.lock().stopping = true;
        assert!(due(&memberships, 2000).is_empty());
        assert!(memberships.table.lock().memberships.is_empty());
    }

    #[test]
    fn a_channel_and_a_client_have_as_many_memberships_as_they_may() {
        let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
        enter(&memberships, "a", 1, "1").unwrap();
        enter(&memberships, "a", 2, "1").unwrap();
        assert_eq!(enter(&memberships, "a", 3, "1"), Err(Code::LimitExceeded));
        enter(&memberships, "a", 2, "2").unwrap();
        enter(&memberships, "b", 2, "1").unwrap();
        assert_eq!(enter(&memberships, "c", 2, "1"), Err(Code::LimitExceeded));
        leave(&memberships, "a", 2);
        enter(&memberships, "c", 2, "1").unwrap();
        enter(&memberships, "a", 3, "1").unwrap();
    }
}
