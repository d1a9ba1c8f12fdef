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

fn decode_part(part: &str) -> Result<Packet<'_>, Malformed> {
    match part.strip_prefix('b') {
        Some(encoded) => BASE64.decode(encoded).map(Packet::Binary).map_err(|_| Malformed),
        None => decode_text(part),
    }
}

/// The body of a POST whose packets are taken one by one, when there is room for what they cause.
#[derive(Clone, Debug)]
pub struct Pushed {
    body: String,
    at: usize,
}

impl Pushed {
    /// Looks at all of it.
    ///
    /// # Errors
    /// One of its packets is none: then none of them is to be acted on.
    pub fn read(body: String) -> Result<Self, Malformed> {
        body.split(char::from(SEPARATOR)).try_for_each(|part| decode_part(part).map(drop))?;
        Ok(Self { body, at: 0 })
    }

    /// The next packet.
    pub fn take(&mut self) -> Option<Packet<'_>> {
        let rest = self.body.get(self.at..)?;
        let (part, step) = match rest.split_once(char::from(SEPARATOR)) {
            Some((part, _)) => (part, part.len() + 1),
            // Behind the end there is nothing.
            None => (rest, rest.len() + 1),
        };
        self.at += step;
        decode_part(part).ok()
    }
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
        let mut pushed = Pushed::read(body).unwrap();
        assert_eq!(pushed.take(), Some(Packet::Text("hello")));
        assert_eq!(pushed.take(), Some(Packet::Binary(vec![1, 2, 3, 4])));
        assert_eq!(pushed.take(), Some(Packet::Text("€")));
        assert_eq!(pushed.take(), None);
        assert_eq!(pushed.take(), None);
    }

    #[test]
    fn one_bad_packet_spoils_the_payload() {
        for bad in ["", "abc", "4a\u{1e}", "\u{1e}4a", "4a\u{1e}x", "b***", "bAQ=A"] {
            assert!(Pushed::read(bad.into()).is_err(), "{bad:?}");
        }
        let mut unpadded = Pushed::read("bAQIDBA".into()).unwrap();
        assert_eq!(unpadded.take(), Some(Packet::Binary(vec![1, 2, 3, 4])));
        assert_eq!(unpadded.take(), None);
    }
}
