//! Query strings: one rule for parameters that come twice, on every path.
use std::borrow::Cow;

use fanfare_protocol::{Code, Problem};
use percent_encoding::percent_decode_str;

/// The parameters that this server reads, but for `channel`, which adds up. Others are nobody's here and may come as they like.
const SINGLE: [&str; 17] = [
    "after", "before", "client", "echo", "envelope", "last", "limit", "prefix", "presence", "rate",
    "reverse", "session", "since", "snapshot", "token", "user", "wait",
];

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fn decoded(query: Option<&str>) -> impl Iterator<Item = Pair<'_>> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

fn contradicts(name: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("{name} comes twice, with different values"))
        .remedy(format!("send {name} once"))
}

fn is_read(name: &str) -> bool {
    name == "channel" || SINGLE.contains(&name)
}

/// What is not UTF-8 would decode to another name than the one that was sent.
fn check_utf8(query: Option<&str>) -> Result<(), Problem> {
    let raw = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    for (name, value) in raw {
        if is_read(name) && percent_decode_str(value).decode_utf8().is_err() {
            return Err(Problem::new(Code::BadRequest, format!("{name} is not UTF-8"))
                .remedy("percent-encode values as UTF-8"));
        }
    }
    Ok(())
}

/// Name and value pairs, percent-decoded.
///
/// # Errors
/// `bad_request` for a parameter that comes again with another value, or whose value is not UTF-8.
pub fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    check_utf8(query)?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut seen: [Option<Cow<'_, str>>; SINGLE.len()] = [const { None }; SINGLE.len()];
    for (name, value) in decoded(query) {
        if let Some(before) = SINGLE.iter().position(|known| *known == name).and_then(|n| seen.get_mut(n)) {
            if before.as_ref().is_some_and(|before| *before != value) {
                return Err(contradicts(&name));
            }
            *before = Some(value.clone());
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Ok(pairs)
}

/// The value of a parameter that a request has once.
///
/// # Errors
/// `bad_request` when it comes again with another value, or is not UTF-8.
pub fn one(query: Option<&str>, name: &str) -> Result<Option<String>, Problem> {
    check_utf8(query)?;
    let mut values = decoded(query).filter(|(found, _)| found == name).map(|(_, value)| value);
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(contradicts(name));
    }
    Ok(Some(first.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_contradicts_itself_is_refused_and_one_that_repeats_itself_is_not() {
        for name in SINGLE {
            let (same, other) = (format!("{name}=1&channel=a&{name}=1"), format!("{name}=1&{name}=2"));
            assert_eq!(pairs(Some(&same)).unwrap().len(), 3, "{name}");
            assert_eq!(one(Some(&same), name).unwrap().as_deref(), Some("1"), "{name}");
            assert_eq!(pairs(Some(&other)).unwrap_err().code, Code::BadRequest, "{name}");
            assert_eq!(one(Some(&other), name).unwrap_err().code, Code::BadRequest, "{name}");
        }
    }

    #[test]
    fn channels_add_up_and_what_nobody_reads_is_nobodys_concern() {
        let pairs = pairs(Some("channel=a&channel=b&utm=1&utm=2")).unwrap();
        assert_eq!(pairs.len(), 4);
        assert!(one(Some("channel=a&channel=b"), "channel").is_err(), "where one channel is meant");
        assert_eq!(one(Some("a=1"), "b").unwrap(), None);
        assert_eq!(one(None, "b").unwrap(), None);
    }

    #[test]
    fn what_is_read_is_utf8_and_what_nobody_reads_may_be_anything() {
        for name in SINGLE.into_iter().chain(["channel"]) {
            for value in ["%ff", "a%C3", "%ED%A0%80"] {
                let query = format!("{name}={value}");
                assert_eq!(pairs(Some(&query)).unwrap_err().code, Code::BadRequest, "{query}");
                assert_eq!(one(Some(&query), name).unwrap_err().code, Code::BadRequest, "{query}");
            }
            assert!(pairs(Some(&format!("{name}=%EF%BF%BD%C3%A9"))).is_ok(), "{name}");
        }
        assert!(pairs(Some("utm=%ff&channel=a")).is_ok());
    }

    #[test]
    fn values_are_compared_as_they_decode() {
        assert!(pairs(Some("since=a%2D1&since=a-1")).is_ok());
        assert_eq!(one(Some("token=a%20b&token=a+b"), "token").unwrap().as_deref(), Some("a b"));
    }
}
