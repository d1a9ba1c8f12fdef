//! Verifies tokens against the configured keys.
use std::{fmt, sync::Arc};

use fanfare_protocol::{Identity, Problem};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::{
    AuthConfig, ConfigError, Revocations, TOKEN_BYTES, Verified, Verifying,
    api_keys::{ApiKeys, TokenDigest, digest},
    cache::TokenCache,
    claims::{self, Expected},
    compact::{Compact, unauthorized},
    jwks::{Fetching, Jwks, Refetch},
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
    jwks: Option<Arc<Jwks>>,
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
        let state = State::new(&config, None)?;
        let revocations = Revocations::default();
        revocations.set_max_token_lifetime(config.max_token_lifetime_ms);
        Ok(Self { state: RwLock::new(Arc::new(state)), revocations })
    }

    /// Replaces keys and rules at once; revocations stay, and so do keys fetched from an unchanged URL. Tokens verified before are verified anew.
    ///
    /// # Errors
    /// The first thing that cannot be used; then the old keys stay.
    pub fn reload(&self, config: AuthConfig) -> Result<(), ConfigError> {
        let fetched = self.state.read().jwks.clone();
        let state = Arc::new(State::new(&config, fetched)?);
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
        match state.verify(token, now_unix_ms) {
            Attempt::Done(verified) => Verifying::Ready(self.revocations.pass(verified)),
            Attempt::Wait(fetching) => {
                let (token, revocations) = (token.to_owned(), self.revocations.clone());
                Verifying::Pending(Box::pin(async move {
                    let began = Instant::now();
                    fetching.ended().await;
                    let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let now = now_unix_ms.saturating_add(waited);
                    revocations.pass(state.verify_again(&token, now))
                }))
            }
        }
    }

    /// Fetches the key set, if one is configured and was not fetched yet, so that the first token need not wait.
    pub async fn warm_up(&self, now_unix_ms: u64) {
        let jwks = self.state.read().jwks.clone();
        if let Some(jwks) = jwks
            && jwks.keys(now_unix_ms).edition == 0
            && let Refetch::Wait(fetching) = jwks.refetch(now_unix_ms)
        {
            fetching.ended().await;
        }
    }

    /// True when no credentials at all are configured.
    pub fn is_empty(&self) -> bool {
        let state = self.state.read();
        state.keys.is_empty() && state.jwks.is_none() && state.api_keys.is_empty()
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

/// How far a verification came.
enum Attempt {
    Done(Verified),
    /// The token's key may be in the set that is being fetched.
    Wait(Fetching),
}

impl State {
    /// `fetched`: the key set of the configuration before.
    fn new(config: &AuthConfig, fetched: Option<Arc<Jwks>>) -> Result<Self, ConfigError> {
        let jwks = match &config.jwks_url {
            None => None,
            Some(url) => Some(match fetched.filter(|fetched| fetched.is(url, &config.jwks)) {
                Some(fetched) => fetched,
                None => Arc::new(Jwks::new(url, &config.jwks)?),
            }),
        };
        let state = Self {
            keys: read_keys(config)?,
            jwks,
            api_keys: ApiKeys::new(&config.api_keys)?,
            expected: Expected { audience: config.audience.clone(), issuer: config.issuer.clone() },
            cache: TokenCache::default(),
        };
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(state)
    }

    fn verify(&self, token: &str, now: u64) -> Attempt {
        match self.look_up(token, now) {
            Ok(known) => Attempt::Done(known),
            Err(digest) => match self.check(token, digest, now) {
                // The token's key is not there; it may have been added since the set was fetched.
                Err(Refused { problem, jwks: Some(jwks) }) => match jwks.refetch(now) {
                    Refetch::Wait(fetching) => Attempt::Wait(fetching),
                    Refetch::TooSoon => Attempt::Done(Err(jwks.outage(now).unwrap_or(problem))),
                },
                Err(Refused { problem, jwks: None }) => Attempt::Done(Err(problem)),
                Ok(identity) => Attempt::Done(Ok(identity)),
            },
        }
    }

    /// The same after a fetch: no other one follows.
    fn verify_again(&self, token: &str, now: u64) -> Verified {
        match self.look_up(token, now) {
            Ok(known) => known,
            Err(digest) => self.check(token, digest, now).map_err(|refused| {
                let outage = refused.jwks.and_then(|jwks| jwks.outage(now));
                outage.unwrap_or(refused.problem)
            }),
        }
    }

    /// What is known without verifying a signature, else the token's digest.
    fn look_up(&self, token: &str, now: u64) -> Result<Verified, TokenDigest> {
        if token.len() > TOKEN_BYTES {
            return Ok(Err(unauthorized("the token is longer than 16 KB")));
        }
        let digest = digest(token);
        if let Some(identity) = self.api_keys.get(&digest) {
            return Ok(Ok(identity));
        }
        let edition = self.jwks.as_ref().map_or(0, |jwks| jwks.keys(now).edition);
        let identity = self.cache.get(&digest, edition).ok_or(digest)?;
        Ok(claims::check_exp(&identity, now).map(|()| identity))
    }

    /// Verifies the signature and reads the claims.
    fn check(&self, token: &str, digest: TokenDigest, now: u64) -> Result<Arc<Identity>, Refused<'_>> {
        let token = Compact::split(token).ok_or_else(|| no_jwt(token))?;
        let signed = Signed::read(&token)?;
        let fetched = self.jwks.as_ref().map(|jwks| (jwks, jwks.keys(now)));
        let edition = fetched.as_ref().map_or(0, |(_, set)| set.edition);
        let mut outcome = keyring::find(&self.keys, &signed);
        let mut jwks = None;
        // Fetched sets hold no shared secrets, so such a token is no reason to look, let alone to fetch.
        if let Some((source, set)) = fetched.filter(|_| !signed.algorithm.is_symmetric())
            && !outcome.is_certain()
        {
            outcome = outcome.or(keyring::find(&set.keys, &signed));
            jwks = (!outcome.is_certain()).then_some(source);
        }
        if let Some(problem) = outcome.refusal(signed.algorithm) {
            return Err(Refused { problem, jwks });
        }
        let identity = Arc::new(claims::identity(&token.claims()?, &self.expected, now)?);
        self.cache.put(digest, edition, identity.clone());
        Ok(identity)
    }
}

/// Why a token is refused.
struct Refused<'a> {
    problem: Problem,
    /// The key set whose next edition may hold the token's key.
    jwks: Option<&'a Arc<Jwks>>,
}

impl From<Problem> for Refused<'_> {
    fn from(problem: Problem) -> Self {
        Self { problem, jwks: None }
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
