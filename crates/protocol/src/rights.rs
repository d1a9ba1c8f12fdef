//! Who may do what: rights, patterns, grants and the identity that holds them. Verifying tokens is the auth crate's.
use std::sync::Arc;

use crate::{ChannelName, Data};

/// One thing that may be allowed on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// Read what is published, from a position or as a snapshot.
    Subscribe,
    /// Publish.
    Publish,
    /// See members.
    Presence,
    /// Be a member.
    Enter,
    /// Read the past by count or page.
    History,
}

impl Right {
    /// Every right, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Subscribe, Self::Publish, Self::Presence, Self::Enter, Self::History];

    /// Its name in tokens and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::Enter => "enter",
            Self::History => "history",
        }
    }

    /// The right of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// Every right.
    pub const ALL: Self = Self(0b1_1111);

    /// The set with one right more.
    #[must_use]
    pub fn with(self, right: Right) -> Self {
        Self(self.0 | 1 << right as u8)
    }

    /// Whether the set holds the right.
    pub fn has(self, right: Right) -> bool {
        self.0 & 1 << right as u8 != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Which channels a grant covers: an exact name, or a prefix before a trailing `*`. `{sub}` was replaced already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// This name, byte for byte.
    Exact(Box<str>),
    /// Every name that begins so.
    Prefix(Box<str>),
}

impl Pattern {
    /// Reads a pattern, putting the user's name where `{sub}` stands. A `*` inside the user's name is no pattern:
    /// only a `*` that the pattern itself ends with is. None when `{sub}` is asked of a token without `sub`.
    pub fn parse(text: &str, sub: Option<&str>) -> Option<Self> {
        let (body, prefix) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        let body = if body.contains("{sub}") { body.replace("{sub}", sub?) } else { body.to_owned() };
        Some(if prefix { Self::Prefix(body.into()) } else { Self::Exact(body.into()) })
    }

    /// Whether the pattern covers the channel.
    pub fn covers(&self, channel: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *channel,
            Self::Prefix(prefix) => channel.starts_with(&**prefix),
        }
    }
}

/// Rights on channels, for publishing optionally only of some events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The channels; any of them.
    pub channels: Vec<Pattern>,
    /// What is allowed on them.
    pub allow: Rights,
    /// Narrows `publish` to these events; none allows every event.
    pub events: Option<Vec<Box<str>>>,
}

impl Grant {
    /// Whether this grant allows `right` on `channel`; for publishing, of `event`.
    pub fn allows(&self, right: Right, channel: &str, event: Option<&str>) -> bool {
        let narrowed = match (right, &self.events, event) {
            (Right::Publish, Some(events), Some(event)) => !events.iter().any(|e| **e == *event),
            _ => false,
        };
        self.allow.has(right) && !narrowed && self.channels.iter().any(|pattern| pattern.covers(channel))
    }
}

/// Who a request or connection is, and what its credentials grant. What configuration adds is the namespace's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The token's `sub`; none for anonymous clients and API keys.
    pub user: Option<Arc<str>>,
    /// The API key's name; it may do everything, everywhere.
    pub api_key: Option<Arc<str>>,
    /// The token's `info`, shown in presence.
    pub info: Option<Data>,
    /// Milliseconds since 1970 after which nothing more is delivered.
    pub expires_at: Option<u64>,
    /// Milliseconds since 1970 at which the token was issued, for revocation by user; 0 when it does not say.
    pub issued_at: u64,
    /// What the token grants.
    pub grants: Vec<Grant>,
    /// Channels that a WebSocket client is subscribed to on entry.
    pub channels: Vec<ChannelName>,
}

impl Identity {
    /// True without any credentials.
    pub fn is_anonymous(&self) -> bool {
        self.user.is_none() && self.api_key.is_none() && self.expires_at.is_none()
    }

    /// Whether the credentials themselves allow this.
    pub fn allows(&self, right: Right, channel: &str, event: Option<&str>) -> bool {
        self.api_key.is_some() || self.grants.iter().any(|grant| grant.allows(right, channel, event))
    }
}
