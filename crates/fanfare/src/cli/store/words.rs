//! Figures as people read them, and objects as machines do.
use serde_json::Value;

/// A JSON object of this type, its fields in the order given.
pub fn object(kind: &str, fields: &[(&str, Value)]) -> String {
    let mut text = format!("{{\"type\":{}", Value::from(kind));
    for (name, value) in fields {
        text += &format!(",{}:{value}", Value::from(*name));
    }
    text + "}"
}

/// Bytes with three digits or so: `1.2 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// `1 message`, `2 messages`.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// How long ago a moment was, both in milliseconds since 1970; `-` where it is not known.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    if then_ms == 0 {
        return "-".into();
    }
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    match seconds {
        0..=119 => format!("{seconds}s ago"),
        120..=7199 => format!("{}m ago", seconds / 60),
        7200..=172_799 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_begins_with_its_type() {
        let text = object("store", &[("b", Value::from("\"")), ("a", Value::from(1))]);
        assert_eq!(text, r#"{"type":"store","b":"\"","a":1}"#);
    }

    #[test]
    fn figures_are_short() {
        let sizes = [0, 999, 1000, 12_345, 999_499, 1_200_000_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 KB", "12.3 KB", "999 KB", "1.2 GB", "18446744 TB"]);
        assert_eq!([0, 1, 2].map(|n| count(n, "key")), ["0 keys", "1 key", "2 keys"]);
        let times = [0, 10_000, 1_000].map(|then| ago(then, 200_000));
        assert_eq!(times, ["-", "3m ago", "3m ago"]);
        assert_eq!(ago(5_000, 4_000), "0s ago");
    }
}
