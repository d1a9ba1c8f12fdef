//! Which channel a request is about: the one in its path, or the query's `channel`.
use axum::extract::{FromRequestParts, RawPathParams};
use fanfare_protocol::{ChannelName, Code, Problem};
use fanfare_transport::{Refusal, query};
use http::request::Parts;

/// The channel that the request names.
pub struct Target(pub ChannelName);

/// The channel, if the request names one.
pub struct MaybeTarget(pub Option<ChannelName>);

/// A parameter of the path, percent-decoded.
///
/// # Errors
/// `bad_request` when what is decoded is not UTF-8.
async fn from_path<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Option<String>, Problem> {
    let decoded = RawPathParams::from_request_parts(parts, state).await;
    let decoded = decoded.map_err(|_| {
        Problem::new(Code::BadRequest, "the path is not UTF-8").remedy("percent-encode names as UTF-8")
    })?;
    // The last: an application that mounts the hub may have parameters of its own before it.
    Ok(decoded.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value.to_owned()))
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeTarget {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let name = match from_path(parts, state, "channel").await? {
            Some(name) => Some(name),
            None => query::one(parts.uri.query(), "channel")?,
        };
        Ok(Self(name.map(|name| ChannelName::parse(&name)).transpose()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let MaybeTarget(channel) = MaybeTarget::from_request_parts(parts, state).await?;
        let missing = || Problem::new(Code::BadRequest, "channel is missing").remedy("add ?channel=NAME");
        Ok(Self(channel.ok_or_else(missing)?))
    }
}

/// The one name in the path: a client, or a user.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        for name in ["client", "user"] {
            if let Some(value) = from_path(parts, state, name).await? {
                return Ok(Self(value));
            }
        }
        Err(Problem::new(Code::BadRequest, "the path names nobody").into())
    }
}
