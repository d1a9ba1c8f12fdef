//! Channels as the segments left them, by number, while a start goes through the log. There may be a million of them, so those that nothing is being
//! read of are laid down.
use fanfare_protocol::ChannelName;

use crate::{idle::Idle, log::Log};

/// Channels that are kept, and given back, together.
const CHUNK: usize = 1024;
/// So many may be awake before they are laid down: what they take besides is given back only when the start is over.
const AWAKE: usize = 16 << 10;

/// A channel as the segments left it.
pub(crate) struct Found {
    pub name: ChannelName,
    state: State,
}

/// A log in as few bytes as it needs.
pub(crate) enum State {
    Awake(Box<Log>),
    /// It is moved to its map as it is.
    Laid(Box<Idle>),
    /// For as long as it changes from one to the other.
    Changing,
}

impl Found {
    pub fn new(name: ChannelName, log: Log) -> Self {
        Self { name, state: State::Awake(Box::new(log)) }
    }

    /// Its log, got up.
    pub fn log(&mut self) -> Option<&mut Log> {
        if let State::Laid(_) = &self.state
            && let State::Laid(idle) = std::mem::replace(&mut self.state, State::Changing)
        {
            self.state = State::Awake(Box::new(idle.log()));
        }
        match &mut self.state {
            State::Awake(log) => Some(log),
            _ => None,
        }
    }

    /// Its name and its log.
    pub fn into_parts(self) -> (ChannelName, State) {
        (self.name, self.state)
    }

    /// Whether it may have lost what was seen before it was synced; a log that is laid down never does.
    pub fn is_loose(&self) -> bool {
        matches!(&self.state, State::Awake(log) if log.loose)
    }

    fn is_awake(&self) -> bool {
        matches!(self.state, State::Awake(_))
    }

    fn lay_down(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Changing) {
            State::Awake(log) => match Idle::of(*log) {
                Ok(idle) => State::Laid(Box::new(idle)),
                Err(log) => State::Awake(log),
            },
            other => other,
        };
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Table {
    chunks: Vec<Vec<Option<Found>>>,
    awake: Vec<u32>,
}

impl Table {
    /// One more than the highest number.
    pub fn len(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// The channel of a number.
    pub fn get(&mut self, number: u32) -> Option<&mut Found> {
        let found =
            self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)?.as_mut()?;
        if !found.is_awake() {
            self.awake.push(number);
        }
        Some(found)
    }

    /// Puts a channel, or none, in the place of a number.
    pub fn put(&mut self, number: u32, found: Option<Found>) {
        while self.chunks.len() <= number as usize / CHUNK {
            self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
        }
        self.awake.push(number);
        let chunk = self.chunks.get_mut(number as usize / CHUNK);
        if let Some(place) = chunk.and_then(|chunk| chunk.get_mut(number as usize % CHUNK)) {
            *place = found;
        }
    }

    /// Lays down what can be, when there are many.
    pub fn lay_down_many(&mut self) {
        if self.awake.len() >= AWAKE {
            self.lay_down();
        }
    }

    /// Lays down what can be.
    pub fn lay_down(&mut self) {
        for number in std::mem::take(&mut self.awake) {
            let chunk = self.chunks.get_mut(number as usize / CHUNK);
            if let Some(Some(found)) = chunk.and_then(|chunk| chunk.get_mut(number as usize % CHUNK)) {
                found.lay_down();
            }
        }
    }

    /// Each with its number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Found)> {
        self.chunks
            .iter_mut()
            .flatten()
            .zip(0..)
            .filter_map(|(found, number)| Some((number, found.as_mut()?)))
    }

    /// Each, giving back what held it as it goes.
    pub fn into_iter(self) -> impl Iterator<Item = Found> {
        self.chunks.into_iter().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        assert!(size_of::<Option<Found>>() <= 32, "{} bytes", size_of::<Option<Found>>());
    }
}
