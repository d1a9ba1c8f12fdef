//! What an application answers.
use std::collections::BTreeMap;

use fanfare_protocol::{Args, Code, Data, Grant, Pattern, Problem, Right, Rights};
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
    /// Connect: what it may do, as the claim `grants` of a token says.
    grants: Vec<GrantSaid>,
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

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct GrantSaid {
    channels: Vec<String>,
    allow: Vec<String>,
    events: Option<Vec<String>>,
}

/// Most grants of one answer, and most patterns or events of one grant: as of a token.
const GRANTS: usize = 100;

impl Answer {
    /// What it grants.
    ///
    /// # Errors
    /// `internal` for a right that there is not, or too many: the application's fault, not the client's.
    pub fn granted(&self) -> Result<Vec<Grant>, Problem> {
        let wrong = |what: String| {
            tracing::warn!(what, "a grant of a hook's answer cannot be given");
            Problem::new(Code::Internal, "the application grants something that cannot be")
        };
        let many = |list: &Vec<String>| list.len() > GRANTS;
        if self.grants.len() > GRANTS {
            return Err(wrong(format!("more than {GRANTS} grants")));
        }
        let one = |said: &GrantSaid| {
            if many(&said.channels) || said.events.as_ref().is_some_and(many) {
                return Err(wrong(format!("more than {GRANTS} channels or events of one grant")));
            }
            let right = |name: &String| {
                Right::from_name(name).ok_or_else(|| wrong(format!("there is no right {name:?}")))
            };
            let allow = said.allow.iter().map(right).collect::<Result<Rights, Problem>>()?;
            let user = self.user.as_deref();
            let channels = said.channels.iter().filter_map(|pattern| Pattern::parse(pattern, user)).collect();
            let events =
                said.events.as_ref().map(|events| events.iter().map(|name| name.as_str().into()).collect());
            Ok(Grant { channels, allow, events })
        };
        self.grants.iter().map(one).collect()
    }

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
    fn grants_are_those_of_tokens() {
        let answer = read(
            r#"{"user":"ada","grants":[{"channels":["user:{sub}","chat:*"],"allow":["subscribe","publish"],"events":["say"]}]}"#,
        );
        let [grant] = &*answer.granted().unwrap() else { panic!("one grant") };
        assert!(
            grant.allows(Right::Subscribe, "user:ada", None)
                && grant.allows(Right::Publish, "chat:1", Some("say"))
        );
        assert!(!grant.allows(Right::Subscribe, "user:bob", None));
        assert!(!grant.allows(Right::Publish, "chat:1", Some("shout")));
        assert!(!grant.allows(Right::History, "chat:1", None));
        let wrong = r#"{"grants":[{"channels":["a"],"allow":["fly"]}]}"#;
        assert_eq!(read(wrong).granted().unwrap_err().code, Code::Internal);
        assert!(Answer::read(br#"{"grants":[{"channels":["a"],"alow":[]}]}"#).is_err());
    }

    #[test]
    fn a_reply_is_its_arguments() {
        assert_eq!(read(r#"{"reply":[1,"a"]}"#).replied().unwrap().len(), 2);
        assert_eq!(read(r#"{"reply":{"a":1}}"#).replied().unwrap().len(), 1);
        assert!(read("{}").replied().unwrap().is_empty());
    }
}
