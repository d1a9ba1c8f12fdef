//! Calls that the hub has not answered yet.
use std::collections::VecDeque;

use fanfare_protocol::{ChannelName, Code, Ref, Request};

use crate::Ticket;

/// What an answer will mean.
#[derive(Debug)]
pub(crate) enum Asked {
    /// New credentials for the connection.
    Auth,
    /// Credentials for one command, which runs once they are verified.
    Token(Box<Request>),
    /// A reader.
    Subscribe {
        channel: ChannelName,
        /// The server's own join: a refusal is not the client's to know.
        quiet: bool,
        /// A seek: whether the subscription until now carried member events.
        before: Option<bool>,
        /// The right was lost meanwhile: whatever the answer, the client is told this.
        doomed: Option<Code>,
    },
    Publish,
    History,
    Members,
    Call,
    Answer,
    Enter(ChannelName),
    Leave,
    /// A leave that no command asked for.
    QuietLeave,
}

/// One unanswered call.
#[derive(Debug)]
pub(crate) struct Call {
    ticket: Ticket,
    pub(crate) reference: Option<Ref>,
    pub(crate) asked: Asked,
}

/// In the order of their tickets, which rise. Answers mostly come in that order too.
#[derive(Default, Debug)]
pub(crate) struct Calls {
    open: VecDeque<Call>,
    last: u64,
}

impl Calls {
    pub(crate) fn add(&mut self, reference: Option<Ref>, asked: Asked) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.push_back(Call { ticket, reference, asked });
        ticket
    }

    /// None for a ticket that was answered already or never given.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Call> {
        let at = self.open.binary_search_by_key(&ticket, |call| call.ticket).ok()?;
        let call = self.open.remove(at);
        if self.open.is_empty() {
            // An idle connection keeps no memory for this.
            self.open = VecDeque::new();
        }
        call
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn clear(&mut self) {
        self.open = VecDeque::new();
    }

    /// The unanswered subscribe of a channel: there is at most one.
    pub(crate) fn subscribe_of(&mut self, name: &ChannelName) -> Option<&mut Call> {
        self.open
            .iter_mut()
            .find(|call| matches!(&call.asked, Asked::Subscribe { channel, .. } if channel == name))
    }
}
