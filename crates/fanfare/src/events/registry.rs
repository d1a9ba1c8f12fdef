//! All namespaces of a hub, as its transports call them.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use fanfare_hub::Hub;
use fanfare_protocol::{Code, Problem, name::check_namespace};
use fanfare_transport::{
    Application, Handshake, Later, NodeRules, Peer, Visit,
    application::{namespace_channel, namespace_prefix},
};
use parking_lot::RwLock;
use tokio::{runtime::Handle, sync::Semaphore};

use super::{Admission, Events, Socket, space::Space};
use crate::{Fanfare, fanfare::WeakFanfare};

/// Calls over HTTP that may be under way at once, on one node.
const OVER_HTTP: usize = 1024;

/// Handlers' figures.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub calls: AtomicU64,
    pub refused: AtomicU64,
    pub late: AtomicU64,
    pub panics: AtomicU64,
}

impl Figures {
    pub(super) fn count(figure: &AtomicU64) {
        figure.fetch_add(1, Ordering::Relaxed);
    }
}

/// The namespaces that the application has handlers for.
pub(crate) struct Registry {
    pub(super) hub: Arc<Hub>,
    pub(super) rules: Arc<dyn NodeRules>,
    pub(super) runtime: Handle,
    pub figures: Figures,
    /// The handle that handlers get; set once it is there.
    home: OnceLock<WeakFanfare>,
    spaces: RwLock<BTreeMap<Arc<str>, Arc<Space>>>,
    /// Calls over HTTP that may be under way at once.
    over_http: Arc<Semaphore>,
    me: Weak<Self>,
}

impl Registry {
    /// No namespaces yet.
    pub fn new(hub: Arc<Hub>, rules: Arc<dyn NodeRules>, runtime: Handle) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            hub,
            rules,
            runtime,
            figures: Figures::default(),
            home: OnceLock::new(),
            spaces: RwLock::default(),
            over_http: Arc::new(Semaphore::new(OVER_HTTP)),
            me: me.clone(),
        })
    }

    /// The hub that handlers belong to.
    pub fn set_home(&self, home: WeakFanfare) {
        drop(self.home.set(home));
    }

    pub(super) fn home(&self) -> Option<Fanfare> {
        self.home.get()?.upgrade()
    }

    /// A namespace's handlers, made if there are none.
    pub fn space(&self, namespace: &str) -> Events {
        if let Err(problem) = check_namespace(namespace) {
            panic!("{namespace:?}: {}", problem.detail);
        }
        let mut spaces = self.spaces.write();
        let name: Arc<str> = namespace.into();
        let space = spaces.entry(name.clone()).or_insert_with(|| Space::new(name, self.me.clone()));
        Events(space.clone())
    }

    fn find(&self, namespace: &str) -> Option<Arc<Space>> {
        self.spaces.read().get(namespace).cloned()
    }

    /// The visit of a connection to a namespace, by any `sid` that the connection goes by: those of a native one differ in their last part alone.
    pub(crate) fn visitor(&self, namespace: &str, sid: &str) -> Option<Socket> {
        let space = self.find(namespace)?;
        space.socket(sid).or_else(|| {
            let (connection, _) = sid.rsplit_once('-').filter(|(_, last)| *last == "0")?;
            let mut sockets = space.sockets().into_iter();
            sockets.find(|socket| socket.sid().rsplit_once('-').is_some_and(|(of, _)| of == connection))
        })
    }

    /// Whether channels with this prefix are rooms of another namespace.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.spaces.read().keys().any(|name| namespace_prefix(name).as_deref() == Some(prefix))
    }
}

impl Application for Registry {
    fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let Figures { calls, refused, late, panics } = &self.figures;
        vec![
            ("calls", "Events given to the application's handlers", of(calls)),
            ("calls_refused", "Events that a handler answered with an error", of(refused)),
            ("calls_late", "Handlers stopped at their deadline", of(late)),
            ("calls_panicked", "Handlers that panicked", of(panics)),
        ]
    }

    fn wants_requests(&self) -> bool {
        !self.spaces.read().is_empty()
    }

    fn knows(&self, namespace: &str) -> bool {
        self.spaces.read().contains_key(namespace)
    }

    fn enter(
        &self,
        handshake: Handshake,
        peer: Option<Arc<dyn Peer>>,
    ) -> Later<Result<Arc<dyn Visit>, Problem>> {
        let space = self.find(&handshake.namespace);
        // Who has a connection is bounded by it.
        let turn = peer.is_none().then(|| self.over_http.clone().try_acquire_owned());
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let space = space.ok_or_else(|| {
                Problem::new(Code::NotFound, format!("there is no namespace {}", handshake.namespace))
            })?;
            let turn = turn.transpose().map_err(|_| {
                Problem::new(
                    Code::Unavailable,
                    format!("more than {OVER_HTTP} calls over HTTP are under way"),
                )
                .retry_after_ms(1000)
            })?;
            let handlers = space.handlers();
            let mut admission = Admission::new();
            for middleware in &handlers.middlewares {
                // On a task of its own: a panic is the middleware's alone, and it ends with its deadline.
                let decided = runtime.spawn(middleware(handshake.clone()));
                let decided = super::visit::in_time(handlers.deadline, decided).await?;
                admission.add(decided?);
            }
            // What is said to everybody while a client is away is found by where it stood. Before it is anywhere: it may go while this waits.
            let hears_all = match &peer {
                Some(peer) if peer.absence().is_some() => {
                    peer.join(namespace_channel(&space.name)).await.is_ok()
                }
                _ => false,
            };
            let socket = Socket::enter(space, handshake, admission, peer, turn);
            if hears_all {
                socket.hears_all();
            }
            Ok(Arc::new(socket) as Arc<dyn Visit>)
        })
    }
}
