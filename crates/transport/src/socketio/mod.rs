//! Socket.IO for unmodified clients: the first dialect, and the seam that others use too.
//!
//! A session of Engine.IO is one task ([`engine`]), which requests or a WebSocket carry. In it every namespace that the client joins is a
//! connection of the hub with a session of its own ([`space`]), because each has its own credentials; they share the socket ([`mux`]). Rounds write to
//! it as they write to any. What a client is beyond its connection is a [`core`]: it goes on where it was interrupted.
mod admit;
mod bare;
mod core;
mod engine;
mod forms;
mod mux;
mod peer;
mod record;
mod said;
pub(crate) mod serve;
mod sessions;
mod settings;
mod space;
mod spaces;
mod websocket;

use std::sync::Arc;

pub use bare::{EngineHandler, EngineMessage, EngineSocket};
pub use serve::{engine_routes, routes};
pub use settings::SocketIoSettings;

/// What a node keeps for Socket.IO.
#[derive(Default)]
pub(crate) struct SocketIo {
    pub(crate) sessions: Arc<sessions::Sessions>,
    pids: core::Pids,
}

impl SocketIo {
    /// The node stops: connections that joined nothing end too, which no connection of the hub stands for.
    pub(crate) fn drain(&self) {
        self.sessions.all().iter().for_each(|handle| handle.tell(sessions::Told::Drain));
    }
}
