//! `[socketio]`: Socket.IO for unmodified clients.
use std::time::Duration;

use fanfare_transport::socketio::SocketIoSettings;

use super::{
    kind::{Count, Flag, Size, Text, Time},
    schema::{
        Table, Visitor,
        When::{Reload, Restart},
    },
};

/// Whether and how Socket.IO is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketIoTable {
    /// Serve it.
    pub enabled: bool,
    /// Where.
    pub path: String,
    /// How often clients are pinged.
    pub ping_interval: Duration,
    /// How long they may take to answer.
    pub ping_timeout: Duration,
    /// Largest body or frame.
    pub max_payload: usize,
    /// Time to join a namespace.
    pub connect_timeout: Duration,
    /// Events carry their position.
    pub recovery: bool,
    /// How long an interrupted client may take to come back.
    pub recovery_window: Duration,
    /// Attachments of one packet.
    pub attachments: usize,
    /// Namespaces of one connection.
    pub namespaces: usize,
}

impl SocketIoTable {
    /// The built-in settings.
    pub fn built_in(dev: bool) -> Self {
        let settings = SocketIoSettings::default();
        Self {
            enabled: dev,
            path: settings.path.to_string(),
            ping_interval: Duration::from_millis(settings.ping_interval_ms),
            ping_timeout: Duration::from_millis(settings.ping_timeout_ms),
            max_payload: settings.max_payload,
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            recovery: settings.recovery,
            recovery_window: Duration::from_millis(settings.recovery_ms),
            attachments: settings.attachments,
            namespaces: settings.namespaces,
        }
    }

    /// What the transport needs of them.
    pub fn settings(&self) -> SocketIoSettings {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let inner = self.path.trim_matches('/');
        let path = if inner.is_empty() { "/".to_owned() } else { format!("/{inner}/") };
        SocketIoSettings {
            enabled: self.enabled,
            path: path.into(),
            ping_interval_ms: ms(self.ping_interval),
            ping_timeout_ms: ms(self.ping_timeout),
            max_payload: self.max_payload,
            connect_timeout_ms: ms(self.connect_timeout),
            recovery: self.recovery,
            recovery_ms: ms(self.recovery_window),
            attachments: self.attachments,
            namespaces: self.namespaces,
            ..SocketIoSettings::default()
        }
    }
}

impl Table for SocketIoTable {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Flag>("enabled", &mut self.enabled, Restart, "Serve Socket.IO (v5 over Engine.IO 4: socket.io-client 3 and 4, and what speaks like it). On in dev mode.");
        v.field::<Text>("path", &mut self.path, Restart, "Where, as clients name it in `path`.");
        v.field::<Time<100>>("ping_interval", &mut self.ping_interval, Reload, "How often a Socket.IO client is pinged.");
        v.field::<Time<100>>("ping_timeout", &mut self.ping_timeout, Reload, "How long it may take to answer; then its connection ends.");
        v.field::<Size<1024>>("max_payload", &mut self.max_payload, Reload, "Largest body of a POST, and largest WebSocket frame, of a Socket.IO client.");
        v.field::<Time<100>>("connect_timeout", &mut self.connect_timeout, Reload, "A connection that joined no namespace for so long ends.");
        v.field::<Flag>("recovery", &mut self.recovery, Reload, "Clients go on where they were interrupted: events end with their position, and what was missed is sent from the log.");
        v.field::<Time<1000>>("recovery_window", &mut self.recovery_window, Reload, "How long an interrupted client may take to come back and go on.");
        v.field::<Count<1>>("attachments", &mut self.attachments, Reload, "Binary attachments of one packet. More ends the connection.");
        v.field::<Count<1>>("namespaces", &mut self.namespaces, Reload, "Namespaces that one connection may join. More ends the connection.");
    }
}
