//! Makes tokens signed with a shared secret, for the command line and for tests.
//!
//! ```
//! use fanfare_auth::{Algorithm, Secret, mint::Claims};
//! let token = Claims::new().user("42").exp(1_900_000_000).grant(&["chat:*"], &["subscribe"]);
//! let token = token.sign(&Secret::from("0123456789abcdef0123456789abcdef"), Algorithm::Hs256)?;
//! assert_eq!(token.split('.').count(), 3);
//! # Ok::<(), fanfare_auth::mint::MintError>(())
//! ```
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value, json};

use crate::{Algorithm, Secret, key::hmac_hash};

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The algorithm needs a private key.
    #[error("{0} needs a private key; sign with HS256, HS384 or HS512")]
    Asymmetric(Algorithm),
    /// There is nothing to sign with.
    #[error("the secret is empty")]
    EmptySecret,
}

/// The claims of a token to be made. Times are in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// No claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// Any claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The user: `sub`.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.claim("sub", user)
    }

    /// When it expires.
    #[must_use]
    pub fn exp(self, seconds: u64) -> Self {
        self.claim("exp", seconds)
    }

    /// From when on it is valid.
    #[must_use]
    pub fn nbf(self, seconds: u64) -> Self {
        self.claim("nbf", seconds)
    }

    /// When it was issued; revocation by user goes by it.
    #[must_use]
    pub fn iat(self, seconds: u64) -> Self {
        self.claim("iat", seconds)
    }

    /// What presence shows of the user.
    #[must_use]
    pub fn info(self, info: Value) -> Self {
        self.claim("info", info)
    }

    /// The channels that a WebSocket client is subscribed to on entry.
    #[must_use]
    pub fn channels(self, channels: &[&str]) -> Self {
        self.claim("channels", channels.to_vec())
    }

    /// One grant more: these rights on channels of these patterns.
    #[must_use]
    pub fn grant(self, channels: &[&str], allow: &[&str]) -> Self {
        self.add_grant(json!({ "channels": channels, "allow": allow }))
    }

    /// One grant more, its `publish` narrowed to these events.
    #[must_use]
    pub fn grant_events(self, channels: &[&str], allow: &[&str], events: &[&str]) -> Self {
        self.add_grant(json!({ "channels": channels, "allow": allow, "events": events }))
    }

    fn add_grant(mut self, grant: Value) -> Self {
        match self.0.get_mut("grants") {
            Some(Value::Array(grants)) => grants.push(grant),
            _ => {
                self.0.insert("grants".to_owned(), Value::Array(vec![grant]));
            }
        }
        self
    }

    /// The claims as JSON.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The signed token.
    ///
    /// # Errors
    /// The algorithm is not one of HS256, HS384, HS512, or the secret is empty.
    pub fn sign(&self, secret: &Secret, algorithm: Algorithm) -> Result<String, MintError> {
        let hash = hmac_hash(algorithm).ok_or(MintError::Asymmetric(algorithm))?;
        if secret.expose().is_empty() {
            return Err(MintError::EmptySecret);
        }
        let header = json!({ "alg": algorithm.name(), "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(self.to_json().to_string())
        );
        let signature = hmac::sign(&hmac::Key::new(hash, secret.expose().as_bytes()), signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
