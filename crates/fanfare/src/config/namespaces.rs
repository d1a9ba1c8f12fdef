//! `[namespaces.NAME]`: how the channels `NAME:...` are kept, and who may do what on them.
use std::{sync::Arc, time::Duration};

use fanfare_broker::ChannelPolicy;
use fanfare_protocol::{Ack, Rights};

use super::{
    kind::{Count, Flag, Maybe, OneOf, RightList, Schemas, Size, Time, Word},
    schema::{Table, Visitor, When::Reload},
};
use crate::schema::SchemaFile;

/// The namespace of channels that have no other.
pub const DEFAULT: &str = "default";

/// What becomes of a reader that fell off the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Slow {
    /// Its connection ends with `slow_consumer`; it comes back from its last position.
    #[default]
    Close,
    /// A gap, then the newest message of every key, then live.
    Conflate,
    /// A gap, then what is left.
    Skip,
}

impl Word for Slow {
    const WORDS: &'static [(&'static str, Self)] =
        &[("close", Self::Close), ("conflate", Self::Conflate), ("skip", Self::Skip)];
}

/// What a new read may return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The newest so many messages; 0: none.
    pub size: usize,
    /// Not older than this.
    pub ttl: Duration,
    /// Not more bytes than this.
    pub bytes: usize,
}

impl Table for History {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Count>("size", &mut self.size, Reload, "Messages of one channel that can be read again; 0: no history.");
        v.field::<Time>("ttl", &mut self.ttl, Reload, "How long a message can be read again. Removed keys are remembered as long.");
        v.field::<Size>("bytes", &mut self.bytes, Reload, "Bytes of messages of one channel that can be read again.");
    }
}

/// One namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Retention.
    pub history: History,
    /// Whether the newest message of every key is kept.
    pub keyed: bool,
    /// Whether channels have members.
    pub presence: bool,
    /// When readers see a message; none: `stored` with a data directory, else `memory`.
    pub ack: Option<Ack>,
    /// What becomes of a reader that fell off the log.
    pub slow: Slow,
    /// What clients' messages must be like.
    pub schema: Option<Arc<SchemaFile>>,
    /// What anybody may do.
    pub anonymous: Rights,
    /// What any authenticated user may do besides.
    pub authenticated: Rights,
}

impl Namespace {
    /// What a namespace without any setting is: closed, or in dev mode open, keyed and with presence.
    pub fn built_in(dev: bool) -> Self {
        let rights = if dev { Rights::ALL } else { Rights::NONE };
        Self {
            history: History { size: 1000, ttl: Duration::from_secs(24 * 3600), bytes: 64_000_000 },
            keyed: dev,
            presence: dev,
            ack: dev.then_some(Ack::Memory),
            slow: Slow::Close,
            schema: None,
            anonymous: rights,
            authenticated: rights,
        }
    }

    /// How the broker keeps its channels; `stored` tells whether there is a data directory.
    pub fn policy(&self, stored: bool) -> ChannelPolicy {
        ChannelPolicy {
            size: self.history.size as u64,
            ttl_ms: u64::try_from(self.history.ttl.as_millis()).unwrap_or(u64::MAX),
            bytes: self.history.bytes as u64,
            keyed: self.keyed,
            ack: self.ack.unwrap_or(if stored { Ack::Stored } else { Ack::Memory }),
        }
    }
}

impl Table for Namespace {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.table("history", &mut self.history, "What a new read (`since`, `last`, history, poll) may return.");
        v.field::<Flag>("keyed", &mut self.keyed, Reload, "Keep the newest message of every `key`, for `snapshot`.");
        v.field::<Flag>("presence", &mut self.presence, Reload, "Channels have members, who enter and leave.");
        v.field::<Maybe<OneOf<Ack>>>("ack", &mut self.ack, Reload, "When readers see a message and its publisher is answered: `memory`, or `stored` once it is on disk. Unset: `stored` with `data`, else `memory`.");
        v.field::<OneOf<Slow>>("slow", &mut self.slow, Reload, "A reader that fell off the log: `close` its connection (it resumes), `conflate` (a gap, then the newest of every key) or `skip` (a gap, then what is left).");
        v.field::<Maybe<Schemas>>("schema", &mut self.schema, Reload, "File with a JSON Schema for each event: what a client says that does not fit is `bad_request`, with the place in the data.");
        v.field::<RightList>("anonymous", &mut self.anonymous, Reload, "What anybody may do: any of `subscribe`, `publish`, `presence`, `enter`, `history`.");
        v.field::<RightList>("authenticated", &mut self.authenticated, Reload, "What any user with a valid token may do besides.");
    }
}
