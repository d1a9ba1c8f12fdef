//! What an answer wants done: publish and emit anywhere; join, leave, emit to and disconnect the client that was asked about.
use std::sync::Arc;

use fanfare_broker::{Append, Author};
use fanfare_hub::{Hub, unix_ms};
use fanfare_protocol::{Args, ClientId, Code, Data, EventName, Problem, Publish, json};
use fanfare_transport::{
    Asker, Peer,
    application::{private_channel, room_channel},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::{Context, Registry, Socket};

/// Actions of one answer.
const ACTIONS: usize = 100;

/// One action. Of `publish` the fields are those of a publication, and are read as such.
#[derive(Deserialize)]
struct Action {
    #[serde(rename = "do")]
    what: What,
    namespace: Option<String>,
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

/// What actions are done to, where the question was not a call.
pub(super) struct Scene<'a> {
    pub hub: &'a Hub,
    pub registry: Option<Arc<Registry>>,
    /// The namespace of rooms that an action names without one.
    pub namespace: String,
    pub user: Option<Arc<str>>,
    pub client: Option<ClientId>,
    /// The client's connection, where there is one that things can be done to.
    pub peer: Option<Arc<dyn Peer>>,
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

impl Action {
    fn room(&self) -> Result<&str, Problem> {
        self.room.as_deref().ok_or_else(|| malformed("join and leave need a room"))
    }

    fn event(&self) -> Result<&str, Problem> {
        self.event.as_deref().ok_or_else(|| malformed("emit needs an event"))
    }

    /// Whether it is done to the client itself, which must be there.
    fn needs_client(&self) -> bool {
        match self.what {
            What::Publish => false,
            What::Emit => self.to.is_none(),
            What::Join | What::Leave | What::Disconnect => true,
        }
    }
}

/// Beside the decision about somebody who comes: what needs no client, at once. The rest is returned, for when the client is there; none where
/// it will not be.
pub(super) async fn on_arrival(
    scene: &Scene<'_>,
    actions: &[Box<RawValue>],
    will_be_there: bool,
) -> Result<Vec<Box<RawValue>>, Problem> {
    let mut later = Vec::new();
    for raw in counted(actions)? {
        let action = read(raw)?;
        match action.what {
            What::Disconnect => return Err(Problem::new(Code::Forbidden, "refused by the application")),
            what if action.needs_client() && !will_be_there => {
                return Err(malformed(format!("{what:?} needs a client that stays connected")));
            }
            _ if action.needs_client() => later.push(raw.clone()),
            _ => scene.one(raw, &action).await?,
        }
    }
    Ok(later)
}

/// Beside any other decision, and after the end of a connection: everything that can be done, in order.
pub(super) async fn besides(scene: &Scene<'_>, actions: &[Box<RawValue>]) -> Result<(), Problem> {
    for raw in counted(actions)? {
        scene.one(raw, &read(raw)?).await?;
    }
    Ok(())
}

impl Scene<'_> {
    async fn one(&self, raw: &RawValue, action: &Action) -> Result<(), Problem> {
        let namespace = action.namespace.as_deref().unwrap_or(&self.namespace);
        match action.what {
            What::Publish => publish(self.hub, raw).await,
            What::Emit => self.emit(namespace, action).await,
            What::Join | What::Leave => {
                let room = action.room()?;
                let (peer, is_join) = (self.peer()?, action.what == What::Join);
                match (self.socket(namespace), is_join) {
                    (Some(socket), true) => socket.join(room).await,
                    (Some(socket), false) => socket.leave(room).await,
                    (None, true) => peer.join(room_channel(namespace, room)?).await,
                    (None, false) => {
                        peer.leave(room_channel(namespace, room)?).await;
                        Ok(())
                    }
                }
            }
            What::Disconnect => {
                let client = self.client.ok_or_else(|| malformed("nobody is there to be disconnected"))?;
                let problem = Problem::new(Code::Revoked, "disconnected by the application");
                self.hub.directory().disconnect(|listed| listed.client == client, &problem);
                Ok(())
            }
        }
    }

    fn peer(&self) -> Result<&Arc<dyn Peer>, Problem> {
        self.peer.as_ref().ok_or_else(|| malformed("this needs a client that stays connected"))
    }

    /// The client's visit to a namespace, if it is on one: handlers know then which rooms it is in.
    fn socket(&self, namespace: &str) -> Option<Socket> {
        self.registry.as_ref()?.visitor(namespace, self.peer.as_ref()?.sid())
    }

    async fn emit(&self, namespace: &str, action: &Action) -> Result<(), Problem> {
        let event = EventName::parse(action.event()?).map_err(malformed)?;
        let args = args(action.data.as_deref())?;
        let (channel, author) = match &action.to {
            // Those in the room but the client itself, as a handler's.
            Some(to) => {
                let author = Author { user: self.user.clone(), client: self.client };
                (room_channel(namespace, to)?, author)
            }
            None => {
                if let Some(socket) = self.socket(namespace) {
                    return socket.emit(&event, args).await.map(drop);
                }
                let peer = self.peer()?;
                let channel = private_channel(peer.sid());
                peer.join(channel.clone()).await?;
                (channel, Author::default())
            }
        };
        let (data, tag) = args.into_data();
        let publish = Publish { event, tags: tag.into_iter().collect(), ..Publish::new(channel, data) };
        self.hub.publish(Append { publish, author, unix_ms: unix_ms() }).await.map(drop)
    }
}

/// After a call: everything, in order.
pub(super) async fn after_call(
    context: &Context,
    hub: &Hub,
    actions: &[Box<RawValue>],
) -> Result<(), Problem> {
    for raw in counted(actions)? {
        let action = read(raw)?;
        match action.what {
            What::Publish => publish(hub, raw).await?,
            What::Join => context.join(action.room()?).await?,
            What::Leave => context.leave(action.room()?).await?,
            What::Disconnect => context.disconnect_all(),
            What::Emit => {
                let event = action.event()?;
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

/// Who is asked about, in the namespace of its rooms.
pub(super) fn scene<'a>(
    hub: &'a Hub,
    registry: Option<Arc<Registry>>,
    namespace: String,
    asker: &Asker,
) -> Scene<'a> {
    let (user, client) = (asker.identity.user.clone(), Some(asker.client));
    Scene { hub, registry, namespace, user, client, peer: asker.peer.clone() }
}

/// An array is the arguments, anything else one.
fn args(data: Option<&RawValue>) -> Result<Args, Problem> {
    let Some(raw) = data else { return Ok(Args::default()) };
    match Data::from_json(raw.get().as_bytes()).map_err(malformed)? {
        Data::Json(text) if text.starts_with(b"[") => Args::from_array(&text).map_err(malformed),
        data => Ok(Args::one(data)),
    }
}
