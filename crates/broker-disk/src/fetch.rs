//! Reading messages back from segments.
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use fanfare_protocol::{Code, Problem};

use crate::{
    frame::{HEADER, Header, Kind, SEGMENT_HEADER, crc},
    record::MessageBody,
    run::{STRIDE, Stretch},
    segment::Segment,
};

/// Bytes read at once where a channel's messages lie close together.
const BLOCK: usize = 64 << 10;
/// Bytes read at least for each message where they lie far apart.
const ALONE: usize = 256;
/// How far apart is far.
const FAR: u64 = 4 << 10;

/// Reads stretches of segments, keeping the last block. What it does is cut into turns: after each 64 KB that it read it lets others
/// go first.
#[derive(Default)]
pub(crate) struct Fetcher {
    segment: Option<Arc<Segment>>,
    block: Vec<u8>,
    /// Where the block begins.
    base: u64,
    /// Bytes read in this turn.
    spent: usize,
    /// Bodies of a stretch, newest first, and where each ends and its frame begins.
    bodies: Vec<u8>,
    ends: Vec<(usize, u64)>,
}

/// The end of a turn: pending once, and nobody needs to wake it.
struct Turn(bool);

impl Future for Turn {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Lets other reads go first.
pub(crate) async fn turn() {
    Turn(false).await;
}

/// Does a read on this thread, without turns.
pub(crate) fn at_once<T>(read: impl Future<Output = T>) -> T {
    let (mut read, mut cx) = (std::pin::pin!(read), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(value) = read.as_mut().poll(&mut cx) {
            return value;
        }
    }
}

impl Fetcher {
    /// Calls `f` with every message of a stretch, oldest first, until it returns false.
    ///
    /// # Errors
    /// `internal` when the disk cannot be read or what it says is damaged.
    pub async fn each(
        &mut self,
        stretch: &Stretch,
        mut f: impl FnMut(&MessageBody<'_>) -> bool,
    ) -> Result<bool, Problem> {
        self.gather(stretch).await?;
        for (number, (end, at)) in self.ends.iter().enumerate().rev() {
            let begin = number.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| end.0);
            let body = self.bodies.get(begin..*end).and_then(MessageBody::read);
            if !f(&body.ok_or_else(|| damaged(&stretch.segment, *at))?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes back along the chain and keeps what the stretch asks for.
    async fn gather(&mut self, stretch: &Stretch) -> Result<(), Problem> {
        let (mut bodies, mut ends) = (std::mem::take(&mut self.bodies), std::mem::take(&mut self.ends));
        bodies.clear();
        ends.clear();
        let mut at = u64::from(stretch.last_at);
        let behind = u64::from(stretch.behind);
        let mut apart = (at - behind.min(at)) / STRIDE;
        let mut alone = ALONE;
        while at > 0 {
            if self.spent >= BLOCK {
                self.spent = 0;
                turn().await;
            }
            self.load(stretch, at, HEADER, apart, alone)?;
            let header = Header::read(stretch.segment.id, self.bytes(stretch, at, HEADER)?)
                .filter(|header| header.kind == Kind::Message && u64::from(header.prev) < at)
                .ok_or_else(|| damaged(&stretch.segment, at))?;
            self.load(stretch, at, header.frame_len(), apart, alone)?;
            // The next is likely to be about as long.
            alone = (header.frame_len() + 32).max(ALONE);
            let frame = self.bytes(stretch, at, header.frame_len())?;
            let body = frame.get(HEADER..).filter(|body| crc(body) == header.body_crc);
            let offset = body.and_then(MessageBody::offset);
            let (Some(body), Some(offset)) = (body, offset) else {
                return Err(damaged(&stretch.segment, at));
            };
            if offset < stretch.from {
                break;
            }
            if offset <= stretch.until {
                bodies.extend_from_slice(body);
                ends.push((bodies.len(), at));
            }
            if offset == stretch.from {
                break;
            }
            apart = at - u64::from(header.prev);
            at = u64::from(header.prev);
        }
        (self.bodies, self.ends) = (bodies, ends);
        Ok(())
    }

    /// Has `len` bytes at a place in the block; `apart` is how far the chain leads from message to message, `alone` how much to read of each
    /// where that is far.
    fn load(
        &mut self,
        stretch: &Stretch,
        at: u64,
        len: usize,
        apart: u64,
        alone: usize,
    ) -> Result<(), Problem> {
        let segment = &stretch.segment;
        let same = self.segment.as_ref().is_some_and(|held| Arc::ptr_eq(held, segment));
        if same && at >= self.base && at + len as u64 <= self.base + self.block.len() as u64 {
            return Ok(());
        }
        let (behind, end) = (u64::from(stretch.behind), at + len as u64);
        let (begin, size) = if apart > FAR {
            (at, len.max(alone).min(BLOCK.max(len)))
        } else if behind > 0 && behind < at && end <= behind + BLOCK as u64 {
            // All of the stretch, and as much as there is room for of what follows it.
            (behind, BLOCK)
        } else {
            // Chains lead back: most of a block lies before.
            let begin = (end + BLOCK as u64 / 8).saturating_sub(BLOCK as u64);
            let begin = begin.max(SEGMENT_HEADER as u64).min(at);
            (begin, BLOCK.max(len + (at - begin) as usize))
        };
        self.block.resize(size, 0);
        let read =
            segment.read_at(begin, &mut self.block).map_err(|error| unreadable(segment, at, &error))?;
        self.block.truncate(read);
        self.spent += read;
        self.base = begin;
        if !same {
            self.segment = Some(segment.clone());
        }
        Ok(())
    }

    /// `len` bytes at a place in the block.
    fn bytes(&self, stretch: &Stretch, at: u64, len: usize) -> Result<&[u8], Problem> {
        let from = (at - self.base) as usize;
        self.block.get(from..from + len).ok_or_else(|| damaged(&stretch.segment, at))
    }
}

fn damaged(segment: &Segment, at: u64) -> Problem {
    let path = segment.path.display();
    tracing::error!(segment = %path, at, "the log is damaged");
    Problem::new(Code::Internal, "a part of this channel's log is damaged")
        .remedy("look at the server's log for the place, and restore the data directory from a backup")
}

fn unreadable(segment: &Segment, at: u64, error: &io::Error) -> Problem {
    let path = segment.path.display();
    tracing::error!(segment = %path, at, %error, "the log cannot be read");
    Problem::new(Code::Internal, "a part of this channel's log cannot be read")
        .remedy("look at the server's log for the place, and at the disk")
}
