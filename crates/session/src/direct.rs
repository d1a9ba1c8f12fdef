//! The short way of a publication that nothing holds up: checked once, handed over at once, and answered without a call to remember.
use fanfare_protocol::{
    ChannelName, Command, Event, EventName, Problem, Publish, Ref, Reply, Request, Right, event::Published,
};

use crate::{
    Author, Limits, Now, Session, Ticket, calls::Asked, channels::Channel, check, checks, commands::Permit,
};

/// A publication that may go to the hub now.
#[derive(Debug)]
pub struct Cleared {
    /// The client's reference to it.
    pub reference: Option<Ref>,
    /// What.
    pub publish: Box<Publish>,
    /// By whom.
    pub author: Author,
}

/// What became of a request that was asked to go the short way.
#[derive(Debug)]
pub enum Direct {
    /// Hand it to the hub, then tell the client what [`Session::answer`] says, or wait for the hub with [`Session::await_published`].
    Cleared(Cleared),
    /// It was refused, or came too late: there are actions.
    Done,
    /// It is none for the short way: [`Session::handle_command`] takes it.
    Other(Request),
}

/// A publication that configuration and identity allow, with nothing said about its data: others like it need not be asked about again until
/// one of them changes.
#[derive(Debug)]
pub(crate) struct Allowed {
    generation: u64,
    channel: ChannelName,
    event: EventName,
    limits: Limits,
}

impl Session {
    /// Takes a publication that waits for nothing, before its hub is asked. Only while there are no actions.
    pub fn clear(&mut self, now: Now, request: Request) -> Direct {
        let (reference, publish) = match request {
            Request { reference, command: Command::Publish { publish, token: None } }
                if self.is_direct(&publish.channel) =>
            {
                (reference, publish)
            }
            other => return Direct::Other(other),
        };
        if self.end_if_expired(now) {
            return Direct::Done;
        }
        if let Err(problem) = self.may_publish(now, &publish) {
            self.refuse(reference, problem);
            return Direct::Done;
        }
        Direct::Cleared(Cleared { reference, publish, author: self.publisher() })
    }

    /// What the client is told of a publication that was answered at once; nothing where it asked for no answer.
    pub fn answer(reference: Option<Ref>, result: Result<Published, Problem>) -> Option<Event> {
        match result {
            Ok(published) => {
                reference.is_some().then(|| Event::Ok { reference, reply: Reply::Published(published) })
            }
            Err(problem) => Some(Event::Error { reference, problem }),
        }
    }

    /// A publication that will be answered by [`crate::HubEvent::Published`].
    pub fn await_published(&mut self, reference: Option<Ref>) -> Ticket {
        self.calls.add(reference, Asked::Publish)
    }

    fn is_direct(&self, channel: &ChannelName) -> bool {
        self.actions.is_empty()
            && self.renewal.is_none()
            && !self.channels.get(channel).is_some_and(Channel::holds_up)
    }

    /// The checks of a publication: the rate, the right, the size, and what its namespace wants.
    fn may_publish(&mut self, now: Now, publish: &Publish) -> Result<(), Problem> {
        let generation = self.rules.generation();
        let is_known = |known: &&Allowed| {
            Some(known.generation) == generation
                && known.channel == publish.channel
                && known.event == publish.event
        };
        if let Some(limits) = self.allowed.as_deref().filter(is_known).map(|known| known.limits) {
            self.meter_by(now, &limits)?;
            return checks::check_message(&limits, &self.identity, publish);
        }
        let limits = self.rules.limits();
        self.meter_by(now, &limits)?;
        let (channel, event) = (&publish.channel, &publish.event);
        let lasting = check(&*self.rules, &self.identity, Right::Publish, channel, Some(event)).is_ok();
        if !lasting {
            self.permit(&Permit { now, token: None }, Right::Publish, channel, Some(event))?;
        }
        checks::check_message(&limits, &self.identity, publish)?;
        checks::check_fit(&*self.rules, publish)?;
        if let Some(generation) = generation
            && lasting
            && self.rules.schema(channel).is_none()
        {
            let (channel, event) = (channel.clone(), event.clone());
            self.allowed = Some(Box::new(Allowed { generation, channel, event, limits }));
        }
        Ok(())
    }
}
