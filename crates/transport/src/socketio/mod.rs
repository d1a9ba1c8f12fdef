//! Socket.IO for unmodified clients: the first dialect, and the seam that others use too.
//!
//! A session of Engine.IO is one task ([`engine`]), which requests or a WebSocket carry. In it every namespace that the client joins is a
//! connection of the hub with a session of its own ([`space`]), because each has its own credentials; they share the socket ([`mux`]). Rounds write to
//! it as they write to any. What a client is beyond its connection is a [`core`]: it goes on where it was interrupted.
mod admit;
mod bare;
mod core;
mod counted;
mod engine;
mod few;
mod forms;
mod mux;
mod peer;
mod record;
mod request;
mod said;
pub(crate) mod serve;
mod sessions;
mod settings;
mod space;
mod spaces;
mod websocket;

use std::sync::Arc;

use fanfare_protocol::Problem;
use parking_lot::Mutex;

use crate::node::{Node, NodeRules};

pub use fanfare_dialect_socketio::contract::is_word;

pub use bare::{EngineHandler, EngineMessage, EngineSocket};
pub use serve::{engine_routes, routes};
pub use settings::SocketIoSettings;

/// What a node keeps for Socket.IO.
#[derive(Default)]
pub(crate) struct SocketIo {
    pub(crate) sessions: Arc<sessions::Sessions>,
    pids: core::Pids,
    /// As they were when they were last asked for: connections share them.
    settings: Mutex<Arc<SocketIoSettings>>,
}

impl SocketIo {
    /// How it is served now.
    fn settings(&self, rules: &dyn NodeRules) -> Arc<SocketIoSettings> {
        let now = rules.socketio();
        let mut known = self.settings.lock();
        if **known != now {
            *known = now.into();
        }
        known.clone()
    }

    /// Reads back, once, what an earlier run of the server knew of its clients.
    pub(crate) async fn read_back(&self, node: &Node) -> Result<(), Problem> {
        let settings = self.settings(&*node.rules);
        match settings.enabled && settings.recovery && settings.outlives {
            true => self.pids.read_back(&node.hub).await,
            false => Ok(()),
        }
    }

    /// The node stops: connections that joined nothing end too, which no connection of the hub stands for.
    pub(crate) fn drain(&self) {
        self.sessions.all().iter().for_each(|handle| handle.tell(sessions::Told::Drain));
    }
}
