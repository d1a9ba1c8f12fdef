//! How Socket.IO is served.
use std::sync::Arc;

/// Settings of the Socket.IO dialect. Times in milliseconds, sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketIoSettings {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Where: begins and ends with a slash.
    pub path: Arc<str>,
    /// The server pings so often.
    pub ping_interval_ms: u64,
    /// A client that does not answer for so long is gone.
    pub ping_timeout_ms: u64,
    /// Largest body or frame of a client's.
    pub max_payload: usize,
    /// A connection that joined no namespace for so long ends.
    pub connect_timeout_ms: u64,
    /// Whether events carry their position, so that clients can go on after an interruption.
    pub recovery: bool,
    /// How long an interrupted client may take to come back.
    pub recovery_ms: u64,
    /// Whether the log outlives the process, so that clients may come back to another run of it.
    pub outlives: bool,
    /// Attachments of one packet.
    pub attachments: usize,
    /// Namespaces of one connection.
    pub namespaces: usize,
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/socket.io/".into(),
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
            connect_timeout_ms: 45_000,
            recovery: true,
            recovery_ms: 120_000,
            outlives: false,
            attachments: 10,
            namespaces: 16,
        }
    }
}
