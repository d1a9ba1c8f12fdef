//! Which key a token is verified with.
use fanfare_protocol::Problem;

use crate::{
    Algorithm,
    compact::{Compact, unauthorized},
    key::Key,
};

/// Most keys tried for one token, where nothing but its algorithm tells which.
const MOST_TRIES: usize = 16;

/// What a set of keys says about a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    /// The signature is right.
    Signed,
    /// There are keys for the token, and none of them signed it. `named`: its `kid` named the key.
    Wrong {
        /// Whether the key was named by the token's `kid`.
        named: bool,
    },
    /// A key has the token's `kid` but is for other algorithms.
    OtherAlgorithm,
    /// There is no key with its `kid`.
    UnknownKid,
    /// There is no key for its algorithm.
    NoKey,
}

/// The parts of a token that choose a key, checked.
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    kid: Option<&'a str>,
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    pub(crate) fn read(token: &'a Compact<'a>) -> Result<Self, Problem> {
        Ok(Self {
            algorithm: token.algorithm()?,
            kid: token.kid()?,
            message: token.signed,
            signature: token.signature()?,
        })
    }
}

/// Looks for the key that signed the token. The header's `alg` only chooses among what a key is for, so a public RSA
/// key is never taken for an HMAC secret (RFC 8725 §3.1). A `kid` that a key has excludes the others; one that none has
/// leaves those that have no `kid`.
pub(crate) fn find(keys: &[Key], token: &Signed<'_>) -> Match {
    let named = |key: &&Key| token.kid.is_some() && key.kid.as_deref() == token.kid;
    if keys.iter().any(|key| named(&key)) {
        let mut tried = false;
        for key in keys.iter().filter(named).filter(|key| key.is_for(token.algorithm)) {
            tried = true;
            if key.verify(token.algorithm, token.message, &token.signature) {
                return Match::Signed;
            }
        }
        return if tried { Match::Wrong { named: true } } else { Match::OtherAlgorithm };
    }
    let candidates = keys
        .iter()
        .filter(|key| token.kid.is_none() || key.kid.is_none())
        .filter(|key| key.is_for(token.algorithm));
    let mut outcome = if token.kid.is_some() { Match::UnknownKid } else { Match::NoKey };
    for key in candidates.take(MOST_TRIES) {
        outcome = Match::Wrong { named: false };
        if key.verify(token.algorithm, token.message, &token.signature) {
            return Match::Signed;
        }
    }
    outcome
}

impl Match {
    /// Whether no other key could change the answer: it is signed, or the very key that it names did not sign it.
    pub(crate) fn is_certain(self) -> bool {
        matches!(self, Self::Signed | Self::Wrong { named: true } | Self::OtherAlgorithm)
    }

    /// The more telling of two sets' answers.
    pub(crate) fn or(self, other: Self) -> Self {
        let rank = |this: Self| match this {
            Self::Signed => 0,
            Self::Wrong { named: true } => 1,
            Self::OtherAlgorithm => 2,
            Self::Wrong { named: false } => 3,
            Self::UnknownKid => 4,
            Self::NoKey => 5,
        };
        if rank(self) <= rank(other) { self } else { other }
    }

    /// Why the token is refused; none when it is signed.
    pub(crate) fn refusal(self, algorithm: Algorithm) -> Option<Problem> {
        Some(match self {
            Self::Signed => return None,
            Self::Wrong { .. } => unauthorized("the token's signature is wrong")
                .remedy("sign it with the key that this server is configured with"),
            Self::OtherAlgorithm => {
                unauthorized(format!("the key that the token names is not for {algorithm}"))
            }
            Self::UnknownKid => unauthorized("no key has the token's kid"),
            Self::NoKey => unauthorized(format!("there is no key for {algorithm} tokens"))
                .remedy("configure one under [auth], or sign with an algorithm that has one"),
        })
    }
}
