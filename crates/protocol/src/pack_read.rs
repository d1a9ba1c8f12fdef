//! Reading MessagePack: tokens, skipping without recursion, and compact JSON made of a value.
use base64::{Engine, engine::general_purpose::STANDARD};
use rmp::Marker;

use crate::{
    Code, Problem,
    json_text::{not_finite, push_string, too_deep},
};

/// One value, or the head of an array or map whose content follows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Token<'a> {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A negative integer; encoders may write others so too.
    Int(i64),
    /// An integer.
    Uint(u64),
    /// A float of either width; it may be NaN or infinite.
    Float(f64),
    /// A string, not yet checked to be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Bin(&'a [u8]),
    /// An array of so many values.
    Array(u32),
    /// A map of so many pairs.
    Map(u32),
    /// An extension: its type, and its bytes.
    Ext(u8, &'a [u8]),
}

/// What a value becomes that JSON cannot say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsayable {
    /// It is refused.
    Refused,
    /// Null, as `JSON.stringify` has it: for numbers that are not finite, and `undefined` (extension 0 of one byte, as JavaScript's encoders write it).
    Null,
}

/// Reads values off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A big-endian length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<u32, Problem> {
        Ok(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    fn ext(&mut self, len: u32) -> Result<Token<'a>, Problem> {
        let [kind] = self.array()?;
        Ok(Token::Ext(kind, self.take(len as usize)?))
    }

    /// The next token.
    ///
    /// # Errors
    /// When the bytes end inside it, or are no MessagePack.
    pub fn token(&mut self) -> Result<Token<'a>, Problem> {
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
            Marker::FixStr(len) => Token::Text(self.take(len.into())?),
            Marker::Str8 => self.length(1).and_then(|len| self.take(len as usize)).map(Token::Text)?,
            Marker::Str16 => self.length(2).and_then(|len| self.take(len as usize)).map(Token::Text)?,
            Marker::Str32 => self.length(4).and_then(|len| self.take(len as usize)).map(Token::Text)?,
            Marker::Bin8 => self.length(1).and_then(|len| self.take(len as usize)).map(Token::Bin)?,
            Marker::Bin16 => self.length(2).and_then(|len| self.take(len as usize)).map(Token::Bin)?,
            Marker::Bin32 => self.length(4).and_then(|len| self.take(len as usize)).map(Token::Bin)?,
            Marker::FixArray(len) => Token::Array(len.into()),
            Marker::Array16 => Token::Array(self.length(2)?),
            Marker::Array32 => Token::Array(self.length(4)?),
            Marker::FixMap(len) => Token::Map(len.into()),
            Marker::Map16 => Token::Map(self.length(2)?),
            Marker::Map32 => Token::Map(self.length(4)?),
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => self.length(1).and_then(|len| self.ext(len))?,
            Marker::Ext16 => self.length(2).and_then(|len| self.ext(len))?,
            Marker::Ext32 => self.length(4).and_then(|len| self.ext(len))?,
            Marker::Reserved => return Err(malformed("the byte 0xc1 is no MessagePack")),
        })
    }

    /// The bytes of the next whole value. Costs no stack, however deep it nests.
    ///
    /// # Errors
    /// As [`Reader::token`].
    pub fn raw(&mut self) -> Result<&'a [u8], Problem> {
        let start = self.0;
        let mut pending = 1_u64;
        while pending > 0 {
            pending -= 1;
            match self.token()? {
                Token::Array(len) => pending += u64::from(len),
                Token::Map(len) => pending += 2 * u64::from(len),
                _ => {}
            }
        }
        Ok(start.get(..start.len() - self.0.len()).unwrap_or_default())
    }

    /// Appends the next value as compact JSON; bytes become `{"$bytes":"BASE64"}`. At most `levels` arrays and maps may stand inside one another.
    ///
    /// # Errors
    /// As [`Reader::token`]; for strings that are not UTF-8, maps with other keys than strings, deeper nesting, and what JSON cannot say.
    pub fn json(&mut self, out: &mut Vec<u8>, levels: usize, unsayable: Unsayable) -> Result<(), Problem> {
        match self.token()? {
            Token::Array(_) | Token::Map(_) if levels == 0 => return Err(too_deep()),
            Token::Array(len) => {
                out.push(b'[');
                for at in 0..len {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.json(out, levels - 1, unsayable)?;
                }
                out.push(b']');
            }
            Token::Map(len) => {
                out.push(b'{');
                for at in 0..len {
                    if at > 0 {
                        out.push(b',');
                    }
                    let Token::Text(key) = self.token()? else {
                        return Err(malformed("data holds a map whose keys are not all strings"));
                    };
                    push_string(out, text(key)?);
                    out.push(b':');
                    self.json(out, levels - 1, unsayable)?;
                }
                out.push(b'}');
            }
            scalar => push_scalar(out, scalar, unsayable)?,
        }
        Ok(())
    }
}

/// A value that holds no others. Apart from them, so that nesting costs little stack.
fn push_scalar(out: &mut Vec<u8>, scalar: Token<'_>, unsayable: Unsayable) -> Result<(), Problem> {
    match scalar {
        Token::Nil => out.extend_from_slice(b"null"),
        Token::Bool(true) => out.extend_from_slice(b"true"),
        Token::Bool(false) => out.extend_from_slice(b"false"),
        Token::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Token::Uint(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Token::Float(n) if unsayable == Unsayable::Null && !n.is_finite() => out.extend_from_slice(b"null"),
        Token::Float(n) => push_float(out, n)?,
        Token::Text(bytes) => push_string(out, text(bytes)?),
        Token::Bin(bytes) => {
            out.extend_from_slice(b"{\"$bytes\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
        Token::Ext(0, [_]) if unsayable == Unsayable::Null => out.extend_from_slice(b"null"),
        Token::Ext(..) => return Err(malformed("data holds an extension type")),
        Token::Array(_) | Token::Map(_) => {}
    }
    Ok(())
}

/// A double as JSON that reads back as the same double: always with a point or an exponent, so that it stays a float.
fn push_float(out: &mut Vec<u8>, number: f64) -> Result<(), Problem> {
    if !number.is_finite() {
        return Err(not_finite());
    }
    serde_json::to_writer(out, &number).map_err(|_| not_finite())
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a MessagePack string is not UTF-8"))
}

pub(crate) fn malformed(detail: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail)
        .remedy("send MessagePack of nil, booleans, numbers, UTF-8 strings, binary, arrays, and maps with string keys")
}

fn cut_short() -> Problem {
    malformed("the MessagePack ends inside a value")
}
