//! Going through a segment frame by frame, and telling a torn end from damage.
use std::collections::BTreeSet;

use crate::{
    frame::{HEADER, Header, Kind, SEGMENT_HEADER, crc},
    record::read_mark,
};

/// What a disk writes as a whole, at least.
const SECTOR: usize = 512;

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
    /// A sector that was never written begins in what is wrong here. A sync would have written it, so after a power cut nothing
    /// from here on was synced.
    pub unwritten: bool,
}

/// Calls `f` with every frame up to the first bad one. `f` may find a frame wrong itself.
pub(crate) fn scan<'a>(
    segment: u32,
    bytes: &'a [u8],
    f: impl FnMut(Frame<'a>) -> Result<(), &'static str>,
) -> End {
    scan_from(segment, bytes, SEGMENT_HEADER, f)
}

/// The same from a frame on.
pub(crate) fn scan_from<'a>(
    segment: u32,
    bytes: &'a [u8],
    mut at: usize,
    mut f: impl FnMut(Frame<'a>) -> Result<(), &'static str>,
) -> End {
    while at < bytes.len() {
        let seen = frame_at(segment, bytes, at).and_then(|frame| {
            let len = frame.header.frame_len();
            f(frame).map(|()| len)
        });
        match seen {
            Ok(len) => at += len,
            Err(what) => return End::Bad(bad(segment, bytes, at, what)),
        }
    }
    End::Whole
}

/// The frame at a place.
///
/// # Errors
/// What is wrong there.
pub(crate) fn frame_at(segment: u32, bytes: &[u8], at: usize) -> Result<Frame<'_>, &'static str> {
    let bytes = bytes.get(at..).unwrap_or_default();
    let header = Header::read(segment, bytes).ok_or(if bytes.len() < HEADER {
        "a frame's header is cut short"
    } else {
        "a frame's header has a wrong checksum"
    })?;
    let body = bytes.get(HEADER..header.frame_len()).ok_or("a frame is cut short")?;
    if crc(body) == header.body_crc {
        Ok(Frame { at: at as u32, header, body })
    } else {
        Err("a frame has a wrong checksum")
    }
}

/// The bytes of the newest segment up to a place, and what is behind it without the zeros at its end: those may have been written ahead of the log.
pub(crate) fn without_zeros(bytes: &[u8], at: usize) -> &[u8] {
    let behind = bytes.get(at..).unwrap_or_default();
    let end = behind.iter().rposition(|byte| *byte != 0).map_or(at, |last| at + last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// The next place after a bad one where a good frame begins.
pub(crate) fn next_good(segment: u32, bytes: &[u8], bad: usize) -> Option<usize> {
    let behind = Header::read(segment, bytes.get(bad..)?).map(|header| bad + header.frame_len());
    behind.into_iter().chain(bad + 1..bytes.len()).find(|at| frame_at(segment, bytes, *at).is_ok())
}

fn bad(segment: u32, bytes: &[u8], at: usize, what: &'static str) -> Bad {
    let rest = bytes.get(at..).unwrap_or_default();
    let (mut synced, mut lost, mut known) = (false, BTreeSet::new(), true);
    let (mut place, mut frames, mut unwritten) = (0, 0, false);
    // A frame that is cut short was never written in full, and so never acknowledged; so is what is shorter than a header.
    while let Some(found) = rest.get(place..).filter(|found| found.len() >= HEADER) {
        let Some(header) = Header::read(segment, found).or_else(|| mended(segment, found)) else {
            if found.iter().all(|byte| *byte == 0) {
                // Space that a file system gave and nothing reached.
                unwritten |= place == 0;
                break;
            }
            unwritten |= place == 0 && has_hole(bytes, at, at + HEADER);
            let begins = |skip: &usize| found.get(*skip..).and_then(|b| Header::read(segment, b)).is_some();
            let next = (1..found.len()).find(begins);
            // Whose frames they were that lay here cannot be told.
            known = false;
            let Some(skip) = next else { break };
            place += skip;
            continue;
        };
        let Some(body) = found.get(HEADER..header.frame_len()) else { break };
        frames += 1;
        if place == 0 {
            unwritten |= has_hole(bytes, at, at + header.frame_len());
        }
        if header.kind == Kind::Mark && crc(body) == header.body_crc {
            synced |= read_mark(body).is_some_and(|synced| synced > at as u64);
        }
        if header.kind == Kind::Message {
            lost.insert(header.channel);
        }
        place += header.frame_len();
    }
    // Bytes that begin where a frame ended, and in which there is no frame, never were any.
    known |= frames == 0;
    Bad { at: at as u64, what, synced, lost: known.then_some(lost), unwritten }
}

/// Whether a sector full of zeros begins in a range, or is the one in which it begins.
fn has_hole(bytes: &[u8], from: usize, until: usize) -> bool {
    let sectors = (from / SECTOR * SECTOR..until).step_by(SECTOR);
    sectors.map(|sector| sector.max(from)..(sector + SECTOR).min(bytes.len())).any(|range| {
        let sector = bytes.get(range).unwrap_or_default();
        !sector.is_empty() && sector.iter().all(|byte| *byte == 0)
    })
}

/// The header that this would be but for one wrong byte: enough to tell whose frame it was.
fn mended(segment: u32, bytes: &[u8]) -> Option<Header> {
    let mut header: [u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
    for at in 0..HEADER {
        let Some(was) = header.get(at).copied() else { break };
        for value in 0..=u8::MAX {
            if let Some(byte) = header.get_mut(at) {
                *byte = value;
            }
            if value != was
                && let Some(header) = Header::read(segment, &header)
            {
                return Some(header);
            }
        }
        if let Some(byte) = header.get_mut(at) {
            *byte = was;
        }
    }
    None
}
