//! What was sent in which order, so that a client which names the last event it received is sent what it did not: a small ring, no messages.
//!
//! Invariant: between two entries everything of other channels was sent before the later one. So what a client received of every channel follows from
//! the last event of any of them.
use std::collections::VecDeque;

use fanfare_protocol::{Epoch, Position};

use crate::Offset;

/// Entries at most. Successive events of one channel are one entry. A client that may not have received so many is sent nothing more until it says
/// how far it has come ([`Ring::is_full`]), so that none is ever missing.
pub const ENTRIES: usize = 4096;
/// With so many entries the client is asked how far it has come.
const ASK: usize = 256;
/// With fewer channels none is forgotten, left ones included.
const CHANNELS: usize = 64;

/// A run of one channel's events, sent without another's between.
#[derive(Clone, Copy, Debug)]
struct Run {
    channel: u32,
    /// Everything of the channel up to here was sent before.
    from: u64,
    /// The last of the run.
    to: u64,
}

#[derive(Clone, Debug)]
struct Channel {
    name: Box<str>,
    epoch: Epoch,
    /// Where its first event would follow.
    start: u64,
    /// The last that was sent.
    last: u64,
    joined: bool,
    /// The ring was read back after the server died, and whether anything was sent behind `last` is not known.
    blind: bool,
}

/// Whose events were sent since the ring was last saved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Unsaved {
    #[default]
    Nothing,
    /// One channel's alone: where that goes on, the client says, and the others stand where they were saved.
    One(u32),
    /// Several channels': what was saved no longer tells where each goes on.
    Several,
}

/// What one socket was sent, from the reply to its CONNECT on.
#[derive(Clone, Default, Debug)]
pub struct Ring {
    channels: Vec<Channel>,
    runs: VecDeque<Run>,
    /// Runs that were dropped from the front so far.
    dropped: u64,
    /// The client was to be asked how far it has come, and has not said it since.
    asked: bool,
    /// With so many channels those are forgotten that nothing refers to.
    crowd: usize,
    /// Whose events were sent since the ring was last saved.
    unsaved: Unsaved,
}

/// Where the reading of a channel goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// The channel.
    pub channel: Box<str>,
    /// What follows this was not received.
    pub at: Position,
    /// Whether that is certain. Where not, it is only if nothing follows.
    pub is_certain: bool,
}

/// What is kept of one channel when the ring outlives its server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// The channel.
    pub name: Box<str>,
    /// The life of its log.
    pub epoch: Epoch,
    /// Where its first event would follow.
    pub start: u64,
    /// The last that was sent.
    pub last: u64,
}

impl Ring {
    /// The channels that are read, and the runs by the channels' numbers.
    pub fn save(&mut self) -> (Vec<Saved>, Vec<[u64; 3]>) {
        self.unsaved = Unsaved::Nothing;
        let channels = self.channels.iter().map(|channel| Saved {
            name: channel.name.clone(),
            epoch: channel.epoch,
            start: channel.start,
            last: channel.last,
        });
        let runs = self.runs.iter().map(|run| [run.channel.into(), run.from, run.to]);
        (channels.collect(), runs.collect())
    }

    /// Whether so much was sent since the ring was last saved that it would not tell, read back as it was saved, where every channel goes on.
    pub fn is_worth_saving(&self) -> bool {
        self.unsaved == Unsaved::Several
    }

    /// What has been sent by now, for [`Ring::received`].
    pub fn sent_by_now(&self) -> u64 {
        self.dropped + self.runs.len() as u64
    }

    /// The client has received everything that was sent at that time: it will not name an earlier event any more.
    pub fn received(&mut self, sent: u64) {
        // The last run of them holds the event that it may name.
        let over = sent.saturating_sub(1).saturating_sub(self.dropped).min(self.runs.len() as u64);
        self.dropped += over;
        self.runs.drain(..over as usize);
        self.asked = false;
        if self.runs.len() < self.runs.capacity() / 4 {
            self.runs.shrink_to(self.runs.len() * 2);
        }
    }

    /// Whether the client is to be asked now how far it has come, of which [`Ring::received`] is then told: once, until it has said it.
    pub fn is_to_ask(&mut self) -> bool {
        let asks = !self.asked && self.runs.len() >= ASK;
        self.asked |= asks;
        asks
    }

    /// Whether nothing more may be sent before the client has said how far it has come.
    pub fn is_full(&self) -> bool {
        self.runs.len() >= ENTRIES
    }

    /// A ring as it was saved. `is_whole`: nothing was sent since. Channels that are not read any more are to be left.
    pub fn restore(channels: Vec<Saved>, runs: &[[u64; 3]], is_whole: bool) -> Self {
        let channels: Vec<_> = channels
            .into_iter()
            .map(|Saved { name, epoch, start, last }| Channel {
                name,
                epoch,
                start,
                last,
                joined: true,
                blind: !is_whole,
            })
            .collect();
        let known = |number: u64| u32::try_from(number).ok().filter(|n| (*n as usize) < channels.len());
        let runs = runs
            .iter()
            .take(ENTRIES)
            .filter_map(|[channel, from, to]| Some(Run { channel: known(*channel)?, from: *from, to: *to }));
        let runs = runs.collect();
        Self { channels, runs, ..Self::default() }
    }

    /// Channels of which it is not known whether anything was sent behind what was saved.
    pub fn blind(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().filter(|channel| channel.blind && channel.joined).map(|channel| &*channel.name)
    }

    /// A channel's log ended here when the server came back. Where that is where it was saved, nothing was sent behind it.
    pub fn ended_at(&mut self, name: &str, head: Position) {
        if let Some(channel) = self.find(name).and_then(|n| self.channels.get_mut(n)) {
            channel.blind &= (channel.epoch, channel.last) != (head.epoch, head.offset);
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.channels.iter().position(|channel| *channel.name == *name)
    }

    /// A channel is read from here on.
    pub fn join(&mut self, name: &str, after: Position) {
        match self.find(name).and_then(|n| self.channels.get_mut(n)) {
            Some(channel) => {
                if channel.epoch != after.epoch || !channel.joined {
                    channel.start = after.offset;
                }
                (channel.epoch, channel.last) = (after.epoch, after.offset);
                (channel.joined, channel.blind) = (true, false);
            }
            None => {
                self.make_room();
                if self.channels.is_empty() {
                    // Most clients read one.
                    self.channels.reserve_exact(1);
                }
                self.channels.push(Channel {
                    name: name.into(),
                    epoch: after.epoch,
                    start: after.offset,
                    last: after.offset,
                    joined: true,
                    blind: false,
                });
            }
        }
    }

    /// A channel is read no more.
    pub fn leave(&mut self, name: &str) {
        if let Some(channel) = self.find(name).and_then(|n| self.channels.get_mut(n)) {
            channel.joined = false;
        }
    }

    /// Forgets channels that were left, and of which nothing is on its way: the client can name none of their events any more.
    fn make_room(&mut self) {
        if self.channels.len() < self.crowd.max(CHANNELS) {
            return;
        }
        let mut needed: Vec<_> = self.channels.iter().map(|channel| channel.joined).collect();
        for run in &self.runs {
            if let Some(needed) = needed.get_mut(run.channel as usize) {
                *needed = true;
            }
        }
        // Runs name channels by their number.
        let mut next = 0;
        let numbers: Vec<u32> = needed
            .iter()
            .map(|needed| {
                next += u32::from(*needed);
                next.saturating_sub(1)
            })
            .collect();
        let number = |old: u32| numbers.get(old as usize).copied().unwrap_or(u32::MAX);
        self.runs.iter_mut().for_each(|run| run.channel = number(run.channel));
        if let Unsaved::One(one) = self.unsaved {
            self.unsaved = match needed.get(one as usize) {
                Some(true) => Unsaved::One(number(one)),
                _ => Unsaved::Several,
            };
        }
        let mut needed = needed.into_iter();
        self.channels.retain(|_| needed.next().unwrap_or(true));
        self.crowd = self.channels.len() * 2;
    }

    /// An event was handed over whole.
    pub fn sent(&mut self, name: &str, at: Position) {
        let newest = self.runs.back().map(|run| run.channel as usize);
        let same = newest.filter(|n| self.channels.get(*n).is_some_and(|channel| *channel.name == *name));
        let Some(n) = same.or_else(|| self.find(name)) else { return };
        let Some(channel) = self.channels.get_mut(n) else { return };
        if channel.epoch != at.epoch {
            (channel.epoch, channel.last, channel.start) = (at.epoch, 0, 0);
        }
        let from = std::mem::replace(&mut channel.last, at.offset);
        let number = n as u32;
        self.unsaved = match self.unsaved {
            Unsaved::Nothing => Unsaved::One(number),
            Unsaved::One(before) if before == number => Unsaved::One(number),
            Unsaved::One(_) | Unsaved::Several => Unsaved::Several,
        };
        match self.runs.back_mut() {
            Some(run) if same.is_some() => run.to = at.offset,
            _ => {
                if self.is_full() {
                    // Whoever sends all the same: what is not known is not guessed.
                    self.runs.pop_front();
                    self.dropped += 1;
                }
                self.runs.push_back(Run { channel: number, from, to: at.offset });
            }
        }
    }

    /// Where the reading of every joined channel goes on for a client that received up to this event (none: nothing yet). None when that cannot be
    /// told any more.
    pub fn resume(&self, received: Option<&Offset>) -> Option<Vec<Resumed>> {
        let from_start = |channel: &Channel| channel.start;
        let Some((received, n, channel)) = received.and_then(|received| {
            let n = self.find(&received.channel)?;
            Some((received, n, self.channels.get(n)?))
        }) else {
            // Nothing was received, or only what an earlier socket of the client was sent.
            return Some(self.places(from_start));
        };
        if channel.epoch != received.at.epoch {
            return None;
        }
        let offset = received.at.offset;
        if offset <= channel.start {
            return Some(self.places(from_start));
        }
        if offset > channel.last {
            // The end of a write that was cut: whatever else was sent came before it.
            return Some(self.places_but(n, offset, |_, channel| (channel.last, !channel.blind)));
        }
        let holds = |run: &Run| run.channel as usize == n && run.from < offset && offset <= run.to;
        let found = self.runs.iter().rposition(holds)?;
        Some(self.places_but(n, offset, |other, channel| {
            let mut later = self.runs.iter().skip(found + 1);
            let later = later.find(|run| run.channel as usize == other);
            later.map_or((channel.last, !channel.blind), |run| (run.from, true))
        }))
    }

    fn places(&self, place: impl Fn(&Channel) -> u64) -> Vec<Resumed> {
        self.places_but(usize::MAX, 0, |_, channel| (place(channel), true))
    }

    fn places_but(
        &self,
        this: usize,
        offset: u64,
        other: impl Fn(usize, &Channel) -> (u64, bool),
    ) -> Vec<Resumed> {
        let joined = self.channels.iter().enumerate().filter(|(_, channel)| channel.joined);
        joined
            .map(|(n, channel)| {
                let (offset, is_certain) = if n == this { (offset, true) } else { other(n, channel) };
                let at = Position { epoch: channel.epoch, offset };
                Resumed { channel: channel.name.clone(), at, is_certain }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { epoch: "k1".parse().unwrap(), offset }
    }

    fn offset(channel: &str, n: u64) -> Offset {
        Offset { channel: channel.into(), at: at(n) }
    }

    fn resumed(ring: &Ring, received: Option<Offset>) -> Option<Vec<(String, u64)>> {
        let places = ring.resume(received.as_ref())?;
        Some(places.into_iter().map(|place| (place.channel.into(), place.at.offset)).collect())
    }

    fn places(list: &[(&str, u64)]) -> Option<Vec<(String, u64)>> {
        Some(list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect())
    }

    #[test]
    fn what_was_sent_after_the_last_received_is_sent_again() {
        let mut ring = Ring::default();
        ring.join("a", at(10));
        ring.join("b", at(5));
        for (name, n) in [("a", 11), ("a", 12), ("b", 6), ("a", 15), ("b", 7)] {
            ring.sent(name, at(n));
        }
        assert_eq!(resumed(&ring, None), places(&[("a", 10), ("b", 5)]));
        assert_eq!(resumed(&ring, Some(offset("a", 11))), places(&[("a", 11), ("b", 5)]));
        assert_eq!(resumed(&ring, Some(offset("a", 12))), places(&[("a", 12), ("b", 5)]));
        assert_eq!(resumed(&ring, Some(offset("b", 6))), places(&[("a", 12), ("b", 6)]));
        assert_eq!(resumed(&ring, Some(offset("a", 15))), places(&[("a", 15), ("b", 6)]));
        assert_eq!(resumed(&ring, Some(offset("b", 7))), places(&[("a", 15), ("b", 7)]));
        assert_eq!(
            resumed(&ring, Some(offset("b", 9))),
            places(&[("a", 15), ("b", 9)]),
            "the end of a cut write"
        );
        assert_eq!(
            resumed(&ring, Some(offset("a", 9))),
            places(&[("a", 10), ("b", 5)]),
            "older than this ring"
        );
        assert_eq!(
            resumed(&ring, Some(offset("z", 9))),
            places(&[("a", 10), ("b", 5)]),
            "of an earlier socket"
        );
    }

    #[test]
    fn a_channel_that_was_left_still_tells_the_order() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        ring.sent("a", at(1));
        ring.sent("b", at(1));
        ring.sent("a", at(2));
        ring.leave("b");
        assert_eq!(resumed(&ring, Some(offset("b", 1))), places(&[("a", 1)]));
    }

    #[test]
    fn what_the_ring_no_longer_holds_is_not_guessed() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        for n in 1..=ENTRIES as u64 {
            ring.sent("a", at(n));
            ring.sent("b", at(n));
        }
        assert!(ring.is_full());
        assert_eq!(resumed(&ring, Some(offset("a", 1))), None);
        assert_eq!(
            resumed(&ring, None),
            places(&[("a", 0), ("b", 0)]),
            "nothing was received: all of it again"
        );
        let n = ENTRIES as u64;
        assert_eq!(resumed(&ring, Some(offset("a", n))), places(&[("a", n), ("b", n - 1)]));
        let other = Offset { channel: "a".into(), at: Position { epoch: "k2".parse().unwrap(), offset: 3 } };
        assert_eq!(resumed(&ring, Some(other)), None);
    }

    #[test]
    fn a_ring_that_was_read_back_knows_what_it_does_not_know() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        ring.sent("a", at(1));
        ring.sent("b", at(1));
        let (channels, runs) = ring.save();
        let whole = Ring::restore(channels.clone(), &runs, true);
        let certain = |ring: &Ring, received| -> Vec<(u64, bool)> {
            let places = ring.resume(Some(&received)).unwrap();
            places.into_iter().map(|place| (place.at.offset, place.is_certain)).collect()
        };
        assert_eq!(certain(&whole, offset("a", 1)), [(1, true), (0, true)]);
        assert_eq!(certain(&whole, offset("b", 1)), [(1, true), (1, true)]);
        let blind = Ring::restore(channels, &runs, false);
        assert_eq!(certain(&blind, offset("a", 1)), [(1, true), (0, true)]);
        assert_eq!(certain(&blind, offset("b", 1)), [(1, false), (1, true)]);
        assert_eq!(certain(&blind, offset("a", 9)), [(9, true), (1, false)]);
        let mut told = blind;
        told.ended_at("a", at(2));
        told.ended_at("b", at(1));
        assert_eq!(told.blind().collect::<Vec<_>>(), ["a"]);
        assert_eq!(
            certain(&told, offset("b", 1)),
            [(1, false), (1, true)],
            "a went on, perhaps to the client"
        );
        assert_eq!(certain(&told, offset("a", 9)), [(9, true), (1, true)], "b did not");
        let odd = Ring::restore(vec![], &[[7, 1, 2], [u64::MAX, 0, 0]], true);
        assert_eq!(odd.resume(None), Some(vec![]));
    }

    #[test]
    fn what_the_client_has_received_is_forgotten_and_what_follows_is_not() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        for n in 1..=1000 {
            ring.sent("a", at(n));
            ring.sent("b", at(n));
        }
        let sent = ring.sent_by_now();
        ring.sent("a", at(1001));
        ring.received(sent);
        ring.received(sent);
        assert_eq!(ring.runs.len(), 2);
        assert!(ring.runs.capacity() < 100, "{}", ring.runs.capacity());
        assert_eq!(resumed(&ring, Some(offset("b", 1000))), places(&[("a", 1000), ("b", 1000)]));
        assert_eq!(resumed(&ring, Some(offset("a", 1001))), places(&[("a", 1001), ("b", 1000)]));
        assert_eq!(resumed(&ring, Some(offset("a", 999))), None, "it has said that it received more");
        // A run that went on after the question.
        let sent = ring.sent_by_now();
        ring.sent("a", at(1002));
        ring.received(sent);
        assert_eq!(resumed(&ring, Some(offset("a", 1001))), places(&[("a", 1001), ("b", 1000)]));
        ring.received(ring.sent_by_now() + 5);
        assert_eq!(resumed(&ring, Some(offset("a", 1002))), None, "more than it can have received");
    }

    #[test]
    fn a_client_is_asked_once_and_sent_no_more_than_can_be_told_apart() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        let mut asked = Vec::new();
        let mut n = 0;
        while !ring.is_full() {
            n += 1;
            ring.sent(if n % 2 == 0 { "a" } else { "b" }, at(n));
            if ring.is_to_ask() {
                asked.push(n);
            }
        }
        assert_eq!((n, asked), (ENTRIES as u64, vec![ASK as u64]));
        ring.received(ASK as u64);
        assert!(!ring.is_full());
        assert!(ring.is_to_ask(), "there is more that it has not answered");
        ring.received(ring.sent_by_now());
        assert!(!ring.is_to_ask());
    }

    #[test]
    fn channels_that_come_and_go_are_forgotten_without_a_hole() {
        let mut ring = Ring::default();
        ring.join("stays", at(0));
        for n in 1..=10 * CHANNELS as u64 {
            let name = format!("room-{n}");
            ring.join(&name, at(0));
            ring.sent(&name, at(1));
            ring.sent("stays", at(n));
            ring.leave(&name);
            // The client is three rooms behind.
            ring.received(ring.sent_by_now().saturating_sub(6));
            for behind in 0..n.min(3) {
                let received = offset(&format!("room-{}", n - behind), 1);
                assert_eq!(
                    resumed(&ring, Some(received)),
                    places(&[("stays", n - behind - 1)]),
                    "{n} {behind}"
                );
            }
        }
        assert!(ring.channels.len() <= 2 * CHANNELS, "{}", ring.channels.len());
    }

    #[test]
    fn a_ring_is_worth_saving_when_several_channels_have_moved() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        ring.join("b", at(0));
        ring.sent("a", at(1));
        ring.sent("a", at(2));
        assert!(!ring.is_worth_saving());
        ring.sent("b", at(1));
        assert!(ring.is_worth_saving());
        let (channels, runs) = ring.save();
        assert!(!ring.is_worth_saving());
        ring.sent("b", at(2));
        assert!(!ring.is_worth_saving());
        // Read back after the server died: the client names the one that moved, the other stands where it was saved.
        let blind = Ring::restore(channels, &runs, false);
        let places = blind.resume(Some(&offset("b", 2))).unwrap();
        assert_eq!(
            places.iter().map(|p| (p.at.offset, p.is_certain)).collect::<Vec<_>>(),
            [(2, false), (2, true)]
        );
    }

    #[test]
    fn one_channel_never_fills_it() {
        let mut ring = Ring::default();
        ring.join("a", at(0));
        for n in 1..=10 * ENTRIES as u64 {
            ring.sent("a", at(n));
        }
        assert!(!ring.is_to_ask());
        assert_eq!(resumed(&ring, Some(offset("a", 77))), places(&[("a", 77)]));
    }
}
