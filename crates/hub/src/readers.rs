//! A connection's table of readers: who is entered, released, in step or behind, and taken out.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Epoch};

use crate::{
    connection::{Connection, Life, Out},
    counters::Counters,
    place::Place,
    reader::{KeyedPhase, Kind, Reader, ReaderKey, State},
    shard::Shard,
};

impl Connection {
    /// Enters a reader, held until [`Connection::release`]. None when the connection has ended.
    pub(crate) fn insert(&self, make: impl FnOnce(u32) -> Reader) -> Option<ReaderKey> {
        let mut out = self.lock();
        if out.life != Life::Open {
            return None;
        }
        out.generation += 1;
        let generation = out.generation;
        let reader = Some(Box::new(make(generation)));
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

    /// Puts a reader in step when it stands at or past its shard's position. Called under the shard lock. True when the catch-up has nothing
    /// more to do for it.
    pub(crate) fn join_at(&self, key: ReaderKey, epoch: Epoch, head: Place, at: Place) -> bool {
        let mut out = self.lock();
        let Some(reader) = out.reader_mut(key) else { return true };
        let unread = reader.keyed.is_some() || reader.present.is_some();
        if reader.epoch != epoch || unread || reader.state != State::Behind {
            return reader.state == State::InStep;
        }
        if reader.cursor.offset == head.offset {
            // At the head but for ephemeral messages, which it did not hear in time.
            reader.cursor = head;
        }
        if reader.cursor < at {
            return false;
        }
        reader.state = State::InStep;
        self.counters.behind.dec();
        true
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

    /// Sends every reader of a shard that is in step to the catch-up: its position has left the tail, or the epoch has changed.
    pub(crate) fn fall_behind(&self, key: ReaderKey) {
        let mut out = self.lock();
        if out.reader(key).is_some_and(|reader| reader.state == State::InStep) {
            out.set_behind(key, &self.counters);
            drop(out);
            self.wake();
        }
    }
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

    pub(crate) fn set_behind(&mut self, key: ReaderKey, counters: &Counters) {
        if let Some(reader) = self.reader_mut(key) {
            if reader.state != State::Behind {
                counters.behind.inc();
            }
            reader.state = State::Behind;
            self.behind.push_back(key);
        }
    }
}
