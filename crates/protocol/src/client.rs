//! Who a connection is: its secret session and the public name made of it.
use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{Code, Problem};

/// A client's secret: 22 to 64 of `[A-Za-z0-9_-]`. Never logged: its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// Checks a session that a client named.
    ///
    /// # Errors
    /// `bad_request` when it is not 22 to 64 of the allowed characters.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (22..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(Problem::new(Code::BadRequest, "session is not 22 to 64 characters of A-Z a-z 0-9 _ -")
            .remedy("send 16 random bytes as base64url, or no session and keep the one the server makes"))
    }

    /// A new session of 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The secret itself, for the client that owns it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The public name: the first 16 characters of base64url(SHA-256(session)).
    pub fn client(&self) -> ClientId {
        let text = URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.as_bytes()));
        let mut id = [b'A'; 16];
        for (to, from) in id.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        ClientId(id)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// A client's public name: 16 characters of base64url, the same on every node, transport and reconnect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId([u8; 16]);

impl ClientId {
    /// Reads a public name that an API key gave.
    ///
    /// # Errors
    /// `bad_request` when it is not 16 characters of base64url.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
        match <[u8; 16]>::try_from(text.as_bytes()) {
            Ok(id) if id.iter().all(allowed) => Ok(Self(id)),
            _ => Err(Problem::new(Code::BadRequest, "client is not a client's public name")
                .remedy("send the 16 characters of welcome.client")),
        }
    }

    /// The 16 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
