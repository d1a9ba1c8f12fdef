//! What an answer wants done: publish anywhere; join, leave, emit and disconnect the client whose event was asked about.
use fanfare_broker::{Append, Author};
use fanfare_hub::{Hub, unix_ms};
use fanfare_protocol::{Args, ClientId, Code, Data, Problem, json};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::Context;

/// Actions of one answer.
const ACTIONS: usize = 100;

/// One action. Of `publish` the fields are those of a publication, and are read as such.
#[derive(Deserialize)]
struct Action {
    #[serde(rename = "do")]
    what: What,
    room: Option<String>,
    to: Option<String>,
    event: Option<String>,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum What {
    Publish,
    Join,
    Leave,
    Emit,
    Disconnect,
}

fn malformed(what: impl std::fmt::Display) -> Problem {
    tracing::warn!(%what, "an action of a hook's answer cannot be taken");
    Problem::new(Code::Internal, "the application's answer wants something that cannot be done")
}

fn read(raw: &RawValue) -> Result<Action, Problem> {
    serde_json::from_str(raw.get()).map_err(malformed)
}

fn counted(actions: &[Box<RawValue>]) -> Result<&[Box<RawValue>], Problem> {
    if actions.len() > ACTIONS {
        return Err(malformed(format!("more than {ACTIONS} actions")));
    }
    Ok(actions)
}

async fn publish(hub: &Hub, raw: &RawValue) -> Result<(), Problem> {
    let publish = json::publish(raw.get().as_bytes(), None).map_err(malformed)?;
    hub.publish(Append { publish, author: Author::default(), unix_ms: unix_ms() }).await.map(drop)
}

/// Where there is nobody yet, or no more: publications.
pub(super) async fn publish_all(hub: &Hub, actions: &[Box<RawValue>]) -> Result<(), Problem> {
    for raw in counted(actions)? {
        match read(raw)?.what {
            What::Publish => publish(hub, raw).await?,
            what => return Err(malformed(format!("{what:?} needs a client that is connected"))),
        }
    }
    Ok(())
}

/// Beside a decision: publications, and the end of the client's connections.
pub(super) async fn besides(hub: &Hub, client: ClientId, actions: &[Box<RawValue>]) -> Result<(), Problem> {
    for raw in counted(actions)? {
        match read(raw)?.what {
            What::Publish => publish(hub, raw).await?,
            What::Disconnect => {
                let problem = Problem::new(Code::Revoked, "disconnected by the application");
                hub.directory().disconnect(|listed| listed.client == client, &problem);
            }
            what => return Err(malformed(format!("{what:?} is for answers to a call"))),
        }
    }
    Ok(())
}

/// After a call: everything, in order.
pub(super) async fn after_call(
    context: &Context,
    hub: &Hub,
    actions: &[Box<RawValue>],
) -> Result<(), Problem> {
    for raw in counted(actions)? {
        let action = read(raw)?;
        let room = || action.room.as_deref().ok_or_else(|| malformed("join and leave need a room"));
        match action.what {
            What::Publish => publish(hub, raw).await?,
            What::Join => context.join(room()?).await?,
            What::Leave => context.leave(room()?).await?,
            What::Disconnect => context.disconnect_all(),
            What::Emit => {
                let event = action.event.as_deref().ok_or_else(|| malformed("emit needs an event"))?;
                let args = args(action.data.as_deref())?;
                match &action.to {
                    // Those in the room but the client itself, as a handler of its own would.
                    Some(to) => context.to(to).emit(event, args).await?,
                    None => context.emit(event, args).await?,
                };
            }
        }
    }
    Ok(())
}

/// An array is the arguments, anything else one.
fn args(data: Option<&RawValue>) -> Result<Args, Problem> {
    let Some(raw) = data else { return Ok(Args::default()) };
    match Data::from_json(raw.get().as_bytes()).map_err(malformed)? {
        Data::Json(text) if text.starts_with(b"[") => Args::from_array(&text).map_err(malformed),
        data => Ok(Args::one(data)),
    }
}
