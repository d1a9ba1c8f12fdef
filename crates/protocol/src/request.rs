//! From the fields of an object to a request: one set of rules for every encoding and for HTTP bodies.
use std::{borrow::Cow, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::{
    Ack, Args, ChannelName, ClientId, Code, Command, Cursor, Data, EventName, Position, Problem, Publish,
    Ref, Request, Start, SubscribeOptions, Tag, Tags,
    args::{ARGS, unwrapped},
    codec::Rejected,
    command::{Page, Token},
    fields::{Fields, Name, Raw, Scalar, missing, not_json, wrong},
    json_scan::Json,
    json_text::{DEPTH, compact},
    name::{WORD_BYTES, check_namespace, check_word},
    options::{LIMIT, LIMIT_MOST, check_rate},
    pack_read::{self, Reader, Unsayable},
};

/// Name and value pairs of one message, at most.
pub const TAGS: usize = 16;

/// Reads one request.
#[expect(clippy::result_large_err, reason = "made once per command and consumed at once")]
pub(crate) fn request(raw: Raw<'_>) -> Result<Request, Rejected> {
    let refused = |problem| Rejected { reference: None, problem };
    let mut fields = Fields::none();
    fields.fill(raw).map_err(refused)?;
    let reference = reference(&fields).map_err(refused)?;
    match command(&fields) {
        Ok(command) => Ok(Request { reference, command }),
        Err(problem) => Err(Rejected { reference, problem }),
    }
}

fn reference(fields: &Fields<'_>) -> Result<Option<Ref>, Problem> {
    // Whole numbers that a double holds exactly: some encoders know no integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    Ok(Some(match fields.get(Name::Ref) {
        None => return Ok(None),
        Some(Scalar::Int(n)) => Ref::Number(n),
        Some(Scalar::Float(n)) if n.fract() == 0.0 && n.abs() <= EXACT => Ref::Number(n as i64),
        Some(Scalar::Text(text)) if text.len() <= WORD_BYTES => Ref::Text(text.into()),
        Some(_) => return Err(wrong(Name::Ref, "an integer of 64 bits or a string of at most 128 bytes")),
    }))
}

fn command(fields: &Fields<'_>) -> Result<Command, Problem> {
    Ok(match &*fields.required(Name::Type)? {
        "publish" => Command::Publish { publish: Box::new(publish(fields, None)?), token: token(fields)? },
        "subscribe" => Command::Subscribe {
            channel: channel(fields)?,
            options: subscribe_options(fields)?,
            token: token(fields)?,
        },
        "unsubscribe" => Command::Unsubscribe { channel: channel(fields)? },
        "ping" => Command::Ping,
        "auth" => Command::Auth { token: token(fields)?.ok_or_else(|| missing(Name::Token))? },
        "history" => Command::History { channel: channel(fields)?, page: page(fields)? },
        "members" => Command::Members {
            channel: channel(fields)?,
            limit: limit(fields, 0)?,
            after: client(fields, Name::After)?,
        },
        "enter" => {
            Command::Enter { channel: channel(fields)?, data: member_data(fields)?, token: token(fields)? }
        }
        "leave" => Command::Leave { channel: channel(fields)? },
        "call" => call(fields)?,
        "answer" => Command::Answer {
            id: word(fields, Name::Id)?.ok_or_else(|| missing(Name::Id))?,
            args: args(fields)?,
        },
        unknown => {
            let shown: String = unknown.chars().take(40).collect();
            return Err(Problem::new(Code::BadRequest, format!("{shown:?} is not a type of command")).remedy(
                "send type as auth, subscribe, unsubscribe, publish, history, members, enter, leave, call, answer or ping",
            ));
        }
    })
}

/// Reads a call; a body of HTTP has the same fields.
pub(crate) fn call(fields: &Fields<'_>) -> Result<Command, Problem> {
    let namespace = fields.text(Name::Namespace)?.unwrap_or(Cow::Borrowed("/"));
    check_namespace(&namespace)?;
    let event = EventName::parse(&fields.required(Name::Event)?)?;
    Ok(Command::Call { namespace: (&*namespace).into(), event, args: args(fields)? })
}

/// The arguments in `data`; none if absent.
fn args(fields: &Fields<'_>) -> Result<Args, Problem> {
    let Some(raw) = fields.raw(Name::Data).filter(|raw| raw.scalar() != Scalar::Null) else {
        return Ok(Args::default());
    };
    let elements = raw
        .elements(ARGS)
        .map_err(|problem| problem.unwrap_or_else(|| wrong(Name::Data, "an array of arguments")))?;
    Ok(Args(elements.into_iter().map(|element| checked(element).map(unwrapped)).collect::<Result<_, _>>()?))
}

fn channel(fields: &Fields<'_>) -> Result<ChannelName, Problem> {
    ChannelName::parse(&fields.required(Name::Channel)?)
}

fn token(fields: &Fields<'_>) -> Result<Option<Token>, Problem> {
    Ok(fields.text(Name::Token)?.map(|token| Token(token.into())))
}

fn client(fields: &Fields<'_>, name: Name) -> Result<Option<ClientId>, Problem> {
    fields.text(name)?.map(|text| ClientId::parse(&text)).transpose()
}

fn limit(fields: &Fields<'_>, least: u64) -> Result<usize, Problem> {
    let limit = fields.count(Name::Limit, least)?;
    Ok(limit.map_or(LIMIT, |limit| limit.min(LIMIT_MOST as u64) as usize))
}

/// A position, or with one channel the same thing, a cursor of one element: empty is *from now*.
fn since(fields: &Fields<'_>) -> Result<Option<Position>, Problem> {
    let Some(text) = fields.text(Name::Since)? else { return Ok(None) };
    Ok(Cursor::parse(&text, 1)?.0.pop().flatten())
}

fn subscribe_options(fields: &Fields<'_>) -> Result<SubscribeOptions, Problem> {
    Ok(SubscribeOptions {
        start: Start {
            since: since(fields)?,
            last: fields.count(Name::Last, 1)?.map(|last| last.min(LIMIT_MOST as u64)),
            snapshot: fields.flag(Name::Snapshot)?.unwrap_or(false),
        },
        presence: fields.flag(Name::Presence)?.unwrap_or(false),
        rate: fields.number(Name::Rate)?.map(check_rate).transpose()?,
        echo: fields.flag(Name::Echo)?.unwrap_or(true),
    })
}

fn page(fields: &Fields<'_>) -> Result<Page, Problem> {
    Ok(Page {
        since: since(fields)?,
        // One that cannot be read is as unusable as one of another epoch: ignored.
        before: fields.text(Name::Before)?.and_then(|text| text.parse().ok()),
        limit: limit(fields, 1)?,
        reverse: fields.flag(Name::Reverse)?.unwrap_or(false),
    })
}

/// Reads a publication. `channel` is the path's, and beats the field.
pub(crate) fn publish(fields: &Fields<'_>, path: Option<ChannelName>) -> Result<Publish, Problem> {
    let channel = path.map_or_else(|| channel(fields), Ok)?;
    let key = word(fields, Name::Key)?;
    let data = match publish_data(fields)? {
        Some(data) => data,
        None if key.is_some() => {
            return Err(Problem::new(Code::BadRequest, "data is missing beside key")
                .remedy("send data; an explicit null removes the key"));
        }
        None => Data::NULL,
    };
    let ttl_ms = fields.count(Name::TtlMs, 1)?;
    if ttl_ms.is_some() && key.is_none() {
        return Err(Problem::new(Code::BadRequest, "ttl_ms without key").remedy(
            "send a key, whose value ttl_ms is the life of; messages live as long as the history does",
        ));
    }
    let ephemeral = fields.flag(Name::Ephemeral)?.unwrap_or(false);
    let condition = fields.text(Name::If)?.map(|text| text.parse()).transpose()?;
    if ephemeral && condition.is_some() {
        return Err(Problem::new(
            Code::BadRequest,
            "if on an ephemeral message, which has no place in the log",
        )
        .remedy("leave out if or ephemeral"));
    }
    Ok(Publish {
        channel,
        event: fields
            .text(Name::Event)?
            .map_or(Ok(EventName::default()), |event| EventName::parse(&event))?,
        data,
        key,
        id: word(fields, Name::Id)?,
        tags: tags(fields)?,
        ephemeral,
        ack: ack(fields)?,
        ttl_ms,
        condition,
        client: client(fields, Name::Client)?,
    })
}

fn word(fields: &Fields<'_>, name: Name) -> Result<Option<Arc<str>>, Problem> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    check_word(name.text(), &text)?;
    Ok(Some(text.into()))
}

fn ack(fields: &Fields<'_>) -> Result<Option<Ack>, Problem> {
    match fields.text(Name::Ack)?.as_deref() {
        None => Ok(None),
        Some("memory") => Ok(Some(Ack::Memory)),
        Some("stored") => Ok(Some(Ack::Stored)),
        Some(_) => Err(wrong(Name::Ack, "\"memory\" or \"stored\"")),
    }
}

/// Tags in the order given; of a name that comes twice, the last value counts. A value may be empty, a name not.
fn tags(fields: &Fields<'_>) -> Result<Tags, Problem> {
    if fields.get(Name::Tags).is_none() {
        return Ok(Tags::default());
    }
    let pairs = fields.raw(Name::Tags).and_then(Raw::pairs);
    let pairs = pairs.ok_or_else(|| wrong(Name::Tags, "an object of at most 16 strings"))?;
    let mut tags: Vec<Tag> = Vec::new();
    for (name, value) in pairs {
        check_word("the name of a tag", &name)?;
        if !value.is_empty() {
            check_word("the value of a tag", &value)?;
        }
        if let Some((_, known)) = tags.iter_mut().find(|(known, _)| **known == *name) {
            *known = value.into();
        } else if tags.len() < TAGS {
            tags.push((name.into(), value.into()));
        } else {
            return Err(Problem::new(Code::BadRequest, format!("more than {TAGS} tags"))
                .remedy(format!("send at most {TAGS} tags")));
        }
    }
    Ok(tags.into())
}

/// The payload, with `encoding` applied; none when absent.
fn publish_data(fields: &Fields<'_>) -> Result<Option<Data>, Problem> {
    let encoded = match fields.text(Name::Encoding)?.as_deref() {
        None => false,
        Some("base64") => true,
        Some(_) => return Err(wrong(Name::Encoding, "\"base64\"")),
    };
    let Some(raw) = fields.raw(Name::Data) else { return Ok(None) };
    let data = checked(raw)?;
    if !encoded || matches!(data, Data::Binary(_)) {
        return Ok(Some(data));
    }
    // Padding may be left out, as many encoders do; the alphabet is the standard one.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &ALPHABET,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = match raw.scalar() {
        Scalar::Text(text) => LENIENT.decode(text.as_bytes()).ok(),
        _ => None,
    };
    let bytes = bytes.ok_or_else(|| wrong(Name::Data, "a base64 string, as encoding says"))?;
    Ok(Some(Data::Binary(bytes.into())))
}

/// What a member enters with: JSON always, `null` if absent.
pub(crate) fn member_data(fields: &Fields<'_>) -> Result<Data, Problem> {
    match fields.raw(Name::Data) {
        None => Ok(Data::NULL),
        Some(Raw::Pack(bytes)) => {
            let mut json = Vec::new();
            Reader(bytes).json(&mut json, DEPTH, Unsayable::Refused)?;
            Ok(Data::Json(json.into()))
        }
        Some(raw) => checked(raw),
    }
}

/// Checks and compacts a payload.
fn checked(raw: Raw<'_>) -> Result<Data, Problem> {
    match raw {
        Raw::Json(json) if json.is_plain() => Ok(Data::Json(Bytes::copy_from_slice(json.text.as_bytes()))),
        Raw::Json(json) => Ok(Data::Json(compact(json.text)?.into())),
        Raw::Pack(bytes) => {
            let mut reader = Reader(bytes);
            if let pack_read::Token::Bin(bytes) = reader.token()? {
                return Ok(Data::Binary(bytes.to_vec().into()));
            }
            let mut json = Vec::with_capacity(bytes.len() + bytes.len() / 4);
            Reader(bytes).json(&mut json, DEPTH, Unsayable::Refused)?;
            Ok(Data::Json(json.into()))
        }
    }
}

impl Data {
    /// Checks and compacts a JSON text from outside, as a publish does.
    ///
    /// # Errors
    /// `bad_request` when it is not JSON, nests deeper than 64 arrays and objects, or holds a lone surrogate or a number
    /// that no double can hold.
    pub fn from_json(text: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(text).map_err(|_| not_json())?;
        checked(Raw::Json(Json::parse(text).ok_or_else(not_json)?))
    }

    /// Checks one MessagePack value from outside, as a publish does. Bytes as a whole stay bytes.
    ///
    /// # Errors
    /// `bad_request` when it is not one whole value, holds an extension type, a key that is no string, text that is not
    /// UTF-8 or a number that is not finite, or nests deeper than 64 arrays and maps.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader(bytes);
        let raw = reader.raw()?;
        if !reader.0.is_empty() {
            return Err(pack_read::malformed("bytes follow the value"));
        }
        checked(Raw::Pack(raw))
    }
}
