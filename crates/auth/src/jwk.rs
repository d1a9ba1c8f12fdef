//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037).
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Algorithm,
    config::KeyConfig,
    error::KeyError,
    key::{Key, Material},
};

/// Most keys of a set that are kept; real sets have a handful.
const MOST_KEYS: usize = 100;

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// A JWK that the configuration holds. Its `kid` and `alg` count where the configuration names none.
pub(crate) fn from_config(text: &str, config: &KeyConfig) -> Result<Key, KeyError> {
    // The parser's own words could quote the key.
    let jwk: Jwk =
        serde_json::from_str(text).map_err(|_| KeyError::Jwk("it is not a JSON object with a kty"))?;
    if jwk.d.is_some() {
        return Err(KeyError::Private);
    }
    let mut key = read(&jwk, &config.alg)?;
    if config.kid.is_some() {
        key.kid.clone_from(&config.kid);
    }
    Ok(key)
}

/// The usable public keys of a set, in its order, and how many others there were. A key that cannot be read, has an
/// unknown kind or is not for signatures says nothing about the others (RFC 7517 §5). Shared secrets are left
/// out: a document that anybody can fetch keeps none.
///
/// # Errors
/// The text is not a set of keys.
pub(crate) fn read_set(text: &[u8]) -> Result<(Vec<Key>, usize), &'static str> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| "the answer is not a JSON Web Key Set")?;
    let all = set.keys.len();
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .filter_map(|value| serde_json::from_value::<Jwk>(value).ok())
        .filter(|jwk| jwk.kty != "oct")
        .filter_map(|jwk| read(&jwk, &[]).ok())
        .take(MOST_KEYS)
        .collect();
    let skipped = all - keys.len();
    Ok((keys, skipped))
}

fn read(jwk: &Jwk, algorithms: &[Algorithm]) -> Result<Key, KeyError> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err(KeyError::Jwk("its `use` is not sig"));
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err(KeyError::Jwk("its `key_ops` do not hold verify"));
    }
    let own = match jwk.alg.as_deref() {
        None => None,
        Some(name) => Some(Algorithm::from_name(name).ok_or(KeyError::Jwk("its `alg` is not supported"))?),
    };
    let material = material(jwk)?;
    match own {
        Some(own) if algorithms.is_empty() => Key::new(jwk.kid.clone(), &[own], material),
        Some(own) if !algorithms.contains(&own) => Err(KeyError::Jwk("its `alg` is not the configured one")),
        _ => Key::new(jwk.kid.clone(), algorithms, material),
    }
}

fn material(jwk: &Jwk) -> Result<Material, KeyError> {
    let part = |value: &Option<String>| {
        let text = value.as_deref().ok_or(KeyError::Jwk("a part of the key is missing"))?;
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| KeyError::Jwk("a part of the key is not base64url"))
    };
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Material::rsa(&part(&jwk.n)?, &part(&jwk.e)?),
        ("EC", Some("P-256")) => Material::p256(&point(&part(&jwk.x)?, &part(&jwk.y)?))
            .ok_or(KeyError::Jwk("x or y has a wrong length")),
        ("EC", Some("P-384")) => Material::p384(&point(&part(&jwk.x)?, &part(&jwk.y)?))
            .ok_or(KeyError::Jwk("x or y has a wrong length")),
        ("OKP", Some("Ed25519")) => {
            Material::ed25519(&part(&jwk.x)?).ok_or(KeyError::Jwk("x has a wrong length"))
        }
        ("oct", _) => match part(&jwk.k)? {
            secret if secret.is_empty() => Err(KeyError::Empty),
            secret => Ok(Material::Secret(secret)),
        },
        _ => Err(KeyError::Kind),
    }
}

/// The uncompressed form of a point (SEC 1 §2.3.3).
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    let mut point = vec![4];
    // RFC 7518 §6.2.1.2: both have the full length of the curve, so unequal ones are no point.
    if x.len() == y.len() {
        point.extend_from_slice(x);
        point.extend_from_slice(y);
    }
    point
}
