//! JSON as text: compaction and checks of what was parsed already, escapes of strings.
use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::{Code, Problem, json_scan::plain_len};

/// Arrays and objects inside one another, at most.
pub const DEPTH: usize = 64;

/// The compact form of a JSON text that a parser accepted: no whitespace between tokens; numbers, escapes and the
/// order of keys as they were.
///
/// # Errors
/// `bad_request` when it nests deeper than [`DEPTH`], or holds a lone surrogate or a number beyond a double: some
/// wire form of such data could not be made.
pub(crate) fn compact(json: &str) -> Result<Vec<u8>, Problem> {
    let bytes = json.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    // What stands between two pieces of whitespace is copied at once.
    let (mut at, mut copied, mut depth) = (0, 0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
                copied = at + 1;
                at + 1
            }
            b'"' => string_end(bytes, at).ok_or_else(lone_surrogate)?,
            b'-' | b'0'..=b'9' => number_end(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH {
                    return Err(too_deep());
                }
                at + 1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            _ => at + 1,
        };
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok(out)
}

pub(crate) fn too_deep() -> Problem {
    Problem::new(Code::BadRequest, format!("data nests deeper than {DEPTH} arrays and objects"))
        .remedy("send flatter data, or nested data as a string")
}

fn lone_surrogate() -> Problem {
    Problem::new(Code::BadRequest, "data holds half of a surrogate pair")
        .remedy("send whole characters; a truncated string may have been cut inside one")
}

pub(crate) fn not_finite() -> Problem {
    Problem::new(Code::BadRequest, "data holds a number that no double can hold")
        .remedy("send finite numbers; larger ones as strings")
}

/// The index after the string that begins at `start`; none when an escape is half of a surrogate pair or cut short.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(at + 1) {
            _ if bytes.get(at) == Some(&b'"') => return Some(at + 1),
            Some(b'u') => at = unicode_escape(bytes, at)?.1,
            _ => at += 2,
        }
    }
}

/// The character of the `\u` escape (or pair of them) that begins at `at`, and the index after it.
fn unicode_escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(at)? {
        high @ 0xD800..=0xDBFF => {
            let low = unit(at + 6).filter(|low| (0xDC00..=0xDFFF).contains(low))?;
            Some((char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, at + 12))
        }
        plain => Some((char::from_u32(plain)?, at + 6)),
    }
}

/// The index after the characters of a number.
pub(crate) fn number_len(bytes: &[u8]) -> usize {
    let part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    bytes.iter().position(|b| !part(b)).unwrap_or(bytes.len())
}

fn number_end(json: &str, start: usize) -> Result<usize, Problem> {
    let rest = json.get(start..).unwrap_or_default();
    let text = rest.get(..number_len(rest.as_bytes())).unwrap_or_default();
    // Without an exponent, fewer than 300 digits are always finite.
    let suspect = text.len() >= 300 || text.bytes().any(|b| matches!(b, b'e' | b'E'));
    if suspect && !text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(not_finite());
    }
    Ok(start + text.len())
}

/// The content of a string with its quotes, as a parser accepted it; none when it holds half of a surrogate pair.
pub(crate) fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let Some(first) = memchr(b'\\', inner.as_bytes()) else { return Some(Cow::Borrowed(inner)) };
    let mut text = String::with_capacity(inner.len());
    text.push_str(inner.get(..first)?);
    let mut at = first;
    while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("\\u") {
            let (c, end) = unicode_escape(inner.as_bytes(), at)?;
            text.push(c);
            at = end;
        } else if let Some(escape) = rest.strip_prefix('\\') {
            text.push(match escape.bytes().next()? {
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                _ => return None,
            });
            at += 2;
        } else {
            let plain = rest.find('\\').unwrap_or(rest.len());
            text.push_str(rest.get(..plain)?);
            at += plain;
        }
    }
    Some(Cow::Owned(text))
}

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    loop {
        let rest = bytes.get(plain..).unwrap_or_default();
        let (clean, rest) = rest.split_at(plain_len(rest));
        out.extend_from_slice(clean);
        let Some(&byte) = rest.first() else { break };
        plain += clean.len() + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(json: &str) -> Result<String, Problem> {
        compact(json).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn compaction_drops_whitespace_and_keeps_the_rest() {
        let given = "{ \"b\" : [ 1.50 , -0, 1E5 ,\n\ttrue ] , \"a b\" : \"x \\u00e9 \\/ y\" }";
        assert_eq!(compacted(given).unwrap(), r#"{"b":[1.50,-0,1E5,true],"a b":"x \u00e9 \/ y"}"#);
    }

    #[test]
    fn numbers_must_fit_a_double() {
        assert!(compacted("1e308").is_ok());
        assert!(compacted("[1e309]").is_err());
        assert!(compacted("-1e999999999999999999999").is_err());
        assert!(compacted(&"9".repeat(300)).is_ok());
        assert!(compacted(&"9".repeat(400)).is_err());
    }

    #[test]
    fn surrogates_come_in_pairs() {
        assert!(compacted(r#""\ud83d\ude00""#).is_ok());
        for lone in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\u0041""#, r#"{"\udc00":1}"#] {
            assert!(compacted(lone).is_err(), "{lone}");
        }
    }

    #[test]
    fn sixty_four_levels_are_the_most() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(compacted(&nested(64)).is_ok());
        assert!(compacted(&nested(65)).is_err());
        assert!(compacted(&format!("[{}]", "[],".repeat(1000).trim_end_matches(','))).is_ok());
    }

    #[test]
    fn strings_survive_escaping() {
        for text in ["", "plain", "\"\\\n\r\t\u{0}\u{1f}/", "é\u{1F600}\u{2028}"] {
            let mut quoted = Vec::new();
            push_string(&mut quoted, text);
            let quoted = String::from_utf8(quoted).unwrap();
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            assert_eq!(unescape(&quoted).unwrap(), text);
        }
        assert_eq!(unescape(r#""\ud83d\ude00\u0041\/\b\f""#).unwrap(), "\u{1F600}A/\u{8}\u{c}");
        assert_eq!(unescape(r#""\ud83d""#), None);
    }
}
