//! A hub inside a program.
use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Weak},
};

use axum::{Extension, Router};
use fanfare_transport::{Authorizer, Node};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{
    builder::Builder,
    config::Live,
    events::Registry,
    http::{self, Http},
    server::{
        StartError,
        accept::accept_until,
        assemble::{Assembled, assemble},
        connection::{Open, Server},
        drain::drain,
    },
    store::Store,
};

/// A hub inside a program: mount its [`router`](Fanfare::router), [`publish`](Fanfare::publish), [`subscribe`](Fanfare::subscribe).
///
/// Cheap to clone; all clones are one hub. When the last clone and the last router are gone, its background tasks end, and its data
/// directory is closed; stop with [`shutdown`](Fanfare::shutdown) before, so that it is closed in order.
///
/// # Examples
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use fanfare::Fanfare;
///
/// let fanfare = Fanfare::builder().open().build()?;
/// let published = fanfare.publish("chat:lobby", "hello").await?;
/// assert_eq!(published.position.map(|at| at.offset), Some(1));
/// fanfare.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fanfare {
    inner: Arc<Inner>,
}

struct Inner {
    live: Arc<Live>,
    node: Arc<Node>,
    registry: Arc<Registry>,
    store: Option<Store>,
    page: bool,
    stopping: watch::Sender<bool>,
    open: Arc<Open>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

/// A hub that may be gone.
pub(crate) struct WeakFanfare(Weak<Inner>);

impl WeakFanfare {
    /// The hub, if it is there.
    pub fn upgrade(&self) -> Option<Fanfare> {
        self.0.upgrade().map(|inner| Fanfare { inner })
    }
}

/// Keeps the hub's tasks running as long as a router is mounted somewhere.
#[derive(Clone)]
struct Alive {
    _hub: Arc<Inner>,
}

impl Fanfare {
    /// Begins a hub.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fanfare = fanfare::Fanfare::builder()
    ///     .toml(r#"
    ///         [namespaces.chat]
    ///         history = { size = 100 }
    ///         anonymous = ["subscribe"]
    ///     "#)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A hub over a configuration, whose messages are kept in the directory, or without one in memory. Must be called on a Tokio
    /// runtime.
    pub(crate) fn over(
        live: Arc<Live>,
        authorizer: Option<Arc<dyn Authorizer>>,
        page: bool,
        data: Option<&Path>,
    ) -> Result<Self, StartError> {
        let Assembled { node, registry, store, tasks } = assemble(&live, authorizer, data)?;
        let stopping = watch::Sender::new(false);
        let open = Arc::default();
        let inner = Arc::new(Inner { live, node, registry, store, page, stopping, open, _tasks: tasks });
        inner.registry.set_home(WeakFanfare(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// The application's handlers.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// Tells when the hub stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stopping.subscribe()
    }

    /// The configuration, which can be reloaded while the hub runs.
    pub fn live(&self) -> &Arc<Live> {
        &self.inner.live
    }

    fn http(&self) -> Http {
        let options = http::Options {
            page: self.inner.page,
            admin: true,
            live: Some(self.inner.live.clone()),
            store: self.inner.store.clone(),
        };
        http::http(self.inner.node.clone(), options)
    }

    /// Everything that clients of the hub use (`/v1/...`, `/health/...`, `/metrics`), to be mounted in an application at any path.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    ///
    /// let fanfare = fanfare::Fanfare::builder().build()?;
    /// // Clients connect to /realtime/v1/ws, /realtime/v1/sse, ...
    /// let app: Router = Router::new()
    ///     .route("/", get(async || "my application"))
    ///     .nest("/realtime", fanfare.router());
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        self.http().router.layer(Extension(Alive { _hub: self.inner.clone() }))
    }

    /// Serves the hub alone on a listener, as the `fanfare` binary does (where most connections cost a fraction of what they cost behind
    /// another HTTP server), until [`shutdown`](Fanfare::shutdown).
    ///
    /// # Errors
    /// The listener is not one.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fanfare = fanfare::Fanfare::builder().dev().build()?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let serving = tokio::spawn({
    ///     let fanfare = fanfare.clone();
    ///     async move { fanfare.serve(listener).await }
    /// });
    /// fanfare.shutdown().await;
    /// serving.await??;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        listener.local_addr()?;
        self.accept(listener, None).await;
        Ok(())
    }

    /// Accepts until the hub stops.
    pub(crate) async fn accept(&self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let inner = &self.inner;
        let server =
            Server::new(inner.node.clone(), self.http(), tls, inner.stopping.subscribe(), inner.open.clone());
        let mut stopping = inner.stopping.subscribe();
        // An error means that the hub is gone.
        let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        accept_until(listener, stopped, |stream| server.serve(stream)).await;
    }

    /// Stops: nobody is accepted any more, every connection is told `draining` and when to come back, requests under way are answered,
    /// subscriptions inside the program end. Returns when all are gone, at most after `limits.drain` (10 s), and everything accepted is in the
    /// data directory, if there is one. What is published after that is refused.
    ///
    /// A server of your own that the router is mounted in is yours to stop, after this.
    pub async fn shutdown(&self) {
        self.inner.stopping.send_replace(true);
        self.inner.node.hub.keep_members();
        let limit = self.inner.live.config().limits.drain;
        drain(&self.inner.node, &self.inner.open, limit).await;
        if let Err(problem) = self.inner.node.hub.broker().stop().await {
            tracing::error!(%problem, "what was accepted last may not be kept");
        }
    }
}

impl fmt::Debug for Fanfare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanfare")
            .field("connections", &self.inner.node.hub.directory().len())
            .field("stopping", &*self.inner.stopping.borrow())
            .finish_non_exhaustive()
    }
}
