//! What a client can do wrong once the connection is a WebSocket.

use crate::close;

/// A violation that ends the connection; each says which Close frame to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// A reserved bit is set, but no extension was negotiated (section 5.2).
    #[error("a reserved bit is set without a negotiated extension")]
    ReservedBits,
    /// Opcodes 3-7 and 11-15 are reserved (section 5.2).
    #[error("opcode {0:#x} is reserved")]
    UnknownOpcode(u8),
    /// Clients must mask every frame (section 5.1).
    #[error("a client frame is not masked")]
    Unmasked,
    /// A control frame may not be fragmented (section 5.5).
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A control frame's payload is at most 125 bytes (section 5.5).
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// The length is not in its shortest form, or its top bit is set (section 5.2).
    #[error("the frame length is badly encoded")]
    LengthEncoding,
    /// A continuation frame arrived while no message was open (section 5.4).
    #[error("a continuation frame continues nothing")]
    UnexpectedContinuation,
    /// A new data frame arrived inside a fragmented message (section 5.4).
    #[error("a data frame interrupts a fragmented message")]
    ExpectedContinuation,
    /// The payload of a Close frame is one byte long (section 5.5.1).
    #[error("a close frame has a one-byte payload")]
    CloseTruncated,
    /// A status code that must not be sent (section 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// A close reason that is not UTF-8 (section 5.5.1).
    #[error("the close reason is not UTF-8")]
    CloseReason,
    /// Text that is not UTF-8, found at its first bad byte (section 8.1).
    #[error("a text message is not UTF-8")]
    InvalidUtf8,
    /// A header announced a payload above [`Limits::frame_bytes`](crate::Limits); none of it was kept.
    #[error("a frame of {announced} bytes is over the limit")]
    FrameTooLarge {
        /// Payload length in bytes, as announced.
        announced: u64,
    },
    /// A frame would make its message larger than [`Limits::message_bytes`](crate::Limits).
    #[error("a message of at least {announced} bytes is over the limit")]
    MessageTooLarge {
        /// Bytes of the message so far plus those announced by the refused frame.
        announced: u64,
    },
    /// A message has more frames than [`Limits::fragments`](crate::Limits).
    #[error("a message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit that was passed.
        limit: u32,
    },
}

impl WsError {
    /// The status code of the Close frame to answer with (section 7.4.1): 1002, 1007, 1008 or 1009.
    ///
    /// Too many fragments is 1008 (policy): the message need not be *big*, which is what 1009 says and what a
    /// client would act on by sending less; splitting it less is what would help.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::CloseReason | Self::InvalidUtf8 => close::INVALID_DATA,
            Self::FrameTooLarge { .. } | Self::MessageTooLarge { .. } => close::TOO_LARGE,
            Self::TooManyFragments { .. } => close::POLICY,
            Self::ReservedBits
            | Self::UnknownOpcode(_)
            | Self::Unmasked
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthEncoding
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTruncated
            | Self::CloseCode(_) => close::PROTOCOL_ERROR,
        }
    }

    /// A reason for that Close frame: short, static, without anything the client sent.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::UnknownOpcode(_) => "reserved opcode",
            Self::Unmasked => "frame not masked",
            Self::ControlFragmented => "control frame fragmented",
            Self::ControlTooLong => "control frame over 125 bytes",
            Self::LengthEncoding => "bad length encoding",
            Self::UnexpectedContinuation => "continuation of nothing",
            Self::ExpectedContinuation => "continuation frame expected",
            Self::CloseTruncated => "bad close payload",
            Self::CloseCode(_) => "bad close code",
            Self::CloseReason => "close reason is not UTF-8",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::FrameTooLarge { .. } => "frame too large",
            Self::MessageTooLarge { .. } => "message too large",
            Self::TooManyFragments { .. } => "too many fragments",
        }
    }
}
