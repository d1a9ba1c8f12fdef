//! What commands do: wait for their turn, be checked, become calls.
use std::sync::Arc;

use fanfare_protocol::{
    ChannelName, ClientId, Code, Command, Data, Event, Identity, Problem, Publish, Ref, Reply, Request,
    Right, SubscribeOptions,
    command::{Page, Token},
};

use crate::{
    Author, HubCall, Now, Session, Ticket,
    calls::Asked,
    channels::{Membership, Reader, is_current},
    check, checks,
    session::Renewal,
};

impl Session {
    /// While an `auth` is unanswered everything but a ping waits for it.
    pub(crate) fn route_or_hold(&mut self, now: Now, request: Request) {
        match &mut self.renewal {
            Some(renewal) if request.command != Command::Ping => {
                let weight = weight(&request.command);
                renewal.held.push_back(request);
                self.count_waiting(weight);
            }
            _ => self.route(now, request),
        }
    }

    fn count_waiting(&mut self, weight: u64) {
        self.waiting += 1;
        self.waiting_bytes += weight;
    }

    fn waits_no_more(&mut self, command: &Command) {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(weight(command));
    }

    /// Asks the hub, or auth, what is to be answered.
    pub(crate) fn ask(
        &mut self,
        reference: Option<Ref>,
        asked: Asked,
        call: impl FnOnce(Ticket) -> HubCall,
    ) -> Ticket {
        let ticket = self.calls.add(reference, asked);
        self.hub(call(ticket));
        ticket
    }

    /// Runs a command, or lets it wait for the earlier ones of its channel.
    pub(crate) fn route(&mut self, now: Now, request: Request) {
        let Some(channel) = channel_of(&request.command).cloned() else {
            return self.run_for_connection(now, request);
        };
        if self.channels.get(&channel).is_some_and(|known| known.holds_up()) {
            self.count_waiting(weight(&request.command));
            self.channels.with(&channel, |known| known.wait(request));
            return;
        }
        self.run(now, &channel, request, None);
        self.channels.tidy(&channel);
    }

    /// An earlier command of the channel is through: runs those that waited, until one holds up the rest again.
    pub(crate) fn settle(&mut self, now: Now, channel: &ChannelName) {
        while !self.closed {
            let Some(known) = self.channels.get_mut(channel) else { return };
            if known.busy {
                return;
            }
            let Some(request) = known.next_waiting() else {
                self.join_now(channel);
                break;
            };
            self.waits_no_more(&request.command);
            self.run(now, channel, request, None);
        }
        self.channels.tidy(channel);
    }

    /// Runs what waited for an `auth`, until the next one.
    pub(crate) fn release_held(&mut self, now: Now) {
        while !self.closed {
            let Some(renewal) = &mut self.renewal else { return };
            if renewal.ticket.is_some() {
                return;
            }
            let Some(request) = renewal.held.pop_front() else {
                self.renewal = None;
                return;
            };
            self.waits_no_more(&request.command);
            self.route(now, request);
        }
    }

    fn run_for_connection(&mut self, now: Now, request: Request) {
        match request.command {
            Command::Auth { token } => {
                let ticket = self
                    .ask(request.reference, Asked::Auth, |ticket| HubCall::Authenticate { ticket, token });
                self.renewal.get_or_insert_with(|| Box::new(Renewal::default())).ticket = Some(ticket);
            }
            Command::Call { namespace, event, args } => {
                if let Err(problem) = checks::check_args(&self.rules.limits(), &args) {
                    return self.refuse(request.reference, problem);
                }
                self.ask(request.reference, Asked::Call, |ticket| HubCall::Call {
                    ticket,
                    namespace,
                    event,
                    args,
                });
            }
            Command::Answer { id, args } => {
                if let Err(problem) = checks::check_args(&self.rules.limits(), &args) {
                    return self.refuse(request.reference, problem);
                }
                self.ask(request.reference, Asked::Answer, |ticket| HubCall::Answer { ticket, id, args });
            }
            _ => self.send(Event::Pong { reference: request.reference, time: now.unix_ms }),
        }
    }

    /// Runs a command of a channel whose turn it is. `token` was verified for it just now.
    pub(crate) fn run(
        &mut self,
        now: Now,
        channel: &ChannelName,
        mut request: Request,
        token: Option<Arc<Identity>>,
    ) {
        if let Some(unverified) = take_token(&mut request.command) {
            self.channels.with(channel, |known| known.busy = true);
            let asked = Asked::Token(Box::new(request));
            self.ask(None, asked, |ticket| HubCall::Authenticate { ticket, token: unverified });
            return;
        }
        let Request { reference, command } = request;
        let may = Permit { now, token };
        let done = match command {
            Command::Subscribe { options, .. } => self.subscribe(&may, channel, &reference, options),
            Command::Unsubscribe { .. } => self.unsubscribe(channel, &reference),
            Command::Publish { publish, .. } => self.publish(&may, &reference, publish),
            Command::History { page, .. } => self.history(&may, channel, &reference, page),
            Command::Members { limit, after, .. } => self.members(&may, channel, &reference, limit, after),
            Command::Enter { data, .. } => self.enter(&may, channel, &reference, data),
            Command::Leave { .. } => self.leave(channel, &reference),
            Command::Auth { .. } | Command::Ping | Command::Call { .. } | Command::Answer { .. } => Ok(()),
        };
        if let Err(problem) = done {
            self.refuse(reference, problem);
        }
    }

    fn subscribe(
        &mut self,
        may: &Permit,
        channel: &ChannelName,
        reference: &Option<Ref>,
        options: SubscribeOptions,
    ) -> Result<(), Problem> {
        checks::check_subscription(&*self.rules, channel, &options, |right| {
            self.permit(may, right, channel, None)
        })?;
        let known = self.channels.get(channel);
        let before = known.filter(|known| known.reader != Reader::None).map(|known| known.presence);
        if before.is_none() {
            checks::check_room(&self.rules.limits(), self.reading as usize)?;
            self.reading += 1;
        }
        self.channels.with(channel, |known| {
            known.reader = Reader::Asked;
            known.presence = options.presence;
            known.busy = true;
        });
        let asked = Asked::Subscribe { channel: channel.clone(), quiet: false, before, doomed: None };
        let name = channel.clone();
        self.ask(reference.clone(), asked, |ticket| HubCall::Subscribe { ticket, channel: name, options });
        if let Some(until) = self.readable_until(channel, may.token.as_ref()) {
            self.hub(HubCall::Until { channel: channel.clone(), unix_ms: Some(until) });
        }
        Ok(())
    }

    fn unsubscribe(&mut self, channel: &ChannelName, reference: &Option<Ref>) -> Result<(), Problem> {
        let known = self.channels.get_mut(channel).filter(|known| known.reader != Reader::None);
        let Some(known) = known else {
            return Err(Problem::new(Code::NotFound, format!("this connection does not read {channel}"))
                .remedy("nothing to do"));
        };
        known.reader = Reader::None;
        known.joined = None;
        self.reading = self.reading.saturating_sub(1);
        self.leave_quietly(channel);
        self.hub(HubCall::Unsubscribe { channel: channel.clone() });
        self.acknowledge(reference.clone(), Reply::Done);
        Ok(())
    }

    fn publish(
        &mut self,
        may: &Permit,
        reference: &Option<Ref>,
        publish: Box<Publish>,
    ) -> Result<(), Problem> {
        self.permit(may, Right::Publish, &publish.channel, Some(&publish.event))?;
        checks::check_message(&self.rules.limits(), &self.identity, &publish)?;
        checks::check_fit(&*self.rules, &publish)?;
        let author = self.publisher();
        self.ask(reference.clone(), Asked::Publish, |ticket| HubCall::Publish { ticket, publish, author });
        Ok(())
    }

    fn history(
        &mut self,
        may: &Permit,
        channel: &ChannelName,
        reference: &Option<Ref>,
        page: Page,
    ) -> Result<(), Problem> {
        self.permit(may, Right::History, channel, None)?;
        let channel = channel.clone();
        self.ask(reference.clone(), Asked::History, |ticket| HubCall::History { ticket, channel, page });
        Ok(())
    }

    fn members(
        &mut self,
        may: &Permit,
        channel: &ChannelName,
        reference: &Option<Ref>,
        limit: usize,
        after: Option<ClientId>,
    ) -> Result<(), Problem> {
        checks::check_presence(&*self.rules, channel)?;
        self.permit(may, Right::Presence, channel, None)?;
        let channel = channel.clone();
        let call = |ticket| HubCall::Members { ticket, channel, limit, after };
        self.ask(reference.clone(), Asked::Members, call);
        Ok(())
    }

    fn enter(
        &mut self,
        may: &Permit,
        channel: &ChannelName,
        reference: &Option<Ref>,
        data: Data,
    ) -> Result<(), Problem> {
        checks::check_presence(&*self.rules, channel)?;
        self.permit(may, Right::Enter, channel, None)?;
        let limits = self.rules.limits();
        checks::check_size(&limits, &data)?;
        let member = self.channels.get(channel).map_or(Membership::Out, |known| known.member);
        if member == Membership::Out {
            if self.entered as usize >= limits.memberships_per_connection {
                let detail = format!("a connection may enter {} channels", limits.memberships_per_connection);
                return Err(Problem::new(Code::LimitExceeded, detail).remedy("leave channels first"));
            }
            self.entered += 1;
        }
        // A member is known by its client, also where an API key lends it the right.
        let author = self.author(Some(self.client));
        let entered = channel.clone();
        let asked = Asked::Enter(channel.clone());
        let call = |ticket| HubCall::Enter { ticket, channel: entered, author, data };
        let ticket = self.ask(reference.clone(), asked, call);
        self.channels.with(channel, |known| {
            known.member = match member {
                Membership::Out => Membership::Entering { first: ticket, flying: 1 },
                Membership::Entering { first, flying } => Membership::Entering { first, flying: flying + 1 },
                Membership::In => Membership::In,
            };
        });
        Ok(())
    }

    /// The hub knows best whether there is a membership: one of an earlier connection may still stand.
    fn leave(&mut self, channel: &ChannelName, reference: &Option<Ref>) -> Result<(), Problem> {
        if !self.rules.presence(channel) {
            return Err(Problem::new(Code::NotFound, format!("this client is no member of {channel}"))
                .remedy("nothing to do"));
        }
        self.forget_membership(channel);
        let (channel, user) = (channel.clone(), self.identity.user.clone());
        self.ask(reference.clone(), Asked::Leave, |ticket| HubCall::Leave { ticket, channel, user });
        Ok(())
    }

    /// Leaves where this connection is a member, without a word to the client.
    pub(crate) fn leave_quietly(&mut self, channel: &ChannelName) {
        if self.forget_membership(channel) {
            let (channel, user) = (channel.clone(), self.identity.user.clone());
            self.ask(None, Asked::QuietLeave, |ticket| HubCall::Leave { ticket, channel, user });
        }
    }

    /// True when there was a membership, or may be.
    pub(crate) fn forget_membership(&mut self, channel: &ChannelName) -> bool {
        let Some(known) = self.channels.get_mut(channel) else { return false };
        let was = std::mem::take(&mut known.member) != Membership::Out;
        self.entered = self.entered.saturating_sub(u32::from(was));
        was
    }

    /// `ok` is for those who asked with a reference.
    pub(crate) fn acknowledge(&mut self, reference: Option<Ref>, reply: Reply) {
        if reference.is_some() {
            self.send(Event::Ok { reference, reply });
        }
    }

    /// Whether configuration, the identity, the channel's tokens or the one at hand allow it.
    pub(crate) fn permit(
        &self,
        may: &Permit,
        right: Right,
        channel: &ChannelName,
        event: Option<&str>,
    ) -> Result<(), Problem> {
        let problem = match check(&*self.rules, &self.identity, right, channel, event) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        let known = self.channels.get(channel);
        if right == Right::Subscribe && known.is_some_and(|known| known.joined.is_some()) {
            return Ok(());
        }
        let kept = known.map_or(&[][..], |known| known.tokens());
        let allows =
            |token: &Arc<Identity>| is_current(token, may.now.unix_ms) && token.allows(right, channel, event);
        if kept.iter().chain(&may.token).any(allows) { Ok(()) } else { Err(problem) }
    }

    /// When the right to read a channel ends that only tokens of commands grant, in milliseconds since 1970; none when it lasts as long as the
    /// identity.
    pub(crate) fn readable_until(&self, channel: &ChannelName, token: Option<&Arc<Identity>>) -> Option<u64> {
        let joined = self.channels.get(channel).is_some_and(|known| known.joined.is_some());
        if joined || check(&*self.rules, &self.identity, Right::Subscribe, channel, None).is_ok() {
            return None;
        }
        let kept = self.channels.get(channel).map_or(&[][..], |known| known.tokens());
        let granting = kept.iter().chain(token).filter(|token| token.allows(Right::Subscribe, channel, None));
        granting.map(|token| token.expires_at.unwrap_or(u64::MAX)).max()
    }

    /// Who publishes: an API key is nobody's client.
    pub(crate) fn publisher(&self) -> Author {
        let client = if self.identity.api_key.is_some() { None } else { Some(self.client) };
        self.author(client)
    }

    fn author(&self, client: Option<ClientId>) -> Author {
        Author { user: self.identity.user.clone(), info: self.identity.info.clone(), client }
    }
}

/// By what a command may be permitted, besides the connection's identity.
pub(crate) struct Permit {
    pub(crate) now: Now,
    pub(crate) token: Option<Arc<Identity>>,
}

/// The channel whose order a command belongs to.
pub(crate) fn channel_of(command: &Command) -> Option<&ChannelName> {
    match command {
        Command::Subscribe { channel, .. }
        | Command::Unsubscribe { channel }
        | Command::History { channel, .. }
        | Command::Members { channel, .. }
        | Command::Enter { channel, .. }
        | Command::Leave { channel } => Some(channel),
        Command::Publish { publish, .. } => Some(&publish.channel),
        Command::Auth { .. } | Command::Ping | Command::Call { .. } | Command::Answer { .. } => None,
    }
}

fn take_token(command: &mut Command) -> Option<Token> {
    match command {
        Command::Subscribe { token, .. } | Command::Publish { token, .. } | Command::Enter { token, .. } => {
            token.take()
        }
        _ => None,
    }
}

/// Bytes that a waiting command holds, near enough.
fn weight(command: &Command) -> u64 {
    let payload = match command {
        Command::Publish { publish, .. } => publish.data.len(),
        Command::Enter { data, .. } => data.len(),
        Command::Auth { token } => token.0.len(),
        Command::Call { args, .. } | Command::Answer { args, .. } => args.bytes(),
        _ => 0,
    };
    let token = match command {
        Command::Subscribe { token: Some(token), .. }
        | Command::Publish { token: Some(token), .. }
        | Command::Enter { token: Some(token), .. } => token.0.len(),
        _ => 0,
    };
    (payload + token) as u64
}
