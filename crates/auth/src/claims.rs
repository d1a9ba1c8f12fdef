//! Claims (RFC 7519 §4) of a token whose signature is verified, turned into an identity.
use bytes::Bytes;
use fanfare_protocol::{ChannelName, Code, Data, Grant, Identity, Pattern, Problem, Right, Rights};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::compact::unauthorized;

/// Longest `sub`, in bytes of UTF-8.
const SUB_BYTES: usize = 255;
/// Largest `info`, in bytes of compact JSON.
const INFO_BYTES: usize = 4 * 1024;
/// Deepest `info`, in arrays and objects: as deep as the data of a message.
const INFO_DEPTH: usize = 64;
/// Most `channels`.
const MOST_CHANNELS: usize = 128;
/// Most `grants`.
const MOST_GRANTS: usize = 100;
/// Most patterns or events of one grant.
const MOST_PATTERNS: usize = 100;
/// The last second of the year 9999. What lies beyond was meant as milliseconds.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What tokens must say besides being signed. An empty list asks for nothing.
#[derive(Clone, Default)]
pub(crate) struct Expected {
    pub(crate) audience: Vec<String>,
    pub(crate) issuer: Vec<String>,
}

/// The claims, each as its JSON text, so that an error can name the claim without quoting it.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Option<&'a RawValue>,
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
    #[serde(borrow)]
    iat: Option<&'a RawValue>,
    #[serde(borrow)]
    aud: Option<&'a RawValue>,
    #[serde(borrow)]
    iss: Option<&'a RawValue>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    grants: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GrantClaim {
    channels: Vec<String>,
    allow: Vec<String>,
    #[serde(default)]
    events: Option<Vec<String>>,
}

/// Reads the claims of a token. `now` is in milliseconds since 1970; a token is expired from its `exp` on.
///
/// # Errors
/// `token_expired` when only the time is against it, else `unauthorized` naming the claim.
pub(crate) fn identity(text: &[u8], expected: &Expected, now: u64) -> Result<Identity, Problem> {
    // A JSON array would pass for the fields in order.
    let object = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let claims: Claims<'_> = match serde_json::from_slice(text) {
        Ok(claims) if object => claims,
        _ => return Err(unauthorized("the token's claims are not a JSON object, or name one claim twice")),
    };
    check_origin(&claims, expected)?;
    let sub = read_sub(&claims)?;
    let sub = sub.as_deref();
    let identity = Identity {
        user: sub.map(Into::into),
        api_key: None,
        info: read_info(&claims)?,
        expires_at: Some(read_exp(&claims)?),
        issued_at: read_time("iat", claims.iat)?.unwrap_or(0),
        grants: read_grants(&claims, sub)?,
        channels: read_channels(&claims, sub)?,
    };
    if read_time("nbf", claims.nbf)?.is_some_and(|nbf| now < nbf) {
        return Err(unauthorized("the token is not valid yet (nbf)")
            .remedy("wait until its nbf, or compare the clocks of the issuer and this server"));
    }
    check_exp(&identity, now)?;
    Ok(identity)
}

/// Refuses an identity whose time is over.
pub(crate) fn check_exp(identity: &Identity, now: u64) -> Result<(), Problem> {
    if identity.expires_at.is_some_and(|exp| exp <= now) {
        return Err(Problem::new(Code::TokenExpired, "the token has expired"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(raw: &RawValue, problem: &'static str) -> Result<T, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| unauthorized(problem))
}

fn check_origin(claims: &Claims<'_>, expected: &Expected) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    if !expected.audience.is_empty() {
        let raw = claims.aud.ok_or_else(|| unauthorized("the token has no aud"))?;
        let named = match parse(raw, "the token's aud is neither a string nor a list of strings")? {
            Audience::One(one) => vec![one],
            Audience::Many(many) => many,
        };
        if !named.iter().any(|aud| expected.audience.contains(aud)) {
            return Err(unauthorized("the token is for another audience (aud)"));
        }
    }
    if !expected.issuer.is_empty() {
        let raw = claims.iss.ok_or_else(|| unauthorized("the token has no iss"))?;
        let issuer: String = parse(raw, "the token's iss is not a string")?;
        if !expected.issuer.contains(&issuer) {
            return Err(unauthorized("the token is from another issuer (iss)"));
        }
    }
    Ok(())
}

fn read_sub(claims: &Claims<'_>) -> Result<Option<String>, Problem> {
    let Some(raw) = claims.sub else { return Ok(None) };
    let sub: String = parse(raw, "the token's sub is not a string")?;
    if !(1..=SUB_BYTES).contains(&sub.len()) {
        return Err(unauthorized("the token's sub is not 1 to 255 bytes"));
    }
    Ok(Some(sub))
}

fn read_exp(claims: &Claims<'_>) -> Result<u64, Problem> {
    read_time("exp", claims.exp)?.ok_or_else(|| {
        unauthorized("the token has no exp").remedy("issue tokens with exp, in seconds since 1970")
    })
}

/// A NumericDate (RFC 7519 §2), possibly with a fraction, in milliseconds.
fn read_time(name: &'static str, raw: Option<&RawValue>) -> Result<Option<u64>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let Ok(seconds) = serde_json::from_str::<f64>(raw.get()) else {
        return Err(unauthorized(format!("the token's {name} is not a number of seconds since 1970")));
    };
    if seconds > LAST_SECOND {
        return Err(unauthorized(format!("the token's {name} is beyond the year 9999"))
            .remedy(format!("give {name} in seconds since 1970, not milliseconds")));
    }
    // A double holds milliseconds exactly up to there; what lies before 1970 becomes 0.
    Ok(Some((seconds * 1_000.0).floor() as u64))
}

fn read_info(claims: &Claims<'_>) -> Result<Option<Data>, Problem> {
    let Some(raw) = claims.info else { return Ok(None) };
    // What a parser refuses (half a surrogate pair, a number beyond a double) could not be sent as MessagePack.
    let value: Value = parse(raw, "the token's info holds half a character or a number too large")?;
    if depth(&value) > INFO_DEPTH {
        return Err(unauthorized("the token's info nests deeper than 64 arrays and objects"));
    }
    let compact = without_whitespace(raw.get());
    if compact.len() > INFO_BYTES {
        return Err(unauthorized("the token's info is larger than 4 KB"));
    }
    Ok(Some(Data::Json(Bytes::from(compact))))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Valid JSON text without the whitespace between its tokens.
fn without_whitespace(text: &str) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes()
        .filter(|&byte| {
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
                return true;
            }
            in_string = byte == b'"';
            !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
        })
        .collect()
}

fn read_channels(claims: &Claims<'_>, sub: Option<&str>) -> Result<Vec<ChannelName>, Problem> {
    let Some(raw) = claims.channels else { return Ok(Vec::new()) };
    let names: Vec<String> = parse(raw, "the token's channels are not a list of strings")?;
    if names.len() > MOST_CHANNELS {
        return Err(unauthorized("the token has more than 128 channels"));
    }
    let mut channels = Vec::with_capacity(names.len());
    for name in names {
        let name = match (name.contains("{sub}"), sub) {
            (false, _) => name,
            (true, Some(sub)) => name.replace("{sub}", sub),
            (true, None) => {
                return Err(unauthorized("the token's channels ask for {sub}, but it has no sub"));
            }
        };
        let channel = ChannelName::parse(&name)
            .map_err(|fault| unauthorized(format!("in the token's channels: {}", fault.detail)))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    Ok(channels)
}

fn read_grants(claims: &Claims<'_>, sub: Option<&str>) -> Result<Vec<Grant>, Problem> {
    let Some(raw) = claims.grants else { return Ok(Vec::new()) };
    let grants: Vec<GrantClaim> = parse(
        raw,
        "the token's grants are not a list of {\"channels\":[...],\"allow\":[...]} with an optional list of events",
    )?;
    if grants.len() > MOST_GRANTS {
        return Err(unauthorized("the token has more than 100 grants"));
    }
    let grants: Result<Vec<Grant>, Problem> =
        grants.into_iter().map(|grant| read_grant(grant, sub)).collect();
    // A grant whose every pattern asks for an absent sub covers nothing.
    Ok(grants?.into_iter().filter(|grant| !grant.channels.is_empty()).collect())
}

fn read_grant(claim: GrantClaim, sub: Option<&str>) -> Result<Grant, Problem> {
    let events = claim.events.as_ref().map_or(0, Vec::len);
    if claim.channels.len() > MOST_PATTERNS || events > MOST_PATTERNS {
        return Err(unauthorized("a grant of the token has more than 100 channels or events"));
    }
    let allow: Option<Rights> = claim.allow.iter().map(|name| Right::from_name(name)).collect();
    let allow = allow.ok_or_else(|| {
        let known = Right::ALL.map(Right::name).join(", ");
        unauthorized(format!("a grant of the token allows something unknown; there are {known}"))
    })?;
    Ok(Grant {
        channels: claim.channels.iter().filter_map(|pattern| Pattern::parse(pattern, sub)).collect(),
        allow,
        events: claim.events.map(|events| events.into_iter().map(Into::into).collect()),
    })
}
