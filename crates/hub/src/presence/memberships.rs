//! Who holds which membership: connections come and go, and leases fall due.
use std::sync::Arc;

use fanfare_broker::Budget;
use fanfare_protocol::{ChannelName, ClientId, Member, Problem};
use parking_lot::Mutex;

use super::{
    Entering,
    table::{Key, Known, Table},
};

/// What fell due.
pub(crate) enum Due {
    Renew(ChannelName, ClientId),
    End(ChannelName, ClientId),
}

/// Who holds a membership that a connection left.
pub(super) enum Left {
    /// Other connections; `held` when this one did too.
    Others { held: bool },
    /// Nobody; `removed` when it was this node's.
    Nobody { removed: bool },
}

/// The memberships of this node's clients.
pub struct Memberships {
    table: Mutex<Table>,
}

impl Memberships {
    /// None yet; what they take is counted in the budget.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { table: Mutex::new(Table::new(budget)) }
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

    /// Writes a membership down; the member as it is now.
    pub(super) fn enter(
        &self,
        key: &Key,
        known: Known,
        entering: Entering,
        lease_ms: u64,
    ) -> Result<Member, Problem> {
        self.table.lock().enter(key, known, entering, lease_ms)
    }

    /// Takes a membership out. False when this node has none.
    pub(super) fn leave(&self, key: &Key, user: Option<&Arc<str>>) -> Result<bool, Problem> {
        let mut table = self.table.lock();
        table.check_user(key, user)?;
        Ok(table.remove(key).is_some())
    }

    /// A connection holds a membership no longer, which ends unless another does.
    pub(super) fn leave_as(
        &self,
        key: &Key,
        user: Option<&Arc<str>>,
        connection: u64,
    ) -> Result<Left, Problem> {
        let mut table = self.table.lock();
        table.check_user(key, user)?;
        if let Some(membership) = table.memberships.get_mut(key) {
            let held = membership.holders.remove(&connection);
            if !membership.holders.is_empty() {
                return Ok(Left::Others { held });
            }
        }
        // Under the same lock, so that whoever enters meanwhile is not taken out.
        Ok(Left::Nobody { removed: table.remove(key).is_some() })
    }

    /// The broker was asked to renew a lease, and has it still or has `lost` it. The member, if it is to enter again.
    pub(super) fn renewed(&self, key: &Key, lost: bool) -> Option<Member> {
        self.table.lock().renewed(key, lost)
    }

    /// Whoever is lost from now on may come back to the next node.
    pub(super) fn stop(&self) {
        self.table.lock().stopping = true;
    }

    pub(super) fn take_due(&self, now: u64, lease_ms: u64) -> Vec<Due> {
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

#[cfg(test)]
#[path = "memberships_tests.rs"]
mod tests;
