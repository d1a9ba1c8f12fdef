//! The fields of one object from a client, in either encoding: split first, read when asked for, so that a fault in
//! one field does not hide the others.
use std::borrow::Cow;

use crate::{
    Code, Problem,
    json_scan::Json,
    json_text::{number_len, unescape},
    pack_read::{Reader, Token, malformed},
};

/// Defines the names once, for finding and for telling them.
macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// The names of fields that the server knows. It ignores all others.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub(crate) enum Name {
            $($name,)*
        }

        const NAMES: &[&str] = &[$($text,)*];

        impl Name {
            fn of(text: &str) -> Option<Self> {
                Some(match text {
                    $($text => Self::$name,)*
                    _ => return None,
                })
            }
        }
    };
}

names! {
    Type = "type",
    Ref = "ref",
    Channel = "channel",
    Token = "token",
    Since = "since",
    Last = "last",
    Snapshot = "snapshot",
    Presence = "presence",
    Rate = "rate",
    Echo = "echo",
    Event = "event",
    Data = "data",
    Key = "key",
    Id = "id",
    Tags = "tags",
    Ephemeral = "ephemeral",
    Encoding = "encoding",
    Ack = "ack",
    TtlMs = "ttl_ms",
    If = "if",
    Client = "client",
    Before = "before",
    Limit = "limit",
    Reverse = "reverse",
    After = "after",
    Messages = "messages",
    Users = "users",
    Namespace = "namespace",
}

impl Name {
    /// The name on the wire.
    pub fn text(self) -> &'static str {
        NAMES.get(self as usize).copied().unwrap_or_default()
    }
}

/// One value, not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Json(Json<'a>),
    /// The bytes of a MessagePack value.
    Pack(&'a [u8]),
}

/// A value that is no array, map or binary; those are [`Scalar::Other`].
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond `i64`.
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Raw<'a> {
    /// What the value is. A string that is not text (half of a surrogate pair, not UTF-8) is [`Scalar::Other`].
    pub fn scalar(self) -> Scalar<'a> {
        match self {
            Raw::Json(json) => match json.bare() {
                Some(text) => Scalar::Text(Cow::Borrowed(text)),
                None => json_scalar(json.text),
            },
            Raw::Pack(bytes) => match Reader(bytes).token() {
                Ok(Token::Nil) => Scalar::Null,
                Ok(Token::Bool(value)) => Scalar::Bool(value),
                Ok(Token::Int(n)) => Scalar::Int(n),
                Ok(Token::Uint(n)) => i64::try_from(n).map_or(Scalar::Uint(n), Scalar::Int),
                Ok(Token::Float(n)) => Scalar::Float(n),
                Ok(Token::Text(text)) => {
                    std::str::from_utf8(text).map_or(Scalar::Other, |text| Scalar::Text(Cow::Borrowed(text)))
                }
                _ => Scalar::Other,
            },
        }
    }

    /// The elements of an array, at most `most` of them.
    ///
    /// # Errors
    /// None when the value is no array; `Some(limit_exceeded)` when it is longer.
    pub fn elements(self, most: usize) -> Result<Vec<Raw<'a>>, Option<Problem>> {
        let (elements, count) = match self {
            Raw::Json(json) => {
                let (mut elements, mut count) = (Vec::new(), 0);
                let read = json.elements(|element| {
                    if count < LIST {
                        elements.push(Raw::Json(element));
                    }
                    count += 1;
                });
                read.ok_or(None)?;
                (elements, count)
            }
            Raw::Pack(bytes) => {
                let mut reader = Reader(bytes);
                let Ok(Token::Array(count)) = reader.token() else { return Err(None) };
                let mut elements = Vec::new();
                for _ in 0..(count as usize).min(LIST) {
                    elements.push(Raw::Pack(reader.raw().map_err(Some)?));
                }
                (elements, count as usize)
            }
        };
        if count > most {
            return Err(Some(
                Problem::new(
                    Code::LimitExceeded,
                    format!("{count} elements in one array, {most} are allowed"),
                )
                .remedy(format!("send at most {most} at a time; none of these was carried out")),
            ));
        }
        Ok(elements)
    }

    /// The name and value of each entry of an object whose names and values are strings; none otherwise,
    /// and none when it is absurdly long.
    pub fn pairs(self) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        match self {
            Raw::Json(json) => {
                let mut pairs = Vec::new();
                json.fields(|name, value| {
                    let pair = unescape(name.text).zip(unescape(value.text));
                    let room = pairs.len() < PAIRS as usize;
                    pair.filter(|_| room).map(|pair| pairs.push(pair)).is_some()
                })?;
                Some(pairs)
            }
            Raw::Pack(bytes) => {
                let mut reader = Reader(bytes);
                let Ok(Token::Map(count @ 0..=PAIRS)) = reader.token() else { return None };
                let mut pairs = Vec::new();
                for _ in 0..count {
                    let (Ok(Token::Text(name)), Ok(Token::Text(value))) = (reader.token(), reader.token())
                    else {
                        return None;
                    };
                    let text = |bytes| std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
                    pairs.push((text(name)?, text(value)?));
                }
                Some(pairs)
            }
        }
    }
}

fn json_scalar(text: &str) -> Scalar<'_> {
    match text.bytes().next() {
        Some(b'n') => Scalar::Null,
        Some(b't') => Scalar::Bool(true),
        Some(b'f') => Scalar::Bool(false),
        Some(b'"') => unescape(text).map_or(Scalar::Other, Scalar::Text),
        Some(b'-' | b'0'..=b'9') => {
            let number = text.get(..number_len(text.as_bytes())).unwrap_or_default();
            if let Ok(n) = number.parse() {
                Scalar::Int(n)
            } else if let Ok(n) = number.parse() {
                Scalar::Uint(n)
            } else {
                number.parse().map_or(Scalar::Other, Scalar::Float)
            }
        }
        _ => Scalar::Other,
    }
}

/// More elements of an array than this are counted, not kept. At least every `most` of [`Raw::elements`].
const LIST: usize = 1001;

/// An object of strings with more entries than this is not read.
const PAIRS: u32 = 256;

/// The known fields of one object. Of a field that comes twice, the last counts.
pub(crate) struct Fields<'a>([Option<Raw<'a>>; NAMES.len()]);

impl<'a> Fields<'a> {
    /// None yet.
    pub fn none() -> Self {
        Self([None; NAMES.len()])
    }

    /// Splits an object.
    ///
    /// # Errors
    /// `bad_request` when the value is no object.
    pub fn split(raw: Raw<'a>) -> Result<Self, Problem> {
        let mut fields = Self::none();
        fields.fill(raw)?;
        Ok(fields)
    }

    /// The same in place, without moving the table.
    pub fn fill(&mut self, raw: Raw<'a>) -> Result<(), Problem> {
        match raw {
            Raw::Json(json) => {
                // A name that is unreadable is unknown like any other, not the object's fault.
                let read = json.fields(|name, value| {
                    let known = match name.bare() {
                        Some(name) => Name::of(name),
                        None => unescape(name.text).and_then(|name| Name::of(&name)),
                    };
                    self.put(known, Raw::Json(value));
                    true
                });
                read.ok_or_else(|| if json.text.starts_with('{') { not_json() } else { not_an_object() })
            }
            Raw::Pack(bytes) => {
                let mut reader = Reader(bytes);
                let Token::Map(count) = reader.token()? else { return Err(not_an_object()) };
                for _ in 0..count {
                    let Token::Text(name) = reader.token()? else {
                        return Err(malformed("a command's field names are strings"));
                    };
                    let value = Raw::Pack(reader.raw()?);
                    self.put(std::str::from_utf8(name).ok().and_then(Name::of), value);
                }
                if reader.0.is_empty() {
                    return Ok(());
                }
                Err(malformed("bytes follow the object"))
            }
        }
    }

    fn put(&mut self, name: Option<Name>, value: Raw<'a>) {
        if let Some(place) = name.and_then(|name| self.0.get_mut(name as usize)) {
            *place = Some(value);
        }
    }

    /// The field as it was sent, `null` included.
    pub fn raw(&self, name: Name) -> Option<Raw<'a>> {
        self.0.get(name as usize).copied().flatten()
    }

    /// The field if present; `null` counts as absent.
    pub fn get(&self, name: Name) -> Option<Scalar<'a>> {
        self.raw(name).map(Raw::scalar).filter(|scalar| *scalar != Scalar::Null)
    }

    /// A string.
    pub fn text(&self, name: Name) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Scalar::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A string that must be there.
    pub fn required(&self, name: Name) -> Result<Cow<'a, str>, Problem> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A boolean, or 1 or 0.
    pub fn flag(&self, name: Name) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Scalar::Bool(value)) => Ok(Some(value)),
            Some(Scalar::Int(n @ 0..=1)) => Ok(Some(n == 1)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A whole number of at least `least`; what is beyond `u64` counts as its largest.
    pub fn count(&self, name: Name, least: u64) -> Result<Option<u64>, Problem> {
        let count = match self.get(name) {
            None => return Ok(None),
            Some(Scalar::Int(n)) => u64::try_from(n).ok(),
            Some(Scalar::Uint(n)) => Some(n),
            // A float-to-integer cast saturates.
            Some(Scalar::Float(n)) if n >= 0.0 && n.fract() == 0.0 => Some(n as u64),
            Some(_) => None,
        };
        match count {
            Some(count) if count >= least => Ok(Some(count)),
            _ => Err(wrong(name, &format!("a whole number of at least {least}"))),
        }
    }

    /// Any number.
    pub fn number(&self, name: Name) -> Result<Option<f64>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Scalar::Int(n)) => Ok(Some(n as f64)),
            Some(Scalar::Uint(n)) => Ok(Some(n as f64)),
            Some(Scalar::Float(n)) => Ok(Some(n)),
            Some(_) => Err(wrong(name, "a number")),
        }
    }
}

pub(crate) fn not_json() -> Problem {
    Problem::new(Code::BadRequest, "this is not JSON").remedy("send one JSON object, in UTF-8")
}

fn not_an_object() -> Problem {
    Problem::new(Code::BadRequest, "this is not an object").remedy("send an object, or an array of objects")
}

/// The error for a field of a wrong type or value.
pub(crate) fn wrong(name: Name, expected: &str) -> Problem {
    let name = name.text();
    Problem::new(Code::BadRequest, format!("{name} is not {expected}"))
        .remedy(format!("send {name} as {expected}"))
}

/// The error for a field that must be there.
pub(crate) fn missing(name: Name) -> Problem {
    let name = name.text();
    Problem::new(Code::BadRequest, format!("{name} is missing")).remedy(format!("send {name}"))
}
