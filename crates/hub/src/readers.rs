//! A connection's table of readers: who is entered, released, in step or behind, and taken out.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Epoch};
use tokio::time::Instant;

use crate::{
    channel::Channel,
    connection::{Connection, Life, Out},
    counters::Counters,
    place::Place,
    reader::{KeyedPhase, Kind, Reader, ReaderKey, State},
    shard::Shard,
};

impl Connection {
    /// Enters a reader, held until [`Connection::release`]. `at_head`: there is no past for it to read first. None when the connection has ended.
    pub(crate) fn insert(&self, at_head: bool, make: impl FnOnce(u32) -> Reader) -> Option<ReaderKey> {
        let mut out = self.lock();
        if out.life != Life::Open {
            return None;
        }
        out.generation += 1;
        let generation = out.generation;
        let kept_up = if at_head { out.stalls } else { 0 };
        let reader = Some(Box::new(Reader { kept_up, ..make(generation) }));
        let slot = match out.readers.iter().position(Option::is_none) {
            Some(slot) => {
                if let Some(place) = out.readers.get_mut(slot) {
                    *place = reader;
                }
                slot
            }
            None => {
                out.readers.push(reader);
                out.readers.len() - 1
            }
        };
        Some(ReaderKey { slot: slot as u32, generation })
    }

    /// The `subscribed` of this channel has been queued: its gap follows it, then data may.
    pub fn release(&self, channel: &ChannelName) {
        let mut out = self.lock();
        let out = &mut *out;
        for (slot, reader) in out.readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            if reader.name != *channel || reader.state != State::Held {
                continue;
            }
            if let Some(gap) = reader.gap.take() {
                self.write_gap(&mut out.control, out.elements.as_deref_mut(), reader.element, gap);
            }
            reader.state = State::Behind;
            self.counters.behind.inc();
            out.behind.push_back(ReaderKey { slot: slot as u32, generation: reader.generation });
        }
        self.wake();
    }

    /// The shard of a reader; none when the reader is gone.
    pub(crate) fn shard_of(&self, key: ReaderKey) -> Option<Arc<Shard>> {
        self.lock().reader(key).map(|reader| reader.shard.clone())
    }

    /// Puts a reader in step when it stands at or past its shard's position, or when the shard's round (if it is running) will look after it.
    /// Called under the shard lock.
    pub(crate) fn join_at(
        &self,
        key: ReaderKey,
        epoch: Epoch,
        (start, head): (Place, Place),
        at: Place,
        running: bool,
    ) -> Rejoined {
        let mut out = self.lock();
        let stalls = out.stalls;
        let Some(reader) = out.reader_mut(key) else { return Rejoined::Yes };
        let unread = reader.keyed.is_some() || reader.present.is_some();
        if reader.epoch != epoch || unread || reader.state != State::Behind {
            return if reader.state == State::InStep { Rejoined::Yes } else { Rejoined::No };
        }
        if reader.cursor.offset == head.offset {
            // At the head but for ephemeral messages: those that it did not hear in time, or that are gone.
            reader.cursor = if reader.kept_up == stalls { reader.cursor.max(start) } else { head };
        }
        let mut owed = None;
        if let Some(paced) = &mut reader.paced {
            if paced.pass.is_some_and(|pass| reader.cursor < pass.until) {
                return Rejoined::No;
            }
            paced.pass_over();
            owed = paced.busy_until(Instant::now()).filter(|_| running);
        }
        if reader.cursor < at && owed.is_none() {
            return Rejoined::No;
        }
        reader.state = State::InStep;
        self.counters.behind.dec();
        owed.filter(|_| reader.cursor < at).map_or(Rejoined::Yes, Rejoined::Owed)
    }

    /// Where readers of messages have to come to for everything that was delivered so far to have been handed over; none of those that stand
    /// there already, or that are held. The driver writes for them with its next pump, without waiting for rounds, so that what it has
    /// to say behind those messages ([`Connection::has_passed`]) is not long in coming. For readers without a rate.
    pub fn pending(&self) -> Vec<Mark> {
        let readers: Vec<(ReaderKey, Arc<Channel>, Epoch, Place)> = {
            let out = self.lock();
            let slots = out.readers.iter().enumerate();
            let live = slots.filter_map(|(slot, reader)| {
                let reader = reader.as_deref()?;
                let is_read = reader.kind == Kind::Messages && reader.paced.is_none();
                let key = ReaderKey { slot: slot as u32, generation: reader.generation };
                (is_read && reader.state != State::Held)
                    .then(|| (key, reader.channel.clone(), reader.epoch, reader.cursor))
            });
            live.collect()
        };
        let mut marks = Vec::new();
        for (key, channel, epoch, cursor) in readers {
            // Channel before connection: the heads are looked up with nothing locked.
            let head = channel.lock().tail.as_ref().map(|tail| (tail.epoch(), tail.head()));
            if let Some((of, to)) = head
                && of == epoch
                && cursor < to
            {
                self.fall_behind(key, false);
                marks.push(Mark { key, epoch, to });
            }
        }
        marks
    }

    /// Whether everything up to these marks was handed over, or will not be: a reader is gone, or begins anew.
    pub fn has_passed(&self, marks: &[Mark]) -> bool {
        let out = self.lock();
        marks.iter().all(|mark| {
            let reader = out.reader(mark.key).filter(|reader| reader.epoch == mark.epoch);
            reader.is_none_or(|reader| reader.cursor >= mark.to)
        })
    }

    /// Takes the readers of a channel out, messages and members. From here on nothing of it is written.
    pub(crate) fn remove(&self, channel: &ChannelName) -> Vec<(ReaderKey, Box<Reader>)> {
        self.remove_where(|reader| reader.name == *channel)
    }

    /// Takes every reader out and ends the connection.
    pub(crate) fn remove_all(&self) -> Vec<(ReaderKey, Box<Reader>)> {
        self.lock().life = Life::Dead;
        self.remove_where(|_| true)
    }

    fn remove_where(&self, which: impl Fn(&Reader) -> bool) -> Vec<(ReaderKey, Box<Reader>)> {
        let mut out = self.lock();
        let mut taken = Vec::new();
        for (slot, place) in out.readers.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|reader| which(reader))
                && let Some(reader) = place.take()
            {
                if reader.state == State::Behind {
                    self.counters.behind.dec();
                }
                taken.push((ReaderKey { slot: slot as u32, generation: reader.generation }, reader));
            }
        }
        while out.readers.last().is_some_and(Option::is_none) {
            out.readers.pop();
        }
        taken
    }

    /// Where the reader of a channel stands now: a seek without a start goes on from there.
    pub(crate) fn reader_position(
        &self,
        channel: &ChannelName,
    ) -> Option<(Epoch, Place, Option<KeyedPhase>)> {
        let out = self.lock();
        let mut readers = out.readers.iter().flatten();
        readers.find(|r| r.name == *channel && r.kind == Kind::Messages).map(|r| (r.epoch, r.cursor, r.keyed))
    }

    /// Sends a reader that is in step to the catch-up: its shard's position has left the tail, the epoch has changed, or its own window is
    /// over. `ticked`: the shard's window is open from now on, and so is the reader's.
    pub(crate) fn fall_behind(&self, key: ReaderKey, ticked: bool) {
        let mut out = self.lock();
        if out.reader(key).is_some_and(|reader| reader.state == State::InStep) {
            let blocked = out.blocked;
            out.set_behind(key, &self.counters, ticked, blocked);
            drop(out);
            self.wake();
        }
    }

    /// The same at a tick, but for a reader whose own window is open: until then it is left out.
    pub(crate) fn fall_behind_at_tick(&self, key: ReaderKey, now: Instant) -> Option<Instant> {
        let busy = self.lock().reader(key).and_then(|reader| reader.paced.as_ref()?.busy_until(now));
        if busy.is_none() {
            self.fall_behind(key, true);
        }
        busy
    }
}

/// A place that one of a connection's readers comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    key: ReaderKey,
    epoch: Epoch,
    to: Place,
}

/// Whether a reader is in step again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rejoined {
    /// In step, or gone.
    Yes,
    /// There is more to read.
    No,
    /// In step, but there is more for it when its own window is over.
    Owed(Instant),
}

impl Out {
    pub(crate) fn reader(&self, key: ReaderKey) -> Option<&Reader> {
        self.readers.get(key.slot as usize)?.as_deref().filter(|reader| reader.generation == key.generation)
    }

    pub(crate) fn reader_mut(&mut self, key: ReaderKey) -> Option<&mut Reader> {
        self.readers
            .get_mut(key.slot as usize)?
            .as_deref_mut()
            .filter(|reader| reader.generation == key.generation)
    }

    /// Something was delivered of what a reader with a rate reads by itself.
    pub(crate) fn mark_sent(&mut self, key: ReaderKey, count: usize) {
        if count > 0
            && let Some(paced) = self.reader_mut(key).and_then(|reader| reader.paced.as_mut())
            && let Some(pass) = &mut paced.pass
        {
            pass.sent = true;
        }
    }

    /// A reader that is in step goes on by itself. `blocked`: output waited for the client before.
    pub(crate) fn set_behind(&mut self, key: ReaderKey, counters: &Counters, ticked: bool, blocked: bool) {
        let kept_up = if blocked { 0 } else { self.stalls };
        if let Some(reader) = self.reader_mut(key) {
            if let Some(paced) = &mut reader.paced {
                paced.ticked = ticked;
            }
            if reader.state != State::Behind {
                counters.behind.inc();
            }
            reader.state = State::Behind;
            reader.kept_up = kept_up;
            self.behind.push_back(key);
        }
    }
}
