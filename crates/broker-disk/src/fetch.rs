//! Reading messages back from segments.
use std::{io, sync::Arc};

use fanfare_protocol::{Code, Problem};

use crate::{
    frame::{HEADER, Header, Kind, SEGMENT_HEADER, crc},
    record::MessageBody,
    run::Stretch,
    segment::Segment,
};

/// Bytes read at once.
const BLOCK: usize = 64 << 10;

/// Reads frames of one segment after another, keeping the last block.
#[derive(Default)]
pub(crate) struct Fetcher {
    segment: Option<Arc<Segment>>,
    block: Vec<u8>,
    /// Where the block begins.
    base: u64,
    /// Places of the frames of a stretch, newest first.
    places: Vec<(u64, Header)>,
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
        self.places.clear();
        let mut at = u64::from(stretch.last_at);
        while at > 0 {
            let header = self.header(&stretch.segment, at)?;
            let body = self.body(&stretch.segment, at, &header)?;
            let offset = MessageBody::offset(body).ok_or_else(|| damaged(&stretch.segment, at))?;
            if offset < stretch.from {
                break;
            }
            if offset <= stretch.until {
                self.places.push((at, header));
            }
            if offset == stretch.from {
                break;
            }
            at = u64::from(header.prev);
        }
        let places = std::mem::take(&mut self.places);
        let mut more = true;
        for (at, header) in places.iter().rev() {
            let body = self.body(&stretch.segment, *at, header)?;
            if crc(body) != header.body_crc {
                return Err(damaged(&stretch.segment, *at));
            }
            let message = MessageBody::read(body).ok_or_else(|| damaged(&stretch.segment, *at))?;
            more = f(&message);
            if !more {
                break;
            }
        }
        self.places = places;
        Ok(more)
    }

    fn header(&mut self, segment: &Arc<Segment>, at: u64) -> Result<Header, Problem> {
        let bytes = self.bytes(segment, at, HEADER)?;
        let header = Header::read(segment.id, bytes).filter(|header| header.kind == Kind::Message);
        header.filter(|header| u64::from(header.prev) < at).ok_or_else(|| damaged(segment, at))
    }

    fn body(&mut self, segment: &Arc<Segment>, at: u64, header: &Header) -> Result<&[u8], Problem> {
        let bytes = self.bytes(segment, at, header.frame_len())?;
        bytes.get(HEADER..).ok_or_else(|| damaged(segment, at))
    }

    /// `len` bytes at a place of a segment.
    fn bytes(&mut self, segment: &Arc<Segment>, at: u64, len: usize) -> Result<&[u8], Problem> {
        let same = self.segment.as_ref().is_some_and(|held| Arc::ptr_eq(held, segment));
        let inside = same && at >= self.base && at + len as u64 <= self.base + self.block.len() as u64;
        if !inside {
            // Chains lead back: most of the block lies before.
            let begin = (at + len as u64 + BLOCK as u64 / 8).saturating_sub(BLOCK as u64);
            let begin = begin.min(at).max(SEGMENT_HEADER as u64);
            self.block.resize(BLOCK.max(len + (at - begin.min(at)) as usize), 0);
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
