//! `socket.io-msgpack-parser`: a whole packet as one MessagePack map in a binary frame.
use base64::{Engine, engine::general_purpose::STANDARD};
use fanfare_protocol::{Data, Format};
use rmp::{Marker, encode as write};

use crate::{
    json,
    packet::{Kind, Malformed, NAMESPACE_BYTES, Packet, check_payload},
};

/// Arrays and maps inside one another, at most: as everywhere in the hub, and the packet's own two.
const DEPTH: usize = 66;

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
    let Token::Map(fields) = reader.next()? else { return Err(Malformed::Form) };
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
    for _ in 0..fields {
        let Token::Text(name) = reader.next()? else { return Err(Malformed::Form) };
        match name {
            "type" => {
                kind = Some(match reader.next()? {
                    Token::Uint(0) => Kind::Connect,
                    Token::Uint(1) => Kind::Disconnect,
                    Token::Uint(2) => Kind::Event,
                    Token::Uint(3) => Kind::Ack,
                    _ => return Err(Malformed::Form),
                });
            }
            "nsp" => match reader.next()? {
                Token::Text(name) if name.starts_with('/') && name.len() <= NAMESPACE_BYTES => {
                    namespace = Some(name)
                }
                _ => return Err(Malformed::Form),
            },
            "id" => match reader.next()? {
                Token::Uint(number) => id = Some(number),
                Token::Nil => {}
                _ => return Err(Malformed::Form),
            },
            "data" => {
                let mut out = Vec::new();
                reader.json(&mut out, 1)?;
                data = Some(String::from_utf8(out).map_err(|_| Malformed::Payload)?)
                    .filter(|text| text != "null");
            }
            _ => reader.json(&mut Vec::new(), 1)?,
        }
    }
    let (Some(kind), Some(namespace), true) = (kind, namespace, reader.0.is_empty()) else {
        return Err(Malformed::Form);
    };
    check_payload(kind, data.as_deref())?;
    let data = data.map(Into::into);
    Ok(Packet { kind, namespace: namespace.into(), id, data, attachments: 0 })
}

enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a str),
    Bin(&'a [u8]),
    Array(u32),
    Map(u32),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Form)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Form)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length(&mut self, width: usize) -> Result<usize, Malformed> {
        Ok(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn text(&mut self, len: usize) -> Result<Token<'a>, Malformed> {
        std::str::from_utf8(self.take(len)?).map(Token::Text).map_err(|_| Malformed::Payload)
    }

    /// `undefined`, as JavaScript's encoder writes it; other extensions have no JSON.
    fn ext(&mut self, len: usize) -> Result<Token<'a>, Malformed> {
        let kind = self.array::<1>()?;
        self.take(len)?;
        if kind == [0] && len == 1 { Ok(Token::Nil) } else { Err(Malformed::Payload) }
    }

    fn next(&mut self) -> Result<Token<'a>, Malformed> {
        let [first] = self.array()?;
        Ok(match Marker::from_u8(first) {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(n) => Token::Uint(n.into()),
            Marker::FixNeg(n) => Token::Int(n.into()),
            Marker::U8 => Token::Uint(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Token::Uint(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Token::Uint(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Token::Uint(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Token::Int(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Token::Int(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Token::Int(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(len) => return self.text(len.into()),
            Marker::Str8 => return self.length(1).and_then(|len| self.text(len)),
            Marker::Str16 => return self.length(2).and_then(|len| self.text(len)),
            Marker::Str32 => return self.length(4).and_then(|len| self.text(len)),
            Marker::Bin8 => self.length(1).and_then(|len| self.take(len)).map(Token::Bin)?,
            Marker::Bin16 => self.length(2).and_then(|len| self.take(len)).map(Token::Bin)?,
            Marker::Bin32 => self.length(4).and_then(|len| self.take(len)).map(Token::Bin)?,
            Marker::FixArray(len) => Token::Array(len.into()),
            Marker::Array16 => Token::Array(u16::from_be_bytes(self.array()?).into()),
            Marker::Array32 => Token::Array(u32::from_be_bytes(self.array()?)),
            Marker::FixMap(len) => Token::Map(len.into()),
            Marker::Map16 => Token::Map(u16::from_be_bytes(self.array()?).into()),
            Marker::Map32 => Token::Map(u32::from_be_bytes(self.array()?)),
            Marker::FixExt1 => return self.ext(1),
            Marker::FixExt2 => return self.ext(2),
            Marker::FixExt4 => return self.ext(4),
            Marker::FixExt8 => return self.ext(8),
            Marker::FixExt16 => return self.ext(16),
            Marker::Ext8 => return self.length(1).and_then(|len| self.ext(len)),
            Marker::Ext16 => return self.length(2).and_then(|len| self.ext(len)),
            Marker::Ext32 => return self.length(4).and_then(|len| self.ext(len)),
            Marker::Reserved => return Err(Malformed::Form),
        })
    }

    /// Appends the next value as compact JSON.
    fn json(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
        match self.next()? {
            Token::Nil => out.extend_from_slice(b"null"),
            Token::Bool(true) => out.extend_from_slice(b"true"),
            Token::Bool(false) => out.extend_from_slice(b"false"),
            Token::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Token::Uint(n) => out.extend_from_slice(n.to_string().as_bytes()),
            // What JSON cannot say becomes null in JavaScript too.
            Token::Float(n) if !n.is_finite() => out.extend_from_slice(b"null"),
            Token::Float(n) => {
                out.extend_from_slice(serde_json::to_string(&n).unwrap_or_default().as_bytes())
            }
            Token::Text(text) => json::push_string(out, text),
            Token::Bin(bytes) => {
                out.extend_from_slice(b"{\"$bytes\":\"");
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                out.extend_from_slice(b"\"}");
            }
            Token::Array(_) | Token::Map(_) if depth >= DEPTH => return Err(Malformed::Payload),
            Token::Array(len) => {
                out.push(b'[');
                for n in 0..len {
                    if n > 0 {
                        out.push(b',');
                    }
                    self.json(out, depth + 1)?;
                }
                out.push(b']');
            }
            Token::Map(len) => {
                out.push(b'{');
                for n in 0..len {
                    if n > 0 {
                        out.push(b',');
                    }
                    let Token::Text(name) = self.next()? else { return Err(Malformed::Payload) };
                    json::push_string(out, name);
                    out.push(b':');
                    self.json(out, depth + 1)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
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
