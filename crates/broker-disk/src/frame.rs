//! The frames that a segment is made of, and their checksums.
//!
//! ```text
//! segment  "FANFLOG1" | id u64 | frame | frame | ...            integers are little-endian
//! frame    body length u32 | kind u8 | flags u8 | 0 u16 | channel u32 | prev u32 | body crc u32 | header crc u32 | body
//! ```
//!
//! `prev` is where the channel's previous message begins in this segment, 0 if it is the first. The header has a checksum
//! of its own (over the segment's id and its first 20 bytes), so that a damaged body does not hide whose it was.

/// Bytes of a frame before its body.
pub(crate) const HEADER: usize = 24;
/// Bytes of a segment before its first frame.
pub(crate) const SEGMENT_HEADER: usize = 16;
/// No body is longer: anything else is damage.
pub(crate) const MAX_BODY: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"FANFLOG1";

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Name, epoch and head of a channel; precedes its first message in each segment, or carries its head alone.
    Channel,
    /// A message.
    Message,
    /// Later deadlines of keys.
    Renew,
    /// Everything of the channel before this was synced, and nothing was delivered ahead of a sync since.
    Settled,
    /// How far this segment was synced when this was written.
    Mark,
    /// The channel was dropped: nothing before this is its any more.
    Gone,
    /// Nothing: a message that was refused after it had been written.
    Void,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Channel => 1,
            Self::Message => 2,
            Self::Renew => 3,
            Self::Settled => 4,
            Self::Mark => 5,
            Self::Gone => 6,
            Self::Void => 7,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Channel, Self::Message, Self::Renew, Self::Settled, Self::Mark, Self::Gone, Self::Void]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// A frame's header, its checksum verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Bytes of the body.
    pub len: u32,
    pub kind: Kind,
    /// Of messages: [`LOOSE`], [`REMEMBERED`].
    pub flags: u8,
    /// The channel's number; 0 for the segment's own frames.
    pub channel: u32,
    /// Where the channel's previous message of this segment begins; 0 for none.
    pub prev: u32,
    pub body_crc: u32,
}

/// The message may be seen by readers before it is synced.
pub(crate) const LOOSE: u8 = 1;
/// The message's id is its publisher's own.
pub(crate) const REMEMBERED: u8 = 2;

impl Header {
    /// Appends the header to what is about to be written.
    pub fn write(&self, segment: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&[self.kind.code(), self.flags, 0, 0]);
        out.extend_from_slice(&self.channel.to_le_bytes());
        out.extend_from_slice(&self.prev.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        let crc = header_crc(segment, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header; none if its checksum is wrong.
    pub fn read(segment: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let (fields, crc) = bytes.split_at_checked(HEADER - 4)?;
        if u32_at(crc, 0)? != header_crc(segment, fields) {
            return None;
        }
        Some(Self {
            len: u32_at(fields, 0).filter(|len| *len as usize <= MAX_BODY)?,
            kind: Kind::of(*fields.get(4)?)?,
            flags: *fields.get(5)?,
            channel: u32_at(fields, 8)?,
            prev: u32_at(fields, 12)?,
            body_crc: u32_at(fields, 16)?,
        })
    }

    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> usize {
        HEADER + self.len as usize
    }
}

/// Appends a frame.
pub(crate) fn write_frame(segment: u32, kind: Kind, channel: u32, body: &[u8], out: &mut Vec<u8>) {
    let header = Header { len: body.len() as u32, kind, flags: 0, channel, prev: 0, body_crc: crc(body) };
    header.write(segment, out);
    out.extend_from_slice(body);
}

/// The first bytes of a segment.
pub(crate) fn segment_header(id: u32) -> [u8; SEGMENT_HEADER] {
    let mut bytes = [0; SEGMENT_HEADER];
    let (magic, number) = bytes.split_at_mut(8);
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&u64::from(id).to_le_bytes());
    bytes
}

/// The checksum of a body.
pub(crate) fn crc(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

fn header_crc(segment: u32, fields: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(segment);
    hasher.update(fields);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_any_flipped_bit_is_seen() {
        let header = Header { len: 77, kind: Kind::Message, flags: LOOSE, channel: 9, prev: 16, body_crc: 5 };
        let mut bytes = Vec::new();
        header.write(3, &mut bytes);
        assert_eq!(Header::read(3, &bytes), Some(header));
        assert_eq!(Header::read(4, &bytes), None, "a frame of another segment is not one of this");
        for bit in 0..HEADER * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::read(3, &damaged), None, "bit {bit}");
        }
        assert_eq!(Header::read(3, &[0; HEADER]), None);
        assert_eq!(Header::read(3, &bytes[..HEADER - 1]), None);
    }
}
