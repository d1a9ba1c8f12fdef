//! One pass over a JSON text (RFC 8259): whether it is one, where each value ends, and what it holds that must be looked at again.
use crate::json_text::DEPTH;

/// What was met inside a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Notes(u8);

impl Notes {
    /// Nothing: the text is the value.
    const NONE: Self = Self(0);
    /// Whitespace between tokens.
    const SPACE: Self = Self(1);
    /// An escape in a string.
    const ESCAPE: Self = Self(2);
    /// What some wire form might not be able to say: half of a surrogate pair, a number beyond a double, or too much nesting.
    const SUSPECT: Self = Self(4);
    /// Whatever there may be.
    const UNKNOWN: Self = Self(7);

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The text of one value, without whitespace around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a> {
    pub text: &'a str,
    notes: Notes,
}

impl<'a> Json<'a> {
    /// A text of which nothing is known but that a parser accepted it, or that it is about to be refused.
    pub fn unknown(text: &'a str) -> Self {
        Self { text, notes: Notes::UNKNOWN }
    }

    /// A text that is one value and nothing else; whitespace may stand around it.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut scan = Scan { text, at: 0 };
        scan.space();
        let value = scan.value()?;
        scan.space();
        (scan.at == text.len()).then_some(value)
    }

    /// Whether it is compact and every wire form can say it.
    pub fn is_plain(self) -> bool {
        !self.notes.has(Notes(Notes::SPACE.0 | Notes::SUSPECT.0))
    }

    /// What stands between the quotes, when that is the string itself.
    pub fn bare(self) -> Option<&'a str> {
        if self.notes.has(Notes::ESCAPE) {
            return None;
        }
        self.text.strip_prefix('"')?.strip_suffix('"')
    }

    /// Calls `each` with the name and value of each field of an object, in order, until it says false. None when this is no object or no JSON;
    /// fields before the fault were told.
    pub fn fields(self, mut each: impl FnMut(Json<'a>, Json<'a>) -> bool) -> Option<()> {
        let mut scan = Scan { text: self.text, at: 0 };
        scan.open(b'{', b'}', |scan| {
            let name = scan.string_value()?;
            scan.space();
            scan.pass(b':')?;
            scan.space();
            let value = scan.value()?;
            each(name, value).then_some(())
        })
    }

    /// The same for the elements of an array.
    pub fn elements(self, mut each: impl FnMut(Json<'a>)) -> Option<()> {
        let mut scan = Scan { text: self.text, at: 0 };
        scan.open(b'[', b']', |scan| {
            each(scan.value()?);
            Some(())
        })
    }
}

/// Bytes before the first that a string cannot hold as it is: a quote, a backslash, a control character.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    // Without an early end inside a block the compiler looks at all of it at once.
    let (blocks, _) = bytes.as_chunks::<32>();
    let clean = blocks.iter().take_while(|block| !block.iter().fold(false, |any, &byte| any | special(byte)));
    let mut at = clean.count() * 32;
    let (words, _) = bytes.get(at..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| special(byte)).unwrap_or(rest.len())
}

/// A high bit in the lowest byte that [`plain_len`] looks for; above it, bits mean nothing.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const fn each(byte: u8) -> u64 {
        ONES * byte as u64
    }
    let quote = word ^ each(b'"');
    let backslash = word ^ each(b'\\');
    // A byte that is less than another borrows from its high bit; one that has it set is no such byte.
    let control = word.wrapping_sub(each(0x20)) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & each(0x80)
}

/// A place in a text. Every answer is none when the text is no JSON there.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) -> Notes {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        if self.at == start { Notes::NONE } else { Notes::SPACE }
    }

    /// A whole object or array, alone in the text.
    fn open(&mut self, first: u8, last: u8, mut entry: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.pass(first)?;
        self.space();
        if self.pass(last).is_none() {
            loop {
                entry(self)?;
                self.space();
                if self.pass(last).is_some() {
                    break;
                }
                self.pass(b',')?;
                self.space();
            }
        }
        (self.at == self.text.len()).then_some(())
    }

    /// A value, which begins here.
    fn value(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let notes = match self.peek()? {
            b'{' | b'[' => self.nested()?,
            _ => self.scalar()?,
        };
        Some(Json { text: self.text.get(start..self.at)?, notes })
    }

    fn string_value(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let notes = self.string()?;
        Some(Json { text: self.text.get(start..self.at)?, notes })
    }

    fn scalar(&mut self) -> Option<Notes> {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<Notes> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(Notes::NONE)
    }

    fn string(&mut self) -> Option<Notes> {
        self.pass(b'"')?;
        let mut notes = Notes::NONE;
        loop {
            self.at += plain_len(self.text.as_bytes().get(self.at..)?);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(notes);
                }
                b'\\' => notes.add(self.escape()?),
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<Notes> {
        let rest = self.text.as_bytes().get(self.at + 1..)?;
        match rest.first()? {
            b'u' => {
                let digits = rest.get(1..5)?;
                self.at += 6;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(Notes(Notes::ESCAPE.0 | Notes::SUSPECT.0))
            }
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 2;
                Some(Notes::ESCAPE)
            }
            _ => None,
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Notes> {
        let start = self.at;
        let mut notes = Notes::NONE;
        // What may be there or not: whether it was is read off the place.
        let _ = self.pass(b'-');
        if self.pass(b'0').is_none() {
            self.digits()?;
        }
        if self.pass(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            notes = Notes::SUSPECT;
        }
        // Without an exponent, fewer than 300 digits are always finite.
        if self.at - start >= 300 {
            notes = Notes::SUSPECT;
        }
        Some(notes)
    }

    /// The name of a field and what comes before its value.
    fn name(&mut self) -> Option<Notes> {
        let mut notes = self.string()?;
        notes.add(self.space());
        self.pass(b':')?;
        notes.add(self.space());
        Some(notes)
    }

    /// An object or array with all that is in it. Costs no stack, however deep it nests.
    fn nested(&mut self) -> Option<Notes> {
        let mut notes = Notes::NONE;
        let mut open = Open::default();
        loop {
            match self.peek()? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = first == b'{';
                    open.push(is_object);
                    if open.depth > DEPTH {
                        notes.add(Notes::SUSPECT);
                    }
                    notes.add(self.space());
                    match self.peek()? {
                        b'}' if is_object => {}
                        b']' if !is_object => {}
                        _ => {
                            if is_object {
                                notes.add(self.name()?);
                            }
                            continue;
                        }
                    }
                }
                _ => notes.add(self.scalar()?),
            }
            // A value has ended, or nothing stands in what was just opened; whatever ends with it ends too.
            loop {
                notes.add(self.space());
                let is_object = open.is_object();
                match self.peek()? {
                    b',' => break,
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                if open.pop() {
                    return Some(notes);
                }
            }
            self.at += 1;
            notes.add(self.space());
            if open.is_object() {
                notes.add(self.name()?);
            }
        }
    }
}

/// What is open around a place: objects and arrays, the first 64 in one word.
#[derive(Default)]
struct Open {
    depth: usize,
    objects: u64,
    deeper: Vec<bool>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        self.depth += 1;
        if self.depth > 64 {
            self.deeper.push(is_object);
        } else {
            self.objects = self.objects << 1 | u64::from(is_object);
        }
    }

    fn is_object(&self) -> bool {
        self.deeper.last().copied().unwrap_or(self.objects & 1 == 1)
    }

    /// Whether nothing is open any more.
    fn pop(&mut self) -> bool {
        self.depth = self.depth.saturating_sub(1);
        if self.deeper.pop().is_none() {
            self.objects >>= 1;
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::json_text::compact;

    /// Judges a text as the parser does that everybody knows. True when it is JSON.
    fn agrees(text: &str) -> bool {
        let value = Json::parse(text);
        let wanted = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
        assert_eq!(value.map(|value| value.text), wanted, "{text:?}");
        if let Some(value) = value {
            let compacted = compact(value.text);
            if value.is_plain() {
                assert_eq!(compacted.as_deref(), Ok(value.text.as_bytes()), "{text:?} was said to be plain");
            }
            if let Some(bare) = value.bare() {
                assert_eq!(serde_json::from_str::<String>(value.text).ok().as_deref(), Some(bare));
            }
        }
        value.is_some()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        let good = [
            "0",
            "-0",
            "10.25",
            "1e5",
            "1E+5",
            "-1.5e-3",
            "true",
            " null\t",
            "\"\"",
            "\"a\\\"b\\\\\"",
            "\"\\u00e9\\/\"",
            "[]",
            "[ ]",
            "[1,[2,{}],3]",
            "{}",
            "{\"a\":[{\"b\":null}],\"c\":{}}",
            "{ \"a\" : 1 , \"b\" : [ ] }",
            "\"\u{7f}é\u{1F600}\"",
        ];
        let bad = [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "truex",
            "nul l",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12",
            "\"\n\"",
            "\"\u{1f}\"",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:2}",
            "[1}",
            "{\"a\":1]",
            "[]]",
            "1 2",
            "{\"a\" 1}",
            "\u{a0}1",
        ];
        assert!(good.iter().all(|text| agrees(text)));
        assert!(!bad.iter().any(|text| agrees(text)));
    }

    #[test]
    fn nesting_costs_no_stack_and_is_told() {
        let nested = |depth: usize| "[{\"a\":".repeat(depth / 2) + "1" + &"}]".repeat(depth / 2);
        for depth in [2, 62, 64, 66, 126, 128, 130, 100_000] {
            let text = nested(depth);
            let value = Json::parse(&text).expect("it is JSON");
            assert_eq!(value.is_plain(), depth <= DEPTH, "{depth}");
            assert!(Json::parse(text.strip_suffix(']').unwrap()).is_none());
            assert!(Json::parse(&text.replacen('}', "]", 1)).is_none());
        }
    }

    #[test]
    fn a_run_ends_at_what_a_string_cannot_hold_wherever_it_stands() {
        let clean = "é~ \u{7f}\u{80}x!#[]".repeat(12);
        for special in ['"', '\\', '\0', '\u{1f}', '\n'] {
            for at in (0..=clean.len()).filter(|at| clean.is_char_boundary(*at)) {
                let text = format!("{}{special}\"{}", &clean[..at], &clean[at..]);
                assert_eq!(plain_len(text.as_bytes()), at, "{text:?}");
            }
        }
        assert_eq!(plain_len(clean.as_bytes()), clean.len());
    }

    fn pieces() -> impl Strategy<Value = String> {
        const PIECES: [&str; 30] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\"",
            "\"",
            "\\",
            "\\u00e9",
            "\\ud83d",
            "\"b\":",
            "{\"c\":1}",
            "[2]",
            "0",
            "1",
            "-",
            "1.5",
            "e3",
            "E-",
            ".",
            "true",
            "null",
            "fals",
            " ",
            "\n",
            "é",
            "\u{1}",
            "12345678901234567890",
        ];
        proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..10)
            .prop_map(|pieces| pieces.concat())
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|value| serde_json::json!(value)),
            any::<f64>().prop_map(|value| serde_json::json!(value)),
            any::<i64>().prop_map(|value| serde_json::json!(value)),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        let tree = leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        });
        (tree, any::<bool>()).prop_map(|(value, pretty)| match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        })
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_a_parser_judges_it(text in pieces()) {
            agrees(&text);
        }

        #[test]
        fn any_value_is_one_and_no_part_of_it_is_more(text in value(), cut in any::<proptest::sample::Index>()) {
            assert!(agrees(&text));
            let cut = cut.index(text.len() + 1);
            if let Some(part) = text.get(..cut) {
                agrees(part);
            }
        }
    }
}
