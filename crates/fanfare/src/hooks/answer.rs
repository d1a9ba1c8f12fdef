//! What an application answers.
use std::collections::BTreeMap;

use fanfare_protocol::{Args, Code, Data, Problem};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An answer. A field that is not known is an error, so that a misspelt refusal allows nothing.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answer {
    allow: Option<bool>,
    error: Option<Refusal>,
    /// Publish: instead of what was to be published.
    data: Option<Box<RawValue>>,
    /// Call: the arguments of the answer.
    reply: Option<Box<RawValue>>,
    /// Connect: who it is.
    pub user: Option<String>,
    /// Connect: shown in presence.
    pub info: Option<Box<RawValue>>,
    /// Connect: what a WebSocket client is subscribed to on entry.
    pub channels: Vec<String>,
    /// Connect: until when, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// What is to be done besides.
    pub actions: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: Option<String>,
    detail: Option<String>,
    remedy: Option<String>,
}

impl Answer {
    /// Reads a body; an empty one allows.
    pub fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        // An array would be read as the fields in their order.
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
        drop(fields);
        serde_json::from_slice(body)
    }

    /// The refusal, if it is one.
    pub fn refused(&self) -> Result<(), Problem> {
        let code = |name: &str| Code::from_name(name).unwrap_or(Code::Forbidden);
        match (&self.error, self.allow) {
            (Some(refusal), _) => {
                let code = refusal.code.as_deref().map_or(Code::Forbidden, code);
                let detail = refusal.detail.clone().unwrap_or_else(|| "refused by the application".into());
                let problem = Problem::new(code, detail);
                Err(match &refusal.remedy {
                    Some(remedy) => problem.remedy(remedy.clone()),
                    None => problem,
                })
            }
            (None, Some(false)) => Err(Problem::new(Code::Forbidden, "refused by the application")),
            _ => Ok(()),
        }
    }

    /// What replaces the data of a publication.
    pub fn replacement(&self) -> Result<Option<Data>, Problem> {
        self.data.as_ref().map(|raw| Data::from_json(raw.get().as_bytes())).transpose()
    }

    /// The answer to a call: an array is its arguments, anything else one argument.
    pub fn replied(&self) -> Result<Args, Problem> {
        let Some(raw) = &self.reply else { return Ok(Args::default()) };
        match Data::from_json(raw.get().as_bytes())? {
            Data::Json(text) if text.starts_with(b"[") => Args::from_array(&text),
            data => Ok(Args::one(data)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Answer {
        Answer::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_allows_unless_it_says_otherwise() {
        for allows in ["", "{}", r#"{"allow":true}"#, r#"{"reply":[1]}"#] {
            assert!(read(allows).refused().is_ok(), "{allows}");
        }
        assert_eq!(read(r#"{"allow":false}"#).refused().unwrap_err().code, Code::Forbidden);
        let told = read(r#"{"error":{"code":"conflict","detail":"d","remedy":"r"}}"#).refused().unwrap_err();
        assert_eq!((told.code, &*told.detail, told.remedy_text()), (Code::Conflict, "d", "r"));
        assert_eq!(read(r#"{"error":{"code":"nonsense"}}"#).refused().unwrap_err().code, Code::Forbidden);
        for malformed in [r#"{"eror":{}}"#, "[]", "nope", r#"{"allow":"no"}"#] {
            assert!(Answer::read(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    #[test]
    fn a_reply_is_its_arguments() {
        assert_eq!(read(r#"{"reply":[1,"a"]}"#).replied().unwrap().len(), 2);
        assert_eq!(read(r#"{"reply":{"a":1}}"#).replied().unwrap().len(), 1);
        assert!(read("{}").replied().unwrap().is_empty());
    }
}
