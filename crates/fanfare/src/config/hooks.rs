//! `[hooks]`: an application in another process is asked about what clients do.
use std::time::Duration;

use fanfare_auth::Secret;

use super::{
    kind::{Count, Flag, Hidden, ListOf, Maybe, OneOf, Text, Time, Word},
    schema::{Table, Visitor, When::Restart},
};

/// What an application can be asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum HookEvent {
    /// Who somebody is.
    Connect,
    /// Whether a channel may be read.
    Subscribe,
    /// Whether a message may be published.
    Publish,
    /// What is answered to an event.
    Call,
    /// Somebody is gone.
    Disconnect,
}

impl Word for HookEvent {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connect", Self::Connect),
        ("subscribe", Self::Subscribe),
        ("publish", Self::Publish),
        ("call", Self::Call),
        ("disconnect", Self::Disconnect),
    ];
}

impl HookEvent {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, event)| *event == self).map_or("", |(name, _)| name)
    }
}

/// Whom to ask, about what, and what becomes of it when nobody answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookSettings {
    /// Where requests go; none: nobody is asked.
    pub url: Option<String>,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// About what.
    pub events: Vec<HookEvent>,
    /// In which namespaces; empty: in all.
    pub namespaces: Vec<String>,
    /// How long an answer may take, waiting for a turn included.
    pub timeout: Duration,
    /// Requests at once.
    pub concurrency: usize,
    /// What is allowed while nobody answers; all else is refused.
    pub open: Vec<HookEvent>,
    /// Failures in a row after which nobody is asked for a while.
    pub failures: usize,
    /// That while.
    pub pause: Duration,
    /// Whether the URL may lead to addresses that are not public.
    pub private_addresses: bool,
}

impl Default for HookSettings {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            events: Vec::new(),
            namespaces: Vec::new(),
            timeout: Duration::from_secs(2),
            concurrency: 64,
            open: Vec::new(),
            failures: 5,
            pause: Duration::from_secs(5),
            private_addresses: false,
        }
    }
}

impl Table for HookSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Maybe<Text>>("url", &mut self.url, Restart, "Where requests are sent, `http://` or `https://`; docs/application.md has their form.");
        v.field::<Maybe<Hidden>>("secret", &mut self.secret, Restart, "What requests are signed with (HMAC-SHA256), 16 bytes or more.");
        v.field::<ListOf<OneOf<HookEvent>>>("events", &mut self.events, Restart, "What is asked about: any of `connect`, `subscribe`, `publish`, `call`, `disconnect`.");
        v.field::<ListOf<Text>>("namespaces", &mut self.namespaces, Restart, "Namespaces whose channels and calls are asked about (`default`: those without one, and `/`); empty: all. The others are never delayed.");
        v.field::<Time>("timeout", &mut self.timeout, Restart, "How long an answer may take, waiting for a turn included.");
        v.field::<Count<1>>("concurrency", &mut self.concurrency, Restart, "Requests under way at once; more wait.");
        v.field::<ListOf<OneOf<HookEvent>>>("open", &mut self.open, Restart, "What is allowed when no answer can be had; all else is refused with `unavailable`.");
        v.field::<Count<1>>("failures", &mut self.failures, Restart, "Failures in a row after which nothing is sent for `pause`.");
        v.field::<Time>("pause", &mut self.pause, Restart, "How long; then one request finds out whether it works again.");
        v.field::<Flag>("private_addresses", &mut self.private_addresses, Restart, "Let the URL lead to loopback, private and link-local addresses. Otherwise they are refused, whatever name resolves to them.");
    }
}
