//! One channel's log. Everything here happens under the log's lock.
use std::sync::Arc;

use fanfare_protocol::{Code, Epoch, Message, Position, Problem, event::GapReason, event::Published};

use super::{account::Account, draft::Draft, idempotency::SeenIds, keyed::KeyIndex, retention::Window};
use crate::{Bound, Bounds, Budget, ChannelPolicy, Keyed, KeyedSlice, Lost, Read, ReadBack, Slice};

/// What an operation knows besides the log.
pub(super) struct Context {
    /// The channel's policy at this moment.
    pub policy: ChannelPolicy,
    /// The last time seen, in milliseconds since 1970.
    pub now_ms: u64,
    /// How long a publisher's id is remembered.
    pub idempotency_ms: u64,
    /// How many ids a channel remembers.
    pub idempotency_ids: usize,
}

/// Why an append was not carried out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The publisher is answered so.
    Problem(Problem),
    /// The budget is used up; trimming other logs may help.
    NoRoom,
}

/// The log of one channel.
pub(super) struct Log {
    epoch: Epoch,
    window: Window,
    newest_ms: u64,
    keys: Option<Box<KeyIndex>>,
    ids: Option<Box<SeenIds>>,
    account: Account,
    /// The policy that the last append found, and of which generation.
    policy: Option<Box<(u64, ChannelPolicy)>>,
    /// Whether the sink is given what is appended.
    pub interested: bool,
    /// Taken out of the map: who finds it so looks the channel up again.
    pub closed: bool,
    /// When its entry among the timers falls due; `u64::MAX` without one.
    pub armed_ms: u64,
}

impl Log {
    pub(super) fn new(epoch: Epoch, budget: Arc<Budget>) -> Self {
        Self {
            epoch,
            window: Window::new(),
            newest_ms: 0,
            keys: None,
            ids: None,
            account: Account::new(budget),
            policy: None,
            interested: false,
            closed: false,
            armed_ms: u64::MAX,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether anything was ever appended.
    pub(super) fn is_written(&self) -> bool {
        self.window.head() > 0
    }

    /// Whether keys of it have a deadline: it is in use, though nothing is published.
    pub(super) fn has_leases(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.has_leases())
    }

    /// The channel's policy, asked for only when it may be another.
    pub(super) fn policy(
        &mut self,
        generation: Option<u64>,
        ask: impl FnOnce() -> ChannelPolicy,
    ) -> ChannelPolicy {
        match self.policy.as_deref() {
            Some((known, policy)) if generation == Some(*known) => *policy,
            _ => {
                let policy = ask();
                self.policy = generation.map(|generation| Box::new((generation, policy)));
                policy
            }
        }
    }

    /// Numbers a message and keeps it as retention asks. The caller hands it to the sink before it lets go of the lock.
    pub(super) fn append(&mut self, draft: &mut Draft, cx: &Context) -> Result<Published, Refusal> {
        self.follow(cx);
        self.forget_ids(cx);
        let id = &draft.message.id;
        if draft.remembered
            && let Some(position) = self.ids.as_ref().and_then(|ids| ids.get(id))
        {
            return Ok(Published { position: Some(position), id: id.clone(), duplicate: true });
        }
        let head = self.head_position();
        if draft.condition.is_some_and(|condition| condition != head) {
            return Err(Refusal::Problem(conflict(head)));
        }
        self.reserve(draft, cx)?;
        let position = self.push(draft, cx);
        let id = draft.message.id.clone();
        if draft.remembered {
            self.ids.get_or_insert_default().insert(id.clone(), position, cx.now_ms);
            self.forget_ids(cx);
        }
        Ok(Published { position: Some(position), id, duplicate: false })
    }

    /// Takes the bytes that a message will hold from the budget, trimming first what nobody may read any more.
    fn reserve(&mut self, draft: &Draft, cx: &Context) -> Result<(), Refusal> {
        let message = if self.will_hold(draft, &cx.policy) { draft.weight } else { 0 };
        let id = if draft.remembered { SeenIds::weight(&draft.message.id) } else { 0 };
        let bytes = message + id;
        if self.account.try_take(bytes) {
            return Ok(());
        }
        self.trim(cx);
        // What the message itself pushes out makes room for it, but goes only when the message is sure to come.
        let displaced = self.displaced(draft, cx);
        if self.account.try_take(bytes.saturating_sub(displaced)) {
            self.account.take(bytes.min(displaced));
            self.drop_oldest(self.window.excess(&cx.policy, cx.now_ms, 1, draft.weight as u64));
            return Ok(());
        }
        Err(Refusal::NoRoom)
    }

    /// Bytes that appending the message lets go.
    fn displaced(&self, draft: &Draft, cx: &Context) -> usize {
        let replaced = match (&self.keys, &draft.message.key) {
            (Some(keys), Some(key)) => keys.newest(key),
            _ => None,
        };
        let count = self.window.excess(&cx.policy, cx.now_ms, 1, draft.weight as u64);
        let indexed = |offset| self.keys.as_ref().is_some_and(|keys| keys.holds(offset));
        let is_replaced = |offset| replaced.is_some_and(|message| message.offset == offset);
        let pushed_out: usize = self
            .window
            .oldest_entries(count)
            .filter(|(message, _)| !indexed(message.offset) || is_replaced(message.offset))
            .map(|(_, weight)| weight)
            .sum();
        let beside = replaced.filter(|message| message.offset < self.window.first());
        pushed_out + beside.map_or(0, |message| message.weight())
    }

    /// Whether retention or the keys keep the message once it is appended.
    fn will_hold(&self, draft: &Draft, policy: &ChannelPolicy) -> bool {
        in_window(draft, policy) || (policy.keyed && draft.message.key.is_some())
    }

    /// Appends a message whose bytes are taken already.
    fn push(&mut self, draft: &mut Draft, cx: &Context) -> Position {
        let offset = self.window.head() + 1;
        draft.place(self.epoch, offset);
        self.newest_ms = self.newest_ms.max(draft.message.time);
        if in_window(draft, &cx.policy) {
            self.window.push(draft.message.clone(), draft.weight);
        } else {
            self.drop_oldest(usize::MAX);
            self.window.skip();
        }
        if let Some(keys) = &mut self.keys
            && let Some(old) = keys.insert(&draft.message, draft.expires_ms)
            && old.offset < self.window.first()
        {
            self.account.give(old.weight());
        }
        if self.window.is_overfull(&cx.policy) {
            self.drop_oldest(self.window.excess(&cx.policy, cx.now_ms, 0, 0));
        }
        Position { epoch: self.epoch, offset }
    }

    /// Does what is due: keys whose time is over, retention by age, old tombstones and ids. Returns the tombstones appended.
    pub(super) fn maintain(
        &mut self,
        cx: &Context,
        mut server_id: impl FnMut() -> Arc<str>,
    ) -> Vec<Arc<Message>> {
        self.follow(cx);
        let mut tombstones = Vec::new();
        while let Some(over) = self.keys.as_ref().and_then(|keys| keys.expired(cx.now_ms)) {
            let Some(key) = over.key.clone() else { break };
            let mut draft = Draft::tombstone(&over.channel, &over.event, key, server_id(), cx.now_ms);
            // A key's end is owed to its readers even when the budget is used up.
            if self.will_hold(&draft, &cx.policy) {
                self.account.take(draft.weight);
            }
            self.push(&mut draft, cx);
            tombstones.push(draft.message);
        }
        self.trim(cx);
        self.forget_ids(cx);
        tombstones
    }

    /// Lets go of everything that a new read may not return.
    pub(super) fn trim(&mut self, cx: &Context) {
        self.follow(cx);
        self.drop_oldest(self.window.excess(&cx.policy, cx.now_ms, 0, 0));
    }

    /// When [`Log::maintain`] next has something to do, in milliseconds since 1970; `u64::MAX` if never.
    pub(super) fn due_ms(&self, cx: &Context) -> u64 {
        let keys = self.keys.as_ref().map_or(u64::MAX, |keys| keys.due_ms(cx.policy.ttl_ms));
        let ids = self.ids.as_ref().map_or(u64::MAX, |ids| ids.due_ms(cx.idempotency_ms));
        self.window.due_ms(&cx.policy).min(keys).min(ids)
    }

    pub(super) fn head_position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.window.head() }
    }

    pub(super) fn bounds(&mut self, cx: &Context) -> Bounds {
        self.follow(cx);
        Bounds {
            epoch: self.epoch,
            oldest: self.window.oldest(&cx.policy, cx.now_ms),
            held: self.window.first(),
            head: self.window.head(),
            newest_ms: self.newest_ms,
            tombstones_after: self.keys.as_ref().map_or(self.window.head(), |keys| keys.tombstones_after()),
        }
    }

    pub(super) fn read(&mut self, read: &Read, cx: &Context) -> Result<Slice, Lost> {
        let bounds = self.bounds(cx);
        let Position { epoch, offset } = read.after;
        if epoch != bounds.epoch || offset > bounds.head {
            return Err(Lost { reason: GapReason::Epoch, bounds });
        }
        let reach = match read.bound {
            Bound::Retained => bounds.oldest,
            Bound::Held => bounds.held,
        };
        if offset + 1 < reach {
            return Err(Lost { reason: GapReason::Expired, bounds });
        }
        let (messages, _) = take(self.window.from(offset + 1), read.limit, read.bytes);
        Ok(Slice { messages, bounds })
    }

    pub(super) fn read_back(&mut self, read: &ReadBack, cx: &Context) -> Slice {
        let bounds = self.bounds(cx);
        let before = match read.before {
            Some(position) if position.epoch == bounds.epoch && position.offset <= bounds.head => {
                position.offset
            }
            _ => bounds.head + 1,
        };
        let (messages, _) = take(self.window.back(bounds.oldest, before), read.limit, read.bytes);
        Slice { messages, bounds }
    }

    pub(super) fn read_keyed(&mut self, read: &Keyed, cx: &Context) -> KeyedSlice {
        let bounds = self.bounds(cx);
        let Some(keys) = &self.keys else {
            return KeyedSlice { messages: Vec::new(), next: read.until, bounds };
        };
        let told =
            |message: &&Arc<Message>| !message.is_tombstone() || message.offset > read.tombstones_after;
        let (messages, more) = take(keys.range(read.after, read.until).filter(told), read.limit, read.bytes);
        let next = match messages.last() {
            Some(last) if more => last.offset,
            _ => read.until,
        };
        KeyedSlice { messages, next, bounds }
    }

    /// Prolongs keys' time; returns those that do not exist.
    pub(super) fn renew(&mut self, names: &[Arc<str>], ttl_ms: u64, cx: &Context) -> Vec<Arc<str>> {
        self.follow(cx);
        let Some(keys) = &mut self.keys else { return names.to_vec() };
        let expires_ms = cx.now_ms.saturating_add(ttl_ms);
        names.iter().filter(|key| !keys.renew(key, expires_ms)).cloned().collect()
    }

    /// Brings the key index in line with the policy, which a reload may have changed, and drops tombstones that are due.
    fn follow(&mut self, cx: &Context) {
        match (&mut self.keys, cx.policy.keyed) {
            (Some(keys), true) => {
                let first = self.window.first();
                let account = &mut self.account;
                keys.expire_tombstones(cx.now_ms, cx.policy.ttl_ms, |message| {
                    if message.offset < first {
                        account.give(message.weight());
                    }
                });
            }
            (None, false) => {}
            (None, true) => {
                // What was published before the channel became keyed is known as far as the log reaches.
                let mut keys = KeyIndex::new(self.window.first() - 1);
                for message in self.window.from(self.window.first()) {
                    keys.insert(message, None);
                }
                self.keys = Some(Box::new(keys));
            }
            (Some(keys), false) => {
                let beside: usize =
                    keys.range(0, self.window.first() - 1).map(|message| message.weight()).sum();
                self.account.give(beside);
                self.keys = None;
            }
        }
    }

    fn forget_ids(&mut self, cx: &Context) {
        if let Some(ids) = &mut self.ids {
            self.account.give(ids.forget(cx.now_ms, cx.idempotency_ms, cx.idempotency_ids));
            if ids.is_empty() {
                self.ids = None;
            }
        }
    }

    /// Lets the oldest messages of the window go; those that are the newest of their key stay beside the log.
    fn drop_oldest(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let (keys, account) = (&self.keys, &mut self.account);
        self.window.trim(count, |message, weight| {
            if !keys.as_ref().is_some_and(|keys| keys.holds(message.offset)) {
                account.give(weight);
            }
        });
    }
}

/// Whether a message is inside retention when it has just been appended.
fn in_window(draft: &Draft, policy: &ChannelPolicy) -> bool {
    policy.size > 0 && policy.ttl_ms > 0 && draft.weight as u64 <= policy.bytes
}

/// The first `limit` messages of about `bytes`, one at least where there is one; and whether there are more.
fn take<'a>(
    messages: impl Iterator<Item = &'a Arc<Message>>,
    limit: usize,
    bytes: usize,
) -> (Vec<Arc<Message>>, bool) {
    let mut taken = Vec::new();
    let mut weight = 0usize;
    for message in messages {
        weight = weight.saturating_add(message.weight());
        if !taken.is_empty() && (taken.len() >= limit || weight > bytes) {
            return (taken, true);
        }
        taken.push(message.clone());
    }
    (taken, false)
}

fn conflict(head: Position) -> Problem {
    Problem::new(Code::Conflict, format!("the channel's last position is {head}, not the one named in if"))
        .remedy("read the messages up to that position, decide again and name it in if")
        .at(head)
}
