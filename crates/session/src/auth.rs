//! Credentials: renewed in band, shown with one command, expiring, shrinking.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Code, Identity, Problem, Ref, Reply, Request, Right};

use crate::{
    HubCall, Now, Session,
    channels::{Membership, Reader},
    commands::{Permit, channel_of},
    timeline::NEVER,
};

impl Session {
    /// Answers an `auth`.
    pub(crate) fn authenticated(
        &mut self,
        now: Now,
        reference: Option<Ref>,
        result: Result<Arc<Identity>, Problem>,
    ) {
        if let Some(renewal) = &mut self.renewal {
            renewal.ticket = None;
        }
        match result.and_then(|new| same_principal(&self.identity, &new).map(|()| new)) {
            Ok(identity) => self.become_identity(now, reference, identity),
            Err(problem) => self.refuse(reference, problem),
        }
        self.release_held(now);
    }

    fn become_identity(&mut self, now: Now, reference: Option<Ref>, identity: Arc<Identity>) {
        self.expiry = identity.expires_at.map_or(NEVER, |at| self.timeline.of_unix(now, at));
        self.identity = identity.clone();
        self.allowed = None;
        let reply = Reply::Authenticated { user: identity.user.clone(), expires_at: identity.expires_at };
        self.hub(HubCall::Identify { identity });
        self.acknowledge(reference, reply);
        self.end_what_is_not_allowed(now, Code::Revoked);
        self.subscribe_own_channels(now);
    }

    /// Answers the verification of a token that came with a command, which runs now.
    pub(crate) fn token_verified(
        &mut self,
        now: Now,
        request: Request,
        result: Result<Arc<Identity>, Problem>,
    ) {
        let Some(channel) = channel_of(&request.command).cloned() else { return };
        self.channels.with(&channel, |known| known.busy = false);
        match result.and_then(|token| self.check_command_token(now, token)) {
            Ok(token) => {
                self.run(now, &channel, request, Some(token.clone()));
                self.keep_token(now, &channel, token);
            }
            Err(problem) => self.refuse(request.reference, problem),
        }
        self.settle(now, &channel);
    }

    fn check_command_token(&self, now: Now, token: Arc<Identity>) -> Result<Arc<Identity>, Problem> {
        if token.api_key.is_some() {
            return Err(Problem::new(Code::Forbidden, "an API key is no token for one command")
                .remedy("send a JWT of the connection's user, or connect with the API key"));
        }
        if token.user != self.identity.user {
            return Err(Problem::new(Code::Conflict, "the command's token belongs to another user")
                .remedy("send a JWT with the sub of the connection's own"));
        }
        if !crate::channels::is_current(&token, now.unix_ms) {
            return Err(Problem::new(Code::TokenExpired, "the command's token has expired"));
        }
        Ok(token)
    }

    /// A token stays with its channel until it expires. Where the connection has nothing else to do with the channel, it stays only
    /// while there is room: strangers' channels must not pile up.
    fn keep_token(&mut self, now: Now, channel: &ChannelName, token: Arc<Identity>) {
        let limits = self.rules.limits();
        let room = limits.channels_per_connection.saturating_add(limits.memberships_per_connection);
        let in_use = self
            .channels
            .get(channel)
            .is_some_and(|known| known.reader != Reader::None || known.member != Membership::Out);
        if in_use || self.channels.len() < room {
            let expiry = token.expires_at.map_or(NEVER, |at| self.timeline.of_unix(now, at));
            self.token_expiry = self.token_expiry.min(expiry);
            self.channels.with(channel, |known| known.keep_token(token));
            self.limit_reader(channel);
        }
    }

    /// Tells the hub until when a channel may be read whose right comes from tokens of commands.
    fn limit_reader(&mut self, name: &ChannelName) {
        let Some(known) = self.channels.get(name) else { return };
        if known.reader != Reader::None && !known.tokens().is_empty() {
            let unix_ms = self.readable_until(name, None);
            self.hub(HubCall::Until { channel: name.clone(), unix_ms });
        }
    }

    /// Drops tokens of channels that have expired, and what hung on them.
    pub(crate) fn expire_tokens(&mut self, now: Now) {
        let (mut lost, mut next) = (Vec::new(), NEVER);
        for (name, channel) in self.channels.iter_mut() {
            if channel.drop_expired(now.unix_ms) {
                lost.push(name.clone());
            }
            let left = channel.tokens().iter().filter_map(|token| token.expires_at);
            next = left.map(|at| self.timeline.of_unix(now, at)).fold(next, u64::min);
        }
        // Never at once again, or a driver would spin when the wall clock was set back.
        self.token_expiry = next.max(self.timeline.micros(now).saturating_add(1000));
        if next == NEVER {
            self.token_expiry = NEVER;
        }
        for name in &lost {
            self.end_if_not_allowed(now, name, Code::TokenExpired);
        }
    }

    fn end_what_is_not_allowed(&mut self, now: Now, code: Code) {
        let names: Vec<ChannelName> = self.channels.iter().map(|(name, _)| name.clone()).collect();
        for name in &names {
            self.end_if_not_allowed(now, name, code);
        }
    }

    /// Whether the channel may be read as it is.
    pub(crate) fn may_read(&self, may: &Permit, name: &ChannelName, presence: bool) -> bool {
        let allowed = |right| self.permit(may, right, name, None).is_ok();
        allowed(Right::Subscribe) && (!presence || allowed(Right::Presence))
    }

    /// Ends the subscription and the membership of a channel that the connection has no right to any more.
    fn end_if_not_allowed(&mut self, now: Now, name: &ChannelName, code: Code) {
        let Some(known) = self.channels.get(name) else { return };
        let (reader, presence, member) = (known.reader, known.presence, known.member);
        let may = Permit { now, token: None };
        let reads = self.may_read(&may, name, presence);
        let enters = self.permit(&may, Right::Enter, name, None).is_ok();
        if member != Membership::Out && !enters {
            self.leave_quietly(name);
        }
        if reader != Reader::None && !reads {
            self.end_subscription(name, code);
        } else {
            self.limit_reader(name);
        }
        self.channels.tidy(name);
    }
}

/// Whether new credentials may take the place of the old: those of nobody, or of the same user or API key.
fn same_principal(old: &Identity, new: &Identity) -> Result<(), Problem> {
    let was_somebody = old.user.is_some() || old.api_key.is_some();
    if !was_somebody || (old.user == new.user && old.api_key == new.api_key) {
        return Ok(());
    }
    Err(Problem::new(Code::Conflict, "this connection belongs to another user")
        .remedy("open a new connection for another user"))
}
