//! What a session knows of each channel that it has to do with.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fanfare_protocol::{ChannelName, Identity, Request};

use crate::Ticket;

/// The reader on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Reader {
    #[default]
    None,
    /// The hub was asked and has not answered.
    Asked,
    Attached,
}

/// Membership of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Membership {
    #[default]
    Out,
    /// Calls to enter are unanswered: those from ticket `first` on, `flying` of them.
    Entering {
        first: Ticket,
        flying: u32,
    },
    In,
}

/// What a channel was when the application joined it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Joined {
    /// Not read: leaving ends the subscription.
    Alone,
    /// Read by the client itself, which goes on after leaving where the client has the right to it.
    Beside,
}

/// What few channels have, and none for long.
#[derive(Default, Debug)]
struct More {
    /// Commands that wait for an earlier one of this channel.
    waiting: VecDeque<Request>,
    /// Tokens that came with commands; their grants hold for this channel alone.
    tokens: Vec<Arc<Identity>>,
}

/// Tokens kept for one channel; the ones that expire first make room.
const TOKENS: usize = 4;

/// One channel of one connection.
#[derive(Default, Debug)]
pub(crate) struct Channel {
    pub(crate) reader: Reader,
    /// The reader gets member events too.
    pub(crate) presence: bool,
    /// A subscribe is unanswered or a token is being verified: later commands wait.
    pub(crate) busy: bool,
    pub(crate) member: Membership,
    /// The application reads this channel on the client's behalf: no right is needed for it.
    pub(crate) joined: Option<Joined>,
    /// The application waits until the channel is read.
    pub(crate) joining: bool,
    more: Option<Box<More>>,
}

impl Channel {
    pub(crate) fn holds_up(&self) -> bool {
        self.busy || self.more.as_ref().is_some_and(|more| !more.waiting.is_empty())
    }

    pub(crate) fn wait(&mut self, request: Request) {
        self.more.get_or_insert_default().waiting.push_back(request);
    }

    pub(crate) fn next_waiting(&mut self) -> Option<Request> {
        self.more.as_mut()?.waiting.pop_front()
    }

    pub(crate) fn tokens(&self) -> &[Arc<Identity>] {
        self.more.as_ref().map_or(&[], |more| &more.tokens)
    }

    /// Keeps a token; one with the same grants is replaced.
    pub(crate) fn keep_token(&mut self, token: Arc<Identity>) {
        let tokens = &mut self.more.get_or_insert_default().tokens;
        tokens.retain(|old| old.grants != token.grants);
        tokens.push(token);
        if tokens.len() > TOKENS {
            tokens.sort_by_key(|token| std::cmp::Reverse(token.expires_at.unwrap_or(u64::MAX)));
            tokens.truncate(TOKENS);
        }
    }

    /// Forgets tokens that have expired; true when there were some.
    pub(crate) fn drop_expired(&mut self, unix_ms: u64) -> bool {
        let Some(more) = &mut self.more else { return false };
        let before = more.tokens.len();
        more.tokens.retain(|token| is_current(token, unix_ms));
        more.tokens.len() < before
    }

    fn is_blank(&mut self) -> bool {
        if self.more.as_ref().is_some_and(|more| more.waiting.is_empty() && more.tokens.is_empty()) {
            self.more = None;
        }
        self.reader == Reader::None
            && !self.busy
            && !self.joining
            && self.member == Membership::Out
            && self.more.is_none()
    }
}

/// Whether an identity has not expired.
pub(crate) fn is_current(identity: &Identity, unix_ms: u64) -> bool {
    identity.expires_at.is_none_or(|at| unix_ms < at)
}

/// Most connections read a handful of channels: those are a short sorted list; many are a tree, so that ten thousand stay cheap.
#[derive(Debug)]
pub(crate) enum Channels {
    Few(Vec<(ChannelName, Channel)>),
    Many(BTreeMap<ChannelName, Channel>),
}

const FEW: usize = 8;

impl Default for Channels {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Channels {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(tree) => tree.len(),
        }
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<&Channel> {
        match self {
            Self::Few(list) => {
                let at = list.binary_search_by(|(n, _)| n.cmp(name)).ok()?;
                list.get(at).map(|(_, channel)| channel)
            }
            Self::Many(tree) => tree.get(name),
        }
    }

    pub(crate) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        match self {
            Self::Few(list) => {
                let at = list.binary_search_by(|(n, _)| n.cmp(name)).ok()?;
                list.get_mut(at).map(|(_, channel)| channel)
            }
            Self::Many(tree) => tree.get_mut(name),
        }
    }

    /// Does something to a channel, which comes to be if it was not there.
    pub(crate) fn with<T>(&mut self, name: &ChannelName, f: impl FnOnce(&mut Channel) -> T) -> T {
        if let Some(channel) = self.get_mut(name) {
            return f(channel);
        }
        let mut channel = Channel::default();
        let result = f(&mut channel);
        self.insert(name.clone(), channel);
        result
    }

    fn insert(&mut self, name: ChannelName, channel: Channel) {
        match self {
            Self::Few(list) if list.len() < FEW => {
                let at = list.binary_search_by(|(n, _)| n.cmp(&name)).unwrap_or_else(|at| at);
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                list.insert(at, (name, channel));
            }
            Self::Few(list) => {
                let mut tree: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                tree.insert(name, channel);
                *self = Self::Many(tree);
            }
            Self::Many(tree) => {
                tree.insert(name, channel);
            }
        }
    }

    /// Forgets a channel about which there is nothing to know.
    pub(crate) fn tidy(&mut self, name: &ChannelName) {
        if !self.get_mut(name).is_some_and(Channel::is_blank) {
            return;
        }
        match self {
            Self::Few(list) => list.retain(|(n, _)| n != name),
            Self::Many(tree) => {
                tree.remove(name);
            }
        }
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&ChannelName, &Channel)> + '_> {
        match self {
            Self::Few(list) => Box::new(list.iter().map(|(name, channel)| (name, channel))),
            Self::Many(tree) => Box::new(tree.iter()),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> Box<dyn Iterator<Item = (&ChannelName, &mut Channel)> + '_> {
        match self {
            Self::Few(list) => Box::new(list.iter_mut().map(|(name, channel)| (&*name, channel))),
            Self::Many(tree) => Box::new(tree.iter_mut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::ChannelName;

    use super::{Channels, Reader};

    fn name(n: usize) -> ChannelName {
        ChannelName::parse(&format!("c:{n}")).unwrap()
    }

    #[test]
    fn few_and_many_are_alike() {
        let mut channels = Channels::default();
        for n in (0..10_000).rev() {
            channels.with(&name(n), |channel| channel.reader = Reader::Attached);
            assert!(channels.get(&name(n)).is_some());
        }
        assert_eq!(channels.len(), 10_000);
        assert!(matches!(channels, Channels::Many(_)));
        for n in 0..10_000 {
            channels.tidy(&name(n));
            assert!(channels.get(&name(n)).is_some(), "a channel that is read stays");
            channels.with(&name(n), |channel| channel.reader = Reader::None);
            channels.tidy(&name(n));
            assert!(channels.get(&name(n)).is_none());
        }
        assert!(matches!(channels, Channels::Few(list) if list.capacity() == 0));
    }
}
