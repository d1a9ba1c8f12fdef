//! The little of DER (X.690) that public keys need.
use crate::{error::KeyError, key::Material};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Takes one element with this tag: its content and what follows it.
fn take(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): what stands in `PUBLIC KEY`.
pub(crate) fn public_key(der: &[u8]) -> Result<Material, KeyError> {
    let (info, _) = take(der, SEQUENCE).ok_or(KeyError::Der)?;
    let (algorithm, rest) = take(info, SEQUENCE).ok_or(KeyError::Der)?;
    let (bits, _) = take(rest, BIT_STRING).ok_or(KeyError::Der)?;
    // The first byte counts unused bits, of which keys have none.
    let key = bits.strip_prefix(&[0]).ok_or(KeyError::Der)?;
    let (kind, parameters) = take(algorithm, OID).ok_or(KeyError::Der)?;
    match kind {
        OID_RSA => rsa_public_key(key),
        OID_ED25519 => Material::ed25519(key).ok_or(KeyError::Der),
        OID_EC => match take(parameters, OID).map(|(curve, _)| curve) {
            Some(OID_P256) => Material::p256(key).ok_or(KeyError::Der),
            Some(OID_P384) => Material::p384(key).ok_or(KeyError::Der),
            _ => Err(KeyError::Kind),
        },
        _ => Err(KeyError::Kind),
    }
}

/// RSAPublicKey (RFC 8017 §A.1.1): what stands in `RSA PUBLIC KEY`.
pub(crate) fn rsa_public_key(der: &[u8]) -> Result<Material, KeyError> {
    let (numbers, _) = take(der, SEQUENCE).ok_or(KeyError::Der)?;
    let (n, rest) = take(numbers, INTEGER).ok_or(KeyError::Der)?;
    let (e, _) = take(rest, INTEGER).ok_or(KeyError::Der)?;
    Material::rsa(n, e)
}

/// The public key of a certificate (RFC 5280 §4.1). Nothing else of it is looked at: the operator vouches for it.
pub(crate) fn certificate(der: &[u8]) -> Result<Material, KeyError> {
    let info = (|| {
        let (certificate, _) = take(der, SEQUENCE)?;
        let (mut fields, _) = take(certificate, SEQUENCE)?;
        fields = take(fields, VERSION).map_or(fields, |(_, rest)| rest);
        // Serial number; then signature algorithm, issuer, validity, subject.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            fields = take(fields, tag)?.1;
        }
        Some(fields)
    })();
    public_key(info.ok_or(KeyError::Der)?)
}
