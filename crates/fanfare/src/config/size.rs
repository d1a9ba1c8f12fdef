//! Sizes as people write them: `65536`, `"64MB"` (powers of 1,000), `"64MiB"` (powers of 1,024).

const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a whole number of bytes, with or without a unit.
pub fn parse(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.replace('_', "").parse().ok()?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.checked_mul(*bytes)?.try_into().ok()
}

/// Writes a size with the largest unit that divides it.
pub fn show(bytes: usize) -> String {
    let bytes = bytes as u64;
    let whole = |unit: &u64| bytes != 0 && *unit > 1 && bytes.is_multiple_of(*unit);
    match UNITS.iter().filter(|(_, unit)| whole(unit)).max_by_key(|(_, unit)| *unit) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        for text in ["64MB", "1GiB", "64KiB", "8MiB", "12345", "0"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1 mib"), Some(1 << 20));
        assert_eq!(parse("65_536"), Some(65_536));
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "MB", "-1", "1.5MB", "64 megabytes", "99999999999GiB"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
