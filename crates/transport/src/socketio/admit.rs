//! What a CONNECT comes to: who the client is, and whether it goes on from where it was interrupted.
use std::{sync::Arc, time::Duration};

use fanfare_dialect_socketio::{Layout, Offset, json, ring::Ring};
use fanfare_hub::unix_ms;
use fanfare_protocol::{Code, Identity, Problem, Right, SessionId, Start};
use http::request::Parts;

use super::{
    core::{Core, Place},
    sessions::new_id,
    settings::SocketIoSettings,
};
use crate::{access, node::Node, plan::check_room, query};

/// A client that may come in.
pub(super) struct Admitted {
    pub identity: Arc<Identity>,
    pub core: Arc<Core>,
    /// Whose turn it is to serve the client.
    pub turn: u64,
    /// Where it goes on; none: it begins.
    pub resumed: Option<Vec<Place>>,
}

/// Decides about a CONNECT with this payload.
///
/// # Errors
/// Why it is refused.
pub(super) async fn admit(
    node: &Arc<Node>,
    settings: &SocketIoSettings,
    parts: &Parts,
    namespace: &Arc<str>,
    auth: Option<&str>,
) -> Result<Admitted, Problem> {
    let said = |name| auth.and_then(|auth| json::member(auth, name)).and_then(json::text);
    let identity = match said("token").filter(|token| !token.is_empty()) {
        Some(token) => match node.auth.verify(&token, unix_ms()).await {
            // A middleware may have tokens of its own, which mean nothing here: those that look like a JWT are the hub's to judge.
            Err(problem)
                if problem.code == Code::Unauthorized
                    && token.split('.').count() != 3
                    && node.application().is_some_and(|application| application.knows(namespace)) =>
            {
                Arc::default()
            }
            verified => verified?,
        },
        None => access::identity(node, parts).await?,
    };
    check_room(node, &identity)?;
    if settings.recovery {
        node.socketio.pids.read_back(&node.hub).await?;
    }
    if settings.recovery
        && let Some(pid) = said("pid")
    {
        let offset = said("offset").and_then(|offset| offset.parse().ok());
        if let Some((core, turn, resumed)) = go_on(node, settings, &identity, namespace, &pid, offset).await?
        {
            return Ok(Admitted { identity, core, turn, resumed: Some(resumed) });
        }
    }
    let session = match query::one(parts.uri.query(), "session")? {
        Some(session) => SessionId::parse(&session)?,
        None => access::session(parts)?.0,
    };
    let pid = if settings.recovery { Some(new_id()?) } else { None };
    let core = Core::new(new_id()?, pid, namespace.clone(), session, identity.user.clone());
    Ok(Admitted { identity, core, turn: 0, resumed: None })
}

type Resumed = (Arc<Core>, u64, Vec<Place>);

/// Where an interrupted client goes on; none when it begins anew: never with a silent hole.
async fn go_on(
    node: &Arc<Node>,
    settings: &SocketIoSettings,
    identity: &Arc<Identity>,
    namespace: &Arc<str>,
    pid: &str,
    received: Option<Offset>,
) -> Result<Option<Resumed>, Problem> {
    let keep = Duration::from_millis(settings.recovery_ms);
    let Some(core) = node.socketio.pids.get(&node.hub, pid, keep).await? else { return Ok(None) };
    if core.namespace != *namespace || core.user != identity.user {
        return Ok(None);
    }
    let turn = core.supersede();
    let Some(resumed) = core.resume(received.as_ref()) else {
        node.socketio.pids.remove(&node.hub, &core);
        return Ok(None);
    };
    for Place { channel, room, at, is_certain } in &resumed {
        let may = room.layout == Layout::Rooms
            || fanfare_session::check(&*node.rules, identity, Right::Subscribe, channel, None).is_ok();
        let start = Start { since: Some(*at), ..Start::default() };
        let follows = node.hub.follow(channel, &start).await?;
        let known = *is_certain || follows.bounds.head == at.offset;
        if !may || !known || follows.recovered != Some(true) {
            node.socketio.pids.remove(&node.hub, &core);
            return Ok(None);
        }
    }
    // What it has received is now said by the places alone.
    let mut ring = Ring::default();
    resumed.iter().for_each(|place| ring.join(&place.channel, place.at));
    if !core.begins_at(turn, ring) {
        return Err(Problem::new(Code::Unavailable, "another connection goes on in the place of this one"));
    }
    Ok(Some((core, turn, resumed)))
}
