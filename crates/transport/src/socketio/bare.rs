//! Engine.IO alone, for programs that speak something else than Socket.IO over it.
use std::sync::{Arc, Weak};

use super::sessions::{Handle, Told};

/// A message of either side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EngineMessage {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// What happens to messages of clients.
pub trait EngineHandler: Send + Sync + 'static {
    /// A message came. What is sent at once goes out in the order of messages.
    fn message(&self, socket: &EngineSocket, message: EngineMessage);
}

/// A client of a bare Engine.IO service.
#[derive(Clone)]
pub struct EngineSocket(pub(super) Weak<Handle>);

impl std::fmt::Debug for EngineSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EngineSocket")
    }
}

impl EngineSocket {
    pub(super) fn new(handle: &Arc<Handle>) -> Self {
        Self(Arc::downgrade(handle))
    }

    /// Sends a message; nothing where the client is gone.
    pub fn send(&self, message: EngineMessage) {
        if let Some(handle) = self.0.upgrade() {
            handle.tell(Told::Send(message));
        }
    }
}
