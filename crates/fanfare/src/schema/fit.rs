//! Whether what a client says fits.
use fanfare_protocol::{Code, Data, Format, Problem};
use fanfare_session::rules::Fit;
use serde_json::Value;

use super::file::{SchemaFile, shortened};

impl Fit for SchemaFile {
    fn check(&self, event: &str, data: &Data) -> Result<(), Problem> {
        let Some(schema) = self.events.get(event) else {
            if !self.strict {
                return Ok(());
            }
            let known: Vec<_> = self.events.keys().map(String::as_str).take(20).collect();
            return Err(Problem::new(
                Code::BadRequest,
                format!("the event {event:?} is not one of this namespace's"),
            )
            .remedy(shortened(&format!("send one of: {}", known.join(", ")))));
        };
        let value = value(data)?;
        let Err(error) = schema.validate(&value) else { return Ok(()) };
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "data".to_owned() } else { format!("data at {place}") };
        // What the client sent stays out of the error: it knows, and logs should not.
        let what = error.masked_with("it").to_string();
        Err(Problem::new(Code::BadRequest, shortened(&format!("{place}: {what}")))
            .remedy(format!("send data that fits the schema of the event {event:?}")))
    }

    fn names(&self, event: &str) -> bool {
        self.events.contains_key(event)
    }
}

/// Bytes as a whole are `{"$bytes":"BASE64"}` to a schema, as bytes inside are.
fn value(data: &Data) -> Result<Value, Problem> {
    let mut text = Vec::with_capacity(data.len());
    Format::Json.data(data, &mut text);
    let value = serde_json::from_slice(&text)
        .map_err(|_| Problem::new(Code::Internal, "data that was checked is no JSON"))?;
    Ok(match data {
        Data::Json(_) => value,
        Data::Binary(_) => serde_json::json!({ "$bytes": value }),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::schema::SchemaFault;

    fn compile(text: &str) -> Result<SchemaFile, SchemaFault> {
        SchemaFile::compile(Path::new("x.schema.json"), text.to_owned())
    }

    fn check(file: &SchemaFile, event: &str, data: &str) -> Result<(), String> {
        let data = Data::from_json(data.as_bytes()).unwrap();
        file.check(event, &data).map_err(|problem| {
            assert_eq!(problem.code, Code::BadRequest);
            problem.detail.into_owned()
        })
    }

    const CHAT: &str = r##"{
        "$defs": { "name": { "type": "string", "maxLength": 5, "pattern": "^[a-z]+$" } },
        "events": {
            "say": {
                "type": "object", "required": ["text"], "additionalProperties": false,
                "properties": { "text": { "type": "string" }, "to": { "type": "array", "items": { "$ref": "#/$defs/name" } } }
            },
            "a/b ~é": { "type": "integer" },
            "never": false
        }
    }"##;

    #[test]
    fn what_does_not_fit_is_told_with_its_place_and_without_what_it_was() {
        let file = compile(CHAT).unwrap();
        assert_eq!(check(&file, "say", r#"{"text":"hi","to":["ada","bob"]}"#), Ok(()));
        let told = check(&file, "say", r#"{"text":"hi","to":["ada","SECRET"]}"#).unwrap_err();
        assert!(told.starts_with("data at /to/1: ") && !told.contains("SECRET"), "{told}");
        let told = check(&file, "say", r#"{"text":7}"#).unwrap_err();
        assert!(told.starts_with("data at /text: ") && told.contains("string"), "{told}");
        let told = check(&file, "say", "{}").unwrap_err();
        assert!(told.starts_with("data: ") && told.contains("text"), "{told}");
        assert!(check(&file, "say", r#"{"text":"hi","more":1}"#).is_err());
        assert_eq!(check(&file, "a/b ~é", "7"), Ok(()));
        assert!(check(&file, "a/b ~é", "\"7\"").is_err());
        assert!(check(&file, "never", "1").is_err());
        assert_eq!(check(&file, "unknown", "1"), Ok(()));
        let bytes = file.check("say", &Data::Binary(vec![1, 2, 3].into())).unwrap_err();
        assert_eq!(bytes.code, Code::BadRequest);
    }

    #[test]
    fn other_events_may_be_refused() {
        let file = compile(r#"{"others":"refuse","events":{"say":true}}"#).unwrap();
        assert_eq!(check(&file, "say", "1"), Ok(()));
        assert!(check(&file, "sai", "1").unwrap_err().contains("sai"));
    }

    #[test]
    fn a_file_that_is_no_schema_is_told_with_its_place() {
        for (text, place) in [
            ("{\n\n nope", "x.schema.json, line 3: "),
            ("[]", "at /: "),
            (r#"{"events":[]}"#, "at /events: "),
            (r#"{"events":{},"others":"maybe"}"#, "at /others: "),
            (r#"{"events":{},"evnets":{}}"#, "at /evnets: "),
            (r#"{"events":{"say":{"type":"strnig"}}}"#, "at /events/say/type: "),
            (
                r#"{"events":{"say":{"properties":{"a/b":{"minimum":"x"}}}}}"#,
                "at /events/say/properties/a~1b/minimum: ",
            ),
            (r##"{"events":{"say":{"$ref":"#/$defs/nobody"}}}"##, "at /events/say: "),
            (r#"{"events":{"say":{"$ref":"https://example.com/other.json"}}}"#, "at /events/say: "),
            (r#"{"events":{"say":{"pattern":"("}}}"#, "at /events/say"),
        ] {
            let told = compile(text).unwrap_err().to_string();
            assert!(told.contains(place), "{text}: {told}");
        }
    }

    #[test]
    fn the_draft_is_the_files() {
        let file = compile(
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","events":{"say":{"items":[{"type":"string"}]}}}"#,
        )
        .unwrap();
        assert_eq!(check(&file, "say", r#"["a",1]"#), Ok(()));
        assert!(check(&file, "say", "[1]").is_err());
    }
}
