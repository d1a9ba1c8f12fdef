//! Payloads of the polling transport: packets joined by a record separator, bytes as `b` and base64.
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::packet::{Malformed, Packet, decode_text};

/// What stands between two packets.
pub const SEPARATOR: u8 = 0x1e;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the body of a POST.
///
/// # Errors
/// One of its packets is none: then none of them is to be acted on.
pub fn decode_payload(body: &str) -> Result<Vec<Packet<'_>>, Malformed> {
    body.split(char::from(SEPARATOR))
        .map(|part| match part.strip_prefix('b') {
            Some(encoded) => BASE64.decode(encoded).map(Packet::Binary).map_err(|_| Malformed),
            None => decode_text(part),
        })
        .collect()
}

/// The body of the answer to a GET, as it grows.
#[derive(Clone, Default, Debug)]
pub struct Payload(Vec<u8>);

impl Payload {
    fn begin(&mut self) {
        if !self.0.is_empty() {
            self.0.push(SEPARATOR);
        }
    }

    /// Adds a packet that is text, its type included.
    pub fn text(&mut self, packet: &[u8]) {
        self.begin();
        self.0.extend_from_slice(packet);
    }

    /// Adds bytes of the layer above.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.begin();
        self.0.push(b'b');
        self.0.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes());
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_taken_apart() {
        let mut payload = Payload::default();
        payload.text(b"4hello");
        payload.binary(&[1, 2, 3, 4]);
        payload.text("4€".as_bytes());
        let body = String::from_utf8(payload.into_bytes()).unwrap();
        assert_eq!(body, "4hello\u{1e}bAQIDBA==\u{1e}4€");
        assert_eq!(
            decode_payload(&body).unwrap(),
            [Packet::Text("hello"), Packet::Binary(vec![1, 2, 3, 4]), Packet::Text("€")]
        );
    }

    #[test]
    fn one_bad_packet_spoils_the_payload() {
        for bad in ["", "abc", "4a\u{1e}", "\u{1e}4a", "4a\u{1e}x", "b***", "bAQ=A"] {
            assert_eq!(decode_payload(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(decode_payload("bAQIDBA").unwrap(), [Packet::Binary(vec![1, 2, 3, 4])]);
    }
}
