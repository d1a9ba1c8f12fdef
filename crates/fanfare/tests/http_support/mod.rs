//! A node over the memory broker, and requests to its router without a socket.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
use std::sync::Arc;

use axum::{Router, body::Body, response::Response};
use fanfare::{
    config::{Config, Live},
    http::{Options, router},
};
use fanfare_auth::{Algorithm, Authenticator, Secret, mint::Claims};
use fanfare_broker::{Budget, ChannelPolicy, MemoryBroker, MemorySettings, Policies};
use fanfare_hub::{Hub, HubRules, Slow, unix_ms};
use fanfare_protocol::{ChannelName, Epoch, Rights};
use fanfare_session::{Limits, Rules};
use fanfare_transport::{Authorizer, Node, NodeRules, TransportLimits};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub const SECRET: &str = "a secret for tests only, 32 bytes";
pub const API_KEY: &str = "an-api-key-for-tests";
/// A session, and the client that it is.
pub const SESSION: &str = "0123456789abcdef012345";

/// A closed hub with a few namespaces.
pub const CONFIG: &str = r#"
allowed_origins = ["https://app.example"]
[auth]
hmac_secret = "a secret for tests only, 32 bytes"
api_keys = [{ name = "backend", key = "an-api-key-for-tests" }]
[limits]
message_bytes = 1000
body_bytes = 20000
publish_many_bytes = 200000
publish_many_messages = 100
presence_lease = "1s"
presence_grace = "0s"
[namespaces.default]
[namespaces.open]
keyed = true
presence = true
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.plain]
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.small]
history = { size = 3 }
anonymous = ["subscribe", "publish", "history"]
[namespaces.members]
presence = true
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
"#;

struct Told(Arc<Live>);

impl Rules for Told {
    fn anonymous(&self, channel: &str) -> Rights {
        self.0.anonymous(channel)
    }
    fn authenticated(&self, channel: &str) -> Rights {
        self.0.authenticated(channel)
    }
    fn presence(&self, channel: &str) -> bool {
        self.0.presence(channel)
    }
    fn keyed(&self, channel: &str) -> bool {
        self.0.keyed(channel)
    }
    fn limits(&self) -> Limits {
        Rules::limits(&*self.0)
    }
}

impl Policies for Told {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        self.0.policy(channel)
    }
}

impl HubRules for Told {
    fn slow(&self, _: &ChannelName) -> Slow {
        Slow::Close
    }
    fn tail_bytes(&self) -> usize {
        self.0.config().limits.tail_bytes
    }
    fn presence_grace_ms(&self) -> u64 {
        self.0.config().limits.presence_grace.as_millis() as u64
    }
    fn presence_lease_ms(&self) -> u64 {
        self.0.config().limits.presence_lease.as_millis() as u64
    }
    fn members_per_channel(&self) -> usize {
        self.0.config().limits.members_per_channel
    }
    fn memberships_per_client(&self) -> usize {
        self.0.config().limits.memberships_per_connection
    }
}

impl NodeRules for Told {
    fn allows_origin(&self, origin: &str) -> bool {
        self.0.allows_origin(origin)
    }
    fn is_dev(&self) -> bool {
        self.0.config().loopback_only()
    }
    fn transport(&self) -> TransportLimits {
        TransportLimits {
            frame_bytes: 1 << 20,
            fragments: 1024,
            control_bytes: 64 << 10,
            header_bytes: 32 << 10,
            handshake_ms: 10_000,
            connections: 1000,
            connections_per_user: 1000,
        }
    }
}

/// A node and its router.
pub struct Server {
    pub node: Arc<Node>,
    pub router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Asserts a whole problem document, and returns it.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "remedy"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
        let retryable = problem["retryable"].as_bool().unwrap();
        assert_eq!(self.header("retry-after").is_some(), retryable, "{problem}");
        assert_eq!(problem["retry_after_ms"].is_u64(), retryable, "{problem}");
        problem
    }
}

impl Server {
    pub fn new(config: &str) -> Self {
        Self::with(Config::from_toml(config).unwrap(), None)
    }

    pub fn with(config: Config, authorizer: Option<Arc<dyn Authorizer>>) -> Self {
        let live = Live::new(config);
        let rules = Arc::new(Told(live.clone()));
        let config = live.config();
        let auth = Arc::new(Authenticator::new(config.auth.to_auth()).unwrap());
        let budget = Arc::new(Budget::new(config.limits.memory_bytes));
        let settings = MemorySettings::new(Epoch::from_random(unix_ms()));
        let broker = Arc::new(MemoryBroker::new(settings, rules.clone(), budget.clone()));
        let spawn = Box::new(|round| drop(tokio::spawn(round)));
        let hub = Hub::new(broker, rules.clone(), budget, spawn);
        tokio::spawn(hub.clone().maintain());
        let node = Node::new(hub, auth, rules, authorizer, "1.2.3");
        let router = router(node.clone(), Options { page: true, admin: true, live: Some(live), store: None });
        Self { node, router }
    }

    /// The closed hub of [`CONFIG`].
    pub fn closed() -> Self {
        Self::new(CONFIG)
    }

    /// Development mode.
    pub fn dev() -> Self {
        Self::with(Config::built_in(true), None)
    }

    /// An answer whose body is not read.
    pub async fn open(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Got {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Got { status: parts.status, headers: parts.headers, body }
    }

    /// `METHOD PATH`, with headers in the form `name: value`.
    pub async fn ask(&self, line: &str, headers: &[&str], body: impl Into<Body>) -> Got {
        self.send(request(line, headers, body)).await
    }

    pub async fn get(&self, path: &str) -> Got {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    /// A publish to a channel, which must succeed; its answer.
    #[track_caller]
    pub fn publish(&self, channel: &str, body: &str) -> impl Future<Output = Value> {
        let request = request(&format!("POST /v1/messages?channel={channel}"), &[], body.to_owned());
        async move { self.send(request).await.ok() }
    }
}

pub fn request(line: &str, headers: &[&str], body: impl Into<Body>) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8000");
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        if name == "host" {
            request.headers_mut().unwrap().remove("host");
        }
        request = request.header(name, value);
    }
    request.body(body.into()).unwrap()
}

/// The header of the API key.
pub fn key() -> String {
    format!("authorization: Bearer {API_KEY}")
}

/// The header of a token.
pub fn bearer(claims: Claims) -> String {
    format!("authorization: Bearer {}", claims.sign(&Secret::from(SECRET), Algorithm::Hs256).unwrap())
}

/// Claims of a user, good for an hour and issued a minute ago.
pub fn claims(user: &str) -> Claims {
    let now = unix_ms() / 1000;
    Claims::new().user(user).iat(now - 60).exp(now + 3600)
}

/// The session as a header.
pub fn session() -> String {
    format!("fanfare-session: {SESSION}")
}

/// Asks again until it is so; the deadline is generous because machines are slow.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
