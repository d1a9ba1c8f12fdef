//! Private keys that sign tokens, read from the fixtures.
#![allow(clippy::unwrap_used)]
use base64::{Engine, engine::general_purpose::STANDARD};
use fanfare_auth::Algorithm;
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use serde_json::{Value, json};

use super::{NOW_S, encode};

/// The text of a fixture.
pub fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands inside a PEM fixture.
pub fn der(name: &str) -> Vec<u8> {
    let text = fixture(name);
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

/// A private key by the name of its fixture: rsa, rsa2, p256, p384, ed25519.
#[derive(Clone, Copy, Debug)]
pub struct Signer(pub &'static str);

impl Signer {
    /// The fixture of its public key.
    pub fn public_pem(self) -> String {
        fixture(&format!("{}.public.pem", self.0))
    }

    fn private(self) -> Vec<u8> {
        der(&format!("{}.private.pem", self.0))
    }

    /// A token valid for an hour.
    pub fn token(self, algorithm: Algorithm, kid: Option<&str>) -> String {
        self.sign(algorithm, kid, &json!({ "sub": "42", "exp": NOW_S + 3_600 }))
    }

    /// A token with these claims.
    pub fn sign(self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn signature(self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        use Algorithm as A;
        let (random, key) = (SystemRandom::new(), self.private());
        let ecdsa = |kind| {
            let pair = EcdsaKeyPair::from_pkcs8(kind, &key, &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        };
        let encoding: &dyn signature::RsaEncoding = match algorithm {
            A::Es256 => return ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            A::Es384 => return ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            A::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).unwrap();
                return pair.sign(message).as_ref().to_vec();
            }
            A::Rs256 => &signature::RSA_PKCS1_SHA256,
            A::Rs384 => &signature::RSA_PKCS1_SHA384,
            A::Rs512 => &signature::RSA_PKCS1_SHA512,
            A::Ps256 => &signature::RSA_PSS_SHA256,
            A::Ps384 => &signature::RSA_PSS_SHA384,
            A::Ps512 => &signature::RSA_PSS_SHA512,
            A::Hs256 | A::Hs384 | A::Hs512 => panic!("{algorithm} needs a secret"),
        };
        let pair = RsaKeyPair::from_pkcs8(&key).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &random, message, &mut signature).unwrap();
        signature
    }

    /// The public key as a JWK.
    pub fn jwk(self, kid: &str) -> Value {
        let (random, key) = (SystemRandom::new(), self.private());
        let ec = |kind, curve: &str| {
            let pair = EcdsaKeyPair::from_pkcs8(kind, &key, &random).unwrap();
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": curve, "kid": kid, "use": "sig", "x": encode(x), "y": encode(y) })
        };
        match self.0 {
            "p256" => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "p384" => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "ed25519" => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).unwrap();
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(pair.public_key()) })
            }
            _ => {
                let pair = RsaKeyPair::from_pkcs8(&key).unwrap();
                let parts = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "kid": kid, "n": encode(parts.n), "e": encode(parts.e) })
            }
        }
    }
}
