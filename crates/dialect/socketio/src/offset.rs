//! What a client remembers of the last event that it received: the message's own channel, epoch and offset, the same for every recipient.
use std::{fmt, str::FromStr};

use fanfare_protocol::{ChannelName, Position};

/// A message's place, as the last element of its event: `k3f9-42@chat:lobby`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Offset {
    /// The channel.
    pub channel: Box<str>,
    /// The place in it.
    pub at: Position,
}

/// It is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an offset")]
pub struct NotAnOffset;

impl Offset {
    /// The place of a message.
    pub fn new(channel: &ChannelName, at: Position) -> Self {
        Self { channel: (**channel).into(), at }
    }
}

impl FromStr for Offset {
    type Err = NotAnOffset;
    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let (at, channel) = text.split_once('@').ok_or(NotAnOffset)?;
        if channel.is_empty() || channel.len() > 600 {
            return Err(NotAnOffset);
        }
        Ok(Self { channel: channel.into(), at: at.parse().map_err(|_| NotAnOffset)? })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.at, self.channel)
    }
}

/// Appends the element that ends an event, with its quotes. A channel's name holds nothing that JSON escapes but quotes and backslashes.
pub fn push_element(out: &mut Vec<u8>, channel: &str, at: Position) {
    crate::json::push_string(out, &format!("{at}@{channel}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written() {
        for text in ["k3f9-42@chat:lobby", "k3f9-0@a@b", "k-1@$sio:x"] {
            assert_eq!(text.parse::<Offset>().unwrap().to_string(), text);
        }
        for bad in ["", "k3f9-42", "@a", "k3f9@a", "k3f9-42@", "K-1@a", "k-01@a"] {
            assert_eq!(bad.parse::<Offset>(), Err(NotAnOffset), "{bad}");
        }
    }
}
