//! Publishing: what is due goes to whoever can send it.

use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::{Engine, connect};
use crate::adapter::{Heard, Place};
use crate::error::BenchError;
use crate::pace::Load;
use crate::peer::{Ended, Peer, Phase};
use crate::settings::PublishOver;
use crate::stamp::Stamp;
use crate::wire::Unit;
use crate::wire::websocket::Opcode;

/// A publisher that has so many bytes waiting takes no more: the server does not read it.
const FULL: usize = 1 << 20;
/// How long publishers may take to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that publishes.
pub struct Publisher {
    peer: Peer,
    waits: u32,
    greeting: Vec<String>,
    /// Bytes were queued since it was last flushed.
    dirty: bool,
}

impl Engine<'_> {
    /// Connects the publishers.
    pub(super) fn connect_publishers(&mut self) -> Result<(), BenchError> {
        if self.settings.own || self.settings.load == Load::Idle {
            return Ok(());
        }
        for n in 0..self.settings.publishers {
            let publisher = self.dial_publisher(n)?;
            self.publishers.push(publisher);
            self.idle.push_back(n);
        }
        let began = Instant::now();
        while !self.publishers.iter().all(Publisher::is_ready) && !self.stopped() {
            self.turn(Duration::from_millis(20))?;
            if began.elapsed() > PATIENCE {
                return Err(BenchError::Publish("its connection was not ready in 10 s".into()));
            }
        }
        Ok(())
    }

    fn dial_publisher(&mut self, at: usize) -> Result<Publisher, BenchError> {
        let mut link = self.dialer.dial()?;
        let token = Token(self.readers.len() + at);
        self.poll.registry().register(link.socket(), token, Interest::READABLE | Interest::WRITABLE)?;
        let websocket = self.settings.publish_over == PublishOver::Ws;
        let mut opening = self.adapter.open(&Place { channels: 0..0, resume: None });
        if !websocket {
            // Nothing is asked before the first publication.
            opening.target.clear();
            opening.ready = 0;
        }
        let peer = Peer::new(link, &opening, &self.settings.host, websocket, !websocket);
        Ok(Publisher { peer, waits: opening.ready, greeting: opening.frames, dirty: false })
    }

    pub(super) fn serve_publisher(&mut self, at: usize) -> Result<(), BenchError> {
        let address = self.settings.address;
        let Some(publisher) = self.publishers.get_mut(at) else { return Ok(()) };
        let ready = publisher.is_ready();
        let mut news = News::default();
        let served = publisher.peer.flush().and_then(|()| {
            news = publisher.read(&*self.adapter, &mut self.scratch)?;
            if news.ended { Ok(()) } else { publisher.peer.flush() }
        });
        served.map_err(|why| {
            if ready { BenchError::Publish(why.to_string()) } else { connect::failed(address, at, &why) }
        })?;
        let News { answered, ended } = news;
        if ended {
            let again = self.dial_publisher(at)?;
            if let Some(publisher) = self.publishers.get_mut(at) {
                *publisher = again;
            }
        }
        if self.settings.publish_over == PublishOver::Http {
            self.idle.extend(std::iter::repeat_n(at, answered));
        }
        Ok(())
    }

    /// Publishes what is due and can be sent.
    pub(super) fn publish_due(&mut self) -> Result<(), BenchError> {
        if !self.publishing || self.settings.own {
            return Ok(());
        }
        while let Some(publisher) = self.free_publisher() {
            let Some(meant) = self.next_due() else {
                self.give_back(publisher);
                break;
            };
            let channel = self.next_channel;
            self.next_channel = (channel + 1) % self.settings.channels as u32;
            self.compose(channel, publisher, meant);
            let Some(publisher) = self.publishers.get_mut(publisher) else { break };
            match self.settings.publish_over {
                PublishOver::Ws => publisher.peer.queue_message(Opcode::Text, self.text.as_bytes()),
                PublishOver::Http => publisher.peer.queue(self.text.as_bytes()),
            }
            publisher.dirty = true;
        }
        for publisher in self.publishers.iter_mut().filter(|publisher| publisher.dirty) {
            publisher.dirty = false;
            publisher.peer.flush().map_err(|why| BenchError::Publish(why.to_string()))?;
        }
        Ok(())
    }

    /// When the next publication was meant to go out, if it may go now.
    fn next_due(&mut self) -> Option<u64> {
        let now = self.tally.now();
        match self.settings.load {
            Load::Idle => None,
            Load::Rate(_) => self.timetable.as_mut()?.due(now),
            Load::InFlight(window) => {
                let readers = i64::from(*self.audience.get(self.next_channel as usize)?);
                (self.tally.outstanding + readers <= i64::from(window) * readers).then_some(now)
            }
        }
    }

    fn free_publisher(&mut self) -> Option<usize> {
        match self.settings.publish_over {
            PublishOver::Http => self.idle.pop_front(),
            PublishOver::Ws => {
                let count = self.publishers.len();
                let free = (0..count).map(|n| (self.next_publisher + n) % count);
                let mut free =
                    free.filter(|&n| self.publishers.get(n).is_some_and(|p| p.peer.waiting() < FULL));
                let found = free.next()?;
                self.next_publisher = (found + 1) % count;
                Some(found)
            }
        }
    }

    fn give_back(&mut self, publisher: usize) {
        if self.settings.publish_over == PublishOver::Http {
            self.idle.push_front(publisher);
        }
    }

    /// Makes a publisher's next publication to a channel, in `self.text`.
    fn compose(&mut self, channel: u32, publisher: usize, meant: u64) {
        let lane = channel * self.settings.lanes() as u32 + publisher as u32;
        let seq = self.tally.times.publish(lane, meant);
        self.tally.published += 1;
        self.tally.outstanding += i64::from(self.audience.get(channel as usize).copied().unwrap_or(0));
        self.payload.clear();
        Stamp { lane, seq }.write(&mut self.payload);
        self.payload.resize(self.settings.size, b'x');
        self.text.clear();
        self.adapter.publish(channel, &String::from_utf8_lossy(&self.payload), &mut self.text);
    }

    /// A reader that publishes does so as often as it may.
    pub(super) fn publish_own(&mut self, at: usize) -> Result<(), BenchError> {
        loop {
            let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
            if reader.may_publish == 0 || !reader.is_websocket() {
                break;
            }
            reader.may_publish -= 1;
            let channel = reader.channels.start;
            let now = self.tally.now();
            self.compose(channel, 0, now);
            if let Some(reader) = self.readers.get_mut(at) {
                reader.peer.queue_message(Opcode::Text, self.text.as_bytes());
            }
        }
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        match reader.peer.flush() {
            Ok(()) => Ok(()),
            Err(why) => self.reader_ended(at, &why),
        }
    }
}

/// What a publisher has heard.
#[derive(Clone, Copy, Default)]
struct News {
    /// HTTP answers.
    answered: usize,
    /// The last of them ended the connection: some servers answer one request on each.
    ended: bool,
}

impl Publisher {
    fn is_ready(&self) -> bool {
        matches!(self.peer.phase(), Phase::Open(_)) && self.waits == 0
    }

    /// Reads what the server says.
    fn read(&mut self, adapter: &dyn crate::adapter::Adapter, scratch: &mut Vec<u8>) -> Result<News, Ended> {
        let place = Place { channels: 0..0, resume: None };
        let (mut news, mut replies, mut pongs) = (News::default(), Vec::new(), Vec::new());
        let Self { peer, waits, greeting, .. } = self;
        let read = peer.read(scratch, usize::MAX, |unit| {
            match unit {
                Unit::Data(data) => match adapter.hear(&place, data) {
                    Heard::Ready(_) => *waits = waits.saturating_sub(1),
                    Heard::Reply(frames) => replies.extend(frames),
                    Heard::Refused(words) => return Err(Ended::Refused(words)),
                    Heard::Nothing | Heard::Gap => {}
                },
                Unit::Answer { status: 200..300, close, .. } => {
                    news.answered += 1;
                    news.ended = close;
                }
                Unit::Answer { status, body, .. } => {
                    let words = String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default());
                    return Err(Ended::Refused(format!("HTTP {status} {words}")));
                }
                Unit::Ping(payload) => pongs.push(payload.to_vec()),
                Unit::Other => replies.append(greeting),
                Unit::End(_) => {}
            }
            Ok(())
        });
        match read {
            Err(Ended::Eof) if news.ended => {}
            read => drop(read?),
        }
        for text in replies {
            self.peer.queue_message(Opcode::Text, text.as_bytes());
        }
        for payload in pongs {
            self.peer.queue_message(Opcode::Pong, &payload);
        }
        Ok(news)
    }
}
