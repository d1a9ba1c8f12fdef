//! One subscription as its client sees it, and every promise that can be checked from there.
use std::collections::{HashMap, HashSet};

use fanfare_hub::Begun;
use fanfare_protocol::{
    ChannelName, ClientId, Epoch, Position, PresenceAction, SubscribeOptions, event::GapReason,
};
use fanfare_testkit::HistoryChecker;

use crate::truth::Log;

/// What was asked and answered, for the `subscribed` frame to find.
#[derive(Clone, Debug)]
pub struct Asked {
    pub channel: ChannelName,
    pub options: SubscribeOptions,
    pub begun: Begun,
}

pub struct Subscription {
    pub active: bool,
    client: ClientId,
    /// The log holds everything: the only gaps are those of positions that never were.
    lossless: bool,
    asked: Option<Asked>,
    pub at: Option<Position>,
    /// Where what is due by key begins.
    since: Option<Position>,
    /// The testkit's checker, where every message is due.
    whole: Option<HistoryChecker>,
    conflated: bool,
    by_key: bool,
    owes_gap: bool,
    past: u64,
    gaps: u64,
    last_ephemeral: u64,
    newest: HashMap<Option<String>, Position>,
    pub members: Option<HashSet<ClientId>>,
    present: Option<HashSet<ClientId>>,
}

impl Subscription {
    pub fn new(client: ClientId, lossless: bool) -> Self {
        Self {
            active: false,
            client,
            lossless,
            asked: None,
            at: None,
            since: None,
            whole: None,
            conflated: false,
            by_key: false,
            owes_gap: false,
            past: 0,
            gaps: 0,
            last_ephemeral: 0,
            newest: HashMap::new(),
            members: None,
            present: None,
        }
    }

    fn own(&self, origin: Option<ClientId>) -> bool {
        self.asked.as_ref().is_some_and(|a| !a.options.echo) && origin == Some(self.client)
    }

    pub fn subscribed(&mut self, asked: Asked, conflates: bool) {
        let (begun, start) = (asked.begun, asked.options.start);
        let continues = self.active && start == fanfare_protocol::Start::default();
        let saw_all = !self.conflated && self.asked.as_ref().is_some_and(|before| before.options.echo);
        self.by_key = conflates || start.snapshot;
        self.conflated = conflates || asked.options.rate.is_some() || start.snapshot;
        if let (Some(since), Some(true)) = (start.since, begun.recovered) {
            assert_eq!(begun.after, since, "recovered, but from elsewhere: {asked:?}");
        }
        assert_eq!(begun.recovered.is_some(), start.since.is_some(), "{asked:?}");
        if self.lossless
            && let Some(since) = start.since
        {
            let known = since.epoch == begun.head.epoch && since.offset <= begun.head.offset;
            assert_eq!(begun.recovered, Some(known), "nothing was lost: {asked:?}");
        }
        let other_epoch = continues && self.at.is_some_and(|at| at.epoch != begun.head.epoch);
        self.owes_gap = begun.recovered == Some(false) || other_epoch;
        let whole = asked.options.echo && !self.conflated;
        let usable = self.whole.take().filter(|_| continues && !other_epoch);
        self.whole = whole.then(|| {
            let mut whole = usable.unwrap_or_default();
            // One that begins here without having followed what came before goes on from what the hub says.
            let fresh = continues && whole.position().is_none();
            let start = match fresh && !other_epoch {
                true => fanfare_protocol::Start { since: Some(begun.after), ..start },
                false => start,
            };
            let recovered = if fresh && !other_epoch { Some(true) } else { begun.recovered };
            whole.subscribed(start, begun.head, recovered, begun.replay).unwrap();
            whole
        });
        // One that saw everything so far goes on from there, whatever the hub says.
        if !(saw_all && continues && !other_epoch) {
            self.at = Some(begun.after);
        }
        if !continues {
            self.last_ephemeral = 0;
        }
        self.since = Some(begun.after);
        self.newest.clear();
        (self.past, self.gaps, self.active) = (0, 0, true);
        self.members = None;
        self.present = None;
        self.asked = Some(asked);
    }

    pub fn gap(&mut self, after: Position, reason: GapReason) {
        assert!(self.active, "a gap without a subscription");
        let at = self.at.unwrap();
        assert!(
            self.owes_gap || at.epoch != after.epoch || at.offset <= after.offset || after.offset == 0,
            "a gap back from {at} to {after}"
        );
        assert!(
            self.owes_gap || !self.lossless,
            "a gap ({reason:?}) from {at} to {after}, but nothing was lost"
        );
        if let Some(whole) = &mut self.whole {
            whole.gap(after).unwrap();
        }
        self.owes_gap = false;
        self.gaps += 1;
        (self.at, self.since) = (Some(after), Some(after));
        self.newest.clear();
    }

    pub fn message(&mut self, log: &Log, got: Position, origin: Option<ClientId>, serial: u64) {
        assert!(self.active, "message {got} without a subscription");
        assert!(!self.own(origin), "its own message {got} came although echo=0");
        if got.offset == 0 {
            assert!(log.ephemeral.contains_key(&serial), "ephemeral {serial} was never published");
            assert!(serial > self.last_ephemeral, "ephemeral {serial} came after {}", self.last_ephemeral);
            self.last_ephemeral = serial;
            return;
        }
        let at = self.at.unwrap();
        assert!(!self.owes_gap, "{got} came before the gap that is owed");
        assert_eq!(got.epoch, at.epoch, "{got} came after {at} without a gap");
        assert!(got.offset > at.offset, "{got} came again, or backwards: {at} was passed");
        let entry = log.get(got).unwrap_or_else(|| panic!("{got} was never published"));
        assert_eq!(entry.serial, serial, "{got} is another message");
        if !self.conflated {
            let left_out = log.range(got.epoch, at.offset, got.offset - 1);
            let missing: Vec<_> = left_out.filter(|(_, e)| !self.own(e.origin)).map(|(o, _)| o).collect();
            assert!(missing.is_empty(), "{missing:?} were left out between {at} and {got}");
        }
        if let Some(whole) = &mut self.whole {
            whole.message(got.epoch, got.offset).unwrap();
        }
        let begun = self.asked.as_ref().unwrap().begun;
        if got.epoch == begun.head.epoch && got.offset <= begun.head.offset {
            self.past += 1;
        }
        self.at = Some(got);
        self.newest.insert(entry.key.clone(), got);
    }

    pub fn presence(&mut self, action: PresenceAction, members: &[ClientId], more: bool, count: u64) {
        let asked = self.asked.as_ref().expect("presence before subscribed");
        assert!(self.active && asked.options.presence, "presence that nobody asked for");
        if action == PresenceAction::Present {
            let present = self.present.get_or_insert_default();
            for member in members {
                assert!(present.insert(*member), "{member} was told as present twice");
            }
            if !more {
                self.members = self.present.take();
                assert_eq!(self.members.as_ref().unwrap().len() as u64, count);
            }
            return;
        }
        let known = self.members.as_mut().expect("an action before the members were told");
        for member in members {
            match action {
                PresenceAction::Leave => assert!(known.remove(member), "{member} left but was not there"),
                PresenceAction::Enter => assert!(known.insert(*member), "{member} entered twice"),
                _ => assert!(known.contains(member), "{member} was updated but is not there"),
            }
        }
    }

    pub fn ended(&mut self) {
        assert!(self.active, "an end without a subscription");
        self.cut();
    }

    pub fn cut(&mut self) {
        self.active = false;
        self.owes_gap = false;
        self.members = None;
        if let Some(whole) = &mut self.whole {
            whole.ended();
        }
    }

    /// Everything has had time to arrive.
    pub fn finish(&self, log: &Log, head: Position) {
        if !self.active {
            return;
        }
        let (at, asked) = (self.at.unwrap(), self.asked.as_ref().unwrap());
        assert!(!self.owes_gap, "the gap never came: {asked:?}");
        assert_eq!(at.epoch, head.epoch, "stopped in a past epoch, at {at}: {asked:?}");
        if let Some(whole) = &self.whole {
            whole.finish(head).unwrap();
        }
        if self.conflated {
            self.finish_by_key(log, head.epoch);
        } else {
            let left = log.range(at.epoch, at.offset, head.offset);
            let left: Vec<_> = left.filter(|(_, e)| !self.own(e.origin)).map(|(o, _)| o).collect();
            assert!(left.is_empty(), "stopped at {at}, {left:?} never came: {asked:?}");
            if self.gaps == u64::from(asked.begun.recovered == Some(false))
                && head.epoch == asked.begun.head.epoch
            {
                assert_eq!(
                    self.past, asked.begun.replay,
                    "another number of past messages than told: {asked:?}"
                );
            }
        }
        if asked.options.presence {
            assert!(self.members.is_some(), "the members were never told: {asked:?}");
        }
    }

    fn finish_by_key(&self, log: &Log, epoch: Epoch) {
        let (asked, since) = (self.asked.as_ref().unwrap(), self.since.unwrap());
        let mut due: HashMap<Option<String>, (u64, bool, Option<ClientId>)> = HashMap::new();
        for (offset, entry) in log.range(epoch, since.offset, u64::MAX) {
            due.insert(entry.key.clone(), (offset, entry.tombstone, entry.origin));
        }
        for (key, (offset, tombstone, origin)) in due {
            let by_key = self.by_key;
            // A snapshot has no keyless messages, and no tombstones of before it began.
            if self.own(origin) || (by_key && key.is_none()) || (by_key && tombstone) {
                continue;
            }
            let seen = self.newest.get(&key).map(|at| at.offset);
            assert_eq!(seen, Some(offset), "the newest of {key:?} after {since} never came: {asked:?}");
        }
    }
}
