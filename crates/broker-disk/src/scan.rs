//! Going through a segment frame by frame, and telling a torn end from damage.
use std::collections::BTreeSet;

use crate::{
    frame::{HEADER, Header, Kind, SEGMENT_HEADER, crc},
    record::read_mark,
};

/// A good frame.
pub(crate) struct Frame<'a> {
    pub at: u32,
    pub header: Header,
    pub body: &'a [u8],
}

/// How a segment ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With its last frame.
    Whole,
    /// Something follows the last good frame that is none.
    Bad(Bad),
}

/// What is wrong from some place on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bad {
    /// Where the last good frame ends.
    pub at: u64,
    pub what: &'static str,
    /// A later frame says that the segment was synced beyond this place: no crash tears that.
    pub synced: bool,
    /// Whose complete messages are lost by cutting here. None: nobody knows whose.
    pub lost: Option<BTreeSet<u32>>,
}

/// Calls `f` with every frame up to the first bad one. `f` may find a frame wrong itself.
pub(crate) fn scan<'a>(
    segment: u32,
    bytes: &'a [u8],
    mut f: impl FnMut(Frame<'a>) -> Result<(), &'static str>,
) -> End {
    let mut at = SEGMENT_HEADER;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let what = match good(segment, rest) {
            Ok((header, body)) => match f(Frame { at: at as u32, header, body }) {
                Ok(()) => {
                    at += header.frame_len();
                    continue;
                }
                Err(what) => what,
            },
            Err(what) => what,
        };
        return End::Bad(bad(segment, bytes, at, what));
    }
    End::Whole
}

fn good(segment: u32, bytes: &[u8]) -> Result<(Header, &[u8]), &'static str> {
    let header = Header::read(segment, bytes).ok_or(if bytes.len() < HEADER {
        "a frame's header is cut short"
    } else {
        "a frame's header has a wrong checksum"
    })?;
    let body = bytes.get(HEADER..header.frame_len()).ok_or("a frame is cut short")?;
    if crc(body) == header.body_crc { Ok((header, body)) } else { Err("a frame has a wrong checksum") }
}

fn bad(segment: u32, bytes: &[u8], at: usize, what: &'static str) -> Bad {
    let rest = bytes.get(at..).unwrap_or_default();
    let (mut synced, mut lost, mut known) = (false, BTreeSet::new(), true);
    let mut place = 0;
    if rest.iter().all(|byte| *byte == 0) {
        // Space that a file system gave and nothing reached.
        return Bad { at: at as u64, what, synced, lost: Some(lost) };
    }
    while let Some(found) = rest.get(place..).filter(|rest| rest.len() >= HEADER) {
        let Some(header) = Header::read(segment, found) else {
            // Whose frame it was that began here cannot be told.
            known &= place > 0;
            place += 1;
            continue;
        };
        let Some(body) = found.get(HEADER..header.frame_len()) else { break };
        if header.kind == Kind::Mark && crc(body) == header.body_crc {
            synced |= read_mark(body).is_some_and(|synced| synced > at as u64);
        }
        if header.kind == Kind::Message {
            lost.insert(header.channel);
        }
        place += header.frame_len();
    }
    // Without a whole frame the end was never written in full, and so never acknowledged.
    Bad { at: at as u64, what, synced, lost: known.then_some(lost) }
}
