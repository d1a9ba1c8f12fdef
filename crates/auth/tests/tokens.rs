//! What a token must say, and what becomes of it: HMAC tokens and API keys.
#![allow(clippy::unwrap_used)]
mod support;

use std::sync::Arc;

use fanfare_auth::{Algorithm, ApiKeyConfig, AuthConfig, Authenticator, Secret, mint::Claims};
use fanfare_protocol::{Code, Data, Identity, Problem, Right};
use serde_json::{Value, json};
use support::{NOW, NOW_S, SECRET, encode, now_or_never, refused, sign_hs256};

fn authenticator() -> Authenticator {
    let config = AuthConfig {
        hmac_secret: Some(SECRET.into()),
        api_keys: vec![ApiKeyConfig { name: "backend".into(), key: "k-0123456789abcdef".into() }],
        ..AuthConfig::default()
    };
    Authenticator::new(config).unwrap()
}

fn verify(token: &str) -> Result<Arc<Identity>, Problem> {
    now_or_never(authenticator().verify(token, NOW))
}

/// Verifies a token with these claims, `exp` in a minute unless given.
fn claims(mut claims: Value) -> Result<Arc<Identity>, Problem> {
    let fields = claims.as_object_mut().unwrap();
    fields.entry("exp").or_insert(json!(NOW_S + 60));
    verify(&sign_hs256(&claims.to_string()))
}

#[test]
fn a_token_becomes_an_identity() {
    let identity = claims(json!({
        "sub": "42", "iat": NOW_S - 5, "info": {"name": "Ann B", "n": [1, 2]},
        "channels": ["user:{sub}", "news"],
        "grants": [
            {"channels": ["chat:*", "orders:{sub}"], "allow": ["subscribe", "publish"], "events": ["say"]},
            {"channels": ["docs:1"], "allow": ["presence", "enter", "history"]},
        ],
    }))
    .unwrap();
    assert_eq!(identity.user.as_deref(), Some("42"));
    assert_eq!(identity.api_key, None);
    assert_eq!(identity.issued_at, NOW - 5_000);
    assert_eq!(identity.expires_at, Some(NOW + 60_000));
    assert_eq!(identity.info, Some(Data::Json(r#"{"n":[1,2],"name":"Ann B"}"#.into())));
    let channels: Vec<&str> = identity.channels.iter().map(|c| &**c).collect();
    assert_eq!(channels, ["user:42", "news"]);
    assert!(identity.allows(Right::Subscribe, "chat:1", None));
    assert!(identity.allows(Right::Publish, "orders:42", Some("say")));
    assert!(!identity.allows(Right::Publish, "orders:42", Some("shout")));
    assert!(!identity.allows(Right::Subscribe, "orders:43", None));
    assert!(!identity.allows(Right::History, "chat:1", None));
    assert!(identity.allows(Right::History, "docs:1", None));
    assert!(!identity.is_anonymous());
}

#[test]
fn a_token_needs_neither_user_nor_grants() {
    let identity = claims(json!({})).unwrap();
    assert_eq!((identity.user.clone(), identity.issued_at), (None, 0));
    assert!(identity.grants.is_empty() && identity.channels.is_empty() && !identity.is_anonymous());
}

#[test]
fn every_hmac_algorithm_works_and_other_secrets_do_not() {
    let claims = Claims::new().user("42").exp(NOW_S + 60);
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let token = claims.sign(&SECRET.into(), algorithm).unwrap();
        assert_eq!(verify(&token).unwrap().user.as_deref(), Some("42"), "{algorithm}");
        let token = claims.sign(&"another secret of 32 bytes or so".into(), algorithm).unwrap();
        refused(verify(&token), "signature is wrong");
    }
    assert!(claims.sign(&SECRET.into(), Algorithm::Rs256).is_err());
    assert!(claims.sign(&"".into(), Algorithm::Hs256).is_err());
}

#[test]
fn it_expires_in_the_very_millisecond() {
    let authenticator = authenticator();
    let token = sign_hs256(&json!({ "exp": NOW_S }).to_string());
    let at = |now| now_or_never(authenticator.verify(&token, now));
    assert!(at(NOW - 1).is_ok());
    // The second time it comes from the cache, whose entries expire as well.
    for _ in 0..2 {
        assert_eq!(at(NOW).unwrap_err().code, Code::TokenExpired);
        assert!(at(NOW - 1).is_ok());
    }
    assert_eq!(verify(&token).unwrap_err().code, Code::TokenExpired, "without a cache");
    let fraction = sign_hs256(&json!({ "exp": NOW_S as f64 + 0.25 }).to_string());
    assert!(now_or_never(authenticator.verify(&fraction, NOW + 249)).is_ok());
    assert_eq!(
        now_or_never(authenticator.verify(&fraction, NOW + 250)).unwrap_err().code,
        Code::TokenExpired
    );
}

#[test]
fn exp_is_required_and_in_seconds() {
    refused(verify(&sign_hs256("{}")), "no exp");
    refused(claims(json!({ "exp": null })), "no exp");
    // A string is not taken for "no expiry".
    refused(claims(json!({ "exp": (NOW_S + 60).to_string() })), "exp is not a number");
    refused(claims(json!({ "exp": [NOW_S] })), "exp is not a number");
    refused(verify(&sign_hs256(r#"{"exp":1e999}"#)), "exp is not a number");
    let problem = claims(json!({ "exp": NOW + 60_000 })).unwrap_err();
    assert!(problem.remedy_text().contains("milliseconds"), "{problem}");
    for past in [json!(0), json!(-5), json!(-1e30)] {
        assert_eq!(claims(json!({ "exp": past })).unwrap_err().code, Code::TokenExpired);
    }
    refused(verify(&sign_hs256(&format!(r#"{{"exp":1,"exp":{}}}"#, NOW_S + 60))), "twice");
}

#[test]
fn nbf_is_honoured_without_leeway() {
    let authenticator = authenticator();
    let token = sign_hs256(&json!({ "exp": NOW_S + 60, "nbf": NOW_S }).to_string());
    refused(now_or_never(authenticator.verify(&token, NOW - 1)), "nbf");
    assert!(now_or_never(authenticator.verify(&token, NOW)).is_ok());
    refused(claims(json!({ "nbf": "soon" })), "nbf is not a number");
}

#[test]
fn audience_and_issuer_count_only_when_configured() {
    assert!(claims(json!({ "aud": "other", "iss": "other" })).is_ok());
    let config = AuthConfig {
        hmac_secret: Some(SECRET.into()),
        audience: vec!["fanfare".into(), "hub".into()],
        issuer: vec!["https://login.example".into()],
        ..AuthConfig::default()
    };
    let authenticator = Authenticator::new(config).unwrap();
    let verify = |aud: Value, iss: Value| {
        let claims = json!({ "exp": NOW_S + 60, "aud": aud, "iss": iss });
        now_or_never(authenticator.verify(&sign_hs256(&claims.to_string()), NOW))
    };
    let iss = json!("https://login.example");
    assert!(verify(json!("hub"), iss.clone()).is_ok());
    assert!(verify(json!(["x", "fanfare"]), iss.clone()).is_ok());
    refused(verify(json!("fan"), iss.clone()), "aud");
    refused(verify(json!([]), iss.clone()), "aud");
    refused(verify(json!(7), iss.clone()), "aud");
    refused(verify(Value::Null, iss), "no aud");
    refused(verify(json!("hub"), json!("https://login.example.evil")), "iss");
    refused(verify(json!("hub"), Value::Null), "no iss");
}

#[test]
fn a_star_in_the_users_name_is_no_pattern() {
    let grants = json!([{ "channels": ["orders:{sub}", "p:{sub}:*"], "allow": ["subscribe"] }]);
    let identity = claims(json!({ "sub": "*", "grants": grants })).unwrap();
    assert!(!identity.allows(Right::Subscribe, "orders:43", None));
    assert!(!identity.allows(Right::Subscribe, "p:1:x", None));
    assert!(identity.allows(Right::Subscribe, "p:*:x", None), "byte for byte");
}

#[test]
fn a_pattern_with_sub_does_not_apply_without_one() {
    let grants = json!([{ "channels": ["orders:{sub}"], "allow": ["subscribe"] },
                        { "channels": ["x:{sub}*", "news"], "allow": ["subscribe"] }]);
    let identity = claims(json!({ "grants": grants })).unwrap();
    for channel in ["orders:", "orders:{sub}", "x:", "x:1"] {
        assert!(!identity.allows(Right::Subscribe, channel, None), "{channel}");
    }
    assert!(identity.allows(Right::Subscribe, "news", None));
    refused(claims(json!({ "channels": ["user:{sub}"] })), "no sub");
}

#[test]
fn no_events_narrow_publishing_to_nothing() {
    let grants = json!([{ "channels": ["*"], "allow": ["publish"], "events": [] }]);
    let identity = claims(json!({ "grants": grants })).unwrap();
    assert!(!identity.allows(Right::Publish, "a", Some("message")));
}

#[test]
fn malformed_claims_are_named() {
    refused(claims(json!({ "sub": 42 })), "sub is not a string");
    refused(claims(json!({ "sub": "" })), "sub is not 1 to 255");
    refused(claims(json!({ "sub": "x".repeat(256) })), "sub is not 1 to 255");
    refused(claims(json!({ "iat": "now" })), "iat is not a number");
    refused(claims(json!({ "channels": "a" })), "channels are not a list");
    refused(claims(json!({ "channels": ["a b"] })), "channel name");
    refused(claims(json!({ "channels": ["$x"] })), "reserved");
    refused(claims(json!({ "sub": "a,b", "channels": ["user:{sub}"] })), "channel name");
    refused(claims(json!({ "grants": [{ "allow": ["publish"] }] })), "grants are not");
    refused(claims(json!({ "grants": {} })), "grants are not");
    refused(claims(json!({ "grants": [{ "channels": ["a"], "allow": ["fly"] }] })), "unknown");
    for text in ["[]", "7", "", "{", r#"["42",1]"#] {
        refused(verify(&sign_hs256(text)), "not a JSON object");
    }
}

#[test]
fn lists_and_info_have_limits() {
    let names = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>();
    assert_eq!(claims(json!({ "channels": names(128) })).unwrap().channels.len(), 128);
    refused(claims(json!({ "channels": names(129) })), "128");
    let grant = json!({ "channels": ["a"], "allow": ["publish"] });
    assert!(claims(json!({ "grants": vec![grant.clone(); 100] })).is_ok());
    refused(claims(json!({ "grants": vec![grant; 101] })), "100 grants");
    let many = |channels: usize, events: usize| {
        claims(json!({ "grants": [{ "channels": names(channels), "allow": [], "events": names(events) }] }))
    };
    assert!(many(100, 100).is_ok());
    refused(many(101, 1), "100 channels");
    refused(many(1, 101), "100 channels");
    assert!(claims(json!({ "info": "x".repeat(4094) })).is_ok());
    refused(claims(json!({ "info": "x".repeat(4095) })), "4 KB");
}

#[test]
fn info_is_compacted_and_checked() {
    let with_info = |info: &str| verify(&sign_hs256(&format!(r#"{{"exp":{},"info":{info}}}"#, NOW_S + 60)));
    let info = with_info(r#"{ "z" : "a \" b\\" , "a":[ 1 , 1.50 ] }"#).unwrap().info.clone();
    assert_eq!(info, Some(Data::Json(r#"{"z":"a \" b\\","a":[1,1.50]}"#.into())));
    refused(with_info(r#""\ud800""#), "info");
    refused(with_info("1e999"), "info");
    refused(with_info(&format!("{}{}", "[".repeat(65), "]".repeat(65))), "deeper");
    assert!(with_info(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
    assert_eq!(with_info("null").unwrap().info, None);
}

#[test]
fn what_is_no_signed_token_is_refused_with_a_reason() {
    let part = |text: &str| encode(text.as_bytes());
    let claims = part(&json!({ "exp": NOW_S + 60 }).to_string());
    for (header, word) in [
        (r#"{"alg":"none"}"#, "alg none"),
        (r#"{"alg":"nOnE"}"#, "alg none"),
        (r#"{"alg":"HS999"}"#, "not supported"),
        (r#"{"typ":"JWT"}"#, "no alg"),
        (r#"{"alg":["HS256"]}"#, "no alg"),
        (r#"{"alg":"HS256","kid":7}"#, "kid is not a string"),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "crit"),
        (r#"{"alg":"RS256"}"#, "no key for RS256"),
        (r#"{"alg":"HS256"}"#, "signature is wrong"),
        (r#"["HS256"]"#, "base64url JSON"),
    ] {
        refused(verify(&format!("{}.{claims}.{}", part(header), part("sig"))), word);
    }
    refused(verify(&format!("{}.{claims}.", part(r#"{"alg":"none"}"#))), "alg none");
    refused(verify(&format!("{}.{claims}.", part(r#"{"alg":"HS256"}"#))), "no signature");
    refused(verify(&format!("{}.{claims}.a=b", part(r#"{"alg":"HS256"}"#))), "base64url");
    refused(verify("a.b.c.d.e"), "JWE");
    refused(verify("a.b.c"), "base64url JSON");
    refused(verify("hello"), "neither a configured API key nor a JWT");
    refused(verify(""), "empty");
    refused(verify(&"x".repeat(16 * 1024 + 1)), "16 KB");
}

#[test]
fn a_changed_token_is_refused_wherever_it_changed() {
    let token = sign_hs256(&json!({ "exp": NOW_S + 60, "sub": "42" }).to_string());
    assert!(verify(&token).is_ok());
    for at in 0..token.len() {
        for other in ['A', 'B', '.', '='] {
            let mut changed: Vec<char> = token.chars().collect();
            if changed[at] == other {
                continue;
            }
            changed[at] = other;
            let changed: String = changed.into_iter().collect();
            assert!(verify(&changed).is_err(), "{other} at {at}");
        }
    }
}

#[test]
fn problems_hold_nothing_of_the_token() {
    let secret_word = "xyzzy-secret-word";
    for token in [
        secret_word.to_owned(),
        sign_hs256(&json!({ "exp": secret_word }).to_string()),
        sign_hs256(&json!({ "exp": NOW_S + 9, "sub": [secret_word] }).to_string()),
        sign_hs256(&json!({ "exp": NOW_S + 9, "channels": [format!("{secret_word} ")] }).to_string()),
        sign_hs256(
            &json!({ "exp": NOW_S + 9, "grants": [{ "channels": [], "allow": [secret_word] }] }).to_string(),
        ),
    ] {
        let problem = verify(&token).unwrap_err();
        assert!(!problem.to_string().contains(secret_word), "{problem}");
        assert!(!format!("{problem:?}").contains(&token));
    }
}

#[test]
fn api_keys_are_identities_that_may_do_everything() {
    let identity = verify("k-0123456789abcdef").unwrap();
    assert_eq!(identity.api_key.as_deref(), Some("backend"));
    assert_eq!((identity.user.clone(), identity.expires_at), (None, None));
    assert!(identity.allows(Right::Publish, "anything", Some("e")));
    refused(verify("k-0123456789abcdeF"), "API key");
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    let api = |name: &str, key: &str| ApiKeyConfig { name: name.into(), key: key.into() };
    let with = |api_keys| AuthConfig { api_keys, ..AuthConfig::default() };
    let secret = |text: &str| AuthConfig { hmac_secret: Some(text.into()), ..AuthConfig::default() };
    for (config, word) in [
        (with(vec![api("a", "k1"), api("a", "k2")]), "two API keys are called"),
        (with(vec![api("a", "same"), api("b", "same")]), "same key"),
        (with(vec![api("", "k")]), "no name"),
        (with(vec![api("a", "")]), "visible ASCII"),
        (with(vec![api("a", "k k")]), "visible ASCII"),
        (secret(""), "hmac_secret is empty"),
        (secret("-----BEGIN PUBLIC KEY-----\n"), "PEM"),
    ] {
        let error = Authenticator::new(config).unwrap_err().to_string();
        assert!(error.contains(word), "{error:?} does not speak of {word:?}");
    }
    assert!(secret("short").warnings()[0].contains("5 bytes"));
    assert!(secret(SECRET).warnings().is_empty());
    assert!(Authenticator::new(secret("short")).is_ok());
}

#[test]
fn it_knows_whether_it_is_empty() {
    assert!(Authenticator::new(AuthConfig::default()).unwrap().is_empty());
    assert!(!authenticator().is_empty());
    let keys = vec![ApiKeyConfig { name: "a".into(), key: "k".into() }];
    assert!(!Authenticator::new(AuthConfig { api_keys: keys, ..AuthConfig::default() }).unwrap().is_empty());
}

#[test]
fn secrets_are_not_printed() {
    let config = AuthConfig {
        hmac_secret: Some(Secret::from("hush-hush")),
        api_keys: vec![ApiKeyConfig { name: "backend".into(), key: "hush-hush".into() }],
        ..AuthConfig::default()
    };
    assert!(!format!("{config:?}").contains("hush"));
    assert!(!format!("{:?}", Authenticator::new(config).unwrap()).contains("hush"));
}

#[test]
fn revocation_reaches_tokens_verified_before() {
    let authenticator = authenticator();
    let token = |iat: u64| sign_hs256(&json!({ "sub": "ann", "exp": NOW_S + 60, "iat": iat }).to_string());
    let verify = |token: &str| now_or_never(authenticator.verify(token, NOW));
    let (old, new) = (token(NOW_S - 10), token(NOW_S + 1));
    let identity = verify(&old).unwrap();
    authenticator.revocations().revoke_user("ann", NOW);
    assert_eq!(verify(&old).unwrap_err().code, Code::Revoked);
    assert!(authenticator.revocations().is_revoked(&identity));
    assert!(verify(&new).is_ok());
    let config = AuthConfig { hmac_secret: Some(SECRET.into()), ..AuthConfig::default() };
    authenticator.reload(config).unwrap();
    assert_eq!(verify(&old).unwrap_err().code, Code::Revoked, "a reload forgives nobody");
}

#[test]
fn reload_replaces_keys_at_once_or_not_at_all() {
    let authenticator = authenticator();
    let token = sign_hs256(&json!({ "exp": NOW_S + 60 }).to_string());
    let verify = |token: &str| now_or_never(authenticator.verify(token, NOW));
    assert!(verify(&token).is_ok());
    let config = |secret: &str| AuthConfig { hmac_secret: Some(secret.into()), ..AuthConfig::default() };
    assert!(authenticator.reload(config("")).is_err());
    assert!(verify(&token).is_ok() && verify("k-0123456789abcdef").is_ok(), "the old keys stay");
    authenticator.reload(config("another secret of 32 bytes or so")).unwrap();
    refused(verify(&token), "signature is wrong");
    refused(verify("k-0123456789abcdef"), "API key");
}

#[test]
fn the_configuration_reads_from_toml() {
    let config: AuthConfig = toml::from_str(
        r#"
        hmac_secret = "s"
        audience = "one"
        issuer = ["a", "b"]
        api_keys = [{ name = "backend", key = "k" }]
        [[keys]]
        kid = "k1"
        alg = "HS512"
        key = "secret"
        [[keys]]
        alg = ["RS256", "PS256"]
        file = "/etc/key.pem"
        "#,
    )
    .unwrap();
    assert_eq!((config.audience.len(), config.issuer.len(), config.keys.len()), (1, 2, 2));
    assert_eq!(config.keys[0].alg, [Algorithm::Hs512]);
    assert_eq!(config.keys[1].alg, [Algorithm::Rs256, Algorithm::Ps256]);
    assert_eq!(config.jwks.min_interval_ms, 10_000);
    let error = toml::from_str::<AuthConfig>("keys = [{ alg = \"none\" }]").unwrap_err().to_string();
    assert!(error.contains("not supported"), "{error}");
}
