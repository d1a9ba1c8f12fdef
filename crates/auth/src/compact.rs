//! The compact form of a signed token (RFC 7515 §7.1), taken apart but not believed.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare_protocol::{Code, Problem};
use serde_json::{Map, Value};

use crate::Algorithm;

/// `unauthorized` with a detail that helps whoever makes the tokens. The detail never holds any of the token.
pub(crate) fn unauthorized(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

/// A token's parts.
pub(crate) struct Compact<'a> {
    header: Map<String, Value>,
    /// What is signed: header, dot, claims, as they stand in the token.
    pub(crate) signed: &'a [u8],
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. None when it does not look like a JWT: two dots, and JSON before the first.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header = serde_json::from_slice(&header).ok()?;
        Some(Self { header, signed: signed.as_bytes(), claims, signature })
    }

    /// The algorithm that the header names.
    ///
    /// # Errors
    /// `unauthorized`: absent, `none`, not supported, or the header demands extensions (RFC 7515 §4.1.11).
    pub(crate) fn algorithm(&self) -> Result<Algorithm, Problem> {
        if self.header.contains_key("crit") {
            return Err(unauthorized(
                "the token's header demands extensions (crit), which are not supported",
            ));
        }
        let Some(Value::String(name)) = self.header.get("alg") else {
            return Err(unauthorized("the token's header has no alg"));
        };
        if name.eq_ignore_ascii_case("none") {
            return Err(unauthorized("the token is not signed (alg none)"));
        }
        Algorithm::from_name(name).ok_or_else(|| {
            unauthorized("the token's algorithm is not supported")
                .remedy("sign tokens with HS256, RS256, PS256, ES256 or EdDSA")
        })
    }

    /// The id of the key that the header names.
    ///
    /// # Errors
    /// `unauthorized` when it is not a string.
    pub(crate) fn kid(&self) -> Result<Option<&str>, Problem> {
        match self.header.get("kid") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(kid)) => Ok(Some(kid)),
            Some(_) => Err(unauthorized("the token's kid is not a string")),
        }
    }

    /// The signature's bytes.
    ///
    /// # Errors
    /// `unauthorized` when it is absent or not base64url.
    pub(crate) fn signature(&self) -> Result<Vec<u8>, Problem> {
        if self.signature.is_empty() {
            return Err(unauthorized("the token has no signature"));
        }
        URL_SAFE_NO_PAD
            .decode(self.signature)
            .map_err(|_| unauthorized("the token's signature is not base64url without padding"))
    }

    /// The claims' bytes, only to be used once the signature is verified.
    ///
    /// # Errors
    /// `unauthorized` when they are not base64url.
    pub(crate) fn claims(&self) -> Result<Vec<u8>, Problem> {
        URL_SAFE_NO_PAD
            .decode(self.claims)
            .map_err(|_| unauthorized("the token's claims are not base64url without padding"))
    }
}
