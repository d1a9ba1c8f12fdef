//! A reader: one bare client, cut off again and again, whose story must be the whole log, once, in order.
use std::{sync::Arc, time::Duration};

use fanfare_protocol::{Position, Start};
use fanfare_testkit::{HistoryChecker, Random};
use tokio::time::Instant;

use super::{
    client::{self, Client, Heard, Said},
    fault::Fault,
    ledger::Ledger,
};

/// What a reader went through.
#[derive(Clone, Copy, Default, Debug)]
pub struct Story {
    /// Messages heard.
    pub messages: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections that went on in the middle of a channel.
    pub resumed: u64,
    /// `subscribed` told, a poll's answers among them.
    pub subscriptions: u64,
}

/// Reads channels to their end with one client.
#[derive(Debug)]
pub struct Reader<C> {
    client: C,
    /// Where each of the client's channels stands in the ledger.
    channels: Vec<usize>,
    ledger: Arc<Ledger>,
    random: Random,
    checkers: Vec<HistoryChecker>,
    asked: Vec<Position>,
    heard: Vec<Vec<Said>>,
    story: Story,
}

impl<C: Client> Reader<C> {
    /// A reader of these of the ledger's channels, from before the first message.
    pub fn new(client: C, channels: Vec<usize>, ledger: Arc<Ledger>, seed: u64) -> Self {
        let count = channels.len();
        let asked = channels.iter().filter_map(|channel| ledger.begin(*channel)).collect();
        Self {
            client,
            channels,
            ledger,
            random: Random::new(seed),
            checkers: vec![HistoryChecker::new(); count],
            asked,
            heard: vec![Vec::new(); count],
            story: Story::default(),
        }
    }

    /// Reads, reconnecting after every cut, until all is heard; then compares it with what the publishers were told.
    ///
    /// # Errors
    /// When something was lost, repeated or out of order, the server failed, or `deadline` has passed.
    pub async fn run(mut self, deadline: Instant) -> Result<Story, Fault> {
        let mut heard = Vec::new();
        while !self.is_whole() {
            self.positions();
            let cut = tokio::time::timeout_at(deadline, self.connection(&mut heard)).await;
            match cut {
                Err(_) => return Err(self.late()),
                Ok(Err(Fault::Cut(_))) => {}
                Ok(other) => other?,
            }
            for checker in &mut self.checkers {
                checker.ended();
            }
            tokio::time::sleep(self.absence()).await;
        }
        self.compare()?;
        self.story.messages = self.checkers.iter().map(|checker| checker.messages).sum();
        self.story.subscriptions = self.checkers.iter().map(|checker| checker.subscriptions).sum();
        Ok(self.story)
    }

    /// One connection: until all is heard, or it is cut.
    async fn connection(&mut self, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        self.client.open(&self.asked).await?;
        self.story.connections += 1;
        let begin = |channel: &usize| self.ledger.begin(*channel);
        if self.asked.iter().zip(self.channels.iter().filter_map(begin)).any(|(at, begin)| *at != begin) {
            self.story.resumed += 1;
        }
        while !self.is_whole() {
            let result = self.client.hear(heard).await;
            // What was heard before a cut counts.
            for one in heard.drain(..) {
                self.take(one)?;
            }
            result?;
        }
        Ok(())
    }

    fn take(&mut self, heard: Heard) -> Result<(), Fault> {
        let strange = || Fault::wrong("a channel beyond the list");
        match heard {
            Heard::Subscribed { channel, head, recovered, replay } => {
                let since = self.asked.get(channel).copied();
                let checker = self.checkers.get_mut(channel).ok_or_else(strange)?;
                // Polls go on by themselves, from where the last one ended.
                let since = checker.position().or(since);
                checker.subscribed(Start { since, ..Start::default() }, head, recovered, replay)?;
            }
            // Retention covers every absence: nothing may be lost, not even with notice.
            Heard::Gap { channel, after } => {
                return Err(Fault::wrong(format!(
                    "{channel}: a gap up to {after}, asked for {:?}",
                    self.asked
                )));
            }
            Heard::Message { channel, offset, said } => {
                let checker = self.checkers.get_mut(channel).ok_or_else(strange)?;
                let epoch = self.asked.get(channel).ok_or_else(strange)?.epoch;
                checker.message(epoch, offset)?;
                self.heard.get_mut(channel).ok_or_else(strange)?.push(said);
            }
            Heard::Cursor(told) => {
                self.positions();
                let own = client::cursor(&self.asked);
                if told != own {
                    return Err(Fault::wrong(format!("the cursor is {told}, what came ends at {own}")));
                }
            }
        }
        Ok(())
    }

    /// Moves `asked` to what was heard.
    fn positions(&mut self) {
        for (asked, checker) in self.asked.iter_mut().zip(&self.checkers) {
            if let Some(position) = checker.position() {
                *asked = position;
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.checkers.iter().zip(&self.channels).all(|(checker, channel)| {
            checker.position().is_some() && checker.position() == self.ledger.end(*channel)
        })
    }

    /// Mostly back at once, sometimes late enough to be well behind.
    fn absence(&mut self) -> Duration {
        let most = match self.random.below(100) {
            0..70 => 10,
            70..95 => 80,
            _ => 400,
        };
        Duration::from_millis(self.random.below(most))
    }

    fn late(&self) -> Fault {
        let behind: Vec<_> = self
            .checkers
            .iter()
            .zip(&self.channels)
            .filter(|(checker, channel)| checker.position() != self.ledger.end(**channel))
            .map(|(checker, channel)| {
                format!(
                    "channel {channel} at {:?}, the end is {:?}",
                    checker.position(),
                    self.ledger.end(*channel)
                )
            })
            .collect();
        Fault::wrong(format!("not whole in time ({:?}): {}", self.story, behind.join("; ")))
    }

    fn compare(&self) -> Result<(), Fault> {
        for (heard, channel) in self.heard.iter().zip(&self.channels) {
            let log = self.ledger.log(*channel).unwrap_or_default();
            let differs = log.iter().zip(heard).position(|(log, heard)| log.is_some_and(|log| log != *heard));
            if log.len() != heard.len() || differs.is_some() {
                return Err(Fault::wrong(format!(
                    "channel {channel}: {} heard of {}, other than published at {differs:?}",
                    heard.len(),
                    log.len()
                )));
            }
        }
        Ok(())
    }
}
