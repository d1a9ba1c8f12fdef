//! `socket.io-msgpack-parser`: a whole packet as one MessagePack map in a binary frame.
use fanfare_protocol::{
    Data, Format, Problem,
    pack_read::{Reader, Token, Unsayable},
};
use rmp::encode as write;

use crate::packet::{Kind, Malformed, NAMESPACE_BYTES, Packet, check_payload};

/// Arrays and maps inside one another, at most: as everywhere in the hub, and the array of arguments.
const LEVELS: usize = 65;

/// Encodes a packet whose data is compact JSON, in which bytes stand as the hub writes them.
pub fn encode(kind: Kind, namespace: &str, id: Option<u64>, data: &[u8]) -> Vec<u8> {
    let number = match kind {
        Kind::Connect => 0,
        Kind::Disconnect => 1,
        Kind::Event => 2,
        Kind::Ack => 3,
        Kind::ConnectError => 4,
    };
    let mut out = Vec::with_capacity(data.len() + 32);
    let fields = 2 + u32::from(id.is_some()) + u32::from(!data.is_empty());
    // Writing into a Vec does not fail.
    let _ = write::write_map_len(&mut out, fields);
    let _ = write::write_str(&mut out, "type");
    let _ = write::write_pfix(&mut out, number);
    let _ = write::write_str(&mut out, "nsp");
    let _ = write::write_str(&mut out, namespace);
    if !data.is_empty() {
        let _ = write::write_str(&mut out, "data");
        Format::MsgPack.data(&Data::Json(data.to_vec().into()), &mut out);
    }
    if let Some(id) = id {
        let _ = write::write_str(&mut out, "id");
        let _ = write::write_uint(&mut out, id);
    }
    out
}

/// Reads a packet that a client sent.
///
/// # Errors
/// Each of them ends the connection.
pub fn decode(bytes: &[u8]) -> Result<Packet, Malformed> {
    let mut reader = Reader(bytes);
    let Token::Map(fields) = form(reader.token())? else { return Err(Malformed::Form) };
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
    for _ in 0..fields {
        let Token::Text(name) = form(reader.token())? else { return Err(Malformed::Form) };
        match text(name)? {
            "type" => {
                kind = Some(match form(reader.token())? {
                    Token::Uint(0) => Kind::Connect,
                    Token::Uint(1) => Kind::Disconnect,
                    Token::Uint(2) => Kind::Event,
                    Token::Uint(3) => Kind::Ack,
                    _ => return Err(Malformed::Form),
                });
            }
            "nsp" => match form(reader.token())? {
                Token::Text(name) if name.starts_with(b"/") && name.len() <= NAMESPACE_BYTES => {
                    namespace = Some(text(name)?)
                }
                _ => return Err(Malformed::Form),
            },
            "id" => match form(reader.token())? {
                Token::Uint(number) => id = Some(number),
                Token::Nil => {}
                _ => return Err(Malformed::Form),
            },
            "data" => data = Some(json(&mut reader)?).filter(|data| data != "null"),
            _ => drop(json(&mut reader)?),
        }
    }
    let (Some(kind), Some(namespace), true) = (kind, namespace, reader.0.is_empty()) else {
        return Err(Malformed::Form);
    };
    check_payload(kind, data.as_deref())?;
    let data = data.map(Into::into);
    Ok(Packet { kind, namespace: namespace.into(), id, data, attachments: 0 })
}

fn form<T>(read: Result<T, Problem>) -> Result<T, Malformed> {
    read.map_err(|_| Malformed::Form)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Payload)
}

/// The next value as compact JSON.
fn json(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let mut out = Vec::new();
    reader.json(&mut out, LEVELS, Unsayable::Null).map_err(|_| Malformed::Payload)?;
    String::from_utf8(out).map_err(|_| Malformed::Payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive() {
        let data = br#"["e",1,-5,"a",{"b":[true,null,{"$bytes":"AQI="}]}]"#;
        let packet = decode(&encode(Kind::Event, "/x", Some(300), data)).unwrap();
        assert_eq!((packet.kind, &*packet.namespace, packet.id), (Kind::Event, "/x", Some(300)));
        assert_eq!(packet.data.as_deref().map(str::as_bytes), Some(&data[..]));
        let bare = decode(&encode(Kind::Connect, "/", None, b"")).unwrap();
        assert_eq!((bare.kind, bare.data), (Kind::Connect, None));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for bad in [
            &b""[..],
            b"\x80",
            b"\x81\xa4type\x09",
            b"\x82\xa4type\x02\xa3nsp\xa1/",
            b"\xc1",
            b"\xdf\xff\xff\xff\xff",
        ] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        let mut deep = encode(Kind::Event, "/", None, b"");
        deep[0] += 1;
        deep.extend_from_slice(b"\xa4data\x92\xa1e");
        deep.extend(std::iter::repeat_n(0x91, 100_000));
        deep.push(0xc0);
        assert!(decode(&deep).is_err());
    }
}
