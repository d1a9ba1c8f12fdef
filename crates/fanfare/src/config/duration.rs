//! Durations as people write them: `"250ms"`, `"10s"`, `"5m"`, `"24h"`, `"7d"`.
use std::time::Duration;

/// Units and their milliseconds, smallest first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a whole number and its unit. Zero needs no unit.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.replace('_', "").parse().ok()?;
    let unit = unit.trim();
    if unit.is_empty() {
        return (number == 0).then_some(Duration::ZERO);
    }
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*ms).map(Duration::from_millis)
}

/// Writes a duration with the largest unit that divides it. What is finer than a millisecond is cut.
pub fn show(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".into();
    }
    // Hours stay hours: "24h" is how retention is spoken of.
    let days = |name: &str| name == "d" && ms < 2 * 86_400_000;
    match UNITS.iter().rev().find(|(name, unit)| ms.is_multiple_of(*unit) && !days(name)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        for text in ["250ms", "1s", "90s", "5m", "24h", "7d", "0s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("60s"), parse("1m"));
        assert_eq!(parse("0"), Some(Duration::ZERO));
    }

    #[test]
    fn refuses_what_has_two_meanings() {
        for text in [
            "",
            "24",
            "1.5h",
            "-1s",
            "5 minutes",
            "h",
            "1h30m",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
