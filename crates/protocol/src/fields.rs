//! The fields of one object from a client, in either encoding: split first, read when asked for, so that a fault in
//! one field does not hide the others.
use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    Code, Problem,
    json_text::{number_len, unescape},
    pack_read::{Reader, Token, malformed},
};

/// The names of fields that the server knows. It ignores all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Name {
    Type,
    Ref,
    Channel,
    Token,
    Since,
    Last,
    Snapshot,
    Presence,
    Rate,
    Echo,
    Event,
    Data,
    Key,
    Id,
    Tags,
    Ephemeral,
    Encoding,
    Ack,
    TtlMs,
    If,
    Client,
    Before,
    Limit,
    Reverse,
    After,
    Messages,
    Users,
    Namespace,
}

const NAMES: [(&str, Name); 28] = [
    ("type", Name::Type),
    ("ref", Name::Ref),
    ("channel", Name::Channel),
    ("token", Name::Token),
    ("since", Name::Since),
    ("last", Name::Last),
    ("snapshot", Name::Snapshot),
    ("presence", Name::Presence),
    ("rate", Name::Rate),
    ("echo", Name::Echo),
    ("event", Name::Event),
    ("data", Name::Data),
    ("key", Name::Key),
    ("id", Name::Id),
    ("tags", Name::Tags),
    ("ephemeral", Name::Ephemeral),
    ("encoding", Name::Encoding),
    ("ack", Name::Ack),
    ("ttl_ms", Name::TtlMs),
    ("if", Name::If),
    ("client", Name::Client),
    ("before", Name::Before),
    ("limit", Name::Limit),
    ("reverse", Name::Reverse),
    ("after", Name::After),
    ("messages", Name::Messages),
    ("users", Name::Users),
    ("namespace", Name::Namespace),
];

impl Name {
    fn of(text: &str) -> Option<Self> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, name)| *name)
    }

    /// The name on the wire.
    pub fn text(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(text, _)| text)
    }
}

/// One value, not yet read: a JSON text without whitespace around it, or the bytes of a MessagePack value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Json(&'a str),
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
            Raw::Json(text) => json_scalar(text),
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
            Raw::Json(text) => {
                let list: List<'a> = serde_json::from_str(text).map_err(|_| None)?;
                (list.0, list.1)
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
            Raw::Json(text) => serde_json::from_str::<Pairs<'a>>(text).ok().map(|pairs| pairs.0),
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

/// The first elements of a JSON array, and how many there are.
struct List<'a>(Vec<Raw<'a>>, usize);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = List<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<'de>, A::Error> {
                let mut list = List(Vec::new(), 0);
                while list.1 < LIST {
                    let Some(element) = seq.next_element::<&RawValue>()? else { return Ok(list) };
                    list.0.push(Raw::Json(element.get()));
                    list.1 += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.1 += 1;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    if pairs.len() >= PAIRS as usize {
                        return Err(A::Error::custom("too many"));
                    }
                    let text = |raw: &'de RawValue| {
                        unescape(raw.get()).ok_or_else(|| A::Error::custom("not a string"))
                    };
                    pairs.push((text(name)?, text(value)?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The known fields of one object. Of a field that comes twice, the last counts.
pub(crate) struct Fields<'a>([Option<Raw<'a>>; NAMES.len()]);

impl<'a> Fields<'a> {
    /// Splits an object.
    ///
    /// # Errors
    /// `bad_request` when the value is no object.
    pub fn split(raw: Raw<'a>) -> Result<Self, Problem> {
        match raw {
            Raw::Json(text) => serde_json::from_str(text)
                .map_err(|_| if text.starts_with('{') { not_json() } else { not_an_object() }),
            Raw::Pack(bytes) => {
                let mut reader = Reader(bytes);
                let Token::Map(count) = reader.token()? else { return Err(not_an_object()) };
                let mut fields = Self([None; NAMES.len()]);
                for _ in 0..count {
                    let Token::Text(name) = reader.token()? else {
                        return Err(malformed("a command's field names are strings"));
                    };
                    let value = Raw::Pack(reader.raw()?);
                    fields.put(std::str::from_utf8(name).ok().and_then(Name::of), value);
                }
                if reader.0.is_empty() {
                    return Ok(fields);
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

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields([None; NAMES.len()]);
                // A name is read raw, so that an unreadable one is unknown like any other, not the object's fault.
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let name = unescape(name.get()).and_then(|name| Name::of(&name));
                    fields.put(name, Raw::Json(value.get()));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_enum() {
        for (at, (text, name)) in NAMES.iter().enumerate() {
            assert_eq!(*name as usize, at, "{text}");
            assert_eq!(name.text(), *text);
        }
    }
}
