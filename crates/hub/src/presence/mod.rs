//! Memberships held by this node's clients: leases on keys of a hidden channel.
mod adopt;
mod member;
mod memberships;
pub(crate) mod roster;
mod table;

use std::sync::Arc;

use fanfare_broker::{Append, Author};
use fanfare_protocol::{ChannelName, ClientId, Data, EventName, Problem, Publish, event::MembersPage};

pub(crate) use memberships::Memberships;
use memberships::{Due, Left};
use table::{Known, Most, same_user};

use crate::{clock::unix_ms, connection::Connection, directory::Listed, hub::Hub};

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
        let member = self.memberships.enter(&key, known, entering, lease_ms)?;
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
        let removed = self.memberships.leave(&(channel.clone(), client), user)?;
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
        let removed = match self.memberships.leave_as(&(channel.clone(), client), user, connection)? {
            Left::Others { held } => return Ok(held),
            Left::Nobody { removed } => removed,
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
        self.memberships.stop();
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
        let member = self.memberships.renewed(&(channel.clone(), client), lost);
        match member {
            // The lease ended while nobody could renew it: enter again.
            Some(member) => {
                self.append_member(&hidden, client, member::encode(&member), Some(lease_ms)).await
            }
            None => Ok(()),
        }
    }
}
