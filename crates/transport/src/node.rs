//! What every transport needs of the node it runs on.
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use fanfare_auth::Authenticator;
use fanfare_hub::{Hub, HubRules};
use fanfare_protocol::{Code, Problem, code::TABLE};
use fanfare_session::Rules;

use crate::{
    application::Application,
    authorizer::Authorizer,
    socketio::{SocketIo, SocketIoSettings},
};

/// Configuration as transports see it, read anew at each use. Sizes in bytes, times in milliseconds.
pub trait NodeRules: Rules + HubRules {
    /// Whether pages of this origin may use the hub with cookies and read its answers.
    fn allows_origin(&self, origin: &str) -> bool;
    /// Development mode: requests that name another host than this one are refused.
    fn is_dev(&self) -> bool;
    /// The transports' own limits.
    fn transport(&self) -> TransportLimits;
    /// How Socket.IO is served.
    fn socketio(&self) -> SocketIoSettings {
        SocketIoSettings::default()
    }
    /// Whether a namespace of this name is configured.
    fn has_namespace(&self, _name: &str) -> bool {
        false
    }
}

/// Limits that transports enforce. Sizes in bytes, times in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransportLimits {
    /// A WebSocket frame, as announced.
    pub frame_bytes: usize,
    /// Frames of one WebSocket message.
    pub fragments: u32,
    /// Control frames waiting for a client that does not read: above it, the connection is not read.
    pub control_bytes: usize,
    /// A request's head.
    pub header_bytes: usize,
    /// How long a request's head may take.
    pub handshake_ms: u64,
    /// Open connections (WebSocket, SSE, stream, polls that wait) of this node.
    pub connections: usize,
    /// Open connections of one user.
    pub connections_per_user: usize,
}

/// A node: its hub, who may use it, and how it is configured.
pub struct Node {
    /// The hub.
    pub hub: Arc<Hub>,
    /// Verifies tokens and keys.
    pub auth: Arc<Authenticator>,
    /// The configuration.
    pub rules: Arc<dyn NodeRules>,
    /// The embedding application's own decisions.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// The product's version.
    pub version: &'static str,
    /// Errors told to clients, by code.
    pub errors: Errors,
    /// Polls that wait.
    pub(crate) parked: AtomicUsize,
    /// Socket.IO's sessions.
    pub(crate) socketio: SocketIo,
    draining: AtomicBool,
    application: OnceLock<Arc<dyn Application>>,
}

impl Node {
    /// A node that is not draining.
    pub fn new(
        hub: Arc<Hub>,
        auth: Arc<Authenticator>,
        rules: Arc<dyn NodeRules>,
        authorizer: Option<Arc<dyn Authorizer>>,
        version: &'static str,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub,
            auth,
            rules,
            authorizer,
            version,
            errors: Errors::default(),
            parked: AtomicUsize::new(0),
            socketio: SocketIo::default(),
            draining: AtomicBool::new(false),
            application: OnceLock::new(),
        })
    }

    /// The application whose handlers clients' events go to; none where a node is made without.
    pub fn application(&self) -> Option<&Arc<dyn Application>> {
        self.application.get()
    }

    /// Whether anybody here speaks to clients of a namespace: handlers, or hooks whose answers do.
    pub(crate) fn speaks_to_clients(&self, namespace: &str) -> bool {
        self.application().is_some_and(|application| application.knows(namespace))
            || self.authorizer.as_ref().is_some_and(|decides| decides.wants_peers())
    }

    /// Whether the request that a WebSocket came with must be kept, for those who decide about what comes later.
    pub(crate) fn keeps_requests(&self) -> bool {
        self.authorizer.is_some()
            || self.application().is_some_and(|application| application.wants_requests())
    }

    /// Gives the node its application, once, before it has connections; a second one is not taken.
    pub fn set_application(&self, application: Arc<dyn Application>) {
        // The first one stays.
        drop(self.application.set(application));
    }

    /// Polls that wait, Socket.IO's too: connections of the hub, each on one of the server's.
    pub fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Reads back what an earlier run of the server knew of its Socket.IO clients. To be called before anything is published; where it is
    /// not, or fails, fewer of them go on where they were.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn read_back_clients(&self) -> Result<(), Problem> {
        self.socketio.read_back(self).await
    }

    /// Whether the node is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Tells every connection to end, each to come back at its own moment within `spread_ms`.
    pub fn drain(&self, spread_ms: u64) {
        self.draining.store(true, Ordering::Release);
        let connections = self.hub.directory().all();
        let count = connections.len().max(1) as u64;
        for (n, connection) in connections.into_iter().enumerate() {
            let wait = 100 + spread_ms * n as u64 / count;
            let problem = Problem::new(Code::Draining, "the server is stopping").retry_after_ms(wait);
            connection.notify(fanfare_hub::Notice::Disconnect(problem));
        }
        self.socketio.drain();
    }
}

/// Errors told to clients, by code.
#[derive(Debug, Default)]
pub struct Errors([AtomicU64; TABLE.len()]);

impl Errors {
    /// Counts one.
    pub fn count(&self, code: Code) {
        if let Some(count) = self.0.get(code as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every code with its count.
    pub fn snapshot(&self) -> impl Iterator<Item = (Code, u64)> + '_ {
        TABLE.iter().zip(&self.0).map(|(row, count)| (row.code, count.load(Ordering::Relaxed)))
    }
}
