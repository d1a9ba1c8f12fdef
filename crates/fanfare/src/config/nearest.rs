//! Finds the name that was probably meant.

/// The name among `known` that is most like `given`, if any is like it at all.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (likeness(&given, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, name)| name)
}

/// 1 for the same name, 0 for nothing in common. Swapped letters count once; a name that holds the other is like it.
fn likeness(given: &str, name: &str) -> f64 {
    let part = given.len() >= 4 && name.len() >= 4 && (name.contains(given) || given.contains(name));
    strsim::normalized_damerau_levenshtein(given, name) + if part { 0.3 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_find_their_name_and_strangers_find_none() {
        let known = ["history", "keyed", "presence", "ack", "slow", "anonymous", "authenticated"];
        for (given, meant) in
            [("presense", "presence"), ("histroy", "history"), ("anonymus", "anonymous"), ("Keyed", "keyed")]
        {
            assert_eq!(nearest(given, known), Some(meant), "{given}");
        }
        assert_eq!(nearest("zzzzzz", known), None);
    }
}
