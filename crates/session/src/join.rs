//! Subscriptions that the application makes for a client: no right is needed for them, and the client did not ask.
use fanfare_protocol::{ChannelName, Code, Problem, SubscribeOptions};

use crate::{
    Action, HubCall, Now, Session,
    calls::Asked,
    channels::{Joined, Reader},
    checks,
    commands::Permit,
};

impl Session {
    /// Reads a channel for the client, from now on, without echo; answered by [`Action::Joined`]. The client gets a `subscribed` without reference. A
    /// channel that the client reads already stays as it is.
    pub fn join(&mut self, channel: &ChannelName) {
        if self.closed {
            return;
        }
        let held_up = self.channels.with(channel, |known| {
            let beside = known.reader != Reader::None && known.joined.is_none();
            known.joined.get_or_insert(if beside { Joined::Beside } else { Joined::Alone });
            known.joining = true;
            known.holds_up()
        });
        // Behind the commands that wait, `settle` comes back to it.
        if !held_up {
            self.join_now(channel);
        }
    }

    /// Ends what [`Session::join`] began; the client gets `unsubscribed`, unless it reads the channel by itself and may.
    pub fn part(&mut self, now: Now, channel: &ChannelName) {
        let Some(known) = self.channels.get_mut(channel) else { return };
        let Some(joined) = known.joined.take() else { return };
        let joining = std::mem::take(&mut known.joining);
        let (reads, presence) = (known.reader != Reader::None, known.presence);
        if joining {
            let gone = Problem::new(Code::NotFound, "left before it was joined");
            self.actions.push_back(Action::Joined { channel: channel.clone(), result: Err(gone) });
        }
        let goes_on =
            joined == Joined::Beside && self.may_read(&Permit { now, token: None }, channel, presence);
        if reads && !goes_on {
            self.leave_quietly(channel);
            self.end_subscription(channel, Code::Revoked);
        }
        self.channels.tidy(channel);
    }

    /// Whether the application reads this channel for the client.
    pub fn has_joined(&self, channel: &ChannelName) -> bool {
        self.channels.get(channel).is_some_and(|known| known.joined.is_some())
    }

    /// Nothing of the channel is under way: subscribes, or tells that it is read already.
    pub(crate) fn join_now(&mut self, channel: &ChannelName) {
        let Some(known) = self.channels.get_mut(channel).filter(|known| known.joining && !known.busy) else {
            return;
        };
        if known.reader != Reader::None {
            return self.note_joined(channel, false, Ok(()));
        }
        if let Err(problem) = checks::check_room(&self.rules.limits(), self.reading as usize) {
            return self.note_joined(channel, true, Err(problem));
        }
        known.reader = Reader::Asked;
        known.presence = false;
        known.busy = true;
        self.reading += 1;
        let asked = Asked::Subscribe { channel: channel.clone(), quiet: true, before: None, doomed: None };
        let options = SubscribeOptions { echo: false, ..SubscribeOptions::default() };
        let channel = channel.clone();
        self.ask(None, asked, |ticket| HubCall::Subscribe { ticket, channel, options });
    }

    /// A join of the application's own could not be.
    pub(crate) fn not_joined(&mut self, channel: &ChannelName) {
        let Some(known) = self.channels.get_mut(channel) else { return };
        known.busy = false;
        known.reader = Reader::None;
        self.reading = self.reading.saturating_sub(1);
    }

    /// A subscription of the channel was answered, `own`: the application's. Tells the application, if it waits for that.
    pub(crate) fn note_joined(&mut self, channel: &ChannelName, own: bool, result: Result<(), Problem>) {
        let Some(known) = self.channels.get_mut(channel) else { return };
        // What the client asked for itself may fail for its own reasons: the application's attempt is still to come.
        if !known.joining || (result.is_err() && !own) {
            return;
        }
        known.joining = false;
        if result.is_err() {
            known.joined = None;
        }
        self.actions.push_back(Action::Joined { channel: channel.clone(), result });
        self.channels.tidy(channel);
    }
}
