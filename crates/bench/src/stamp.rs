//! The mark in every payload by which a delivery is known: which lane, which publication.
//!
//! A **lane** is what one publisher publishes to one channel: within it order is promised, between publishers it is not.
//! Twenty characters that JSON, MessagePack and every protocol here carry unchanged: `~fb~`, then the lane's index and the
//! publication's number in that lane (from 1), eight characters each, four bits a character (`@` is 0, `O` is 15).
//! Time is not in it: the generator publishes and receives, and remembers when ([`crate::times`]).

use memchr::memmem::Finder;

/// What a stamp begins with.
pub const MARK: &[u8; 4] = b"~fb~";
/// Length of a stamp, which is the least payload.
pub const BYTES: usize = 20;

/// One publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Index of the lane: the channel's, times the number of publishers, plus the publisher's.
    pub lane: u32,
    /// Number in the lane, from 1.
    pub seq: u32,
}

impl Stamp {
    /// Appends the stamp's bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(MARK);
        for number in [self.lane, self.seq] {
            out.extend((0..8).rev().map(|digit| 0x40 | (number >> (digit * 4) & 0xf) as u8));
        }
    }

    /// The stamp that `bytes` begin with.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk::<4>()?;
        let (lane, rest) = rest.split_first_chunk::<8>()?;
        let seq = rest.first_chunk::<8>()?;
        if mark != MARK {
            return None;
        }
        Some(Self { lane: number(*lane)?, seq: number(*seq)? })
    }
}

/// Eight characters of four bits each, the highest first; none if one of them is not of the alphabet.
#[inline]
fn number(digits: [u8; 8]) -> Option<u32> {
    let word = u64::from_be_bytes(digits);
    if word & 0xf0f0_f0f0_f0f0_f0f0 != 0x4040_4040_4040_4040 {
        return None;
    }
    // Neighbours are joined: nibbles into bytes, bytes into halves, halves into the number.
    let bytes = (word & 0x0f00_0f00_0f00_0f00) >> 4 | word & 0x000f_000f_000f_000f;
    let halves = (bytes & 0x00ff_0000_00ff_0000) >> 8 | bytes & 0x0000_00ff_0000_00ff;
    Some(((halves & 0x0000_ffff_0000_0000) >> 16 | halves & 0xffff) as u32)
}

/// Finds stamps, trying first the place where the last one was: a server's frames differ by a digit now and then, no more.
#[derive(Debug)]
pub struct Seeker {
    finder: Finder<'static>,
}

impl Default for Seeker {
    fn default() -> Self {
        Self { finder: Finder::new(MARK) }
    }
}

impl Seeker {
    /// The first stamp in `unit` and where it ends. `hint` is where the last unit of the same reader had its own.
    #[inline]
    pub fn first(&self, unit: &[u8], hint: &mut u32) -> Option<(Stamp, usize)> {
        let at = *hint as usize;
        if let Some(stamp) = unit.get(at..).and_then(Stamp::read) {
            return Some((stamp, at + BYTES));
        }
        let (stamp, end) = self.next(unit, 0)?;
        *hint = (end - BYTES) as u32;
        Some((stamp, end))
    }

    /// The first stamp at or after `from`, and where it ends.
    pub fn next(&self, unit: &[u8], from: usize) -> Option<(Stamp, usize)> {
        let mut at = from;
        loop {
            at += self.finder.find(unit.get(at..)?)?;
            match unit.get(at..).and_then(Stamp::read) {
                Some(stamp) => return Some((stamp, at + BYTES)),
                None => at += MARK.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(lane: u32, seq: u32) -> Vec<u8> {
        let mut out = Vec::new();
        Stamp { lane, seq }.write(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 9, 15, 16, 255, 0x1234_5678, 0x8765_4321, u32::MAX] {
            for other in [0, 7, 0xdead_beef] {
                let written = bytes(number, other);
                assert_eq!(written.len(), BYTES);
                assert_eq!(Stamp::read(&written), Some(Stamp { lane: number, seq: other }));
            }
        }
    }

    #[test]
    fn stamps_are_plain_text_in_json() {
        let text = String::from_utf8(bytes(0x0123_4567, 0x89ab_cdef)).unwrap();
        assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{text}\""));
    }

    #[test]
    fn what_is_cut_or_is_no_stamp_is_not_read() {
        let whole = bytes(1, 2);
        for end in 0..BYTES {
            assert_eq!(Stamp::read(&whole[..end]), None);
        }
        for at in 0..BYTES {
            let mut wrong = whole.clone();
            wrong[at] = b'p';
            assert_eq!(Stamp::read(&wrong), None, "byte {at}");
        }
    }

    #[test]
    fn every_stamp_of_a_unit_is_found_behind_false_marks_too() {
        let seeker = Seeker::default();
        let mut unit = b"~fb~nothing~fb~".to_vec();
        for seq in 1..=3 {
            unit.extend(b"{\"data\":\"");
            unit.extend(bytes(5, seq));
            unit.extend(b"xx\"}~fb");
        }
        let mut hint = 3;
        let (first, mut end) = seeker.first(&unit, &mut hint).unwrap();
        let mut seen = vec![first.seq];
        while let Some((stamp, next)) = seeker.next(&unit, end) {
            seen.push(stamp.seq);
            end = next;
        }
        assert_eq!(seen, [1, 2, 3]);
        // The next unit has it at the same place.
        assert_eq!(seeker.first(&unit, &mut hint).unwrap().0.seq, 1);
    }
}
