//! Socket.IO's packets as text: `<type>[<attachments>-][<namespace>,][<ack id>][json]`.
use fanfare_protocol::Data;

use crate::json;

/// Bytes of a namespace's name at most, its slash included.
pub const NAMESPACE_BYTES: usize = 128;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Joins a namespace; the server's reply too.
    Connect,
    /// Leaves one.
    Disconnect,
    /// An event.
    Event,
    /// The answer to an event.
    Ack,
    /// A namespace that may not be joined.
    ConnectError,
}

/// One packet, its attachments apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// What it is.
    pub kind: Kind,
    /// The namespace, beginning with a slash.
    pub namespace: Box<str>,
    /// Of an event that wants an answer, and of the answer.
    pub id: Option<u64>,
    /// Compact JSON.
    pub data: Option<Box<str>>,
    /// Binary frames that follow.
    pub attachments: usize,
}

/// Why a packet ends its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// The first character is no type, or what follows is not what the type needs.
    #[error("the packet has no form")]
    Form,
    /// More attachments than a packet may have.
    #[error("the packet has too many attachments")]
    Attachments,
    /// The payload is no JSON, or JSON that cannot be passed on.
    #[error("the payload is not one that can be passed on")]
    Payload,
}

/// Event names that only the libraries themselves emit.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The characters of a number at the front of a text, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads a packet that a client sent.
///
/// # Errors
/// Each of them ends the connection.
pub fn decode(text: &str, most_attachments: usize) -> Result<Packet, Malformed> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or(Malformed::Form)?;
    let mut rest = chars.as_str();
    let (kind, binary) = match kind {
        '0' => (Kind::Connect, false),
        '1' => (Kind::Disconnect, false),
        '2' => (Kind::Event, false),
        '3' => (Kind::Ack, false),
        '5' => (Kind::Event, true),
        '6' => (Kind::Ack, true),
        // 4 is the server's alone.
        _ => return Err(Malformed::Form),
    };
    let mut attachments = 0;
    if binary {
        let (number, after) = digits(rest);
        attachments = number.parse().map_err(|_| Malformed::Form)?;
        if attachments > most_attachments {
            return Err(Malformed::Attachments);
        }
        rest = after.strip_prefix('-').ok_or(Malformed::Form)?;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }
    if namespace.len() > NAMESPACE_BYTES || namespace.chars().any(char::is_control) {
        return Err(Malformed::Form);
    }
    let (number, payload) = digits(rest);
    let id = match number {
        "" => None,
        number => Some(number.parse().map_err(|_| Malformed::Form)?),
    };
    let data = match payload {
        "" => None,
        payload => Some(compact(payload)?),
    };
    check_payload(kind, data.as_deref())?;
    Ok(Packet { kind, namespace: namespace.into(), id, data, attachments })
}

fn compact(payload: &str) -> Result<Box<str>, Malformed> {
    let Ok(Data::Json(bytes)) = Data::from_json(payload.as_bytes()) else { return Err(Malformed::Payload) };
    // What was made of text is text.
    String::from_utf8(bytes.into()).map(Into::into).map_err(|_| Malformed::Payload)
}

/// Whether the payload is of the shape that the type needs.
///
/// # Errors
/// It is not.
pub fn check_payload(kind: Kind, data: Option<&str>) -> Result<(), Malformed> {
    let fits = match (kind, data) {
        (Kind::Connect, data) => data.is_none_or(|data| data.starts_with('{')),
        (Kind::Disconnect, data) => data.is_none(),
        (Kind::ConnectError, _) => true,
        (Kind::Event, Some(data)) => json::elements(data)
            .is_some_and(|elements| elements.first().is_some_and(|name| event_name(name).is_some())),
        (Kind::Ack, Some(data)) => data.starts_with('['),
        (Kind::Event | Kind::Ack, None) => false,
    };
    if fits { Ok(()) } else { Err(Malformed::Payload) }
}

/// The name of an event from the first element of its array: a string that is not reserved, or a number.
pub fn event_name(element: &str) -> Option<String> {
    if element.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return Some(element.to_owned());
    }
    json::text(element).filter(|name| !RESERVED.contains(&name.as_str()))
}

/// Appends a packet's head: everything before its JSON.
pub fn push_head(out: &mut Vec<u8>, kind: Kind, attachments: usize, namespace: &str, id: Option<u64>) {
    out.push(match (kind, attachments) {
        (Kind::Connect, _) => b'0',
        (Kind::Disconnect, _) => b'1',
        (Kind::Event, 0) => b'2',
        (Kind::Ack, 0) => b'3',
        (Kind::ConnectError, _) => b'4',
        (Kind::Event, _) => b'5',
        (Kind::Ack, _) => b'6',
    });
    if attachments > 0 {
        out.extend_from_slice(attachments.to_string().as_bytes());
        out.push(b'-');
    }
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(id.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(
        kind: Kind,
        namespace: &str,
        id: Option<u64>,
        data: Option<&str>,
        attachments: usize,
    ) -> Packet {
        Packet { kind, namespace: namespace.into(), id, data: data.map(Into::into), attachments }
    }

    #[test]
    fn the_forms_of_the_specification_are_read() {
        let read = |text: &str| decode(text, 10).unwrap();
        assert_eq!(read("0"), packet(Kind::Connect, "/", None, None, 0));
        assert_eq!(
            read(r#"0/admin,{"token": 1}"#),
            packet(Kind::Connect, "/admin", None, Some(r#"{"token":1}"#), 0)
        );
        assert_eq!(read("0/random"), packet(Kind::Connect, "/random", None, None, 0));
        assert_eq!(read("1/admin,"), packet(Kind::Disconnect, "/admin", None, None, 0));
        assert_eq!(read(r#"2["e",1]"#), packet(Kind::Event, "/", None, Some(r#"["e",1]"#), 0));
        assert_eq!(read(r#"2/a,13["e"]"#), packet(Kind::Event, "/a", Some(13), Some(r#"["e"]"#), 0));
        assert_eq!(read("3/a,13[]"), packet(Kind::Ack, "/a", Some(13), Some("[]"), 0));
        let binary = r#"["e",{"_placeholder":true,"num":0}]"#;
        assert_eq!(read(&format!("51-{binary}")), packet(Kind::Event, "/", None, Some(binary), 1));
        assert_eq!(read(&format!("61-/a,7{binary}")), packet(Kind::Ack, "/a", Some(7), Some(binary), 1));
        assert_eq!(read("2[12,1]").kind, Kind::Event);
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for bad in [
            "",
            "a",
            "7",
            "4{}",
            "2",
            "2{}",
            "2[]",
            "2[{}]",
            "2abc[\"e\"]",
            "2[\"e\"",
            "0[]",
            "0\"a\"",
            "1[]",
            "3",
            "3{}",
            "5[\"e\"]",
            "5-[\"e\"]",
            "5x-[\"e\"]",
            "2[\"e\",1e999]",
            "299999999999999999999[\"e\"]",
            "2[\"disconnect\"]",
            "2[null]",
        ] {
            assert!(decode(bad, 10).is_err(), "{bad}");
        }
        for name in RESERVED {
            assert!(decode(&format!("2[\"{name}\"]"), 10).is_err(), "{name}");
        }
        assert_eq!(decode(r#"511-["e"]"#, 10), Err(Malformed::Attachments));
        assert!(decode(&format!("0/{}", "x".repeat(NAMESPACE_BYTES)), 10).is_err());
        assert!(decode(&format!("2[\"e\",{}{}]", "[".repeat(70), "]".repeat(70)), 10).is_err());
    }

    #[test]
    fn heads_are_written_as_they_are_read() {
        let written = |kind, attachments, namespace, id| {
            let mut out = Vec::new();
            push_head(&mut out, kind, attachments, namespace, id);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Kind::Connect, 0, "/", None), "0");
        assert_eq!(written(Kind::ConnectError, 0, "/x", None), "4/x,");
        assert_eq!(written(Kind::Event, 2, "/x", Some(3)), "52-/x,3");
        assert_eq!(written(Kind::Ack, 0, "/", Some(0)), "30");
    }
}
