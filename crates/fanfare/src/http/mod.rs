//! The HTTP surface: publishing, history, state, presence, administration, health, metrics and the first page. The transports
//! (WebSocket, SSE, stream, poll) bring their own routes, which are merged here.
//!
//! Every request passes [`edge::guard`], the ones that ask who is asking [`who::identify`]. Every refusal is a problem document.
mod admin;
mod answer;
mod body;
mod call;
mod demos;
mod edge;
mod health;
mod hold;
mod metrics;
mod page;
mod presence;
mod publish;
mod read;
mod target;
mod who;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use fanfare_protocol::ChannelName;
use fanfare_transport::{Node, answer_poll};

use crate::{config::Live, store::Store};

/// Which parts are served, beside the messages themselves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The first page, `/` and `/web/...`, and the demos, `/demos/...`, which `[demos] enabled` also serves.
    pub page: bool,
    /// Lists and disconnections (API keys only), and `/metrics` (anybody).
    pub admin: bool,
    /// Where the limits of request bodies are read, anew for each request; their defaults without it.
    pub live: Option<Arc<Live>>,
    /// The data directory, if messages are kept in one: readiness then proves it too, and its figures are told.
    pub store: Option<Store>,
}

/// What the handlers share.
struct App {
    node: Arc<Node>,
    live: Option<Arc<Live>>,
    /// Whether what is published can be on disk.
    stored: bool,
    /// This node's own channel, over which readiness is proved.
    health: ChannelName,
    metrics: metrics::Metrics,
}

type Shared = Arc<App>;

/// What a node answers over HTTP, and how.
pub struct Http {
    /// It can be mounted under any path: the page finds the API by relative addresses.
    pub router: Router,
    app: Shared,
}

impl Http {
    /// Answers what [`fanfare_transport::Accepted::Poll`] asks as the router does, without it.
    pub fn poll(&self, request: Request) -> impl Future<Output = Response> + Send + use<> {
        let node = self.app.node.clone();
        edge::around(self.app.clone(), request, move |request| answer_poll(&node, request))
    }
}

/// Everything that a node answers over HTTP, as a router.
pub fn router(node: Arc<Node>, options: Options) -> Router {
    http(node, options).router
}

/// Everything that a node answers over HTTP.
pub fn http(node: Arc<Node>, options: Options) -> Http {
    let app = Arc::new(App {
        health: health::channel(options.store.is_some()),
        stored: options.store.is_some(),
        metrics: metrics::Metrics::new(&node, options.store.clone()),
        live: options.live.clone(),
        node: node.clone(),
    });
    let identify = from_fn_with_state(app.clone(), who::identify);
    let known = api(options.admin).route_layer(identify);
    let open = open(&options);
    let own = known.merge(open).with_state(app.clone()).layer(from_fn(answer::uncached));
    let router = own
        .merge(transports(node))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(from_fn_with_state(app.clone(), edge::guard));
    Http { router, app }
}

/// The routes of WebSocket, SSE, stream and poll, and of dialects.
fn transports(node: Arc<Node>) -> Router {
    fanfare_transport::routes(node.clone()).merge(fanfare_transport::socketio::routes(node))
}

/// What is answered by who asks. Every `/v1/channels/{channel}/X` is also `/v1/X?channel=`, because proxies mangle `%2F`.
fn api(admin: bool) -> Router<Shared> {
    let mut routes = Router::new();
    for under in ["/v1/channels/{channel}", "/v1"] {
        let presence = get(presence::members).put(presence::enter).delete(presence::leave);
        routes = routes
            .route(&format!("{under}/messages"), post(publish::publish).get(read::history))
            .route(&format!("{under}/snapshot"), get(read::snapshot))
            .route(&format!("{under}/presence"), presence);
    }
    routes = routes.route("/v1/users/online", post(admin::online)).route("/v1/call", post(call::call));
    if admin {
        routes = routes
            .route("/v1/channels", get(admin::channels))
            .route("/v1/connections", get(admin::connections))
            .route("/v1/connections/{client}/disconnect", post(admin::disconnect_client))
            .route("/v1/users/{user}/disconnect", post(admin::disconnect_user));
    }
    routes
}

/// What is answered to anybody.
fn open(options: &Options) -> Router<Shared> {
    let mut routes =
        Router::new().route("/health/live", get(health::live)).route("/health/ready", get(health::ready));
    if options.admin {
        routes = routes.route("/metrics", get(metrics::show));
    }
    if options.page {
        routes = routes.route("/", get(page::index)).route("/web/{*path}", get(page::file));
    }
    if options.page || options.live.as_ref().is_some_and(|live| live.config().demos.enabled) {
        routes = routes
            .route("/demos", get(demos::without_slash))
            .route("/demos/", get(demos::index))
            .route("/demos/{*path}", get(demos::file));
    }
    routes
}
