//! The opening handshake, server side (RFC 6455 section 4.2; over HTTP/2, RFC 8441).
//!
//! Headers come as an iterator of `(name, value)`, which both `httparse` and `http::HeaderMap` give:
//! `map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))`. Method, path, `Host` and `Origin` are the
//! caller's to judge.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest as _, Sha1};

/// What section 1.3 appends to the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version this crate speaks, as `Sec-WebSocket-Version` writes it.
pub const VERSION: &str = "13";

/// Some clients draw 24 random characters instead of encoding 16 random bytes; the bits that this leaves over in
/// the last character harm nobody.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Why a request is no WebSocket handshake that can be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// `Upgrade` does not name `websocket`.
    #[error("the Upgrade header does not name websocket")]
    Upgrade,
    /// `Connection` does not name `upgrade`.
    #[error("the Connection header does not name upgrade")]
    Connection,
    /// `Sec-WebSocket-Version` is missing or not 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes of base64.
    #[error("Sec-WebSocket-Key is not one value of 16 bytes in base64")]
    Key,
    /// An offered subprotocol is not a token.
    #[error("Sec-WebSocket-Protocol holds a name that is not a token")]
    Subprotocol,
}

impl HandshakeError {
    /// The HTTP status to refuse with: 426 when the client asked for no WebSocket or for another version (send
    /// `Upgrade: websocket` and `Sec-WebSocket-Version: 13` along, section 4.4), else 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Upgrade | Self::Version => 426,
            Self::Connection | Self::Key | Self::Subprotocol => 400,
        }
    }
}

/// A handshake that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The value for `Sec-WebSocket-Accept`; empty over HTTP/2, which has no such header.
    pub accept: String,
    /// The subprotocols offered, in the client's order of preference, without repeats.
    pub subprotocols: Vec<&'a str>,
}

impl Request<'_> {
    /// Appends a whole HTTP/1.1 `101 Switching Protocols` head. `subprotocol` is the one selected, which must be
    /// one of those offered.
    pub fn append_response(&self, out: &mut Vec<u8>, subprotocol: Option<&str>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(self.accept.as_bytes());
        if let Some(name) = subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2, step 5.4).
#[must_use]
pub fn accept_key(key: impl AsRef<[u8]>) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

/// Checks the headers of an HTTP/1.1 upgrade request (section 4.2.1).
///
/// # Errors
/// The first requirement that is not met, in the order of [`HandshakeError`]'s variants.
pub fn validate<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Request<'a>, HandshakeError> {
    let seen = Seen::collect(headers);
    if !seen.upgrade {
        return Err(HandshakeError::Upgrade);
    }
    if !seen.connection {
        return Err(HandshakeError::Connection);
    }
    if !seen.version {
        return Err(HandshakeError::Version);
    }
    let key = seen.key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
    let subprotocols = seen.subprotocols.ok_or(HandshakeError::Subprotocol)?;
    Ok(Request { accept: accept_key(key), subprotocols })
}

/// Checks the headers of an extended `CONNECT` with `:protocol` `websocket` (RFC 8441 section 5): the version and
/// the subprotocols; the HTTP/2 stream itself replaces the rest. Answer 200.
///
/// # Errors
/// [`HandshakeError::Version`] or [`HandshakeError::Subprotocol`].
pub fn validate_connect<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Request<'a>, HandshakeError> {
    let seen = Seen::collect(headers);
    if !seen.version {
        return Err(HandshakeError::Version);
    }
    let subprotocols = seen.subprotocols.ok_or(HandshakeError::Subprotocol)?;
    Ok(Request { accept: String::new(), subprotocols })
}

/// What one pass over the headers finds.
struct Seen<'a> {
    upgrade: bool,
    connection: bool,
    version: bool,
    /// `None` when missing or repeated.
    key: Option<&'a [u8]>,
    /// `None` when a name is not a token.
    subprotocols: Option<Vec<&'a str>>,
}

impl<'a> Seen<'a> {
    fn collect(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut seen = Self {
            upgrade: false,
            connection: false,
            version: false,
            key: None,
            subprotocols: Some(Vec::new()),
        };
        let mut keys = 0u32;
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("upgrade") {
                seen.upgrade |= elements(value).any(|element| element.eq_ignore_ascii_case(b"websocket"));
            } else if name.eq_ignore_ascii_case("connection") {
                seen.connection |= elements(value).any(|element| element.eq_ignore_ascii_case(b"upgrade"));
            } else if name.eq_ignore_ascii_case("sec-websocket-version") {
                seen.version |= value.trim_ascii() == VERSION.as_bytes();
            } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                keys = keys.saturating_add(1);
                seen.key = (keys == 1).then_some(value.trim_ascii());
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                seen.subprotocols = seen.subprotocols.and_then(|list| add_subprotocols(list, value));
            }
        }
        seen
    }
}

/// The subprotocols that one `Sec-WebSocket-Protocol` value offers, in order (section 11.3.4); `None` when one of
/// them is not a token. The header may come several times: the lists follow each other.
#[must_use]
pub fn subprotocols(value: &[u8]) -> Option<Vec<&str>> {
    add_subprotocols(Vec::new(), value)
}

fn add_subprotocols<'a>(mut list: Vec<&'a str>, value: &'a [u8]) -> Option<Vec<&'a str>> {
    for element in elements(value) {
        let name = std::str::from_utf8(element).ok().filter(|name| name.bytes().all(is_token))?;
        if !list.contains(&name) {
            list.push(name);
        }
    }
    Some(list)
}

/// The non-empty elements of a comma-separated header value.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_key(key: &[u8]) -> bool {
    // Checking the length first keeps the decoder away from a stranger's kilobytes.
    key.len() == 24 && KEY.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
