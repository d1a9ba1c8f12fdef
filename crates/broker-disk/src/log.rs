//! One channel's log, as far as it is in memory. Everything here happens under the log's lock.
use std::sync::Arc;

use fanfare_broker::ChannelPolicy;
use fanfare_protocol::{Code, Epoch, Message, Position, Problem};

use crate::{
    ids::SeenIds,
    keys::{KeyIndex, Keyed},
    run::Runs,
    window::Window,
};

/// What an operation knows besides the log.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    /// The channel's policy at this moment.
    pub policy: ChannelPolicy,
    /// The last time seen, in milliseconds since 1970.
    pub now_ms: u64,
    /// How long a publisher's id is remembered.
    pub idempotency_ms: u64,
    /// How many ids a channel remembers.
    pub idempotency_ids: usize,
}

/// The log of one channel.
///
/// Invariant: `first - 1 <= head <= written <= assigned`. Readers see up to `head`; what is `written` is on its way through
/// a sync; what is `assigned` only waits to be written, and is taken back when it cannot be.
pub(crate) struct Log {
    pub epoch: Epoch,
    /// Its number in frames; 0 until something is appended.
    pub number: u32,
    /// The segment with the newest frame that says where the channel stands; 0 for none.
    pub carrier: u32,
    pub assigned: u64,
    pub written: u64,
    pub head: u64,
    /// Every message from here on is on disk.
    pub first: u64,
    pub newest_ms: u64,
    pub runs: Runs,
    /// The retained messages, where the channel has been read of late.
    pub window: Option<Box<Window>>,
    pub keys: Option<Box<KeyIndex>>,
    pub ids: Option<Box<SeenIds>>,
    /// Written messages that become visible with a sync.
    pub unsynced: u32,
    /// Messages may be seen before they are synced: a synced frame says so.
    pub loose: bool,
    /// Whether the sink is given what is committed.
    pub interested: bool,
    /// Taken out of the map: who finds it so looks the channel up again.
    pub closed: bool,
    /// Read since the keeper last came by.
    pub used: bool,
    /// When its entry among the timers falls due; `u64::MAX` without one.
    pub armed_ms: u64,
}

impl Log {
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            number: 0,
            carrier: 0,
            assigned: 0,
            written: 0,
            head: 0,
            first: 1,
            newest_ms: 0,
            runs: Runs::default(),
            window: None,
            keys: None,
            ids: None,
            unsynced: 0,
            loose: false,
            interested: false,
            closed: false,
            used: false,
            armed_ms: u64::MAX,
        }
    }

    /// Whether nobody uses it, and it holds nothing but where its messages lie.
    pub fn is_idle(&self) -> bool {
        let beside = self.window.is_some() || self.keys.is_some() || self.ids.is_some();
        let under_way = self.unsynced > 0 || self.assigned != self.head || self.armed_ms != u64::MAX;
        self.number > 0 && !(beside || under_way || self.loose || self.interested || self.closed || self.used)
    }

    /// Whether it may be dropped for another channel: nobody listens, nothing is under way, no lease runs.
    pub fn is_droppable(&self) -> bool {
        let under_way = self.unsynced > 0 || self.assigned != self.head;
        let leases = self.keys.as_ref().is_some_and(|keys| keys.has_leases());
        self.head > 0 && !(under_way || leases || self.interested || self.closed)
    }

    pub fn assigned_position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.assigned }
    }

    /// The first offset that an attached reader may still read. It does not follow retention message by message; what it
    /// promises is on disk, whatever the keeper does.
    pub fn held(&self, policy: &ChannelPolicy) -> u64 {
        let room = policy.size.saturating_add(policy.size / 8).saturating_add(64);
        self.first.max((self.head + 1).saturating_sub(room))
    }

    /// Whether the id has been used, and where.
    pub fn seen(&mut self, id: &str, cx: &Context) -> Option<u64> {
        self.forget_ids(cx);
        self.ids.as_ref().and_then(|ids| ids.get(id))
    }

    pub fn forget_ids(&mut self, cx: &Context) {
        self.forget_ids_at(cx.now_ms, cx.idempotency_ms, cx.idempotency_ids);
    }

    pub fn forget_ids_at(&mut self, now_ms: u64, window_ms: u64, limit: usize) {
        if let Some(ids) = &mut self.ids {
            ids.forget(now_ms, window_ms, limit);
            if ids.is_empty() {
                self.ids = None;
            }
        }
    }

    /// Counts a message that is on its way.
    pub fn assign(&mut self, message: &Arc<Message>, remembered: bool, cx: &Context) {
        self.assigned = message.offset;
        if remembered {
            self.ids.get_or_insert_default().insert(message.id.clone(), message.offset, cx.now_ms);
            self.forget_ids(cx);
        }
        if let (Some(keys), Some(key)) = (&mut self.keys, &message.key) {
            keys.expect(key);
        }
    }

    /// Takes back everything that was assigned and not written.
    pub fn take_back(&mut self) {
        self.assigned = self.written;
        if let Some(ids) = &mut self.ids {
            ids.take_back(self.written);
        }
    }

    /// Lets readers see a message.
    pub fn show(&mut self, message: &Message, weight: u32, expires_ms: Option<u64>, cx: &Context) {
        self.head = message.offset;
        self.newest_ms = self.newest_ms.max(message.time);
        if let Some(window) = &mut self.window {
            window.push(message.time, weight);
            if window.is_overfull(&cx.policy) {
                window.settle(&cx.policy, cx.now_ms);
            }
        }
        if let (Some(keys), Some(key)) = (&mut self.keys, &message.key) {
            keys.expected(key);
            let (offset, time, tombstone) = (message.offset, message.time, message.is_tombstone());
            keys.insert(&Keyed { key, offset, time, tombstone, expires_ms });
        }
    }

    /// When the channel next has something to do, in milliseconds since 1970; `u64::MAX` if never.
    pub fn due_ms(&self, cx: &Context) -> u64 {
        let keys = self.keys.as_ref().map_or(u64::MAX, |keys| keys.due_ms(cx.policy.ttl_ms));
        let ids = self.ids.as_ref().map_or(u64::MAX, |ids| ids.due_ms(cx.idempotency_ms));
        keys.min(ids)
    }
}

/// The channel has moved on.
pub(crate) fn conflict(head: Position) -> Problem {
    Problem::new(Code::Conflict, format!("the channel's last position is {head}, not the one named in if"))
        .remedy("read the messages up to that position, decide again and name it in if")
        .at(head)
}
