//! Reading messages back from segments.
use std::{io, sync::Arc};

use fanfare_protocol::{Code, Problem};

use crate::{
    frame::{HEADER, Header, Kind, SEGMENT_HEADER, crc},
    record::MessageBody,
    run::Stretch,
    segment::Segment,
};

/// Bytes read at once where a channel's messages lie close together.
const BLOCK: usize = 64 << 10;
/// Bytes read for each message where they lie far apart.
const ALONE: usize = 1 << 10;
/// How far apart is far.
const FAR: u64 = 4 << 10;

/// Reads stretches of segments, keeping the last block.
#[derive(Default)]
pub(crate) struct Fetcher {
    segment: Option<Arc<Segment>>,
    block: Vec<u8>,
    /// Where the block begins.
    base: u64,
    /// Bodies of a stretch, newest first, and where each ends and its frame begins.
    bodies: Vec<u8>,
    ends: Vec<(usize, u64)>,
}

impl Fetcher {
    /// Calls `f` with every message of a stretch, oldest first, until it returns false.
    ///
    /// # Errors
    /// `internal` when the disk cannot be read or what it says is damaged.
    pub fn each(
        &mut self,
        stretch: &Stretch,
        mut f: impl FnMut(&MessageBody<'_>) -> bool,
    ) -> Result<bool, Problem> {
        self.gather(stretch)?;
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
    fn gather(&mut self, stretch: &Stretch) -> Result<(), Problem> {
        let (mut bodies, mut ends) = (std::mem::take(&mut self.bodies), std::mem::take(&mut self.ends));
        bodies.clear();
        ends.clear();
        let (mut at, mut apart) = (u64::from(stretch.last_at), 0);
        while at > 0 {
            let header = self.bytes(&stretch.segment, at, HEADER, apart)?;
            let header = Header::read(stretch.segment.id, header)
                .filter(|header| header.kind == Kind::Message && u64::from(header.prev) < at)
                .ok_or_else(|| damaged(&stretch.segment, at))?;
            let frame = self.bytes(&stretch.segment, at, header.frame_len(), apart)?;
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

    /// `len` bytes at a place of a segment; `apart` is how far the chain leads from message to message.
    fn bytes(&mut self, segment: &Arc<Segment>, at: u64, len: usize, apart: u64) -> Result<&[u8], Problem> {
        let same = self.segment.as_ref().is_some_and(|held| Arc::ptr_eq(held, segment));
        let inside = same && at >= self.base && at + len as u64 <= self.base + self.block.len() as u64;
        if !inside {
            // Chains lead back: most of a block lies before.
            let (begin, size) = if apart > FAR {
                (at, len.max(ALONE))
            } else {
                let begin = (at + len as u64 + BLOCK as u64 / 8).saturating_sub(BLOCK as u64);
                let begin = begin.max(SEGMENT_HEADER as u64).min(at);
                (begin, BLOCK.max(len + (at - begin) as usize))
            };
            self.block.resize(size, 0);
            let read =
                segment.read_at(begin, &mut self.block).map_err(|error| unreadable(segment, at, &error))?;
            self.block.truncate(read);
            self.base = begin;
            self.segment = Some(segment.clone());
        }
        let from = (at - self.base) as usize;
        self.block.get(from..from + len).ok_or_else(|| damaged(segment, at))
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
