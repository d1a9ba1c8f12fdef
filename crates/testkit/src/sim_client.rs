//! A client at the level of commands and events: it counts answers, checks histories and knows what to resume.
use std::collections::BTreeMap;

use fanfare_protocol::{ChannelName, Command, Event, Position, Ref, Request, Start, SubscribeOptions};

use crate::history::{HistoryChecker, Violation};

/// A server that did what it must not.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Fault {
    /// An answer to nothing, or a second one.
    #[error("an answer to {0:?}, which waits for none: {1}")]
    Unasked(Option<Ref>, String),
    /// A history that cannot be.
    #[error("on {0}: {1}")]
    History(ChannelName, Violation),
    /// A frame of a channel that was never subscribed.
    #[error("a frame of {0}, which was never subscribed")]
    Stray(ChannelName),
    /// The end of the test came before everything did.
    #[error("still waiting: {0}")]
    Unfinished(String),
}

/// One subscription as its client sees it, over all connections.
#[derive(Default, Debug)]
pub struct Subscription {
    /// What the client wants: to read, or not.
    pub wanted: bool,
    /// What it saw.
    pub checker: HistoryChecker,
}

/// A simulated client.
#[derive(Default, Debug)]
pub struct SimClient {
    last_ref: i64,
    unanswered: BTreeMap<i64, Command>,
    subscriptions: BTreeMap<ChannelName, Subscription>,
    /// Answers that came.
    pub answers: u64,
}

impl SimClient {
    /// Gives a command its reference and remembers that it wants an answer.
    pub fn request(&mut self, command: Command) -> Request {
        self.last_ref += 1;
        match &command {
            Command::Subscribe { channel, .. } => {
                self.subscriptions.entry(channel.clone()).or_default().wanted = true;
            }
            Command::Unsubscribe { channel } => {
                self.subscriptions.entry(channel.clone()).or_default().wanted = false;
            }
            _ => {}
        }
        self.unanswered.insert(self.last_ref, command.clone());
        Request { reference: Some(Ref::Number(self.last_ref)), command }
    }

    /// A frame came.
    ///
    /// # Errors
    /// When it should not have.
    pub fn take(&mut self, event: &Event) -> Result<(), Fault> {
        match event {
            Event::Subscribed { reference, channel, head, recovered, replay } => {
                let asked = reference.as_ref().map(|_| self.answered(reference, event)).transpose()?;
                let start = match asked {
                    Some(Command::Subscribe { options, .. }) => options.start,
                    _ => Start::default(),
                };
                self.check(channel, |checker| checker.subscribed(start, *head, *recovered, *replay))
            }
            Event::Message(message) => {
                self.check(&message.channel, |checker| checker.message(message.epoch, message.offset))
            }
            Event::Gap(gap) => self.check(&gap.channel, |checker| checker.gap(gap.after)),
            Event::Unsubscribed { channel, .. } => self.check(channel, |checker| {
                checker.ended();
                Ok(())
            }),
            Event::Ok { reference, .. } => {
                if let Command::Unsubscribe { channel } = self.answered(reference, event)? {
                    return self.check(&channel, |checker| {
                        checker.ended();
                        Ok(())
                    });
                }
                Ok(())
            }
            Event::Error { reference: None, .. } => Ok(()),
            Event::Error { reference, .. } | Event::Pong { reference, .. } => {
                self.answered(reference, event).map(drop)
            }
            Event::Welcome(_) | Event::Presence(_) | Event::Disconnect(_) | Event::Cursor(_) => Ok(()),
        }
    }

    fn answered(&mut self, reference: &Option<Ref>, event: &Event) -> Result<Command, Fault> {
        let asked = match reference {
            Some(Ref::Number(number)) => self.unanswered.remove(number),
            _ => None,
        };
        self.answers += 1;
        asked.ok_or_else(|| Fault::Unasked(reference.clone(), format!("{event:?}")))
    }

    fn check(
        &mut self,
        channel: &ChannelName,
        check: impl FnOnce(&mut HistoryChecker) -> Result<(), Violation>,
    ) -> Result<(), Fault> {
        let subscription =
            self.subscriptions.get_mut(channel).ok_or_else(|| Fault::Stray(channel.clone()))?;
        check(&mut subscription.checker).map_err(|violation| Fault::History(channel.clone(), violation))
    }

    /// The connection is gone, and with it what was not answered.
    pub fn cut(&mut self) {
        self.unanswered.clear();
        for subscription in self.subscriptions.values_mut() {
            subscription.checker.ended();
        }
    }

    /// Subscribes what is wanted, not subscribed and not asked for, from where the client stands.
    pub fn resume(&mut self) -> Vec<Request> {
        let asked = |channel: &ChannelName| {
            let same = |command: &Command| matches!(command, Command::Subscribe { channel: of, .. } if of == channel);
            self.unanswered.values().any(same)
        };
        let lost: Vec<(ChannelName, Option<Position>)> = self
            .subscriptions
            .iter()
            .filter(|(channel, s)| s.wanted && !s.checker.is_subscribed() && !asked(channel))
            .map(|(channel, s)| (channel.clone(), s.checker.position()))
            .collect();
        lost.into_iter()
            .map(|(channel, since)| {
                let start = Start { since, ..Start::default() };
                let options = SubscribeOptions { start, ..SubscribeOptions::default() };
                self.request(Command::Subscribe { channel, options, token: None })
            })
            .collect()
    }

    /// Where the client stands on a channel.
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        self.subscriptions.get(channel)?.checker.position()
    }

    /// What the client knows of its subscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&ChannelName, &Subscription)> {
        self.subscriptions.iter()
    }

    /// Everything has had time to come.
    ///
    /// # Errors
    /// When an answer, or a message up to the head of a channel, did not.
    pub fn finish(&self, head: impl Fn(&ChannelName) -> Position) -> Result<(), Fault> {
        if let Some((reference, command)) = self.unanswered.first_key_value() {
            return Err(Fault::Unfinished(format!("{reference}: {command:?}")));
        }
        for (channel, subscription) in &self.subscriptions {
            if subscription.wanted && !subscription.checker.is_subscribed() {
                return Err(Fault::Unfinished(format!("{channel} is not subscribed")));
            }
            let done = subscription.checker.finish(head(channel));
            done.map_err(|violation| Fault::History(channel.clone(), violation))?;
        }
        Ok(())
    }
}
