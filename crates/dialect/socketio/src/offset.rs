//! What a client remembers of the last event that it received: the message's own channel, epoch and offset, the same for every recipient.
use std::{fmt, str::FromStr};

use fanfare_protocol::{ChannelName, Position};

/// A message's place, as the last element of its event: `k3f9-42@chat:lobby`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Offset {
    /// The channel.
    pub channel: Box<str>,
    /// The place in it.
    pub at: Position,
}

/// It is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an offset")]
pub struct NotAnOffset;

impl Offset {
    /// The place of a message.
    pub fn new(channel: &ChannelName, at: Position) -> Self {
        Self { channel: (**channel).into(), at }
    }
}

impl FromStr for Offset {
    type Err = NotAnOffset;
    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let (at, channel) = text.split_once('@').ok_or(NotAnOffset)?;
        if channel.is_empty() || channel.len() > 600 {
            return Err(NotAnOffset);
        }
        Ok(Self { channel: channel.into(), at: at.parse().map_err(|_| NotAnOffset)? })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.at, self.channel)
    }
}

/// Appends the element that ends an event, with its quotes. A channel's name holds nothing that JSON escapes but quotes and backslashes.
pub fn push_element(out: &mut Vec<u8>, channel: &str, at: Position) {
    crate::json::push_string(out, &format!("{at}@{channel}"));
}

/// The place that an event ends with, read off its packet as [`crate::Wire`] writes it: text with its Engine.IO type, or a MessagePack map.
/// None for everything else, answers included.
pub fn of_packet(payload: &[u8], is_text: bool) -> Option<(&str, Position)> {
    let place = if is_text { text_end(payload)? } else { pack_end(payload)? };
    let (at, channel) = place.split_once('@')?;
    Some((channel, at.parse().ok()?))
}

/// The string that ends the array of a text event without an ack id.
fn text_end(payload: &[u8]) -> Option<&str> {
    let head = match payload {
        [b'4', b'2', rest @ ..] => rest,
        [b'4', b'5', rest @ ..] => rest.get(memchr::memchr(b'-', rest)? + 1..)?,
        _ => return None,
    };
    let array = if head.first() == Some(&b'/') { head.get(memchr::memchr(b',', head)? + 1..)? } else { head };
    let inside = array.strip_prefix(b"[")?.strip_suffix(b"\"]")?;
    let place = inside.get(memchr::memrchr(b'"', inside)? + 1..)?;
    std::str::from_utf8(place).ok()
}

/// The string that ends the data of a MessagePack event, which is the map's last value.
fn pack_end(payload: &[u8]) -> Option<&str> {
    payload.strip_prefix(b"\x83\xa4type\x02")?;
    let (_, len) = (5..payload.len().min(700)).find_map(|len| {
        let head = payload.get(payload.len() - len - 3..payload.len() - len)?;
        let fits = match *head {
            [_, _, short] if short == 0xa0 | (len as u8 & 0x1f) && len < 32 => true,
            [_, 0xd9, n] => usize::from(n) == len && len >= 32,
            [0xda, high, low] => usize::from(u16::from_be_bytes([high, low])) == len && len >= 256,
            _ => false,
        };
        let text = std::str::from_utf8(payload.get(payload.len() - len..)?).ok()?;
        (fits && text.split_once('@')?.0.parse::<Position>().is_ok()).then_some(((), len))
    })?;
    std::str::from_utf8(payload.get(payload.len() - len..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_event_is_read_off_its_packet() {
        let read =
            |packet: &str| of_packet(packet.as_bytes(), true).map(|(channel, at)| format!("{at} {channel}"));
        assert_eq!(read(r#"42["e",1,"k1-7@a:b"]"#).as_deref(), Some("k1-7 a:b"));
        assert_eq!(read(r#"42/x,["e","k1-7@a"]"#).as_deref(), Some("k1-7 a"));
        assert_eq!(read(r#"451-/x,["e",{"_placeholder":true,"num":0},"k1-7@a"]"#).as_deref(), Some("k1-7 a"));
        for other in
            [r#"42["e"]"#, r#"43["k1-7@a"]"#, r#"4213["e","k1-7@a"]"#, r#"42["e","x",null]"#, "2", ""]
        {
            assert_eq!(read(other), None, "{other}");
        }
        for channel in ["a".to_owned(), "b".repeat(40), "c".repeat(300)] {
            let packet = crate::msgpack::encode(
                crate::Kind::Event,
                "/x",
                None,
                format!("[\"e\",1,\"k1-7@{channel}\"]").as_bytes(),
            );
            assert_eq!(of_packet(&packet, false).map(|(channel, _)| channel), Some(channel.as_str()));
        }
    }

    #[test]
    fn offsets_are_read_as_they_are_written() {
        for text in ["k3f9-42@chat:lobby", "k3f9-0@a@b", "k-1@$sio:x"] {
            assert_eq!(text.parse::<Offset>().unwrap().to_string(), text);
        }
        for bad in ["", "k3f9-42", "@a", "k3f9@a", "k3f9-42@", "K-1@a", "k-01@a"] {
            assert_eq!(bad.parse::<Offset>(), Err(NotAnOffset), "{bad}");
        }
    }
}
