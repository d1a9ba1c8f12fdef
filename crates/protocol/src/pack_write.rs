//! Writing MessagePack: heads in their shortest form, and a value made of compact JSON.
use base64::{Engine, engine::general_purpose::STANDARD};
use rmp::encode;

use crate::json_text::{DEPTH, number_len, string_end, unescape};

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
    let _ = encode::write_str(out, text);
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
    let mut head = Vec::with_capacity(5);
    let len = u32::try_from(entries).unwrap_or(u32::MAX);
    let _ = if is_map {
        encode::write_map_len(&mut head, len).map(drop)
    } else {
        encode::write_array_len(&mut head, len).map(drop)
    };
    match (head.as_slice(), out.get_mut(start)) {
        ([only], Some(place)) => *place = *only,
        _ => drop(out.splice(start..start + 1, head)),
    }
}

/// Appends compact JSON as MessagePack. Integers beyond 64 bits become doubles; an object with the one key `$bytes`
/// and canonical base64 becomes binary.
///
/// The JSON was checked where it entered, so that this cannot fail; text that was not becomes nil as a whole.
pub(crate) fn json(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    let whole = std::str::from_utf8(json).ok().and_then(|text| {
        let mut scan = Scan { text, at: 0 };
        scan.value(out, 0)?;
        (scan.at == text.len()).then_some(())
    });
    if whole.is_none() {
        debug_assert!(false, "data that was not checked");
        out.truncate(start);
        nil(out);
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn string(&mut self) -> Option<std::borrow::Cow<'a, str>> {
        if self.peek()? != b'"' {
            return None;
        }
        let end = string_end(self.text.as_bytes(), self.at)?;
        let quoted = self.text.get(self.at..end)?;
        self.at = end;
        unescape(quoted)
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        match self.peek()? {
            b'n' => self.word("null").map(|()| nil(out)),
            b't' => self.word("true").map(|()| bool(out, true)),
            b'f' => self.word("false").map(|()| bool(out, false)),
            b'"' => self.string().map(|string| text(out, &string)),
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
        let rest = self.text.get(self.at..)?;
        let number = rest.get(..number_len(rest.as_bytes()))?;
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
            text(out, &self.string()?);
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
        let mut ahead = Scan { text: self.text, at: self.at + 1 };
        if ahead.peek()? != b'"' || ahead.string()? != "$bytes" {
            return None;
        }
        ahead.word(":")?;
        let bytes = STANDARD.decode(ahead.string()?.as_bytes()).ok()?;
        ahead.word("}")?;
        self.at = ahead.at;
        Some(bytes)
    }
}
