//! The one table of codes: HTTP status, WebSocket close code, what a client should do.

/// A code of the protocol. Every refusal, error and end carries one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Code {
    /// The request is malformed.
    BadRequest,
    /// No or unusable credentials.
    Unauthorized,
    /// The token has expired.
    TokenExpired,
    /// The credentials do not allow this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The right was taken away.
    Revoked,
    /// The state does not allow this.
    Conflict,
    /// The payload is over a limit.
    TooLarge,
    /// Too much at once; wait.
    RateLimited,
    /// A count or size limit is reached.
    LimitExceeded,
    /// A fault of the server's own.
    Internal,
    /// A part of the server is out of reach for now.
    Unavailable,
    /// The server is stopping.
    Draining,
    /// The connection did not read.
    SlowConsumer,
    /// The connection was silent.
    NoPong,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code.
    pub code: Code,
    /// Its name on the wire.
    pub name: &'static str,
    /// HTTP status; none where the code only ends connections.
    pub status: Option<u16>,
    /// WebSocket close code.
    pub close: u16,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// A short title.
    pub title: &'static str,
    /// What to do next, where the error itself says nothing better.
    pub remedy: &'static str,
}

const fn row(
    code: Code,
    name: &'static str,
    status: u16,
    close: u16,
    retryable: bool,
    title: &'static str,
    remedy: &'static str,
) -> Row {
    Row { code, name, status: if status == 0 { None } else { Some(status) }, close, retryable, title, remedy }
}

/// The table, in the order of the documentation and of [`Code`].
#[rustfmt::skip]
pub const TABLE: [Row; 15] = [
    row(Code::BadRequest, "bad_request", 400, 4400, false, "Bad request", "correct the request; docs/protocol.md has its form"),
    row(Code::Unauthorized, "unauthorized", 401, 4401, false, "Unauthorized", "send a valid token or API key"),
    row(Code::TokenExpired, "token_expired", 401, 4402, false, "Token expired", "fetch a new token and connect with it"),
    row(Code::Forbidden, "forbidden", 403, 4403, false, "Forbidden", "ask for a token that grants this, or allow it in the namespace's configuration"),
    row(Code::NotFound, "not_found", 404, 4404, false, "Not found", "check the name"),
    row(Code::Revoked, "revoked", 403, 4411, false, "Revoked", "sign in again"),
    row(Code::Conflict, "conflict", 409, 4409, false, "Conflict", "read the current state and decide again"),
    row(Code::TooLarge, "too_large", 413, 4413, false, "Too large", "send less, or raise the limit in the configuration"),
    row(Code::RateLimited, "rate_limited", 429, 4429, true, "Rate limited", "wait, then try again"),
    row(Code::LimitExceeded, "limit_exceeded", 429, 4430, false, "Limit exceeded", "use fewer, or raise the limit in the configuration"),
    row(Code::Internal, "internal", 500, 1011, true, "Internal error", "try again; if it stays, look at the server's log"),
    row(Code::Unavailable, "unavailable", 503, 1013, true, "Unavailable", "try again in a moment"),
    row(Code::Draining, "draining", 503, 1012, true, "Draining", "connect again; another instance or the restarted one answers"),
    row(Code::SlowConsumer, "slow_consumer", 0, 4408, true, "Slow consumer", "connect again from the last position, and read faster or ask for less"),
    row(Code::NoPong, "no_pong", 0, 4410, true, "No pong", "connect again"),
];

impl Code {
    /// The code's row.
    pub fn row(self) -> &'static Row {
        // The table stands in the enum's order, which a test asserts; the fallback is never reached.
        TABLE.get(self as usize).unwrap_or(&TABLE[0])
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// HTTP status; 500 for the codes that only end connections.
    pub fn status(self) -> u16 {
        self.row().status.unwrap_or(500)
    }

    /// WebSocket close code.
    pub fn close(self) -> u16 {
        self.row().close
    }

    /// Whether the same request may succeed later without a change.
    pub fn retryable(self) -> bool {
        self.row().retryable
    }

    /// The code of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.code)
    }
}
