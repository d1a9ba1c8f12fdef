//! What the decoder hands out.

use crate::close;
use crate::error::WsError;
use bytes::Bytes;

/// One whole message or control frame from the client, unmasked and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message; the bytes are valid UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A Ping of at most 125 bytes; answer with a Pong of the same payload (section 5.5.2).
    Ping(Bytes),
    /// A Pong of at most 125 bytes, solicited or not (section 5.5.3).
    Pong(Bytes),
    /// The client closes: status code and UTF-8 reason, or `None` for a Close without payload. Answer with
    /// [`frame::close_reply`](crate::frame::close_reply); the decoder ignores whatever follows (section 5.5.1).
    Close(Option<(u16, Bytes)>),
}

impl Message {
    /// Payload bytes; for a Close, those of its reason.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(data) | Self::Binary(data) | Self::Ping(data) | Self::Pong(data) => data.len(),
            Self::Close(close) => close.as_ref().map_or(0, |(_, reason)| reason.len()),
        }
    }

    /// Whether [`len`](Self::len) is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the unmasked payload of a Close frame (sections 5.5.1 and 7.4).
    pub(crate) fn close(payload: Vec<u8>) -> Result<Self, WsError> {
        let code = match payload.as_slice() {
            [] => return Ok(Self::Close(None)),
            [_] => return Err(WsError::CloseTruncated),
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
        };
        if !close::is_sendable(code) {
            return Err(WsError::CloseCode(code));
        }
        let reason = Bytes::from(payload).split_off(2);
        if simdutf8::basic::from_utf8(&reason).is_err() {
            return Err(WsError::CloseReason);
        }
        Ok(Self::Close(Some((code, reason))))
    }
}
