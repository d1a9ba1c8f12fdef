//! Engine.IO alone, for programs that speak something else than Socket.IO over it.
use std::sync::Arc;

use axum::Router;
use fanfare_transport::socketio::{EngineHandler, SocketIoSettings, engine_routes};

use crate::Fanfare;

impl Fanfare {
    /// Engine.IO 4 at a path (`/engine.io/`), with the intervals and limits of `[socketio]`, but without Socket.IO: every message of a client goes to
    /// the handler. To be merged into the application's own router; WebSockets, polling and the change from one to the other are served.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use fanfare::{EngineHandler, EngineMessage, EngineSocket, Fanfare};
    ///
    /// struct Echo;
    ///
    /// impl EngineHandler for Echo {
    ///     fn message(&self, socket: &EngineSocket, message: EngineMessage) {
    ///         socket.send(message);
    ///     }
    /// }
    ///
    /// let fanfare = Fanfare::builder().open().build()?;
    /// let app = fanfare.router().merge(fanfare.engine_io("/engine.io/", Arc::new(Echo)));
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    pub fn engine_io(&self, path: &str, handler: Arc<dyn EngineHandler>) -> Router {
        let inner = path.trim_matches('/');
        let path = if inner.is_empty() { "/".to_owned() } else { format!("/{inner}/") };
        let settings =
            SocketIoSettings { enabled: true, path: path.into(), ..self.live().config().socketio.settings() };
        engine_routes(self.node().clone(), settings, handler)
    }
}
