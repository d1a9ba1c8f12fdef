//! What a channel asks of whatever keeps its log.
use std::{future::Future, pin::Pin, sync::Arc};

use fanfare_protocol::{ChannelName, Epoch, Message, Problem};

use crate::{Append, Appending, Bounds, ChannelInfo, Keyed, KeyedSlice, Lost, Read, ReadBack, Slice};

/// A future that a broker returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the logs of channels, for this node alone or for many.
///
/// Nothing here assumes that an offset is known at once, or that this node is the only writer: what readers see comes
/// from the [`Sink`] alone, never from the answer to an append.
///
/// A broker may call the sink from inside any of these methods, under locks of its own. So whoever calls a broker holds no
/// lock that its sink takes.
pub trait Broker: Send + Sync + 'static {
    /// Names where committed messages go. Called once, before anything else.
    fn start(&self, sink: Arc<dyn Sink>);

    /// Queues a message, synchronously, and answers at commit. Calls for one channel keep their order, so that a publisher
    /// may send many without waiting for each.
    ///
    /// Idempotency: with `publish.id`, a second append of that id to that channel inside the window is answered with the
    /// first one's position and `duplicate`; it waits for the same commit. A failed append is not remembered. The id is looked
    /// up before `condition`.
    ///
    /// With `publish.ephemeral`, the message is handed to sinks with offset 0, and kept nowhere; its id is not looked up, and it
    /// makes no channel.
    ///
    /// # Errors
    /// `conflict` (with the last position assigned) when `condition` is not the head; `unavailable` when it cannot be kept;
    /// `limit_exceeded` when it would be one channel too many; `bad_request` when it asks for an `ack` that this broker cannot give.
    fn append(&self, append: Append) -> Appending;

    /// Where a channel's log begins and ends. Creates nothing.
    fn bounds<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<Bounds, Problem>>;

    /// Messages after a position, in order. Creates nothing. Ok with [`Lost`] when the log does not reach back that far.
    fn read<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Read,
    ) -> Answer<'a, Result<Result<Slice, Lost>, Problem>>;

    /// Retained messages before an offset, newest first.
    fn read_back<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: ReadBack,
    ) -> Answer<'a, Result<Slice, Problem>>;

    /// The newest message of every key inside a range of offsets, in offset order.
    fn read_keyed<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Keyed,
    ) -> Answer<'a, Result<KeyedSlice, Problem>>;

    /// Prolongs the `ttl_ms` of keys without a message: a lease. Never shortens it, and gives none to a key that has none. Keys
    /// that do not exist (any more) are returned.
    fn renew<'a>(
        &'a self,
        channel: &'a ChannelName,
        keys: &'a [Arc<str>],
        ttl_ms: u64,
    ) -> Answer<'a, Result<Vec<Arc<str>>, Problem>>;

    /// From the answer on, the sink is given every message of the channel that is committed, by whichever node. Asking again
    /// changes nothing. A channel with interest keeps its epoch, or the sink is told by [`Sink::reset`]; one without may
    /// lose its past unnoticed, so bounds learnt before the answer are worth nothing.
    fn interest<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<(), Problem>>;

    /// Ends [`Broker::interest`], however often that was asked for.
    fn disinterest(&self, channel: &ChannelName);

    /// Whether every commit reaches the sink for certain, so that heads need no audit.
    fn delivers_all(&self) -> bool {
        false
    }

    /// Channels that have been written to (their head is known and above 0), by name in byte order: at most `limit` whose names
    /// begin with `prefix` and stand after `after`. Internal names only where `prefix` begins with `$`.
    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ChannelInfo>, Problem>>;

    /// Does what falls due with time: retention by age, keys whose `ttl_ms` is over (each gets a tombstone in the log, with the
    /// event of the message that it ends and nobody as author), idempotency windows. Called a few times a second with milliseconds since 1970; must be cheap when nothing is due.
    fn tick(&self, unix_ms: u64);

    /// Makes everything accepted so far durable and stops.
    fn stop<'a>(&'a self) -> Answer<'a, Result<(), Problem>>;
}

/// Where a broker hands what was committed. Called in order per channel, never concurrently for one channel. A sink may take
/// locks of its own; it never calls the broker back from inside.
pub trait Sink: Send + Sync + 'static {
    /// Committed (or ephemeral) messages of a channel that this node has interest in.
    fn deliver(&self, channel: &ChannelName, messages: &[Arc<Message>]);

    /// The channel lost its past and goes on in another epoch, from offset 1.
    fn reset(&self, channel: &ChannelName, epoch: Epoch);
}
