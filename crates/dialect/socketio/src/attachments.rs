//! Bytes inside JSON: `{"_placeholder":true,"num":N}` beside binary frames on the wire, `{"$bytes":"BASE64"}` in the hub.
//!
//! Both are looked for in compact texts as bytes: what stands inside a JSON string has its quotes escaped, so it cannot be mistaken for either.
use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;

const HOLDERS: [(&str, &str); 2] =
    [("{\"_placeholder\":true,\"num\":", "}"), ("{\"num\":", ",\"_placeholder\":true}")];
const BYTES: &[u8] = b"{\"$bytes\":\"";

/// Why placeholders and attachments do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a placeholder's number is out of range, or comes twice")]
pub struct Misfit;

/// The next placeholder: where it begins and ends, and its number.
fn next_holder(text: &str, from: usize) -> Option<(usize, usize, usize)> {
    let rest = text.get(from..)?;
    HOLDERS
        .iter()
        .filter_map(|(before, after)| {
            memmem::find_iter(rest.as_bytes(), before).find_map(|start| {
                let number = rest.get(start + before.len()..)?;
                let digits = number.bytes().take_while(u8::is_ascii_digit).count();
                let end = start + before.len() + digits;
                rest.get(end..)?.starts_with(after).then_some(())?;
                // A number that no memory could hold is as far out of range as any.
                let num = number.get(..digits)?.parse().unwrap_or(usize::MAX);
                Some((from + start, from + end + after.len(), num))
            })
        })
        .min()
}

/// Puts attachments in the places of their placeholders, as the hub writes bytes.
///
/// # Errors
/// A number is out of range or repeated.
pub fn fill(text: &str, attachments: &[Vec<u8>]) -> Result<String, Misfit> {
    let mut out = String::with_capacity(text.len());
    let mut used = vec![false; attachments.len()];
    let mut at = 0;
    while let Some((start, end, num)) = next_holder(text, at) {
        let used = used.get_mut(num).ok_or(Misfit)?;
        if std::mem::replace(used, true) {
            return Err(Misfit);
        }
        out.push_str(text.get(at..start).unwrap_or_default());
        out.push_str("{\"$bytes\":\"");
        STANDARD.encode_string(attachments.get(num).ok_or(Misfit)?, &mut out);
        out.push_str("\"}");
        at = end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Ok(out)
}

/// Whether a compact text may hold bytes.
pub fn may_hold_bytes(text: &[u8]) -> bool {
    memmem::find(text, BYTES).is_some()
}

/// Takes bytes out of a compact text: placeholders stand in their places.
pub fn take_out(text: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut out = Vec::with_capacity(text.len());
    let mut taken = Vec::new();
    let mut at = 0;
    for start in memmem::find_iter(text, BYTES) {
        if start < at {
            continue;
        }
        let Some(encoded) = text.get(start + BYTES.len()..) else { break };
        let Some(len) = memchr::memchr(b'"', encoded) else { break };
        let closed = encoded.get(len + 1) == Some(&b'}');
        let Some(bytes) = encoded.get(..len).and_then(|encoded| STANDARD.decode(encoded).ok()) else {
            continue;
        };
        if !closed {
            continue;
        }
        out.extend_from_slice(text.get(at..start).unwrap_or_default());
        out.extend_from_slice(format!("{{\"_placeholder\":true,\"num\":{}}}", taken.len()).as_bytes());
        taken.push(bytes);
        at = start + BYTES.len() + len + 2;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    (out, taken)
}

/// The bytes that a compact text is as a whole; none when it is something else.
pub fn whole(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix("{\"$bytes\":\"")?.strip_suffix("\"}")?).ok()
}

/// Bytes as the hub writes them inside JSON.
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(BYTES);
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_go_in_and_come_out() {
        let text = r#"["e",{"_placeholder":true,"num":1},{"a":{"num":0,"_placeholder":true}}]"#;
        let filled = fill(text, &[vec![1, 2], vec![]]).unwrap();
        assert_eq!(filled, r#"["e",{"$bytes":""},{"a":{"$bytes":"AQI="}}]"#);
        let (out, taken) = take_out(filled.as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"["e",{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]"#
        );
        assert_eq!(taken, [vec![], vec![1, 2]]);
    }

    #[test]
    fn numbers_out_of_range_or_repeated_do_not_fit() {
        let holder = |n: &str| format!(r#"["e",{{"_placeholder":true,"num":{n}}}]"#);
        assert_eq!(fill(&holder("1"), &[vec![]]), Err(Misfit));
        assert_eq!(fill(&holder("99999999999999999999999"), &[vec![]]), Err(Misfit));
        let twice = r#"["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#;
        assert_eq!(fill(twice, &[vec![], vec![]]), Err(Misfit));
    }

    #[test]
    fn what_looks_alike_inside_a_string_stays_text() {
        let text = r#"["{\"_placeholder\":true,\"num\":0}","{\"$bytes\":\"AQI=\"}"]"#;
        assert_eq!(fill(text, &[]).unwrap(), text);
        assert!(!may_hold_bytes(text.as_bytes()));
        assert_eq!(take_out(text.as_bytes()).0, text.as_bytes());
        for odd in [r#"[{"$bytes":"*"}]"#, r#"[{"$bytes":"AQI=","a":1}]"#] {
            assert_eq!(take_out(odd.as_bytes()), (odd.as_bytes().to_vec(), vec![]), "{odd}");
        }
    }

    #[test]
    fn one_argument_may_be_bytes_as_a_whole() {
        assert_eq!(whole(r#"{"$bytes":"AQI="}"#), Some(vec![1, 2]));
        assert_eq!(whole(r#"[{"$bytes":"AQI="}]"#), None);
        let mut out = Vec::new();
        push_bytes(&mut out, &[1, 2]);
        assert_eq!(out, br#"{"$bytes":"AQI="}"#);
    }
}
