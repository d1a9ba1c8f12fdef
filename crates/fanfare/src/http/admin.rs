//! What API keys may see and end: channels, connections, users.
use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
};
use fanfare_broker::ChannelInfo;
use fanfare_hub::{Listed, unix_ms};
use fanfare_protocol::{ClientId, Code, Problem, json, options::limit_from_query};
use fanfare_transport::{Caller, query};
use http::Uri;
use serde_json::{Value, json};

use super::{
    App, Shared,
    answer::{self, Answer},
    body,
    target::Named,
    who,
};

/// Names after every one of the hub's own (`$presence:...`).
const AFTER_INTERNAL: &str = "$\u{10ffff}";

/// `POST /v1/users/online`: which of these users have a connection to this node.
pub async fn online(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Answer {
    who::api_key(&caller.identity)?;
    let (parts, body) = request.into_parts();
    let body = body::read(&app, &parts.headers, body, app.body_limits().body_bytes).await?;
    let mut users = json::users(&body)?;
    users.retain(|user| app.node.hub.directory().is_online(user));
    Ok(answer::json(json::online(&users)))
}

/// `GET /v1/channels`: channels that hold messages, by name.
pub async fn channels(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    uri: Uri,
) -> Answer {
    who::api_key(&caller.identity)?;
    let pairs = query::pairs(uri.query())?;
    let limit = limit_from_query(&pairs)?;
    let prefix = value(&pairs, "prefix").unwrap_or_default();
    let mut found = list_channels(&app, prefix, value(&pairs, "after"), limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.channel.to_string());
    let channels = found.iter().map(|info| {
        let bounds = &info.bounds;
        let held = (bounds.head + 1).saturating_sub(bounds.oldest);
        json!({
            "channel": &*info.channel, "epoch": bounds.epoch.as_str(), "offset": bounds.head,
            "messages": held, "time": bounds.newest_ms,
        })
    });
    Ok(paged("channels", channels.collect(), next.map(Value::from)))
}

/// At most so many channels that are not the hub's own.
async fn list_channels(
    app: &App,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ChannelInfo>, Problem> {
    let mut found = Vec::new();
    let mut after = after.map(str::to_owned);
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = app.node.hub.broker().channels(prefix, after.as_deref(), wanted).await?;
        let full = page.len() == wanted;
        // The hub's own stand together: the first of them leads past all.
        let internal = page.iter().any(|info| info.channel.is_internal());
        after = if internal {
            Some(AFTER_INTERNAL.to_owned())
        } else {
            page.last().map(|info| info.channel.to_string())
        };
        found.extend(page.into_iter().filter(|info| !info.channel.is_internal()));
        if !full && !internal {
            break;
        }
    }
    Ok(found)
}

/// `GET /v1/connections`: this node's connections, oldest first; `user` and `client` narrow them.
pub async fn connections(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    uri: Uri,
) -> Answer {
    who::api_key(&caller.identity)?;
    let pairs = query::pairs(uri.query())?;
    let limit = limit_from_query(&pairs)?;
    let after = value(&pairs, "after").map(|after| {
        after.parse().map_err(|_| {
            Problem::new(Code::BadRequest, "after is not what a page gave as next")
                .remedy("send next as it was received")
        })
    });
    let mut after: u64 = after.transpose()?.unwrap_or(0);
    let client = value(&pairs, "client").map(ClientId::parse).transpose()?;
    let user = value(&pairs, "user");
    let fits = |listed: &Listed| {
        client.is_none_or(|client| listed.client == client)
            && user.is_none_or(|user| listed.identity.user.as_deref() == Some(user))
    };
    let mut found: Vec<Listed> = Vec::new();
    while found.len() <= limit && after < u64::MAX {
        let page = app.node.hub.directory().page(after, 1000);
        let Some(last) = page.last() else { break };
        after = last.id;
        found.extend(page.into_iter().filter(fits).take(limit + 1 - found.len()));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| Value::from(last.id.to_string()));
    Ok(paged("connections", found.iter().map(connection).collect(), next))
}

fn connection(listed: &Listed) -> Value {
    let identity = &listed.identity;
    let mut row = json!({
        "id": listed.id.to_string(), "client": listed.client.as_str(), "transport": listed.transport,
        "connected_at": listed.connected_at,
    });
    let more = [
        ("user", identity.user.as_deref().map(Value::from)),
        ("api_key", identity.api_key.as_deref().map(Value::from)),
        ("expires_at", identity.expires_at.map(Value::from)),
    ];
    for (name, value) in more {
        if let (Some(value), Some(row)) = (value, row.as_object_mut()) {
            row.insert(name.to_owned(), value);
        }
    }
    row
}

/// `POST /v1/connections/{client}/disconnect`: ends every connection of a client. Its token stays good.
pub async fn disconnect_client(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(client): Named,
) -> Answer {
    who::api_key(&caller.identity)?;
    let client = ClientId::parse(&client)?;
    let problem = Problem::new(Code::Revoked, "disconnected by the application");
    Ok(disconnected(app.node.hub.directory().disconnect(|listed| listed.client == client, &problem)))
}

/// `POST /v1/users/{user}/disconnect`: refuses the user's tokens issued before now, and ends the connections made with them.
pub async fn disconnect_user(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(user): Named,
) -> Answer {
    who::api_key(&caller.identity)?;
    // First the list, then the connections: one that comes in between is refused.
    app.node.auth.revocations().revoke_user(&user, unix_ms());
    let problem = Problem::new(Code::Revoked, "the user's tokens were revoked");
    let of_user = |listed: &Listed| listed.identity.user.as_deref() == Some(&*user);
    Ok(disconnected(app.node.hub.directory().disconnect(of_user, &problem)))
}

fn disconnected(count: usize) -> axum::response::Response {
    answer::json(json!({ "disconnected": count }).to_string().into_bytes())
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rfind(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn paged(name: &str, rows: Vec<Value>, next: Option<Value>) -> axum::response::Response {
    let mut page = serde_json::Map::new();
    page.insert(name.to_owned(), rows.into());
    if let Some(next) = next {
        page.insert("next".to_owned(), next);
    }
    answer::json(Value::Object(page).to_string().into_bytes())
}
