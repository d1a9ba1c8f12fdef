//! Whether this node lives, and whether it is worth sending clients to.
use std::{pin::pin, time::Duration};

use axum::{extract::State, response::Response};
use fanfare_broker::{Append, Author};
use fanfare_hub::unix_ms;
use fanfare_protocol::{Ack, ChannelName, Code, Data, EventName, Problem, Publish};
use tokio::time::timeout;

use super::{
    App, Shared,
    answer::{self, Answer},
};

/// How long a message may take from its publisher to its reader.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// A channel that no other node has: what comes back was published here. A directory is one node's alone, and keeps its channel.
pub fn channel(stored: bool) -> ChannelName {
    if stored {
        return ChannelName::internal("health", "hub");
    }
    let node = getrandom::u64().unwrap_or(0);
    ChannelName::internal("health", &format!("{node:016x}"))
}

/// The process answers.
pub async fn live() -> Response {
    answer::json(br#"{"status":"live"}"#.to_vec())
}

/// A message published now is delivered now, and on disk where there is one.
pub async fn ready(State(app): State<Shared>) -> Answer {
    if app.node.is_draining() {
        return Err(Problem::new(Code::Draining, "the server is stopping").into());
    }
    match timeout(ROUND_TRIP, round_trip(&app)).await {
        Ok(Ok(())) => Ok(answer::json(br#"{"status":"ready"}"#.to_vec())),
        Ok(Err(problem)) => {
            Err(Problem::new(Code::Unavailable, format!("publishing fails: {}", problem.detail)).into())
        }
        Err(_) => {
            let detail = format!("a message was not delivered within {} s", ROUND_TRIP.as_secs());
            Err(Problem::new(Code::Unavailable, detail).into())
        }
    }
}

async fn round_trip(app: &App) -> Result<(), Problem> {
    let hub = &app.node.hub;
    let watch = hub.watch(&app.health).await?;
    let publish = Publish {
        event: EventName::internal("ready"),
        ack: app.stored.then_some(Ack::Stored),
        ..Publish::new(app.health.clone(), Data::NULL)
    };
    // Not the hub's publish: what readiness says of itself is no traffic.
    let append = Append { publish, author: Author::default(), unix_ms: unix_ms() };
    let position = hub.broker().append(append).await?.position;
    loop {
        let mut delivered = pin!(watch.delivered());
        delivered.as_mut().enable();
        let (head, sent) = (watch.head(), position);
        if head.zip(sent).is_some_and(|(head, sent)| head.epoch == sent.epoch && head.offset >= sent.offset) {
            return Ok(());
        }
        delivered.await;
    }
}
