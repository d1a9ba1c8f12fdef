//! A key and the algorithms that it is for. A token's header chooses among them, never beyond them.
use std::fmt;

use ring::{hmac, signature};

use crate::{Algorithm, Secret, config::KeyConfig, error::KeyError, jwk, pem};

/// The key itself, by kind.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// A shared secret.
    Secret(Vec<u8>),
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    /// 32 bytes.
    Ed25519(Vec<u8>),
}

impl Material {
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let n = without_leading_zeros(n);
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::RsaBits(bits));
        }
        Ok(Self::Rsa { n: n.to_vec(), e: without_leading_zeros(e).to_vec() })
    }

    pub(crate) fn p256(point: &[u8]) -> Option<Self> {
        (point.len() == 65 && point.first() == Some(&4)).then(|| Self::P256(point.to_vec()))
    }

    pub(crate) fn p384(point: &[u8]) -> Option<Self> {
        (point.len() == 97 && point.first() == Some(&4)).then(|| Self::P384(point.to_vec()))
    }

    pub(crate) fn ed25519(key: &[u8]) -> Option<Self> {
        (key.len() == 32).then(|| Self::Ed25519(key.to_vec()))
    }

    /// Every algorithm that this kind of key can be used with.
    fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm as A;
        match self {
            Self::Secret(_) => &[A::Hs256, A::Hs384, A::Hs512],
            Self::Rsa { .. } => &[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512],
            Self::P256(_) => &[A::Es256],
            Self::P384(_) => &[A::Es384],
            Self::Ed25519(_) => &[A::EdDsa],
        }
    }
}

fn without_leading_zeros(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(&[0]) {
        bytes = rest;
    }
    bytes
}

/// A key that verifies tokens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    algorithms: Vec<Algorithm>,
    material: Material,
}

impl Key {
    /// Binds a key to algorithms; none given: all that its kind allows.
    pub(crate) fn new(
        kid: Option<String>,
        algorithms: &[Algorithm],
        material: Material,
    ) -> Result<Self, KeyError> {
        let possible = material.algorithms();
        if let Some(&wrong) = algorithms.iter().find(|algorithm| !possible.contains(algorithm)) {
            return Err(KeyError::Mismatch(wrong));
        }
        let algorithms = if algorithms.is_empty() { possible } else { algorithms }.to_vec();
        Ok(Self { kid, algorithms, material })
    }

    /// The key of `hmac_secret`.
    pub(crate) fn secret(secret: &Secret) -> Self {
        let material = Material::Secret(secret.expose().as_bytes().to_vec());
        Self { kid: None, algorithms: material.algorithms().to_vec(), material }
    }

    /// One of `[[auth.keys]]`.
    pub(crate) fn from_config(config: &KeyConfig) -> Result<Self, KeyError> {
        let from_file;
        let text = match (&config.key, &config.file) {
            (Some(key), None) => key.expose(),
            (None, Some(path)) => {
                from_file =
                    std::fs::read_to_string(path).map_err(|error| KeyError::File(path.clone(), error))?;
                // An editor's last line end is not part of a secret.
                from_file.trim_end_matches(['\r', '\n'])
            }
            _ => return Err(KeyError::Source),
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(KeyError::Empty);
        }
        if trimmed.starts_with("-----BEGIN") {
            return Self::new(config.kid.clone(), &config.alg, pem::read(trimmed)?);
        }
        if trimmed.starts_with('{') {
            return jwk::from_config(trimmed, config);
        }
        if config.alg.is_empty() {
            return Err(KeyError::SecretWithoutAlg);
        }
        Self::new(config.kid.clone(), &config.alg, Material::Secret(text.as_bytes().to_vec()))
    }

    /// Whether tokens with this algorithm in their header may be verified with this key.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// An algorithm that both keys are for.
    pub(crate) fn shares_algorithm(&self, other: &Self) -> Option<Algorithm> {
        self.algorithms.iter().copied().find(|&algorithm| other.is_for(algorithm))
    }

    /// Whether the signature is this key's, by an algorithm that it is for.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm as A;
        if !self.is_for(algorithm) {
            return false;
        }
        match &self.material {
            Material::Secret(secret) => {
                let Some(hash) = hmac_hash(algorithm) else { return false };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
            Material::Rsa { n, e } => {
                let parameters = match algorithm {
                    A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }
            Material::P256(point) => {
                verify_with(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            Material::P384(point) => {
                verify_with(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
            Material::Ed25519(key) => verify_with(&signature::ED25519, key, message, signature),
        }
    }
}

/// The hash of an HMAC algorithm; none for others.
pub(crate) fn hmac_hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn verify_with(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
