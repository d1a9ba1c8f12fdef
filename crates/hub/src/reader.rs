//! A reader: a cursor on one channel, held by a connection and stepped by a shard.
use std::{sync::Arc, time::Duration};

use fanfare_protocol::{ChannelName, ClientId, Epoch, event::Gap};
use tokio::time::Instant;

use crate::{channel::Channel, place::Place, shard::Shard};

/// Which of a connection's readers: a place in its table, and which of the readers that stood there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReaderKey {
    /// The place.
    pub slot: u32,
    /// Never used twice on one connection.
    pub generation: u32,
}

/// What a reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A channel's messages.
    Messages,
    /// The members of a channel, from its roster.
    Members,
}

/// A reader is in exactly one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its `subscribed` has not been queued: nothing may be written.
    Held,
    /// At or past its shard's position: rounds write to it.
    InStep,
    /// Its connection's catch-up reads for it.
    Behind,
}

/// The newest per key up to an offset, before the log: a snapshot, or a cursor that the log has lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyedPhase {
    /// The log takes over here.
    pub until: u64,
    /// Tombstones up to here are left out.
    pub tombstones_after: u64,
}

/// A reader with a rate, as far as it differs from its shard: what it reads by itself, and when it may be written again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paced {
    /// The time between two deliveries.
    pub window: Duration,
    /// What it reads by itself now.
    pub pass: Option<Pass>,
    /// The end of the window that its own reading opened; none when its shard's ticks are its own.
    pub until: Option<Instant>,
    /// Its shard's tick left it to read by itself.
    pub ticked: bool,
}

/// One reading of the newest of every key, each once, up to where the head stood when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// The end; what changes meanwhile moves behind it.
    pub until: Place,
    /// When it began.
    pub begun: Instant,
    /// Whether anything was delivered.
    pub sent: bool,
}

impl Pass {
    /// Begins now.
    pub fn new(until: Place) -> Self {
        Self { until, begun: Instant::now(), sent: false }
    }
}

impl Paced {
    /// A new reader: no window is open.
    pub fn new(window: Duration) -> Self {
        Self { window, pass: None, until: None, ticked: false }
    }

    /// What was read by itself has been delivered.
    pub fn pass_over(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        // After its shard's tick the shard's window is its own.
        self.until = (pass.sent && !self.ticked).then(|| pass.begun + self.window);
        self.ticked = false;
    }

    /// The end of its own window, if that is still open.
    pub fn busy_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

/// A reader of members that has not been told all of them yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PresentPhase {
    /// The last client told.
    pub after: Option<ClientId>,
    /// The head when the first page was told: what changed since follows the last.
    pub head: Place,
}

/// A cursor on one channel.
#[derive(Debug)]
pub struct Reader {
    /// The channel as the client named it.
    pub name: ChannelName,
    /// What is read: the channel itself, or the hidden one of its members.
    pub channel: Arc<Channel>,
    /// The shard that steps it.
    pub shard: Arc<Shard>,
    /// Messages or members.
    pub kind: Kind,
    /// Told apart from earlier readers in the same slot.
    pub generation: u32,
    /// The epoch of `cursor`.
    pub epoch: Epoch,
    /// Everything up to here was handed to the kernel.
    pub cursor: Place,
    /// In step, behind or held.
    pub state: State,
    /// How often output had waited for the client when this reader, having all there was, began to wait for its connection's turn; 0: it had
    /// not all there was. While the count is the same it stands at the head as much as who is in step: ephemeral messages are for it too.
    pub kept_up: u32,
    /// Messages of this origin are passed over (`echo=0`).
    pub skip: Option<ClientId>,
    /// Reads the newest per key first.
    pub keyed: Option<KeyedPhase>,
    /// Messages at a rate.
    pub paced: Option<Box<Paced>>,
    /// Members: tells all of them first.
    pub present: Option<PresentPhase>,
    /// Asked for a snapshot: what the log loses is continued by key.
    pub snapshot: bool,
    /// Told before the first message.
    pub gap: Option<Gap>,
    /// Nothing is handed over from this moment on, in milliseconds since 1970: the right to read ends.
    pub until: u64,
    /// Which element of the connection's cursor it moves.
    pub element: Option<usize>,
}
