//! The lines that `fanfare store export` writes and `import` reads, one JSON object each:
//!
//! - first `{"type":"store","version":1,"epoch"}`;
//! - `{"type":"channel","channel","epoch","offset","newest_ms","tombstones_after"}` for every channel, with the offset of its head;
//! - `{"type":"message",...}`: the message as the protocol has it, with its `epoch`, and when present `origin` (whose `echo=0` subscriptions
//!   skip it), `expires_ms` (when its key's time is over) and `remembered` (its id is its publisher's own).
use std::{str::FromStr, sync::Arc};

use fanfare_broker_disk::tools::{ChannelState, Stored, stored_name};
use fanfare_protocol::{
    ChannelName, ClientId, Epoch, EventName, Format, Message, Problem, json, name::check_word,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::words;

/// The form that is written; another one is refused.
pub const VERSION: u32 = 1;

/// A line as it is read. Which fields a type has is checked when it is taken apart.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    version: Option<u32>,
    epoch: Option<String>,
    channel: Option<String>,
    offset: Option<u64>,
    #[serde(default)]
    newest_ms: u64,
    #[serde(default)]
    tombstones_after: u64,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    encoding: Option<String>,
    id: Option<String>,
    #[serde(default)]
    time: u64,
    key: Option<String>,
    user: Option<String>,
    client: Option<String>,
    origin: Option<String>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
    expires_ms: Option<u64>,
    #[serde(default)]
    remembered: bool,
}

/// What a line says.
#[derive(PartialEq, Debug)]
pub enum Record {
    /// The store's epoch.
    Store(Epoch),
    Channel(ChannelState),
    Message(Box<Stored>),
    /// Nothing that this version knows.
    Other,
}

/// The first line.
pub fn store(epoch: Epoch) -> String {
    format!("{{\"type\":\"store\",\"version\":{VERSION},\"epoch\":\"{epoch}\"}}")
}

/// The line of a channel.
pub fn channel(state: &ChannelState) -> String {
    words::object(
        "channel",
        &[
            ("channel", (*state.channel).into()),
            ("epoch", state.epoch.to_string().into()),
            ("offset", state.head.into()),
            ("newest_ms", state.newest_ms.into()),
            ("tombstones_after", state.tombstones_after.into()),
        ],
    )
}

/// Appends the line of a message, without its end.
pub fn message(stored: &Stored, out: &mut Vec<u8>) {
    let message = &stored.message;
    out.extend_from_slice(format!("{{\"type\":\"message\",\"epoch\":\"{}\",", message.epoch).as_bytes());
    let begun = out.len();
    Format::Json.message(message, out);
    // Two objects become one.
    out.remove(begun);
    out.pop();
    if let Some(origin) = message.origin.filter(|_| message.origin != message.client) {
        out.extend_from_slice(format!(",\"origin\":\"{}\"", origin.as_str()).as_bytes());
    }
    if let Some(expires_ms) = stored.expires_ms {
        out.extend_from_slice(format!(",\"expires_ms\":{expires_ms}").as_bytes());
    }
    if stored.remembered {
        out.extend_from_slice(b",\"remembered\":true");
    }
    out.push(b'}');
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub fn read(line: &[u8]) -> Result<Record, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match line.kind.as_str() {
        "store" => match line.version {
            Some(VERSION) => Ok(Record::Store(epoch(&line)?)),
            version => Err(format!("it is of version {version:?}, and this program reads {VERSION}")),
        },
        "channel" => Ok(Record::Channel(ChannelState {
            channel: name(&line)?,
            epoch: epoch(&line)?,
            head: line.offset.ok_or("it has no offset")?,
            newest_ms: line.newest_ms,
            tombstones_after: line.tombstones_after,
        })),
        "message" => Ok(Record::Message(Box::new(stored(&line)?))),
        _ => Ok(Record::Other),
    }
}

fn epoch(line: &Line<'_>) -> Result<Epoch, String> {
    let text = line.epoch.as_deref().ok_or("it has no epoch")?;
    let epoch = Epoch::from_str(text).map_err(|problem| problem.detail.to_string())?;
    if epoch == Epoch::NONE { Err("0 is never an epoch".into()) } else { Ok(epoch) }
}

fn name(line: &Line<'_>) -> Result<ChannelName, String> {
    let text = line.channel.as_deref().ok_or("it has no channel")?;
    stored_name(text).ok_or_else(|| format!("{text:?} cannot be a channel"))
}

/// A message, held to the rules of one that is published.
fn stored(line: &Line<'_>) -> Result<Stored, String> {
    let told = |problem: Problem| problem.detail.to_string();
    let word = |what: &str, word: Option<&str>| -> Result<Option<Arc<str>>, String> {
        word.map(|word| check_word(what, word).map(|()| word.into()).map_err(told)).transpose()
    };
    let client = |text: Option<&str>| text.map(ClientId::parse).transpose().map_err(told);
    let channel = name(line)?;
    let event = line.event.as_deref().ok_or("it has no event")?;
    let event = if channel.is_internal() { Ok(EventName::internal(event)) } else { EventName::parse(event) };
    let author = client(line.client.as_deref())?;
    let body = body(line)?;
    let checked = json::publish(&body, Some(channel.clone())).map_err(told)?;
    let message = Message {
        channel,
        epoch: epoch(line)?,
        offset: line.offset.filter(|offset| *offset > 0).ok_or("it has no offset")?,
        event: event.map_err(told)?,
        data: checked.data,
        id: word("id", line.id.as_deref())?.ok_or("it has no id")?,
        time: line.time,
        key: word("key", line.key.as_deref())?,
        user: line.user.as_deref().map(Arc::from),
        client: author,
        origin: client(line.origin.as_deref())?.or(author),
        tags: checked.tags,
    };
    Ok(Stored { message, expires_ms: line.expires_ms, remembered: line.remembered })
}

/// What of a message is checked as a publication's is.
fn body(line: &Line<'_>) -> Result<Vec<u8>, String> {
    #[derive(Serialize)]
    struct Body<'a> {
        data: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tags: Option<&'a RawValue>,
    }
    let (encoding, tags) = (line.encoding.as_deref(), line.tags);
    let body = Body { data: line.data.unwrap_or(RawValue::NULL), encoding, tags };
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::{Data, SessionId};

    use super::*;

    fn full() -> Stored {
        let client = |n: u32| Some(SessionId::parse(&format!("{n:022}")).unwrap().client());
        Stored {
            message: Message {
                channel: ChannelName::parse("chat:1").unwrap(),
                epoch: "k3f9".parse().unwrap(),
                offset: 7,
                event: EventName::parse("say").unwrap(),
                data: Data::Json(r#"{"b":1.0,"a":"\u00e9é","x":{"$bytes":"AAE="}}"#.into()),
                id: "i \"1\"".into(),
                time: 1_760_000_000_123,
                key: Some("k".into()),
                user: Some("ada".into()),
                client: client(1),
                origin: client(2),
                tags: [("z".into(), "1".into()), ("a".into(), "é".into())].into(),
            },
            expires_ms: Some(1_760_000_030_000),
            remembered: true,
        }
    }

    fn again(stored: &Stored) -> Record {
        let mut line = Vec::new();
        message(stored, &mut line);
        read(&line).unwrap()
    }

    #[test]
    fn a_message_is_the_same_after_a_line() {
        let full = full();
        let mut plain = full.clone();
        let Stored { message, .. } = &mut plain;
        (message.data, message.key, message.user) = (Data::Binary(vec![0, 255].into()), None, None);
        (message.origin, message.tags) = (message.client, fanfare_protocol::Tags::default());
        (plain.expires_ms, plain.remembered) = (None, false);
        let mut hidden = full.clone();
        hidden.message.channel = ChannelName::internal("presence", "chat:1");
        hidden.message.event = EventName::internal("member");
        hidden.message.data = Data::NULL;
        for stored in [full, plain, hidden] {
            assert_eq!(again(&stored), Record::Message(Box::new(stored)));
        }
    }

    #[test]
    fn channels_and_stores_are_the_same_after_a_line() {
        let state = ChannelState {
            channel: ChannelName::internal("presence", "a\"b"),
            epoch: "a1".parse().unwrap(),
            head: 9,
            newest_ms: 5,
            tombstones_after: 3,
        };
        assert_eq!(read(channel(&state).as_bytes()), Ok(Record::Channel(state.clone())));
        assert_eq!(read(store(state.epoch).as_bytes()), Ok(Record::Store(state.epoch)));
        assert_eq!(read(br#"{"type":"later"}"#), Ok(Record::Other));
    }

    #[test]
    fn what_no_publisher_could_have_sent_is_refused() {
        let good = r#"{"type":"message","epoch":"a1","channel":"c","offset":1,"event":"e","data":1,"id":"i","time":1}"#;
        assert!(matches!(read(good.as_bytes()), Ok(Record::Message(_))));
        for (from, to) in [
            (r#""channel":"c""#, r#""channel":"c c""#),
            (r#""offset":1"#, r#""offset":0"#),
            (r#""event":"e""#, r#""event":"open""#),
            (r#""data":1"#, r#""data":1e999"#),
            (r#""id":"i""#, r#""id":"""#),
            (r#""epoch":"a1""#, r#""epoch":"A1""#),
            (r#""epoch":"a1""#, r#""epoch":"0""#),
            (r#""time":1"#, r#""time":1,"key":"\u0007""#),
            (r#""time":1"#, r#""time":1,"client":"x""#),
            (r#""time":1"#, r#""time":1,"encoding":"base64""#),
            ("}", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(br#"{"type":"store","version":2,"epoch":"a1"}"#).is_err());
    }
}
