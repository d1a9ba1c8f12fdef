//! Key sets from a URL, against a real HTTP server on the loopback interface. Time is an argument.
#![allow(clippy::unwrap_used)]
mod key_server;
mod support;

use std::sync::Arc;

use fanfare_auth::{Algorithm, AuthConfig, Authenticator, JwksConfig, KeyConfig, Verifying};
use fanfare_protocol::{Code, Identity, Problem};
use futures_util::future::join_all;
use key_server::KeyServer;
use serde_json::json;
use support::{
    NOW, NOW_S, SECRET, now_or_never, refused, sign_hs256, sign_hs256_with,
    signer::{Signer, fixture},
};

const RSA: Signer = Signer("rsa");
const EC: Signer = Signer("p256");

fn config(url: &str) -> AuthConfig {
    AuthConfig { jwks_url: Some(url.to_owned()), ..AuthConfig::default() }
}

fn authenticator(server: &KeyServer) -> Authenticator {
    Authenticator::new(config(&server.url())).unwrap()
}

fn rs256(kid: &str) -> String {
    RSA.token(Algorithm::Rs256, Some(kid))
}

fn unavailable(outcome: Result<Arc<Identity>, Problem>) -> u64 {
    let problem = outcome.unwrap_err();
    assert_eq!(problem.code, Code::Unavailable, "{problem}");
    assert!(problem.is_retryable());
    problem.retry_after_ms.unwrap()
}

#[tokio::test]
async fn the_first_token_fetches_the_keys_and_the_others_do_not() {
    let server = KeyServer::start(&[RSA.jwk("a"), EC.jwk("b"), Signer("ed25519").jwk("c")]).await;
    let authenticator = authenticator(&server);
    assert!(!authenticator.is_empty());
    let first = authenticator.verify(&rs256("a"), NOW);
    assert!(matches!(first, Verifying::Pending(_)));
    assert_eq!(first.await.unwrap().user.as_deref(), Some("42"));
    for token in [
        rs256("a"),
        RSA.token(Algorithm::Ps512, Some("a")),
        EC.token(Algorithm::Es256, Some("b")),
        Signer("ed25519").token(Algorithm::EdDsa, Some("c")),
        EC.token(Algorithm::Es256, None),
    ] {
        assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn warming_up_spares_the_first_token_the_wait() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    assert!(now_or_never(authenticator.verify(&rs256("a"), NOW)).is_ok());
    authenticator.warm_up(NOW + 60_000).await;
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_the_old_one_ends() {
    let server = KeyServer::start(&[RSA.jwk("old")]).await;
    let authenticator = authenticator(&server);
    assert!(authenticator.verify(&rs256("old"), NOW).await.is_ok());
    server.serve(&[Signer("rsa2").jwk("new")]);
    let new = Signer("rsa2").token(Algorithm::Rs256, Some("new"));
    refused(now_or_never(authenticator.verify(&new, NOW + 9_999)), "kid");
    assert!(now_or_never(authenticator.verify(&rs256("old"), NOW + 9_999)).is_ok());
    assert!(authenticator.verify(&new, NOW + 10_000).await.is_ok());
    // It was verified before, which counts no longer.
    refused(now_or_never(authenticator.verify(&rs256("old"), NOW + 10_000)), "kid");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_storm_of_unknown_ids_is_one_fetch_in_ten_seconds() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    for n in 0..500 {
        let token = EC.token(Algorithm::Es256, Some(&format!("unknown-{n}")));
        refused(authenticator.verify(&token, NOW + 10_000 + n * 19).await, "kid");
    }
    assert_eq!(server.requests(), 2);
    refused(authenticator.verify(&EC.token(Algorithm::Es256, Some("x")), NOW + 20_000).await, "kid");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn tokens_that_no_fetch_could_help_cause_none() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    let later = NOW + 60_000;
    let claims = json!({ "exp": NOW_S + 3_600 }).to_string();
    for token in [
        sign_hs256(&claims),
        sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256","kid":"x"}"#, &claims),
        Signer("rsa2").token(Algorithm::Rs256, Some("a")),
        EC.token(Algorithm::Es256, Some("a")),
        sign_hs256_with(b"x", r#"{"alg":"none"}"#, &claims),
        "hello".to_owned(),
    ] {
        assert!(now_or_never(authenticator.verify(&token, later)).is_err());
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn concurrent_tokens_share_one_fetch_even_when_the_first_leaves() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    server.hold();
    let authenticator = authenticator(&server);
    let first = authenticator.verify(&rs256("a"), NOW);
    let others: Vec<Verifying> = (0..50).map(|_| authenticator.verify(&rs256("a"), NOW)).collect();
    assert!(others.iter().all(|verifying| verifying.ready().is_none()));
    drop(first);
    server.requested(1).await;
    server.release();
    for outcome in join_all(others).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn without_any_keys_an_outage_is_said_to_be_one() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    server.fail(503);
    let authenticator = authenticator(&server);
    let wait = unavailable(authenticator.verify(&rs256("a"), NOW).await);
    assert!((1_000..=10_000).contains(&wait), "{wait}");
    let wait = unavailable(now_or_never(authenticator.verify(&rs256("a"), NOW + 4_000)));
    assert_eq!(wait, 6_000, "the fetch is tried again ten seconds after the last");
    assert_eq!(server.requests(), 1);
    server.serve(&[RSA.jwk("a")]);
    assert!(authenticator.verify(&rs256("a"), NOW + 10_000).await.is_ok());
}

#[tokio::test]
async fn old_keys_stay_while_the_endpoint_is_down() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    server.fail(500);
    let ps = |n: u64| RSA.sign(Algorithm::Ps256, Some("a"), &json!({ "exp": NOW_S + 9_000, "n": n }));
    for n in 1..20 {
        let now = NOW + n * 300_000;
        assert!(now_or_never(authenticator.verify(&ps(n), now)).is_ok(), "after {n} refreshes");
        server.requested(1 + n as usize).await;
        // Whether this key exists cannot be said while the endpoint is down.
        unavailable(authenticator.verify(&EC.token(Algorithm::Es256, Some("new")), now).await);
    }
}

#[tokio::test]
async fn a_stale_set_is_refreshed_behind_the_tokens() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    server.cache_control("public, max-age=60, must-revalidate");
    let authenticator = authenticator(&server);
    assert!(authenticator.verify(&rs256("a"), NOW).await.is_ok());
    assert!(now_or_never(authenticator.verify(&rs256("a"), NOW + 59_999)).is_ok());
    assert_eq!(server.requests(), 1);
    server.serve(&[RSA.jwk("a"), EC.jwk("b")]);
    server.hold();
    // Ready, although it is stale and the answer is a while coming; from then on the new set counts.
    assert!(now_or_never(authenticator.verify(&rs256("a"), NOW + 60_000)).is_ok());
    let added = authenticator.verify(&EC.token(Algorithm::Es256, Some("b")), NOW + 60_000);
    server.requested(2).await;
    server.release();
    assert!(added.await.is_ok());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_set_without_max_age_lasts_as_configured() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    assert!(now_or_never(authenticator.verify(&rs256("a"), NOW + 299_999)).is_ok());
    assert_eq!(server.requests(), 1);
    assert!(now_or_never(authenticator.verify(&rs256("a"), NOW + 300_000)).is_ok());
    server.requested(2).await;
}

#[tokio::test]
async fn keys_that_are_for_something_else_are_skipped() {
    let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": support::encode(SECRET) });
    let mut encryption = RSA.jwk("e");
    encryption["use"] = "enc".into();
    let mut narrow = RSA.jwk("n");
    narrow["alg"] = "RS512".into();
    let mut wrapping = RSA.jwk("w");
    wrapping["key_ops"] = json!(["wrapKey"]);
    let unknown = [json!({ "kty": "PQC", "kid": "q" }), json!({ "kid": 7 }), json!("key"), json!(null)];
    let mut keys = vec![secret, encryption, narrow, wrapping, EC.jwk("b")];
    keys.extend(unknown);
    let server = KeyServer::start(&keys).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    let verify = |token: String| now_or_never(authenticator.verify(&token, NOW));
    assert!(verify(EC.token(Algorithm::Es256, Some("b"))).is_ok());
    assert!(verify(RSA.token(Algorithm::Rs512, Some("n"))).is_ok());
    refused(verify(rs256("n")), "not for RS256");
    refused(verify(rs256("e")), "kid");
    refused(verify(rs256("w")), "kid");
    let claims = json!({ "exp": NOW_S + 60 }).to_string();
    let with_secret = sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256","kid":"s"}"#, &claims);
    refused(verify(with_secret), "no key");
}

#[tokio::test]
async fn an_answer_that_is_no_key_set_is_an_outage() {
    let server = KeyServer::start(&[]).await;
    let settings = JwksConfig { max_bytes: 1_000, ..JwksConfig::default() };
    for (body, status) in [
        ("{".to_owned(), 200),
        ("<html>".to_owned(), 200),
        (r#"{"keys":7}"#.to_owned(), 200),
        (json!({ "keys": [RSA.jwk("a")], "pad": "x".repeat(1_000) }).to_string(), 200),
        (json!({ "keys": [RSA.jwk("a")] }).to_string(), 302),
    ] {
        server.answer(&body, status);
        let config = AuthConfig { jwks: settings.clone(), ..config(&server.url()) };
        let authenticator = Authenticator::new(config).unwrap();
        unavailable(authenticator.verify(&rs256("a"), NOW).await);
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_ends_in_time() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    server.hold();
    let settings = JwksConfig { timeout_ms: 50, ..JwksConfig::default() };
    let config = AuthConfig { jwks: settings, ..config(&server.url()) };
    let authenticator = Authenticator::new(config).unwrap();
    unavailable(authenticator.verify(&rs256("a"), NOW).await);
}

#[tokio::test]
async fn a_refused_connection_is_an_outage_that_other_keys_do_not_feel() {
    let url = KeyServer::start(&[]).await.stop();
    let keys = vec![KeyConfig { key: Some(EC.public_pem().into()), ..KeyConfig::default() }];
    let config = AuthConfig { keys, hmac_secret: Some(SECRET.into()), ..config(&url) };
    let authenticator = Authenticator::new(config).unwrap();
    unavailable(authenticator.verify(&rs256("a"), NOW).await);
    assert!(now_or_never(authenticator.verify(&EC.token(Algorithm::Es256, Some("x")), NOW)).is_ok());
    let token = sign_hs256(&json!({ "exp": NOW_S + 60 }).to_string());
    assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
}

#[test]
fn outside_a_runtime_it_is_an_outage_and_no_panic() {
    let authenticator = Authenticator::new(config("http://127.0.0.1:1/keys")).unwrap();
    unavailable(now_or_never(authenticator.verify(&rs256("a"), NOW)));
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_an_unchanged_url() {
    let server = KeyServer::start(&[RSA.jwk("a")]).await;
    let authenticator = authenticator(&server);
    authenticator.warm_up(NOW).await;
    let stricter = AuthConfig { audience: vec!["fanfare".into()], ..config(&server.url()) };
    authenticator.reload(stricter).unwrap();
    refused(now_or_never(authenticator.verify(&rs256("a"), NOW)), "aud");
    let other = KeyServer::start(&[EC.jwk("b")]).await;
    authenticator.reload(config(&other.url())).unwrap();
    assert!(authenticator.verify(&EC.token(Algorithm::Es256, Some("b")), NOW).await.is_ok());
    refused(now_or_never(authenticator.verify(&rs256("a"), NOW)), "kid");
    assert_eq!((server.requests(), other.requests()), (1, 1));
}

#[tokio::test]
async fn https_needs_a_trusted_certificate() {
    let server = KeyServer::start_tls(&[RSA.jwk("a")], &fixture("tls.localhost.pem"), "p256").await;
    let url = server.url();
    assert!(url.starts_with("https://localhost:"), "{url}");
    unavailable(Authenticator::new(config(&url)).unwrap().verify(&rs256("a"), NOW).await);
    let ca_file = format!("{}/tests/fixtures/tls.authority.pem", env!("CARGO_MANIFEST_DIR"));
    let jwks = JwksConfig { ca_file: Some(ca_file.into()), ..JwksConfig::default() };
    let authenticator = Authenticator::new(AuthConfig { jwks, ..config(&url) }).unwrap();
    assert!(authenticator.verify(&rs256("a"), NOW).await.is_ok());
}

#[test]
fn urls_that_cannot_be_fetched_are_refused() {
    for url in ["", "keys.json", "ftp://x/keys", "https://", "https://user:pass@host/keys", "file:///keys"] {
        let error = Authenticator::new(config(url)).unwrap_err().to_string();
        assert!(error.contains("auth.jwks_url"), "{url}: {error}");
    }
    let jwks = JwksConfig { ca_file: Some("/does/not/exist".into()), ..JwksConfig::default() };
    let error = Authenticator::new(AuthConfig { jwks, ..config("https://x/") }).unwrap_err().to_string();
    assert!(error.contains("/does/not/exist"), "{error}");
    assert!(config("http://login.example/keys").warnings()[0].contains("https"));
    for fine in ["http://127.0.0.1:9/k", "http://[::1]:9/k", "http://localhost/k", "https://login.example/k"]
    {
        assert!(config(fine).warnings().is_empty(), "{fine}");
    }
}
