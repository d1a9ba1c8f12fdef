//! What can be wrong with the configuration of keys. None of these texts holds a secret.
use std::path::PathBuf;

use crate::Algorithm;

/// Why an [`crate::AuthConfig`] is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `hmac_secret` is empty.
    #[error("auth.hmac_secret is empty; remove it or set at least 32 random bytes")]
    EmptySecret,
    /// `hmac_secret` holds a public key, which everybody knows.
    #[error("auth.hmac_secret holds a PEM key; put it under [[auth.keys]] as `key`")]
    PemAsSecret,
    /// One of `keys` cannot be used.
    #[error("auth.keys[{index}]: {source}")]
    Key {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// Two `keys` have one `kid` and share an algorithm.
    #[error("auth.keys[{index}] has the same kid as an earlier key for {algorithm}")]
    DuplicateKid {
        /// The later one's place in the list, from 0.
        index: usize,
        /// The algorithm that both are for.
        algorithm: Algorithm,
    },
    /// `jwks_url` is no URL that can be fetched.
    #[error("auth.jwks_url {0}; use one such as https://login.example/.well-known/jwks.json")]
    JwksUrl(&'static str),
    /// The certificates to trust cannot be read.
    #[error("auth.jwks.ca_file: {0} cannot be read as certificates in PEM")]
    CaFile(PathBuf),
    /// An API key has no name.
    #[error("auth.api_keys[{0}] has no name")]
    UnnamedApiKey(usize),
    /// Two API keys have one name.
    #[error("two API keys are called {0:?}; names appear in logs and must differ")]
    DuplicateApiKeyName(String),
    /// Two API keys are the same.
    #[error("the API keys {0:?} and {1:?} are the same key")]
    DuplicateApiKey(String, String),
    /// An API key is empty or cannot be sent in a header.
    #[error("the API key {0:?} must be 1 to 1024 visible ASCII characters without spaces")]
    BadApiKey(String),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither `key` nor `file`, or both.
    #[error("set either `key` or `file`")]
    Source,
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// Text that begins like PEM but is not.
    #[error("the PEM text is damaged: it needs -----BEGIN ...-----, base64 and -----END ...-----")]
    Pem,
    /// A private key where a public one belongs.
    #[error("this is a private key; give the public key (`openssl pkey -in private.pem -pubout`)")]
    Private,
    /// PEM of another kind.
    #[error("PEM of this kind is not a key; use PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")]
    PemKind,
    /// The DER inside cannot be read.
    #[error("the key inside the PEM text is damaged")]
    Der,
    /// A curve or kind of key that no supported algorithm uses.
    #[error("this kind of key is not supported; use RSA, P-256, P-384 or Ed25519")]
    Kind,
    /// RSA of another size.
    #[error("an RSA key needs 2048 to 8192 bits, this one has {0}")]
    RsaBits(usize),
    /// The JWK cannot be read.
    #[error("the JWK cannot be used: {0}")]
    Jwk(&'static str),
    /// `alg` does not fit the key.
    #[error("{0} does not fit this kind of key")]
    Mismatch(Algorithm),
    /// A secret without `alg`. Guessing would turn a damaged public key into a secret that everybody knows.
    #[error("the key is neither PEM nor a JWK; for a secret set alg to HS256, HS384 or HS512")]
    SecretWithoutAlg,
    /// An empty key.
    #[error("the key is empty")]
    Empty,
}
