//! The transports that the script runs over.

/// A way to read channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// WebSocket, JSON.
    WsJson,
    /// WebSocket, MessagePack.
    WsMsgpack,
    /// Server-sent events.
    Sse,
    /// NDJSON stream.
    Stream,
    /// Polls that wait.
    LongPoll,
    /// Polls that do not.
    ShortPoll,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::WsJson, Self::WsMsgpack, Self::Sse, Self::Stream, Self::LongPoll, Self::ShortPoll];

    /// Channels that a client reads over one connection: HTTP requests may name 16, so their clients use two connections for 20.
    pub fn channels_per_connection(self) -> usize {
        match self {
            Self::WsJson | Self::WsMsgpack => 100,
            Self::Sse | Self::Stream | Self::LongPoll | Self::ShortPoll => 10,
        }
    }
}
