//! Reading over WebSocket.
use std::time::Duration;

use ::http::{HeaderValue, StatusCode, header};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        handshake::client::{Request, Response},
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::{
    super::{
        client::{PATIENCE, http::refused},
        exit::{Failure, plain},
    },
    Tail,
};

/// The protocol's table of codes by close code.
fn by_close(code: u16) -> Option<&'static fanfare_protocol::code::Row> {
    fanfare_protocol::code::TABLE.iter().find(|row| row.close == code)
}

/// Reads until the connection ends.
///
/// # Errors
/// Why it ended, if not by the count.
pub async fn read(tail: &mut Tail<'_>) -> Result<(), Failure> {
    let request = request(tail)?;
    let wire = tail.hub.connect().await?;
    // Pages of members and batches come in frames as large as the hub makes them.
    let config = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
    let connecting = client_async_with_config(request, wire, Some(config));
    let (mut socket, _) = match timeout(PATIENCE, connecting).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(handshake_failed(error)),
        Err(_) => return Err(Failure::Network(format!("{} does not answer", tail.hub.authority()))),
    };
    for frame in subscriptions(tail) {
        socket.send(Message::text(frame.to_string())).await.map_err(broken)?;
    }
    // Until the welcome says better.
    let mut silence = Duration::from_secs(60);
    while !tail.is_done() {
        let Ok(received) = timeout(silence, socket.next()).await else {
            return Err(Failure::Network("the hub is silent".into()));
        };
        match received {
            Some(Ok(Message::Text(text))) => {
                silence = liveness(&text).unwrap_or(silence);
                tail.frame(&text)?;
            }
            Some(Ok(Message::Close(close))) => return closed(close),
            // Pings are answered by the library; each is a sign of life.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(error)),
            None => return Ok(()),
        }
    }
    // Politeness: all that was asked for has come.
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
    Ok(())
}

/// The opening request (RFC 6455 §4.1).
fn request(tail: &Tail<'_>) -> Result<Request, Failure> {
    let path = tail.hub.path("/v1/ws", &[("session", tail.session.clone())]);
    let wrong = |what: &str| Failure::Other(format!("the request cannot be made: {what}"));
    let uri = format!("ws://{}{path}", tail.hub.authority());
    let mut request = uri.into_client_request().map_err(|error| wrong(&error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("fanfare.v1.json"));
    if let Some(bearer) = &tail.hub.bearer {
        let bearer =
            HeaderValue::from_str(bearer).map_err(|_| wrong("the token holds control characters"))?;
        headers.insert(header::AUTHORIZATION, bearer);
    }
    Ok(request)
}

fn subscriptions(tail: &Tail<'_>) -> Vec<Value> {
    let subscribe = |(at, channel): (usize, &fanfare_protocol::ChannelName)| {
        let mut frame = json!({"type": "subscribe", "ref": at, "channel": &**channel});
        if let Some(position) = tail.positions.of(channel) {
            frame["since"] = position.to_string().into();
        }
        if let Some(last) = tail.args.last {
            frame["last"] = last.into();
        }
        for (name, wanted) in [("snapshot", tail.args.snapshot), ("presence", tail.args.presence)] {
            if wanted {
                frame[name] = true.into();
            }
        }
        frame
    };
    tail.args.channels.iter().enumerate().map(subscribe).collect()
}

/// How long the hub may be silent, from its welcome: two pings, the second of them late.
fn liveness(text: &str) -> Option<Duration> {
    let frame: Value = text.contains("\"welcome\"").then(|| serde_json::from_str(text).ok())??;
    let welcome = frame.get("type")?.as_str()? == "welcome";
    let ping = frame.get("ping_ms")?.as_u64().filter(|_| welcome)?;
    Some(Duration::from_millis(ping.saturating_mul(2)) + PATIENCE)
}

fn closed(close: Option<CloseFrame>) -> Result<(), Failure> {
    let Some(close) = close else { return Ok(()) };
    match by_close(close.code.into()) {
        Some(row) => Err(Failure::Refused {
            code: row.name.into(),
            detail: plain(&close.reason),
            remedy: row.remedy.into(),
            retryable: row.retryable,
        }),
        None => Err(Failure::Network(format!(
            "the hub closed: {} {}",
            u16::from(close.code),
            plain(&close.reason)
        ))),
    }
}

fn handshake_failed(error: Error) -> Failure {
    match error {
        Error::Http(answer) => {
            let (parts, body): (_, Option<Vec<u8>>) = Response::into_parts(*answer);
            // The body of a refused upgrade often does not come with the head.
            match parts.status {
                StatusCode::SERVICE_UNAVAILABLE => Failure::Network("the hub is not ready".into()),
                status => refused(status, body.as_deref().unwrap_or_default()),
            }
        }
        other => broken(other),
    }
}

fn broken(error: Error) -> Failure {
    Failure::Network(format!("the connection broke: {error}"))
}
