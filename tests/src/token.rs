//! Tokens for the keys of [`crate::config`].
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare_auth::{Algorithm, Secret, mint::Claims};
use serde_json::Value;

use crate::{config, wait::unix_ms};

/// Claims of a user, good for an hour.
pub fn claims(user: &str) -> Claims {
    Claims::new().user(user).iat(unix_ms() / 1000).exp(unix_ms() / 1000 + 3600)
}

/// Claims of a user that end so many seconds from now.
pub fn claims_for(user: &str, seconds: u64) -> Claims {
    Claims::new().user(user).iat(unix_ms() / 1000).exp(unix_ms() / 1000 + seconds)
}

/// Claims signed with the shared secret.
///
/// # Panics
/// Never with these keys.
pub fn sign(claims: &Claims) -> String {
    claims.sign(&Secret::from(config::SECRET), Algorithm::Hs256).unwrap()
}

/// A token of a user without grants.
pub fn of(user: &str) -> String {
    sign(&claims(user))
}

/// A token of a user with rights on channels of a pattern.
pub fn granting(user: &str, pattern: &str, rights: &[&str]) -> String {
    sign(&claims(user).grant(&[pattern], rights))
}

/// A token with any header and claims, and the signature of these bytes as they are.
pub fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}
