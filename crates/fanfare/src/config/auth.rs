//! `[auth]`: the keys that tokens are signed with, and the API keys of backends.
use std::{path::PathBuf, time::Duration};

use fanfare_auth::{Algorithm, ApiKeyConfig, AuthConfig, JwksConfig, KeyConfig, Secret};

use super::{
    kind::{File, Hidden, ListOf, Maybe, OneOf, Size, Text, Time},
    schema::{Table, Visitor, When::Reload},
};

/// Keys and rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthSettings {
    /// A shared secret for HS256, HS384 and HS512.
    pub hmac_secret: Option<Secret>,
    /// Further keys.
    pub keys: Vec<KeySettings>,
    /// Where a JSON Web Key Set is served.
    pub jwks_url: Option<String>,
    /// How it is fetched.
    pub jwks: JwksSettings,
    /// Accepted `aud`; empty: not looked at.
    pub audience: Vec<String>,
    /// Accepted `iss`; empty: not looked at.
    pub issuer: Vec<String>,
    /// Keys of backends.
    pub api_keys: Vec<ApiKeySettings>,
    /// Origins of pages that may use the hub with a browser's cookies and read its answers.
    pub allowed_origins: Vec<String>,
    /// How long the revocation of a user is remembered.
    pub max_token_lifetime: Duration,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            hmac_secret: None,
            keys: Vec::new(),
            jwks_url: None,
            jwks: JwksSettings::default(),
            audience: Vec::new(),
            issuer: Vec::new(),
            api_keys: Vec::new(),
            allowed_origins: Vec::new(),
            max_token_lifetime: Duration::from_secs(30 * 86_400),
        }
    }
}

impl AuthSettings {
    /// Whether any token could be accepted.
    pub fn accepts_tokens(&self) -> bool {
        self.hmac_secret.is_some() || !self.keys.is_empty() || self.jwks_url.is_some()
    }

    /// The same in the words of the crate that verifies.
    pub fn to_auth(&self) -> AuthConfig {
        let key = |key: &KeySettings| KeyConfig {
            kid: key.kid.clone(),
            alg: key.alg.clone(),
            key: key.key.clone(),
            file: key.file.clone(),
        };
        let api_key = |key: &ApiKeySettings| ApiKeyConfig { name: key.name.clone(), key: key.key.clone() };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        AuthConfig {
            hmac_secret: self.hmac_secret.clone(),
            keys: self.keys.iter().map(key).collect(),
            jwks_url: self.jwks_url.clone(),
            jwks: JwksConfig {
                refresh_ms: ms(self.jwks.refresh),
                min_interval_ms: ms(self.jwks.min_interval),
                timeout_ms: ms(self.jwks.timeout),
                max_bytes: self.jwks.max_bytes,
                ca_file: self.jwks.ca_file.clone(),
            },
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            api_keys: self.api_keys.iter().map(api_key).collect(),
            max_token_lifetime_ms: ms(self.max_token_lifetime),
        }
    }
}

impl Table for AuthSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Maybe<Hidden>>("hmac_secret", &mut self.hmac_secret, Reload, "Shared secret of HS256, HS384 and HS512 tokens, 32 bytes or more: `openssl rand -base64 32`.");
        v.list("keys", &mut self.keys, &KeySettings::default(), "A further key that tokens may be signed with.");
        v.field::<Maybe<Text>>("jwks_url", &mut self.jwks_url, Reload, "Where your identity provider serves its JSON Web Key Set.");
        v.table("jwks", &mut self.jwks, "How the key set is fetched.");
        v.field::<ListOf<Text>>("audience", &mut self.audience, Reload, "Accepted `aud`, one string or a list; empty: not looked at.");
        v.field::<ListOf<Text>>("issuer", &mut self.issuer, Reload, "Accepted `iss`, one string or a list; empty: not looked at.");
        v.list("api_keys", &mut self.api_keys, &ApiKeySettings::default(), "A key for a backend, which may do everything.");
        v.field::<ListOf<Text>>("allowed_origins", &mut self.allowed_origins, Reload, "Origins of pages on other hosts that may use the hub, such as `https://app.example`. The hub's own origin always may.");
        v.field::<Time<1000>>("max_token_lifetime", &mut self.max_token_lifetime, Reload, "How long the disconnection of a user is remembered: the longest life of a token that you issue.");
    }
}

/// One verification key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeySettings {
    /// The `kid` of its tokens.
    pub kid: Option<String>,
    /// The algorithms that it is for.
    pub alg: Vec<Algorithm>,
    /// PEM, JWK or a secret.
    pub key: Option<Secret>,
    /// A file that holds it instead.
    pub file: Option<PathBuf>,
}

impl Table for KeySettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Maybe<Text>>("kid", &mut self.kid, Reload, "The `kid` of tokens that it verifies; unset: of those that no other key has, and of those without.");
        v.field::<ListOf<OneOf<Algorithm>>>("alg", &mut self.alg, Reload, "Algorithms that it is for; empty: those of its kind. A secret needs one.");
        v.field::<Maybe<Hidden>>("key", &mut self.key, Reload, "The key: PEM text, a JWK as JSON text, or a secret.");
        v.field::<Maybe<File>>("file", &mut self.file, Reload, "A file that holds the key, instead of `key`.");
    }
    fn label(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

/// A key of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKeySettings {
    /// What it is called in logs.
    pub name: String,
    /// The key.
    pub key: Secret,
}

impl Default for ApiKeySettings {
    fn default() -> Self {
        Self { name: String::new(), key: Secret::new("") }
    }
}

impl Table for ApiKeySettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Text>("name", &mut self.name, Reload, "What it is called in logs and lists.");
        v.field::<Hidden>("key", &mut self.key, Reload, "The key itself, 16 bytes or more.");
    }
    fn label(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&self.name)
    }
}

/// How the key set is fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwksSettings {
    /// Fetched again after this, unless the answer says otherwise.
    pub refresh: Duration,
    /// Least time between two fetches.
    pub min_interval: Duration,
    /// Longest time of a fetch.
    pub timeout: Duration,
    /// Largest answer.
    pub max_bytes: usize,
    /// Certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            min_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            max_bytes: 1 << 20,
            ca_file: None,
        }
    }
}

impl Table for JwksSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Time<1000>>("refresh", &mut self.refresh, Reload, "Fetched again after this, unless the answer's `Cache-Control: max-age` says otherwise.");
        v.field::<Time<100>>("min_interval", &mut self.min_interval, Reload, "Least time between two fetches, however many tokens with unknown keys arrive.");
        v.field::<Time<100>>("timeout", &mut self.timeout, Reload, "Longest time of a fetch.");
        v.field::<Size<1024>>("max_bytes", &mut self.max_bytes, Reload, "Largest answer that is read.");
        v.field::<Maybe<File>>("ca_file", &mut self.ca_file, Reload, "PEM file of the certificate authorities to trust besides the system's.");
    }
}
