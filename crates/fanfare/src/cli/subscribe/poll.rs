//! Reading by long-polling.
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        client::http::{Http, read as read_whole},
        exit::Failure,
    },
    Tail, message_frame,
};

/// How long the hub may hold a request.
const WAIT: Duration = Duration::from_secs(25);

/// An answer; messages and gaps stay as they were written.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    cursor: String,
    #[serde(borrow, default)]
    gap: Vec<&'a RawValue>,
}

/// Polls until a request fails.
///
/// # Errors
/// Why it failed.
pub async fn read(tail: &mut Tail<'_>) -> Result<(), Failure> {
    let hub = tail.hub.clone();
    let mut http = Http::new(&hub, Some(tail.session.clone()));
    while !tail.is_done() {
        one(tail, &mut http).await?;
    }
    Ok(())
}

async fn one(tail: &mut Tail<'_>, http: &mut Http<'_>) -> Result<(), Failure> {
    let mut query = tail.query();
    query.push(("wait", WAIT.as_secs().to_string()));
    query.extend(tail.positions.cursor.clone().map(|cursor| ("since", cursor)));
    let path = tail.hub.path("/v1/poll", &query);
    let body = read_whole(http.send(Method::GET, &path, &[], Bytes::new(), WAIT).await?).await?;
    let wrong =
        |error: serde_json::Error| Failure::Network(format!("the hub's answer cannot be read: {error}"));
    let answer: Answer<'_> = serde_json::from_slice(&body).map_err(wrong)?;
    tail.accepted = true;
    for gap in answer.gap {
        let rest = gap.get().trim_start().strip_prefix('{').unwrap_or("}");
        tail.frame(&format!("{{\"type\":\"gap\",{rest}"))?;
    }
    for message in answer.messages {
        tail.frame(&message_frame(message.get()))?;
    }
    tail.positions.cursor = Some(answer.cursor);
    Ok(())
}
