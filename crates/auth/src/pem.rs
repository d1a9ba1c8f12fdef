//! Public keys as PEM text (RFC 7468).
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{der, error::KeyError, key::Material};

/// Reads the first block of the text.
pub(crate) fn read(text: &str) -> Result<Material, KeyError> {
    // Environment variables and JSON often carry line ends as the two characters \n.
    let text = text.replace("\\n", "\n");
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyError::Pem)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::Pem)?;
    if label.ends_with("PRIVATE KEY") {
        return Err(KeyError::Private);
    }
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(KeyError::Pem)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| KeyError::Pem)?;
    match label {
        "PUBLIC KEY" => der::public_key(&der),
        "RSA PUBLIC KEY" => der::rsa_public_key(&der),
        "CERTIFICATE" => der::certificate(&der),
        _ => Err(KeyError::PemKind),
    }
}
