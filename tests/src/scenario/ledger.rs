//! What the publishers were told: at which offset each message stands. Against it every reader's story is held.
use std::sync::Mutex;

use fanfare_protocol::Position;

use super::{client::Said, fault::Fault};

/// The answers to all publishes of a run.
#[derive(Debug)]
pub struct Ledger {
    /// By channel, then offset - 1.
    channels: Vec<Mutex<Vec<Option<Said>>>>,
    /// Where the channels stood before the first publish.
    begin: Vec<Position>,
}

impl Ledger {
    /// For channels that stand at `begin` and get so many messages each.
    pub fn new(begin: Vec<Position>, each: usize) -> Self {
        let channels = begin.iter().map(|_| Mutex::new(vec![None; each])).collect();
        Self { channels, begin }
    }

    /// Where a channel stood before the first publish.
    pub fn begin(&self, channel: usize) -> Option<Position> {
        self.begin.get(channel).copied()
    }

    /// Where a channel stands after the last.
    pub fn end(&self, channel: usize) -> Option<Position> {
        let begin = self.begin(channel)?;
        Some(Position { offset: begin.offset + self.log(channel)?.len() as u64, ..begin })
    }

    /// An answer: this message stands at this offset.
    ///
    /// # Errors
    /// When something else stands there, or nothing can.
    pub fn acknowledged(&self, channel: usize, offset: u64, said: Said) -> Result<(), Fault> {
        let (Some(log), Some(begin)) = (self.channels.get(channel), self.begin(channel)) else {
            return Err(Fault::wrong(format!("no channel {channel}")));
        };
        let mut log = log.lock().unwrap();
        let at = offset.checked_sub(begin.offset + 1).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| log.get_mut(at)) {
            Some(slot @ None) => {
                *slot = Some(said);
                Ok(())
            }
            Some(Some(other)) if *other == said => Ok(()),
            Some(other) => Err(Fault::wrong(format!(
                "{said:?} acknowledged at {offset} of channel {channel}, where {other:?} stands"
            ))),
            None => Err(Fault::wrong(format!(
                "{said:?} acknowledged at {offset} of channel {channel}: one too many"
            ))),
        }
    }

    /// The whole log of a channel, once every publish is answered: no hole, nothing twice, each publisher's messages in its order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn audit(&self) -> Result<(), Fault> {
        for channel in 0..self.channels.len() {
            let log = self.log(channel).unwrap_or_default();
            let mut newest = std::collections::HashMap::new();
            for (at, said) in log.iter().enumerate() {
                let said = said.ok_or_else(|| {
                    Fault::wrong(format!("nothing stands at {} of channel {channel}", at + 1))
                })?;
                if let Some(before) = newest.insert(said.from, said.n)
                    && before >= said.n
                {
                    return Err(Fault::wrong(format!(
                        "channel {channel}: publisher {} said {} after {before}",
                        said.from, said.n
                    )));
                }
            }
        }
        Ok(())
    }

    /// What a channel holds.
    pub fn log(&self, channel: usize) -> Option<Vec<Option<Said>>> {
        Some(self.channels.get(channel)?.lock().unwrap().clone())
    }
}
