//! Verifies tokens against the configured keys.
use std::{fmt, sync::Arc};

use fanfare_protocol::Problem;
use parking_lot::RwLock;

use crate::{
    AuthConfig, ConfigError, Revocations, TOKEN_BYTES, Verified, Verifying,
    api_keys::{ApiKeys, TokenDigest, digest},
    cache::TokenCache,
    claims::{self, Expected},
    compact::{Compact, unauthorized},
    key::Key,
    keyring::{self, Signed},
};

/// Verifies tokens and API keys. Its keys can be replaced while it is in use.
pub struct Authenticator {
    state: RwLock<Arc<State>>,
    revocations: Revocations,
}

/// What one configuration makes. A verification keeps the state that it began with; so what it puts into the
/// cache is never seen under other keys.
struct State {
    keys: Vec<Key>,
    api_keys: ApiKeys,
    expected: Expected,
    cache: TokenCache,
}

impl Authenticator {
    /// Reads the keys of a configuration, and logs what is unwise about it.
    ///
    /// # Errors
    /// The first thing that cannot be used.
    pub fn new(config: AuthConfig) -> Result<Self, ConfigError> {
        let state = State::new(&config)?;
        let revocations = Revocations::default();
        revocations.set_max_token_lifetime(config.max_token_lifetime_ms);
        Ok(Self { state: RwLock::new(Arc::new(state)), revocations })
    }

    /// Replaces keys and rules at once; revocations stay. Tokens verified before are verified anew.
    ///
    /// # Errors
    /// The first thing that cannot be used; then the old keys stay.
    pub fn reload(&self, config: AuthConfig) -> Result<(), ConfigError> {
        let state = Arc::new(State::new(&config)?);
        *self.state.write() = state;
        self.revocations.set_max_token_lifetime(config.max_token_lifetime_ms);
        Ok(())
    }

    /// Who the bearer of a token (JWT or API key) is. `now_unix_ms` is the time in milliseconds since 1970.
    ///
    /// The outcome's errors: `token_expired`, `revoked`, `unauthorized` (the detail says why and holds nothing of
    /// the token), `unavailable` when the keys cannot be fetched.
    pub fn verify(&self, token: &str, now_unix_ms: u64) -> Verifying {
        let state = self.state.read().clone();
        Verifying::Ready(state.verify(token, now_unix_ms).and_then(|identity| {
            self.revocations.check(&identity)?;
            Ok(identity)
        }))
    }

    /// True when no credentials at all are configured.
    pub fn is_empty(&self) -> bool {
        let state = self.state.read();
        state.keys.is_empty() && state.api_keys.is_empty()
    }

    /// The users whose tokens are refused.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.state.read().keys).finish_non_exhaustive()
    }
}

impl State {
    fn new(config: &AuthConfig) -> Result<Self, ConfigError> {
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            keys: read_keys(config)?,
            api_keys: ApiKeys::new(&config.api_keys)?,
            expected: Expected { audience: config.audience.clone(), issuer: config.issuer.clone() },
            cache: TokenCache::default(),
        })
    }

    fn verify(&self, token: &str, now: u64) -> Verified {
        if token.len() > TOKEN_BYTES {
            return Err(unauthorized("the token is longer than 16 KB"));
        }
        let digest = digest(token);
        if let Some(identity) = self.api_keys.get(&digest) {
            return Ok(identity);
        }
        if let Some(identity) = self.cache.get(&digest, 0) {
            claims::check_exp(&identity, now)?;
            return Ok(identity);
        }
        let Some(token) = Compact::split(token) else { return Err(no_jwt(token)) };
        let signed = Signed::read(&token)?;
        match keyring::find(&self.keys, &signed).refusal(signed.algorithm) {
            Some(refusal) => Err(refusal),
            None => self.accept(&token, digest, now),
        }
    }

    /// Reads the claims of a token whose signature is right.
    fn accept(&self, token: &Compact<'_>, digest: TokenDigest, now: u64) -> Verified {
        let identity = Arc::new(claims::identity(&token.claims()?, &self.expected, now)?);
        self.cache.put(digest, 0, identity.clone());
        Ok(identity)
    }
}

fn read_keys(config: &AuthConfig) -> Result<Vec<Key>, ConfigError> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, key) in config.keys.iter().enumerate() {
        let key = Key::from_config(key).map_err(|source| ConfigError::Key { index, source })?;
        let same_kid = keys.iter().filter(|earlier| key.kid.is_some() && earlier.kid == key.kid);
        if let Some(algorithm) = same_kid.filter_map(|earlier| earlier.shares_algorithm(&key)).next() {
            return Err(ConfigError::DuplicateKid { index, algorithm });
        }
        keys.push(key);
    }
    if let Some(secret) = &config.hmac_secret {
        if secret.expose().trim().is_empty() {
            return Err(ConfigError::EmptySecret);
        }
        if secret.expose().trim_start().starts_with("-----BEGIN") {
            return Err(ConfigError::PemAsSecret);
        }
        keys.push(Key::secret(secret));
    }
    Ok(keys)
}

/// Why a text that is no API key is no JWT either.
fn no_jwt(token: &str) -> Problem {
    let detail = match token.split('.').count() {
        _ if token.is_empty() => "the token is empty",
        5 => "the token is encrypted (JWE); only signed ones can be read",
        3 => {
            "the token is neither a configured API key nor a JWT: what stands before its first dot is not base64url JSON"
        }
        _ => "the token is neither a configured API key nor a JWT (three parts with dots between them)",
    };
    unauthorized(detail)
}
