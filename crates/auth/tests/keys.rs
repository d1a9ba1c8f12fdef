//! Keys of every kind, in every form that the configuration takes, and which tokens they verify.
#![allow(clippy::unwrap_used)]
mod support;

use fanfare_auth::{Algorithm, AuthConfig, Authenticator, ConfigError, KeyConfig, mint::Claims};
use serde_json::{Value, json};
use support::{
    NOW, NOW_S, SECRET, now_or_never, refused, sign_hs256_with,
    signer::{Signer, der, fixture},
};

const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// Every asymmetric algorithm with a key that signs by it.
fn every_algorithm() -> Vec<(Signer, Algorithm)> {
    let rsa = RSA.into_iter().map(|algorithm| (Signer("rsa"), algorithm));
    rsa.chain([
        (Signer("p256"), Algorithm::Es256),
        (Signer("p384"), Algorithm::Es384),
        (Signer("ed25519"), Algorithm::EdDsa),
    ])
    .collect()
}

fn key(text: impl Into<String>) -> KeyConfig {
    KeyConfig { key: Some(text.into().into()), ..KeyConfig::default() }
}

fn with(keys: Vec<KeyConfig>) -> Authenticator {
    Authenticator::new(AuthConfig { keys, ..AuthConfig::default() }).unwrap()
}

fn error(key: KeyConfig) -> String {
    match Authenticator::new(AuthConfig { keys: vec![key], ..AuthConfig::default() }) {
        Err(error @ ConfigError::Key { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the key is accepted"),
    }
}

#[test]
fn every_algorithm_works_with_pem_and_with_jwk() {
    for (signer, algorithm) in every_algorithm() {
        let jwk = signer.jwk("k1").to_string();
        for text in [signer.public_pem(), signer.public_pem().replace('\n', "\\n"), jwk] {
            let authenticator = with(vec![key(text)]);
            let token = signer.token(algorithm, None);
            let identity = now_or_never(authenticator.verify(&token, NOW)).unwrap();
            assert_eq!(identity.user.as_deref(), Some("42"), "{algorithm}");
            // One bit of the signature.
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let flip = if signature.starts_with('A') { 'B' } else { 'A' };
            let forged = format!("{signed}.{flip}{}", &signature[1..]);
            refused(now_or_never(authenticator.verify(&forged, NOW)), "signature is wrong");
        }
    }
}

#[test]
fn pkcs1_and_certificates_work_as_well() {
    for (name, signer, algorithm) in [
        ("rsa.pkcs1.pem", Signer("rsa"), Algorithm::Ps384),
        ("rsa.certificate.pem", Signer("rsa"), Algorithm::Rs256),
        ("p256.certificate.pem", Signer("p256"), Algorithm::Es256),
    ] {
        let authenticator = with(vec![key(fixture(name))]);
        assert!(now_or_never(authenticator.verify(&signer.token(algorithm, None), NOW)).is_ok(), "{name}");
    }
}

#[test]
fn a_key_may_be_in_a_file() {
    let path = format!("{}/tests/fixtures/ed25519.public.pem", env!("CARGO_MANIFEST_DIR"));
    let authenticator = with(vec![KeyConfig { file: Some(path.into()), ..KeyConfig::default() }]);
    let token = Signer("ed25519").token(Algorithm::EdDsa, None);
    assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
}

#[test]
fn another_key_of_the_same_kind_does_not_verify() {
    let authenticator = with(vec![key(Signer("rsa2").public_pem())]);
    for algorithm in RSA {
        let token = Signer("rsa").token(algorithm, None);
        refused(now_or_never(authenticator.verify(&token, NOW)), "signature is wrong");
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let claims = json!({ "sub": "mallory", "exp": NOW_S + 60 }).to_string();
    for name in ["rsa", "p256", "p384", "ed25519"] {
        let pem = Signer(name).public_pem();
        let der = der(&format!("{name}.public.pem"));
        let authenticator = with(vec![key(pem.clone())]);
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), &der] {
            for alg in ["HS256", "RS256", "ES256", "EdDSA"] {
                let header = json!({ "alg": alg }).to_string();
                let forged = sign_hs256_with(secret, &header, &claims);
                assert!(now_or_never(authenticator.verify(&forged, NOW)).is_err(), "{alg} with {name}");
            }
        }
        let forged = sign_hs256_with(pem.as_bytes(), r#"{"alg":"HS256"}"#, &claims);
        refused(now_or_never(authenticator.verify(&forged, NOW)), "no key for HS256");
    }
}

#[test]
fn a_key_is_only_for_its_algorithms() {
    let only = |alg: Algorithm| KeyConfig { alg: vec![alg], ..key(Signer("rsa").public_pem()) };
    for configured in RSA {
        let authenticator = with(vec![only(configured)]);
        for algorithm in RSA {
            let outcome = now_or_never(authenticator.verify(&Signer("rsa").token(algorithm, None), NOW));
            assert_eq!(outcome.is_ok(), algorithm == configured, "{algorithm} with a key for {configured}");
        }
    }
    let named = KeyConfig { kid: Some("k1".into()), ..only(Algorithm::Rs256) };
    let token = Signer("rsa").token(Algorithm::Ps256, Some("k1"));
    refused(now_or_never(with(vec![named]).verify(&token, NOW)), "not for PS256");
}

#[test]
fn kid_chooses_the_key() {
    let named = |kid: &str, signer: Signer| KeyConfig { kid: Some(kid.into()), ..key(signer.public_pem()) };
    let (old, new) = (Signer("rsa"), Signer("rsa2"));
    let authenticator = with(vec![named("old", old), named("new", new)]);
    let verify = |token: String| now_or_never(authenticator.verify(&token, NOW));
    assert!(verify(old.token(Algorithm::Rs256, Some("old"))).is_ok());
    assert!(verify(new.token(Algorithm::Rs256, Some("new"))).is_ok());
    assert!(verify(new.token(Algorithm::Rs256, None)).is_ok(), "without kid every key is tried");
    refused(verify(new.token(Algorithm::Rs256, Some("old"))), "signature is wrong");
    refused(verify(new.token(Algorithm::Rs256, Some("newer"))), "no key has the token's kid");

    let authenticator = with(vec![named("old", old), key(new.public_pem())]);
    let verify = |token: String| now_or_never(authenticator.verify(&token, NOW));
    assert!(
        verify(new.token(Algorithm::Rs256, Some("newer"))).is_ok(),
        "a key without kid is for any other kid"
    );
    refused(verify(old.token(Algorithm::Rs256, Some("newer"))), "signature is wrong");
}

#[test]
fn secrets_may_have_ids_too() {
    let secret =
        |kid: &str, text: &str| KeyConfig { kid: Some(kid.into()), alg: vec![Algorithm::Hs256], ..key(text) };
    let jwk = json!({ "kty": "oct", "kid": "c", "alg": "HS512", "k": support::encode(SECRET) }).to_string();
    let authenticator = with(vec![secret("a", SECRET), secret("b", "another"), key(jwk)]);
    let claims = json!({ "exp": NOW_S + 60 }).to_string();
    let verify = |kid: &str| {
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        now_or_never(authenticator.verify(&sign_hs256_with(SECRET.as_bytes(), &header, &claims), NOW))
    };
    assert!(verify("a").is_ok());
    refused(verify("b"), "signature is wrong");
    refused(verify("c"), "not for HS256");
    let token = Claims::new().exp(NOW_S + 60).sign(&SECRET.into(), Algorithm::Hs512).unwrap();
    assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_a_reason() {
    let edit = |name: &'static str, field: &str, value: Value| {
        let mut jwk = Signer(name).jwk("k");
        jwk[field] = value;
        key(jwk.to_string())
    };
    let pem = Signer("rsa").public_pem();
    for (key, word) in [
        (KeyConfig::default(), "either `key` or `file`"),
        (KeyConfig { file: Some("/x".into()), ..key("k") }, "either `key` or `file`"),
        (KeyConfig { file: Some("/does/not/exist".into()), ..KeyConfig::default() }, "/does/not/exist"),
        (key(" \n"), "empty"),
        (key("a secret"), "set alg"),
        (KeyConfig { alg: vec![Algorithm::Rs256], ..key("a secret") }, "RS256 does not fit"),
        (KeyConfig { alg: vec![Algorithm::Hs256], ..key(pem.clone()) }, "HS256 does not fit"),
        (KeyConfig { alg: vec![Algorithm::Es256], ..key(Signer("p384").public_pem()) }, "ES256 does not fit"),
        (key(&pem[..200]), "damaged"),
        (key(pem.replace('M', "N")), "damaged"),
        (key("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----"), "damaged"),
        (key("-----BEGIN X-----\nAAAA\n-----END X-----"), "not a key"),
        (key(fixture("rsa.private.pem")), "private key"),
        (key(fixture("p521.public.pem")), "not supported"),
        (key(fixture("rsa1024.public.pem")), "this one has 1024"),
        (key("{}"), "JWK"),
        (key("{not json"), "JWK"),
        (edit("rsa", "kty", json!("DSA")), "not supported"),
        (edit("rsa", "n", json!("!")), "base64url"),
        (edit("rsa", "n", Value::Null), "missing"),
        (edit("rsa", "d", json!("AQAB")), "private key"),
        (edit("rsa", "use", json!("enc")), "`use`"),
        (edit("rsa", "key_ops", json!(["encrypt"])), "`key_ops`"),
        (edit("rsa", "alg", json!("RSA-OAEP")), "`alg`"),
        (edit("rsa", "alg", json!("ES256")), "ES256 does not fit"),
        (edit("p256", "x", json!("AAAA")), "wrong length"),
        (edit("p256", "crv", json!("P-521")), "not supported"),
        (edit("ed25519", "crv", json!("X25519")), "not supported"),
    ] {
        let error = error(key);
        assert!(error.contains(word), "{error:?} does not speak of {word:?}");
    }
}

#[test]
fn damaged_der_is_an_error_and_no_panic() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut refused = 0;
    for name in ["rsa.public.pem", "p256.public.pem", "ed25519.public.pem", "rsa.certificate.pem"] {
        let label = if name.contains("certificate") { "CERTIFICATE" } else { "PUBLIC KEY" };
        let whole = der(name);
        let pem =
            |der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", STANDARD.encode(der));
        for end in 0..whole.len() {
            assert!(!error(key(pem(&whole[..end]))).is_empty(), "{name} cut at {end}");
        }
        for at in 0..whole.len().min(64) {
            for value in [0, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let config = AuthConfig { keys: vec![key(pem(&changed))], ..AuthConfig::default() };
                refused += usize::from(Authenticator::new(config).is_err());
            }
        }
    }
    assert!(refused > 500, "only {refused} of the damaged keys were noticed");
}

#[test]
fn one_kid_names_one_key_for_an_algorithm() {
    let named = |signer: Signer, alg| KeyConfig { kid: Some("k".into()), alg, ..key(signer.public_pem()) };
    let config = |keys| AuthConfig { keys, ..AuthConfig::default() };
    let twice = config(vec![named(Signer("rsa"), vec![]), named(Signer("rsa2"), vec![Algorithm::Ps256])]);
    let error = Authenticator::new(twice).unwrap_err().to_string();
    assert!(error.contains("auth.keys[1]") && error.contains("PS256"), "{error}");
    let apart = config(vec![named(Signer("rsa"), vec![]), named(Signer("p256"), vec![])]);
    assert!(Authenticator::new(apart).is_ok());
}

#[test]
fn an_ed25519_key_also_answers_to_its_newer_name() {
    let authenticator = with(vec![key(Signer("ed25519").public_pem())]);
    assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
    let token = Signer("ed25519").token(Algorithm::EdDsa, None);
    assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
}
