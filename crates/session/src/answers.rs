//! What the hub's answers and tidings do.
use fanfare_protocol::{ChannelName, Code, Event, Problem, Ref, Reply};

use crate::{
    HubCall, HubEvent, Now, Session, Subscribed, Ticket,
    calls::{Asked, Call},
    channels::{Membership, Reader},
};

impl Session {
    pub(crate) fn answered(&mut self, now: Now, event: HubEvent) {
        match event {
            HubEvent::Authenticated(ticket, result) => {
                let Some(Call { reference, asked, .. }) = self.calls.take(ticket) else { return };
                match asked {
                    Asked::Token(request) => self.token_verified(now, *request, result),
                    Asked::Auth => self.authenticated(now, reference, result),
                    _ => {}
                }
            }
            HubEvent::Subscribed(ticket, result) => {
                let Some(Call { reference, asked, .. }) = self.calls.take(ticket) else { return };
                if let Asked::Subscribe { channel, quiet, before, doomed } = asked {
                    let joined = result.as_ref().map(|_| ()).map_err(Clone::clone);
                    // A join that was taken back meanwhile, or could not be, is nothing to the client.
                    if quiet && (doomed.is_some() || result.is_err()) {
                        self.not_joined(&channel);
                    } else {
                        self.subscribed(&channel, reference, before, doomed, result);
                    }
                    if doomed.is_none() {
                        self.note_joined(&channel, quiet, joined);
                    }
                    self.settle(now, &channel);
                }
            }
            HubEvent::Published(ticket, result) => self.reply(ticket, result.map(Reply::Published)),
            HubEvent::History(ticket, result) => self.reply(ticket, result.map(Reply::History)),
            HubEvent::Members(ticket, result) => self.reply(ticket, result.map(Reply::Members)),
            HubEvent::Entered(ticket, result) => self.entered_or_left(ticket, result),
            HubEvent::Called(ticket, result) => self.reply(ticket, result.map(Reply::Called)),
            HubEvent::Answered(ticket, result) => self.reply(ticket, result.map(|()| Reply::Done)),
            HubEvent::Ended(channel, code) => self.ended(&channel, code),
            HubEvent::Disconnect(problem) => self.end(problem),
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, Problem>) {
        let Some(call) = self.calls.take(ticket) else { return };
        match result {
            Ok(reply) => self.acknowledge(call.reference, reply),
            Err(problem) => self.refuse(call.reference, problem),
        }
    }

    fn subscribed(
        &mut self,
        channel: &ChannelName,
        reference: Option<Ref>,
        before: Option<bool>,
        doomed: Option<Code>,
        result: Result<Subscribed, Problem>,
    ) {
        let Some(known) = self.channels.get_mut(channel) else { return };
        known.busy = false;
        if let Some(code) = doomed {
            // The reader was detached when the right was lost.
            known.reader = Reader::None;
            self.reading = self.reading.saturating_sub(1);
            return self.refuse(reference, Problem::new(code, format!("the right to read {channel} ended")));
        }
        match (result, before) {
            (Ok(start), _) => {
                known.reader = Reader::Attached;
                let Subscribed { head, recovered, replay } = start;
                let channel = channel.clone();
                self.send(Event::Subscribed { reference, channel, head, recovered, replay });
            }
            (Err(problem), Some(presence)) => {
                // A seek that failed moves nothing.
                known.reader = Reader::Attached;
                known.presence = presence;
                self.refuse(reference, problem);
            }
            (Err(problem), None) => {
                known.reader = Reader::None;
                self.reading = self.reading.saturating_sub(1);
                self.refuse(reference, problem);
            }
        }
    }

    fn entered_or_left(&mut self, ticket: Ticket, result: Result<(), Problem>) {
        let Some(Call { reference, asked, .. }) = self.calls.take(ticket) else { return };
        match &asked {
            Asked::QuietLeave => return,
            Asked::Enter(channel) => self.note_entered(channel, ticket, result.is_ok()),
            _ => {}
        }
        match result {
            Ok(()) => self.acknowledge(reference, Reply::Done),
            Err(problem) => self.refuse(reference, problem),
        }
        if let Asked::Enter(channel) = asked {
            self.channels.tidy(&channel);
        }
    }

    /// An answer to an enter that a leave has overtaken says nothing about the membership.
    fn note_entered(&mut self, channel: &ChannelName, ticket: Ticket, ok: bool) {
        let Some(known) = self.channels.get_mut(channel) else { return };
        let Membership::Entering { first, flying } = known.member else { return };
        if ticket < first {
            return;
        }
        known.member = match (ok, flying) {
            (true, _) => Membership::In,
            (false, 0 | 1) => {
                self.entered = self.entered.saturating_sub(1);
                Membership::Out
            }
            (false, _) => Membership::Entering { first, flying: flying - 1 },
        };
    }

    /// The hub detached the reader itself.
    fn ended(&mut self, channel: &ChannelName, code: Code) {
        let reader = self.channels.get(channel).map_or(Reader::None, |known| known.reader);
        match reader {
            // It crossed an unsubscribe: the client knows.
            Reader::None => return,
            Reader::Attached => self.detach(channel),
            Reader::Asked => {
                let call = self.calls.subscribe_of(channel);
                let Some(Call { asked: Asked::Subscribe { before, .. }, .. }) = call else { return };
                // Only what a seek would have moved can have ended; the seek's own answer is still to come.
                if before.take().is_none() {
                    return;
                }
            }
        }
        self.leave_quietly(channel);
        self.send(Event::Unsubscribed { channel: channel.clone(), code });
        self.channels.tidy(channel);
    }

    /// Ends a subscription because the right to it ended.
    pub(crate) fn end_subscription(&mut self, channel: &ChannelName, code: Code) {
        self.hub(HubCall::Unsubscribe { channel: channel.clone() });
        let mut was_attached = true;
        match self.calls.subscribe_of(channel) {
            Some(Call { asked: Asked::Subscribe { before, doomed, .. }, .. }) => {
                was_attached = before.take().is_some();
                *doomed = Some(code);
            }
            _ => self.detach(channel),
        }
        if was_attached {
            self.send(Event::Unsubscribed { channel: channel.clone(), code });
        }
    }

    fn detach(&mut self, channel: &ChannelName) {
        if let Some(known) = self.channels.get_mut(channel) {
            known.reader = Reader::None;
            known.joined = None;
            self.reading = self.reading.saturating_sub(1);
        }
    }
}
