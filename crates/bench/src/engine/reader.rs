//! One reader: what it has seen, and how it comes back.

use std::ops::Range;

use super::tally::Tally;
use crate::adapter::{Adapter, Heard, Place};
use crate::peer::{Ended, Peer, Phase};
use crate::track::{Faults, Seen, Track};
use crate::wire::websocket::Opcode;
use crate::wire::{Framing, Unit};

/// In a unit of many lines: a stamp that ends behind this has more before it than its own message's beginning.
const MESSAGE_BEGINS: usize = 200;

/// One reader.
pub struct Reader {
    /// Its connection.
    pub peer: Peer,
    /// The channels that it reads.
    pub channels: Range<u32>,
    /// What it has seen of each lane of its channels.
    tracks: Box<[Track]>,
    /// Lanes of one channel, which is the number of publishers.
    lanes: u32,
    /// Where the last stamp lay in its unit.
    hint: u32,
    /// Acknowledgements still to come.
    waits: u32,
    /// Acknowledgements at all.
    owed: u32,
    /// Sent after the handshake.
    greeting: Vec<String>,
    /// It reads slowly on purpose and is not waited for.
    pub slow: bool,
    /// Publications that it may send now, where readers publish.
    pub may_publish: u32,
    /// It was ready once.
    pub was_ready: bool,
    /// When it was cut off, and has not come back.
    pub away_since: Option<u64>,
}

/// What a reader's turn brought.
#[derive(Default, Debug)]
pub struct News {
    /// It has just become ready.
    pub ready: bool,
    /// The epoch of the server's positions.
    pub epoch: Option<String>,
}

impl Reader {
    /// A reader that has yet to connect.
    pub fn new(channels: Range<u32>, lanes: u32, slow: bool) -> Self {
        let tracks = (channels.start * lanes..channels.end * lanes).map(|_| Track::default()).collect();
        Self {
            peer: Peer::none(),
            channels,
            tracks,
            lanes,
            hint: 0,
            waits: 0,
            owed: 0,
            greeting: Vec::new(),
            slow,
            may_publish: 0,
            was_ready: false,
            away_since: None,
        }
    }

    /// Whether everything it waits for has come.
    pub fn is_ready(&self) -> bool {
        matches!(self.peer.phase(), Phase::Open(_)) && self.waits == 0
    }

    /// Where it goes on after a cut.
    pub fn place(&self, epoch: Option<&str>) -> Place {
        // Whoever has seen everything so far stands at the number of messages in the channel: nobody else publishes there.
        let seen = |lanes: &[Track]| lanes.iter().map(Track::last).sum();
        let seen = || self.tracks.chunks(self.lanes as usize).map(seen).collect();
        let resume = epoch.filter(|_| self.was_ready).map(|epoch| (epoch.to_owned(), seen()));
        Place { channels: self.channels.clone(), resume }
    }

    /// Takes a new connection.
    pub fn begin(&mut self, peer: Peer, greeting: Vec<String>, owed: u32) {
        self.peer = peer;
        self.greeting = greeting;
        (self.waits, self.owed) = (owed, owed);
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The connection ended.
    pub fn turn(
        &mut self,
        adapter: &dyn Adapter,
        tally: &mut Tally,
        scratch: &mut Vec<u8>,
        limit: usize,
    ) -> Result<News, Ended> {
        let mut news = News::default();
        let mut peer = std::mem::replace(&mut self.peer, Peer::none());
        let mut replies = Vec::new();
        let before = self.is_ready_in(peer.phase());
        let single = adapter.single();
        let now = tally.now();
        let read = peer.read(scratch, limit, |unit| match unit {
            Unit::Data(data) => self.data(adapter, tally, data, single, now, &mut replies, &mut news),
            Unit::Answer { status, body, .. } => self.answer(adapter, tally, status, body, now, &mut replies),
            Unit::Ping(payload) => {
                replies.push(Reply::Pong(payload.to_vec()));
                Ok(())
            }
            Unit::End(_) => Ok(()),
            Unit::Other => {
                replies.extend(self.greeting.drain(..).map(Reply::Message));
                Ok(())
            }
        });
        self.peer = peer;
        tally.bytes += *read.as_ref().unwrap_or(&0) as u64;
        read?;
        for reply in replies {
            match reply {
                Reply::Message(text) => self.peer.queue_message(Opcode::Text, text.as_bytes()),
                Reply::Pong(payload) => self.peer.queue_message(Opcode::Pong, &payload),
                Reply::Request(bytes) => self.peer.queue(bytes.as_bytes()),
            }
        }
        if self.peer.waiting() > 0 {
            self.peer.flush()?;
        }
        if !before && self.is_ready() {
            news.ready = true;
            self.was_ready = true;
            tally.progress += 1;
        }
        Ok(news)
    }

    fn is_ready_in(&self, phase: Phase) -> bool {
        matches!(phase, Phase::Open(_)) && self.waits == 0
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one borrow")]
    #[inline]
    fn data(
        &mut self,
        adapter: &dyn Adapter,
        tally: &mut Tally,
        data: &[u8],
        single: bool,
        now: u64,
        replies: &mut Vec<Reply>,
        news: &mut News,
    ) -> Result<(), Ended> {
        if single {
            let Some((stamp, _)) = tally.seeker.first(data, &mut self.hint) else {
                return self.heard(adapter, tally, data, replies, news);
            };
            self.stamp(tally, stamp.lane, stamp.seq, now);
            return Ok(());
        }
        // Several messages, and before them perhaps what a subscription began with, a line each.
        let mut next = tally.seeker.next(data, 0);
        let words = next.map_or(data.len(), |(_, end)| end);
        if self.waits > 0 || next.is_none() || words > MESSAGE_BEGINS {
            for line in data.get(..words).unwrap_or_default().split(|&byte| byte == b'\n') {
                self.heard(adapter, tally, line, replies, news)?;
            }
        }
        while let Some((stamp, end)) = next {
            self.stamp(tally, stamp.lane, stamp.seq, now);
            next = tally.seeker.next(data, end);
        }
        Ok(())
    }

    #[inline]
    fn stamp(&mut self, tally: &mut Tally, lane: u32, seq: u32, now: u64) {
        let at = lane.wrapping_sub(self.channels.start * self.lanes) as usize;
        let Some(track) = self.tracks.get_mut(at) else {
            tally.misdelivered += 1;
            return;
        };
        if track.see(seq) == Seen::Repeat {
            return;
        }
        if self.slow {
            tally.delivered_slow += 1;
            return;
        }
        self.may_publish += 1;
        tally.deliver(lane, seq, now);
    }

    fn heard(
        &mut self,
        adapter: &dyn Adapter,
        tally: &mut Tally,
        data: &[u8],
        replies: &mut Vec<Reply>,
        news: &mut News,
    ) -> Result<(), Ended> {
        let place = Place { channels: self.channels.clone(), resume: None };
        match adapter.hear(&place, data) {
            Heard::Nothing => {}
            Heard::Ready(epoch) => {
                self.waits = self.waits.saturating_sub(1);
                tally.progress += 1;
                if epoch.is_some() {
                    news.epoch = epoch;
                }
            }
            Heard::Reply(frames) => replies.extend(frames.into_iter().map(Reply::Message)),
            Heard::Gap => tally.gaps += 1,
            Heard::Refused(words) => return Err(Ended::Refused(words)),
        }
        Ok(())
    }

    /// One answer to a poll: its messages, then the next request.
    fn answer(
        &mut self,
        adapter: &dyn Adapter,
        tally: &mut Tally,
        status: u16,
        body: &[u8],
        now: u64,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Ended> {
        let place = Place { channels: self.channels.clone(), resume: None };
        let Some(next) = adapter.poll(&place, body).filter(|_| status == 200) else {
            let words =
                String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default()).into_owned();
            return Err(Ended::Refused(format!("HTTP {status} {words}")));
        };
        let mut end = 0;
        while let Some((stamp, next)) = tally.seeker.next(body, end) {
            self.stamp(tally, stamp.lane, stamp.seq, now);
            end = next;
        }
        self.waits = 0;
        replies.push(Reply::Request(next));
        Ok(())
    }

    /// What went wrong, when so many were published in each lane. A reader that was never ready is none.
    pub fn faults(&self, tally: &Tally) -> Faults {
        let mut faults = Faults::default();
        for (track, lane) in self.tracks.iter().zip(self.channels.start * self.lanes..) {
            faults += track.faults(tally.times.published(lane));
        }
        faults
    }

    /// Whether it is a WebSocket that may publish by itself.
    pub fn is_websocket(&self) -> bool {
        self.peer.phase() == Phase::Open(Framing::WebSocket)
    }
}

/// What a reader owes the server.
enum Reply {
    Message(String),
    Pong(Vec<u8>),
    Request(String),
}
