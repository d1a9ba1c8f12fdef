//! From messages to a server's frames: never masked (RFC 6455 section 5.1), lengths in their shortest form.

use crate::close;
use bytes::Bytes;

/// The longest header that a server writes: two bytes and a 64-bit length.
pub const MAX_HEADER: usize = 10;
/// The most payload bytes of a control frame (section 5.5).
pub const MAX_CONTROL: usize = 125;
/// The most bytes of a close reason: a control frame's payload without the code.
pub const MAX_REASON: usize = MAX_CONTROL - 2;

/// A frame's opcode (section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A UTF-8 text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The last frame of a direction.
    Close = 0x8,
    /// Asks for a Pong.
    Ping = 0x9,
    /// Answers a Ping, or is a one-way sign of life.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode with these four bits; `None` for reserved ones.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Close, Ping or Pong.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// An encoded frame header of 2, 4 or 10 bytes; dereferences to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl std::ops::Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// How many bytes the header of a server's frame with this payload takes: 2, 4 or 10.
#[must_use]
pub const fn header_len(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The header of a frame with `payload` bytes. The caller keeps control frames whole and within [`MAX_CONTROL`].
#[must_use]
pub fn header(opcode: Opcode, fin: bool, payload: usize) -> Header {
    let first = opcode as u8 | if fin { 0x80 } else { 0 };
    let mut bytes = [0; MAX_HEADER];
    match header_len(payload) {
        2 => [bytes[0], bytes[1]] = [first, payload as u8],
        4 => {
            let [a, b] = (payload as u16).to_be_bytes();
            [bytes[0], bytes[1], bytes[2], bytes[3]] = [first, 126, a, b];
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = (payload as u64).to_be_bytes();
            bytes = [first, 127, a, b, c, d, e, f, g, h];
        }
    }
    Header { bytes, len: header_len(payload) as u8 }
}

/// Appends one unfragmented frame. A control frame's payload is cut at [`MAX_CONTROL`].
pub fn append_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let payload = match payload.split_at_checked(MAX_CONTROL) {
        Some((head, _)) if opcode.is_control() => head,
        _ => payload,
    };
    let header = header(opcode, true, payload.len());
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

fn single(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(header_len(payload.len()) + payload.len());
    append_frame(&mut out, opcode, payload);
    Bytes::from(out)
}

/// A text message in one frame; `payload` must be UTF-8.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    single(Opcode::Text, payload)
}

/// A binary message in one frame.
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    single(Opcode::Binary, payload)
}

/// A Ping; the payload is cut at [`MAX_CONTROL`].
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    single(Opcode::Ping, payload)
}

/// A Pong; the payload is cut at [`MAX_CONTROL`].
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    single(Opcode::Pong, payload)
}

/// A Close. The reason is cut at [`MAX_REASON`] bytes, on a character's boundary. A code that must not be sent
/// (see [`close::is_sendable`]; 1005 among them) makes a Close without payload, which the client reports as 1005.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    if !close::is_sendable(code) {
        return single(Opcode::Close, &[]);
    }
    let cut = (0..=MAX_REASON.min(reason.len())).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    let reason = reason.get(..cut).unwrap_or_default();
    let mut payload = Vec::with_capacity(MAX_CONTROL);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    single(Opcode::Close, &payload)
}

/// The answer to a received [`Message::Close`](crate::Message::Close): its code echoed (section 5.5.1).
#[must_use]
pub fn close_reply(received: Option<&(u16, Bytes)>) -> Bytes {
    close_frame(received.map_or(close::NO_STATUS, |(code, _)| *code), "")
}

/// A frame whose payload is written straight into the output buffer, its length unknown until the end.
///
/// [`begin`](Self::begin) leaves room for the header of the expected length, the caller appends the payload, and
/// [`finish`](Self::finish) fills the header in. Only when the guess was of another header size (2 bytes up to 125,
/// 4 up to 65,535, 10 above) does the payload move.
///
/// ```
/// use fanfare_websocket::frame::{InPlace, Opcode};
///
/// let mut out = Vec::new();
/// let frame = InPlace::begin(&mut out, 100);
/// out.extend_from_slice(b"{\"type\":\"pong\"}");
/// frame.finish(&mut out, Opcode::Text);
/// assert_eq!(out[..2], [0x81, 15]);
/// ```
#[derive(Debug)]
#[must_use = "the room for the header stays empty until `finish` or `abandon`"]
pub struct InPlace {
    start: usize,
    room: usize,
}

impl InPlace {
    /// Begins a frame at the end of `out`; `expected` is a guess of its payload in bytes.
    pub fn begin(out: &mut Vec<u8>, expected: usize) -> Self {
        let room = header_len(expected);
        let start = out.len();
        out.reserve(room.saturating_add(expected));
        out.resize(start + room, 0);
        Self { start, room }
    }

    /// Ends the frame: everything appended since [`begin`](Self::begin) is its payload. Meant for data frames;
    /// a control frame's payload must be within [`MAX_CONTROL`].
    pub fn finish(self, out: &mut Vec<u8>, opcode: Opcode) {
        let body = self.start + self.room;
        // If the caller cut the buffer below the header, the frame is empty rather than corrupt.
        out.resize(out.len().max(body), 0);
        let header = header(opcode, true, out.len() - body);
        if header.len() == self.room {
            if let Some(room) = out.get_mut(self.start..body) {
                room.copy_from_slice(&header);
            }
        } else {
            out.splice(self.start..body, header.iter().copied());
        }
    }

    /// Takes back the header and whatever was appended since.
    pub fn abandon(self, out: &mut Vec<u8>) {
        out.truncate(self.start);
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
