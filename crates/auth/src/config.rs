//! What the `[auth]` table of the configuration holds.
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::{Algorithm, Secret};

/// Keys, rules and API keys. Everything is optional; without any of it no credentials are accepted.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// A shared secret for HS256, HS384 and HS512; its UTF-8 bytes are the key.
    pub hmac_secret: Option<Secret>,
    /// Further keys.
    pub keys: Vec<KeyConfig>,
    /// Where a JSON Web Key Set (RFC 7517 §5) is served, `https://` or `http://`.
    pub jwks_url: Option<String>,
    /// How the key set is fetched.
    pub jwks: JwksConfig,
    /// A token's `aud` must name one of these; empty: `aud` is not looked at. One string or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub audience: Vec<String>,
    /// A token's `iss` must be one of these; empty: `iss` is not looked at. One string or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub issuer: Vec<String>,
    /// Keys of backends, which may do everything.
    pub api_keys: Vec<ApiKeyConfig>,
    /// Milliseconds for which the revocation of a user is remembered at least: the longest life of a token.
    pub max_token_lifetime_ms: u64,
}

/// 30 days.
const MAX_TOKEN_LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            hmac_secret: None,
            keys: Vec::new(),
            jwks_url: None,
            jwks: JwksConfig::default(),
            audience: Vec::new(),
            issuer: Vec::new(),
            api_keys: Vec::new(),
            max_token_lifetime_ms: MAX_TOKEN_LIFETIME_MS,
        }
    }
}

impl AuthConfig {
    /// What is allowed but unwise, a sentence each. Holds no secrets.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let secret = self.hmac_secret.as_ref().map_or(0, |secret| secret.expose().len());
        if (1..32).contains(&secret) {
            warnings.push(format!(
                "auth.hmac_secret has {secret} bytes; RFC 7518 asks for 32 or more (try `openssl rand -base64 32`)"
            ));
        }
        for key in &self.api_keys {
            if (1..16).contains(&key.key.expose().len()) {
                warnings
                    .push(format!("the API key {:?} is shorter than 16 bytes and can be guessed", key.name));
            }
        }
        if self.jwks_url.as_deref().is_some_and(|url| url.starts_with("http://") && !is_loopback(url)) {
            warnings.push("auth.jwks_url is not https: whoever can change the answer can make tokens".into());
        }
        warnings
    }
}

/// Whether the URL's host is this machine.
fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// One key that tokens may be signed with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KeyConfig {
    /// The `kid` of tokens that this key verifies; none: tokens whose `kid` no other key has, and those without.
    pub kid: Option<String>,
    /// The algorithms that the key is for, one or a list. Empty: those that the key's kind allows; a secret needs one.
    #[serde(deserialize_with = "one_or_many")]
    pub alg: Vec<Algorithm>,
    /// The key: a public key or certificate as PEM text, a JWK (RFC 7517) as JSON text, or a secret.
    pub key: Option<Secret>,
    /// A file that holds the key, instead of `key`.
    pub file: Option<PathBuf>,
}

/// A key for a backend.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ApiKeyConfig {
    /// What it is called in logs and lists.
    pub name: String,
    /// The key.
    pub key: Secret,
}

/// How the key set at `jwks_url` is fetched and kept.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub struct JwksConfig {
    /// Milliseconds after which the set is fetched again, unless the answer's `Cache-Control: max-age` says otherwise.
    pub refresh_ms: u64,
    /// Least milliseconds between two fetches, however many tokens with unknown keys arrive.
    pub min_interval_ms: u64,
    /// Milliseconds that a fetch may take.
    pub timeout_ms: u64,
    /// Largest answer, in bytes.
    pub max_bytes: usize,
    /// Certificates (PEM) to trust besides the system's, for an issuer with a private authority.
    pub ca_file: Option<PathBuf>,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            refresh_ms: 300_000,
            min_interval_ms: 10_000,
            timeout_ms: 5_000,
            max_bytes: 1024 * 1024,
            ca_file: None,
        }
    }
}

/// Accepts one value where a list is meant.
fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or a list of strings")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut many = Vec::new();
            while let Some(item) = seq.next_element()? {
                many.push(item);
            }
            Ok(many)
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}
