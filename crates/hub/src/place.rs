//! Where a reader stands in a channel, ephemeral messages included.

/// After which message, and after how many ephemeral messages that came behind it. Only this node counts the latter, so a place is
/// comparable only inside one epoch on one node; the offset alone is what goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    /// The offset of the last message passed; 0 before the first.
    pub offset: u64,
    /// Ephemeral messages passed since.
    pub ephemeral: u64,
}

impl Place {
    /// Just behind a message.
    pub fn at(offset: u64) -> Self {
        Self { offset, ephemeral: 0 }
    }

    /// The place of the next message.
    pub fn next_message(self) -> Self {
        Self::at(self.offset + 1)
    }

    /// The place of the next ephemeral message.
    pub fn next_ephemeral(self) -> Self {
        Self { offset: self.offset, ephemeral: self.ephemeral + 1 }
    }
}
