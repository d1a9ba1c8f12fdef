//! A member as the payload of a message on the hidden channel.
use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::{ClientId, Data, Member};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    binary: bool,
    entered_at: u64,
}

/// The payload of a member's message.
pub fn encode(member: &Member) -> Data {
    let quoted;
    let (data, binary) = match &member.data {
        Data::Json(json) => (raw(json), false),
        Data::Binary(bytes) => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            quoted = format!("\"{}\"", STANDARD.encode(bytes));
            (raw(quoted.as_bytes()), true)
        }
    };
    let info = match &member.info {
        Some(Data::Json(json)) => raw(json),
        _ => None,
    };
    let payload = Payload {
        user: member.user.clone(),
        info,
        data: data.unwrap_or(RawValue::NULL),
        binary,
        entered_at: member.entered_at,
    };
    serde_json::to_vec(&payload).map_or(Data::NULL, |json| Data::Json(json.into()))
}

/// The member of a payload; none for a tombstone (or anything that no hub wrote).
pub fn decode(client: ClientId, data: &Data) -> Option<Member> {
    let Data::Json(json) = data else { return None };
    let payload: Payload<'_> = serde_json::from_slice(json).ok()?;
    let own = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    let data = if payload.binary {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let text: &str = serde_json::from_str(payload.data.get()).ok()?;
        Data::Binary(STANDARD.decode(text).ok()?.into())
    } else {
        Data::Json(own(payload.data))
    };
    let info = payload.info.map(|info| Data::Json(own(info)));
    Some(Member { client, user: payload.user, info, data, entered_at: payload.entered_at })
}

fn raw(json: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(json).ok()
}
