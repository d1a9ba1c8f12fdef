//! What unmodified clients may ask without any code on the server, and Laravel Echo's words for the same. Each becomes a command of the hub's own.
use fanfare_protocol::{Code, Format, Problem, Ref, Request, command::Token};

use crate::{attachments, json, names, wire::Layout};

/// A command, and how what it subscribes to is to be told.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// How messages of the channel stand in events.
    pub layout: Layout,
    /// What.
    pub request: Request,
    /// A token that came beside it, in the headers that Laravel Echo sends with each subscription.
    pub bearer: Option<Token>,
}

/// The words.
const WORDS: [&str; 8] =
    ["subscribe", "unsubscribe", "publish", "enter", "leave", "members", "history", "client event"];

/// Whether an event's name is a word of the contract.
pub fn is_word(name: &str) -> bool {
    WORDS.contains(&name)
}

fn bad(detail: &'static str, remedy: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail).remedy(remedy)
}

/// Reads a word and its arguments, each compact JSON; `id` is that of the ack.
///
/// # Errors
/// `bad_request`, as the command itself.
pub fn read(namespace: &str, word: &str, args: &[&str], id: Option<u64>) -> Result<Vec<Asked>, Problem> {
    let first = args.first().copied().unwrap_or_default();
    if first.starts_with('{') && matches!(word, "subscribe" | "unsubscribe" | "client event") {
        return echo(namespace, word, first, id);
    }
    let name = json::text(first)
        .ok_or_else(|| bad("the first argument is no channel", "emit(\"subscribe\", \"chat:lobby\", ...)"))?;
    let channel = names::channel(namespace, &name)?;
    let mut frame = Frame::new(word, &channel);
    let options = |at: usize, frame: &mut Frame, allowed: &[&str]| match args.get(at) {
        Some(&options) => frame.options(options, allowed),
        None => Ok(()),
    };
    match word {
        "subscribe" => {
            options(1, &mut frame, &["since", "last", "snapshot", "presence", "rate", "echo", "token"])?;
        }
        "publish" => {
            let event = args.get(1).copied().unwrap_or("null");
            if !event.starts_with('"') {
                return Err(bad(
                    "the second argument is no event's name",
                    "emit(\"publish\", channel, event, data)",
                ));
            }
            frame.field("event", event);
            if let Some(data) = args.get(2) {
                frame.data(data);
            }
            options(3, &mut frame, &["id", "key", "tags", "ephemeral", "ack", "ttl_ms", "if", "token"])?;
        }
        "enter" => {
            if let Some(data) = args.get(1) {
                frame.field("data", data);
            }
            options(2, &mut frame, &["token"])?;
        }
        "members" => options(1, &mut frame, &["limit", "after"])?,
        "history" => options(1, &mut frame, &["since", "before", "limit", "reverse"])?,
        _ => {}
    }
    Ok(vec![Asked { layout: Layout::Channels, request: frame.request(id)?, bearer: None }])
}

/// Laravel Echo's way: an object that names the channel.
fn echo(namespace: &str, word: &str, object: &str, id: Option<u64>) -> Result<Vec<Asked>, Problem> {
    let name = json::member(object, "channel").and_then(json::text);
    let name = name.ok_or_else(|| bad("channel is missing", "send {channel, auth: {headers}}"))?;
    let channel = names::channel(namespace, &name)?;
    let bearer = bearer(object).map(|token| Token(token.into()));
    let asked = |frame: Frame, id| {
        let request = frame.request(id)?;
        Ok::<_, Problem>(Asked { layout: Layout::Echo, request, bearer: bearer.clone() })
    };
    let has_members = name.strip_prefix("presence-").is_some();
    match word {
        "unsubscribe" => Ok(vec![asked(Frame::new("unsubscribe", &channel), id)?]),
        "client event" => {
            let mut frame = Frame::new("publish", &channel);
            frame.field("event", json::member(object, "event").unwrap_or("null"));
            frame.data(json::member(object, "data").unwrap_or("null"));
            frame.field("ephemeral", "true");
            Ok(vec![asked(frame, id)?])
        }
        _ => {
            let mut frame = Frame::new("subscribe", &channel);
            if !has_members {
                return Ok(vec![asked(frame, id)?]);
            }
            frame.field("presence", "true");
            let enter = Frame::new("enter", &channel);
            Ok(vec![asked(enter, None)?, asked(frame, id)?])
        }
    }
}

/// The token in `auth.headers.Authorization`, whatever the case of the header's name.
fn bearer(object: &str) -> Option<String> {
    let headers = json::member(json::member(object, "auth")?, "headers")?;
    let headers = json::members(headers)?;
    let value = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?.1;
    let value = json::text(value)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// A command of the native protocol as it grows.
struct Frame(String);

impl Frame {
    fn new(kind: &str, channel: &str) -> Self {
        Self(format!("{{\"type\":\"{kind}\",\"channel\":{}", json::string(channel)))
    }

    fn field(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!(",\"{name}\":{value}"));
    }

    /// The payload; bytes as a whole are said so.
    fn data(&mut self, value: &str) {
        match attachments::whole(value) {
            Some(_) => {
                let quoted = value.strip_prefix("{\"$bytes\":").and_then(|rest| rest.strip_suffix('}'));
                self.field("data", quoted.unwrap_or("null"));
                self.field("encoding", "\"base64\"");
            }
            None => self.field("data", value),
        }
    }

    fn options(&mut self, options: &str, allowed: &[&str]) -> Result<(), Problem> {
        if options == "null" {
            return Ok(());
        }
        let members = json::members(options).ok_or_else(|| {
            bad("the options are no object", "send options as an object, or leave them out")
        })?;
        for (name, value) in members {
            if allowed.contains(&name.as_str()) && value != "null" {
                self.field(&name, value);
            }
        }
        Ok(())
    }

    fn request(mut self, id: Option<u64>) -> Result<Request, Problem> {
        self.0.push('}');
        let mut requests = Format::Json.decode(self.0.as_bytes()).map_err(|rejected| rejected.problem)?;
        let request = requests.pop().ok_or_else(|| bad("nothing was asked", "send a command"))?;
        let mut request = request.map_err(|rejected| rejected.problem)?;
        request.reference = id.and_then(|id| i64::try_from(id).ok()).map(Ref::Number);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::{Command, Data};

    use super::*;

    fn one(word: &str, args: &[&str]) -> Result<Command, Problem> {
        let mut asked = read("/", word, args, Some(4))?;
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].request.reference, Some(Ref::Number(4)));
        Ok(asked.remove(0).request.command)
    }

    #[test]
    fn words_become_commands() {
        let Ok(Command::Subscribe { channel, options, .. }) =
            one("subscribe", &["\"chat:1\"", r#"{"since":"k1-3","presence":true,"type":"publish"}"#])
        else {
            panic!("not a subscribe");
        };
        assert_eq!((&*channel, options.presence), ("chat:1", true));
        assert_eq!(options.start.since.map(|at| at.offset), Some(3));
        let Ok(Command::Publish { publish, .. }) =
            one("publish", &["\"chat:1\"", "\"say\"", r#"{"a":1}"#, r#"{"id":"x","ephemeral":false}"#])
        else {
            panic!("not a publish");
        };
        assert_eq!((&*publish.event, publish.id.as_deref()), ("say", Some("x")));
        assert_eq!(publish.data, Data::Json(br#"{"a":1}"#[..].into()));
        let Ok(Command::Publish { publish, .. }) =
            one("publish", &["\"c\"", "\"e\"", r#"{"$bytes":"AQI="}"#])
        else {
            panic!("not a publish");
        };
        assert_eq!(publish.data, Data::Binary(vec![1, 2].into()));
        assert!(matches!(one("enter", &["\"c\"", "{}"]), Ok(Command::Enter { .. })));
        assert!(matches!(one("leave", &["\"c\""]), Ok(Command::Leave { .. })));
        assert!(matches!(
            one("members", &["\"c\"", r#"{"limit":0}"#]),
            Ok(Command::Members { limit: 0, .. })
        ));
        assert!(matches!(one("history", &["\"c\"", r#"{"limit":5}"#]), Ok(Command::History { .. })));
        assert!(matches!(one("unsubscribe", &["\"c\""]), Ok(Command::Unsubscribe { .. })));
    }

    #[test]
    fn what_makes_no_sense_is_a_bad_request() {
        for (word, args) in [
            ("subscribe", &[][..]),
            ("subscribe", &["1"]),
            ("subscribe", &["\"a b\""]),
            ("subscribe", &["\"a\"", "1"]),
            ("subscribe", &["\"a\"", r#"{"since":"zzz"}"#]),
            ("subscribe", &["{}"]),
            ("publish", &["\"a\""]),
            ("publish", &["\"a\"", "\"connect\"", "1"]),
            ("publish", &["\"$presence:a\"", "\"e\"", "1"]),
        ] {
            assert_eq!(read("/", word, args, None).unwrap_err().code, Code::BadRequest, "{word} {args:?}");
        }
    }

    #[test]
    fn echo_says_the_same_otherwise() {
        let object = r#"{"channel":"private-x","auth":{"headers":{"authorization":"Bearer T"}}}"#;
        let asked = read("/", "subscribe", &[object], None).unwrap();
        assert_eq!(asked[0].layout, Layout::Echo);
        assert!(matches!(&asked[0].bearer, Some(Token(token)) if &**token == "T"));
        let asked = read("/", "subscribe", &[r#"{"channel":"presence-x"}"#], None).unwrap();
        assert_eq!(asked.len(), 2, "members enter");
        let event = r#"{"channel":"private-x","event":"client-typing","data":{"a":1}}"#;
        let asked = read("/", "client event", &[event], None).unwrap();
        assert!(matches!(&asked[0].request.command, Command::Publish { publish, .. } if publish.ephemeral));
    }
}
