//! The configuration that most conformance tests run against.

/// The shared secret of tokens.
pub const SECRET: &str = "conformance-secret-of-more-than-32-bytes";
/// The backend's API key.
pub const API_KEY: &str = "backend-key-0123456789";
/// An origin that pages may come from.
pub const ORIGIN: &str = "https://app.example";
/// A session, as a client would make one.
pub const SESSION: &str = "abcdefghijklmnopqrstuvwxyz";

/// A namespace for each set of rules: `open` (everything to everybody), `plain` (open, but neither keyed nor with presence), `small`, `none`
/// and `brief` (little history), `member` (any user), `read` (anybody may read), and the default (nobody, but by a token's grants).
pub const STANDARD: &str = r#"
[auth]
hmac_secret = "conformance-secret-of-more-than-32-bytes"
api_keys = [{ name = "backend", key = "backend-key-0123456789" }]
allowed_origins = ["https://app.example"]
[limits]
presence_grace = "400ms"
presence_lease = "2s"
ping = "25s"
[namespaces.default]
presence = true
[namespaces.open]
keyed = true
presence = true
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.plain]
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.small]
history = { size = 5, ttl = "1h", bytes = "1MB" }
keyed = true
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.none]
history = { size = 0 }
anonymous = ["subscribe", "publish", "history"]
[namespaces.brief]
history = { size = 1000, ttl = "1s" }
keyed = true
anonymous = ["subscribe", "publish", "history"]
[namespaces.member]
presence = true
authenticated = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.read]
anonymous = ["subscribe"]
"#;
