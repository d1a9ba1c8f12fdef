//! Wire forms: how a message becomes the bytes that a transport writes.
use std::fmt;

use fanfare_protocol::{Cursor, Event, Message};

/// Turns messages and frames into bytes, framing included. Run at most once per message and form: nothing in a form may vary by
/// subscriber; what needs a position or an id takes it from (channel, epoch, offset).
pub trait WireForm: Send + Sync + 'static {
    /// Unique among all forms in use; the same number, the same bytes.
    fn id(&self) -> u16;

    /// Appends one message.
    fn message(&self, message: &Message, out: &mut Vec<u8>);

    /// Appends one frame of the server's own (gap, presence, ...); nothing where the transport has no such frame.
    fn event(&self, event: &Event, out: &mut Vec<u8>);

    /// Appends the positions of all the request's channels, to stand before the frame that follows (the `id:` line of SSE); nothing where
    /// frames carry no such thing.
    fn cursor(&self, _cursor: &Cursor, _out: &mut Vec<u8>) {}
}

/// A wire form that lives as long as the process.
#[derive(Clone, Copy)]
pub struct Form(pub &'static dyn WireForm);

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}
impl Eq for Form {}
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({})", self.0.id())
    }
}
