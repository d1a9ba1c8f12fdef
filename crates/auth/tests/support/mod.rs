//! What the tests share.
#![allow(dead_code, reason = "each test binary uses a part")]
pub mod signer;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare_protocol::{Code, Identity, Problem};
use ring::hmac;

/// The time of the tests, in seconds since 1970.
pub const NOW_S: u64 = 1_800_000_000;
/// The same in milliseconds.
pub const NOW: u64 = NOW_S * 1_000;
/// The secret of the tests.
pub const SECRET: &str = "a secret for tests only, 32 bytes";

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An HS256 token whose claims are this text, JSON or not.
pub fn sign_hs256(claims: &str) -> String {
    sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

/// A token whose signature is HMAC with SHA-256, whatever its header says.
pub fn sign_hs256_with(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", encode(tag))
}

/// The outcome of a future that must not wait for anything.
pub fn now_or_never<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Refused as `unauthorized`; the detail must mention `word`.
#[track_caller]
pub fn refused(outcome: Result<Arc<Identity>, Problem>, word: &str) {
    let problem = outcome.expect_err(word);
    assert_eq!(problem.code, Code::Unauthorized, "{problem}");
    assert!(problem.detail.contains(word), "{:?} does not speak of {word:?}", problem.detail);
}
