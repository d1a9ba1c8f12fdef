//! Reading the header of a client's frame (RFC 6455 section 5.2).

use crate::decoder::Limits;
use crate::error::WsError;
use crate::frame::Opcode;

/// The longest header: two bytes, a 64-bit length, the mask.
pub(crate) const MAX_HEADER: usize = 14;

/// A checked header; the payload that follows is within every limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    pub(crate) mask: [u8; 4],
    /// Payload bytes.
    pub(crate) payload: usize,
    /// Bytes of the header itself.
    pub(crate) size: usize,
}

/// How far the fragmented message that is open, if one is, has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenMessage {
    /// Payload bytes received.
    pub(crate) bytes: usize,
    /// Frames begun.
    pub(crate) fragments: u32,
}

impl Header {
    /// Parses the header at the start of `bytes`; `None` when more bytes are needed.
    ///
    /// Checks go from the first byte to the last, each made as soon as its byte is there, so an error found in
    /// a prefix is the error of every longer input: how reads split the stream cannot change the outcome.
    pub(crate) fn parse(
        bytes: &[u8],
        open: Option<OpenMessage>,
        limits: &Limits,
    ) -> Result<Option<Self>, WsError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let (opcode, fin) = check_first(first, open, limits)?;
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(WsError::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && short > 125 {
            return Err(WsError::ControlTooLong);
        }
        let Some((announced, rest)) = extended_length(short, rest)? else { return Ok(None) };
        let payload = check_length(opcode, announced, open, limits)?;
        let Some((&mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Self { opcode, fin, mask, payload, size: bytes.len() - rest.len() }))
    }
}

/// FIN, reserved bits and opcode, and whether a frame of that opcode may come now.
fn check_first(first: u8, open: Option<OpenMessage>, limits: &Limits) -> Result<(Opcode, bool), WsError> {
    if first & 0x70 != 0 {
        return Err(WsError::ReservedBits);
    }
    let fin = first & 0x80 != 0;
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(WsError::UnknownOpcode(first & 0x0f))?;
    match (opcode, open) {
        (Opcode::Continuation, None) => return Err(WsError::UnexpectedContinuation),
        (Opcode::Continuation, Some(message)) if message.fragments >= limits.fragments => {
            return Err(WsError::TooManyFragments { limit: limits.fragments });
        }
        (Opcode::Text | Opcode::Binary, Some(_)) => return Err(WsError::ExpectedContinuation),
        _ if opcode.is_control() && !fin => return Err(WsError::ControlFragmented),
        _ => {}
    }
    Ok((opcode, fin))
}

/// The payload length and what follows it; refuses lengths that are not in their shortest form.
fn extended_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, WsError> {
    let (length, smallest, rest) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((length, rest)) => (u64::from_be_bytes(*length), 1 << 16, rest),
            None => return Ok(None),
        },
        _ => return Ok(Some((u64::from(short), rest))),
    };
    if length < smallest || length >> 63 != 0 {
        return Err(WsError::LengthEncoding);
    }
    Ok(Some((length, rest)))
}

/// Compares the announced length with the limits, before any payload is taken. Control frames are under 126
/// bytes already and belong to no message.
fn check_length(
    opcode: Opcode,
    announced: u64,
    open: Option<OpenMessage>,
    limits: &Limits,
) -> Result<usize, WsError> {
    let payload = usize::try_from(announced).map_err(|_| WsError::FrameTooLarge { announced })?;
    if opcode.is_control() {
        return Ok(payload);
    }
    if payload > limits.frame_bytes {
        return Err(WsError::FrameTooLarge { announced });
    }
    let so_far = open.map_or(0, |message| message.bytes);
    if payload > limits.message_bytes.saturating_sub(so_far) {
        return Err(WsError::MessageTooLarge { announced: announced.saturating_add(so_far as u64) });
    }
    Ok(payload)
}
