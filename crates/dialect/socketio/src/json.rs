//! Small change of JSON: texts are checked and compacted by the protocol crate, taken apart and joined here.
use serde_json::value::RawValue;

/// Appends a string with its quotes.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into a Vec does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// A string with its quotes.
pub fn string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// The elements of an array, each as its text; none when it is no array.
pub fn elements(array: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The string that a text is; none when it is none.
pub fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The members of an object in their order, each value as its text; none when it is no object.
pub fn members(object: &str) -> Option<Vec<(String, &str)>> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, &'de str)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                members.push((name, value.get()));
            }
            Ok(members)
        }
    }
    use serde::Deserializer as _;
    serde_json::Deserializer::from_str(object).deserialize_map(Members).ok()
}

/// The value of a member of an object; none when there is none.
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    members(object)?.into_iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// The array of these elements.
pub fn array<T: AsRef<str>>(elements: &[T]) -> String {
    let mut out = String::from("[");
    for (n, element) in elements.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_come_apart_and_together() {
        let parts = elements(r#"["e",{"a":[1,2]},null]"#).unwrap();
        assert_eq!(parts, [r#""e""#, r#"{"a":[1,2]}"#, "null"]);
        assert_eq!(array(&parts), r#"["e",{"a":[1,2]},null]"#);
        assert_eq!(elements("{}"), None);
        assert_eq!(member(r#"{"a":1,"b":"x","a":2}"#, "a"), Some("2"));
        assert_eq!(members("[]"), None);
        assert_eq!(string("a\"b"), r#""a\"b""#);
    }
}
