//! Writing MessagePack: heads in their shortest form, and a value made of compact JSON.
use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use rmp::encode;

use crate::{
    json_scan::plain_len,
    json_text::{DEPTH, number_len, string_end, unescape},
};

// Writing into a Vec cannot fail; `rmp` only says so through its generic writer's type.
pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
    let _ = encode::write_uint(out, number);
}
pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    let _ = encode::write_sint(out, number);
}
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    let _ = encode::write_f64(out, number);
}
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    string_of(out, text.as_bytes());
}
/// A string of bytes that are known to be UTF-8.
#[inline]
fn string_of(out: &mut Vec<u8>, utf8: &[u8]) {
    match u8::try_from(utf8.len()) {
        Ok(len @ 0..32) => out.push(0xa0 | len),
        Ok(len) => out.extend_from_slice(&[0xd9, len]),
        Err(_) => drop(encode::write_str_len(out, u32::try_from(utf8.len()).unwrap_or(u32::MAX))),
    }
    out.extend_from_slice(utf8);
}
pub(crate) fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = encode::write_bin(out, bytes);
}
pub(crate) fn nil(out: &mut Vec<u8>) {
    let _ = encode::write_nil(out);
}
pub(crate) fn bool(out: &mut Vec<u8>, value: bool) {
    let _ = encode::write_bool(out, value);
}

/// Leaves one byte for the head of an array or map whose length is not known yet; [`close`] completes it.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0xc0);
    out.len() - 1
}

/// Writes the head that [`open`] left room for at `start`. Beyond 15 entries the content moves up.
pub(crate) fn close(out: &mut Vec<u8>, start: usize, entries: usize, is_map: bool) {
    if let (Ok(few @ 0..16), Some(place)) = (u8::try_from(entries), out.get_mut(start)) {
        *place = few | if is_map { 0x80 } else { 0x90 };
        return;
    }
    let mut head = Vec::with_capacity(5);
    let len = u32::try_from(entries).unwrap_or(u32::MAX);
    let _ = if is_map {
        encode::write_map_len(&mut head, len).map(drop)
    } else {
        encode::write_array_len(&mut head, len).map(drop)
    };
    drop(out.splice(start..start + 1, head));
}

/// Appends compact JSON as MessagePack. Integers beyond 64 bits become doubles; an object with the one key `$bytes`
/// and canonical base64 becomes binary.
///
/// The JSON was checked where it entered, so that this cannot fail; text that was not becomes nil as a whole.
pub(crate) fn json(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    let mut scan = Scan { json, at: 0 };
    if scan.value(out, 0).is_none() || scan.at != json.len() {
        debug_assert!(false, "data that was not checked");
        out.truncate(start);
        nil(out);
    }
}

struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.json.get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        self.word("\"")?;
        let rest = self.json.get(self.at..)?;
        let (clean, after) = rest.split_at(plain_len(rest));
        if after.first() == Some(&b'"') {
            self.at += clean.len() + 1;
            return Some(Cow::Borrowed(clean));
        }
        let start = self.at - 1;
        self.at = string_end(self.json, start)?;
        let quoted = std::str::from_utf8(self.json.get(start..self.at)?).ok()?;
        Some(Cow::Owned(unescape(quoted)?.into_owned().into_bytes()))
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        match self.peek()? {
            b'n' => self.word("null").map(|()| nil(out)),
            b't' => self.word("true").map(|()| bool(out, true)),
            b'f' => self.word("false").map(|()| bool(out, false)),
            b'"' => self.string().map(|string| string_of(out, &string)),
            b'{' | b'[' if depth >= DEPTH => None,
            b'[' => self.array(out, depth),
            b'{' => match self.bytes() {
                Some(bytes) => {
                    bin(out, &bytes);
                    Some(())
                }
                None => self.object(out, depth),
            },
            _ => self.number(out),
        }
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let rest = self.json.get(self.at..)?;
        let number = std::str::from_utf8(rest.get(..number_len(rest))?).ok()?;
        self.at += number.len();
        // `-0` is an integer to no one but the text: as a double it keeps its sign.
        if number == "-0" || number.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            float(out, number.parse().ok()?);
        } else if let Ok(number) = number.parse() {
            uint(out, number);
        } else if let Ok(number) = number.parse() {
            int(out, number);
        } else {
            float(out, number.parse().ok()?);
        }
        Some(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        let start = open(out);
        self.at += 1;
        let mut entries = 0;
        while self.peek()? != b']' {
            if entries > 0 {
                self.word(",")?;
            }
            self.value(out, depth + 1)?;
            entries += 1;
        }
        self.at += 1;
        close(out, start, entries, false);
        Some(())
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        let start = open(out);
        self.at += 1;
        let mut entries = 0;
        while self.peek()? != b'}' {
            if entries > 0 {
                self.word(",")?;
            }
            string_of(out, &self.string()?);
            self.word(":")?;
            self.value(out, depth + 1)?;
            entries += 1;
        }
        self.at += 1;
        close(out, start, entries, true);
        Some(())
    }

    /// The bytes of `{"$bytes":"BASE64"}`, moving past it; otherwise none, staying in place.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut ahead = Scan { json: self.json, at: self.at + 1 };
        if ahead.peek()? != b'"' || *ahead.string()? != *b"$bytes" {
            return None;
        }
        ahead.word(":")?;
        let bytes = STANDARD.decode(&*ahead.string()?).ok()?;
        ahead.word("}")?;
        self.at = ahead.at;
        Some(bytes)
    }
}
