//! What an application is asked: the body of a request.
use std::collections::BTreeMap;

use fanfare_protocol::{Args, ChannelName, Data, Format, Publish, SubscribeOptions};
use fanfare_transport::{Asker, authorizer::ComingTo};
use http::request::Parts;
use serde::Serialize;
use serde_json::value::RawValue;

/// Headers of a client's request that an application may want to know it by.
const HEADERS: [&str; 6] =
    ["authorization", "cookie", "origin", "user-agent", "x-forwarded-for", "accept-language"];

/// A question; what it has no word for is left out.
#[derive(Serialize, Default)]
pub(super) struct Question<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Milliseconds since 1970.
    pub time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
}

impl<'a> Question<'a> {
    fn of(kind: &'static str, asker: &Asker) -> Self {
        Self {
            kind,
            time: fanfare_hub::unix_ms(),
            user: asker.identity.user.as_deref().map(str::to_owned),
            client: Some(asker.client.as_str().to_owned()),
            ..Self::default()
        }
    }

    /// Who is this? The query is left out: it may hold a token and a session.
    pub fn connect(request: &'a Parts) -> Self {
        let header = |name| Some((name, request.headers.get(name)?.to_str().ok()?.to_owned()));
        let coming = request.extensions.get::<ComingTo>();
        let auth = coming.and_then(|coming| RawValue::from_string(coming.auth.as_deref()?.to_owned()).ok());
        Self {
            kind: "connect",
            time: fanfare_hub::unix_ms(),
            path: Some(request.uri.path()),
            namespace: coming.map(|coming| &*coming.namespace),
            auth,
            headers: HEADERS.into_iter().filter_map(header).collect(),
            ..Self::default()
        }
    }

    /// May it read this channel?
    pub fn subscribe(asker: &Asker, channel: &'a ChannelName, options: &SubscribeOptions) -> Self {
        let presence = options.presence.then_some(true);
        Self { channel: Some(channel), presence, ..Self::of("subscribe", asker) }
    }

    /// May it publish this?
    pub fn publish(asker: &Asker, publish: &'a Publish) -> Self {
        let encoding = matches!(publish.data, Data::Binary(_)).then_some("base64");
        Self {
            channel: Some(&publish.channel),
            event: Some(&publish.event),
            data: raw(&publish.data),
            encoding,
            key: publish.key.as_deref(),
            id: publish.id.as_deref(),
            ephemeral: publish.ephemeral,
            ..Self::of("publish", asker)
        }
    }

    /// What is answered to this?
    pub fn call(asker: &Asker, namespace: &'a str, event: &'a str, args: &Args) -> Self {
        let data = raw(&args.to_array());
        Self { namespace: Some(namespace), event: Some(event), data, ..Self::of("call", asker) }
    }

    /// It is gone.
    pub fn disconnect(asker: &Asker, transport: &'a str) -> Self {
        Self { transport: Some(transport), ..Self::of("disconnect", asker) }
    }
}

/// The text of data as it is.
fn raw(data: &Data) -> Option<Box<RawValue>> {
    let mut text = Vec::with_capacity(data.len());
    Format::Json.data(data, &mut text);
    RawValue::from_string(String::from_utf8(text).ok()?).ok()
}
