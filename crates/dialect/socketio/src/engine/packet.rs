//! Packets of a client: one character of type and the rest.

/// A packet that no client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an Engine.IO packet")]
pub struct Malformed;

/// One packet from a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// It leaves.
    Close,
    /// On a WebSocket that wants to take a session over: `probe`.
    Ping(&'a str),
    /// It is there.
    Pong,
    /// Text for the layer above.
    Text(&'a str),
    /// Bytes for the layer above.
    Binary(Vec<u8>),
    /// The session's packets travel on this WebSocket from now on.
    Upgrade,
    /// Nothing.
    Noop,
}

/// Reads a packet that came as text: a WebSocket's text frame, or one piece of a polling payload that is not binary.
///
/// # Errors
/// It has no type, or one that only servers send.
pub fn decode_text(text: &str) -> Result<Packet<'_>, Malformed> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or(Malformed)?;
    let rest = chars.as_str();
    Ok(match kind {
        '1' => Packet::Close,
        '2' => Packet::Ping(rest),
        '3' => Packet::Pong,
        '4' => Packet::Text(rest),
        '5' => Packet::Upgrade,
        '6' => Packet::Noop,
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_and_nothing_else() {
        assert_eq!(decode_text("1"), Ok(Packet::Close));
        assert_eq!(decode_text("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(decode_text("3"), Ok(Packet::Pong));
        assert_eq!(decode_text("4héllo"), Ok(Packet::Text("héllo")));
        assert_eq!(decode_text("5"), Ok(Packet::Upgrade));
        assert_eq!(decode_text("6"), Ok(Packet::Noop));
        for bad in ["", "abc", "0{}", "7", "é", "b"] {
            assert_eq!(decode_text(bad), Err(Malformed), "{bad}");
        }
    }
}
