//! Who a request is: verifies JSON Web Tokens and API keys, and turns them into a [`fanfare_protocol::Identity`].
//!
//! Nothing here reads a clock: the caller gives the time, in milliseconds since 1970. The only IO is fetching a
//! JSON Web Key Set, and only where one is configured.
#![deny(clippy::indexing_slicing)]

mod algorithm;
mod api_keys;
mod authenticator;
mod cache;
mod claims;
mod compact;
pub mod config;
mod der;
mod error;
mod fetch;
mod jwk;
mod jwks;
mod key;
mod keyring;
pub mod mint;
mod pem;
mod revocation;
mod secret;
mod verifying;

pub use algorithm::Algorithm;
pub use authenticator::Authenticator;
pub use config::{ApiKeyConfig, AuthConfig, JwksConfig, KeyConfig};
pub use error::{ConfigError, KeyError};
pub use revocation::Revocations;
pub use secret::Secret;
pub use verifying::{Verified, Verifying};

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES: usize = 16 * 1024;
