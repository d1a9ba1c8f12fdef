//! What a CONNECT comes to: who the client is, and whether it goes on from where it was interrupted.
use std::{borrow::Cow, sync::Arc, time::Duration};

use fanfare_broker::Bounds;
use fanfare_dialect_socketio::{Layout, Offset, json};
use fanfare_hub::unix_ms;
use fanfare_protocol::{ChannelName, Code, Identity, Position, Problem, Right, SessionId, Start};
use http::{HeaderValue, header, request::Parts};

use super::{
    core::{Core, Place, Room},
    sessions::new_id,
    settings::SocketIoSettings,
};
use crate::{
    access,
    application::private_channel,
    authorizer::{Afterwards, ComingTo},
    node::Node,
    plan::check_room,
    query,
};

/// A client that may come in.
pub(super) struct Admitted {
    pub identity: Arc<Identity>,
    pub core: Arc<Core>,
    /// Whose turn it is to serve the client.
    pub turn: u64,
    /// Where it goes on; none: it begins.
    pub resumed: Option<Vec<Place>>,
    /// What is to be done to it once it is in.
    pub then: Option<Afterwards>,
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
    let token = said("token").filter(|token| !token.is_empty());
    let coming = coming(node, parts, namespace, auth, token.as_deref());
    let then = coming.extensions.get::<Afterwards>().cloned();
    let identity = match token {
        Some(token) => identity_of(node, &coming, namespace, &token).await?,
        None => access::identity(node, &coming).await?,
    };
    check_room(node, &identity)?;
    node.socketio.read_back(node).await?;
    if settings.recovery
        && let Some(pid) = said("pid")
    {
        let offset = said("offset").and_then(|offset| offset.parse().ok());
        if let Some((core, turn, resumed)) = go_on(node, settings, &identity, namespace, &pid, offset).await?
        {
            return Ok(Admitted { identity, core, turn, resumed: Some(resumed), then });
        }
    }
    let session = match query::one(parts.uri.query(), "session")? {
        Some(session) => SessionId::parse(&session)?,
        None => access::session(parts)?.0,
    };
    let pid = if settings.recovery { Some(new_id()?) } else { None };
    let core = Core::new(new_id()?, pid, namespace.clone(), session, identity.user.clone());
    Ok(Admitted { identity, core, turn: 0, resumed: None, then })
}

/// The request as an application sees it that decides who a client is: with the token that the client said now in its proper place.
fn coming<'a>(
    node: &Node,
    parts: &'a Parts,
    namespace: &Arc<str>,
    auth: Option<&str>,
    token: Option<&str>,
) -> Cow<'a, Parts> {
    if node.authorizer.is_none() {
        return Cow::Borrowed(parts);
    }
    let mut parts = Afterwards::prepare(node, parts).unwrap_or_else(|| parts.clone());
    if let Some(value) = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()) {
        parts.headers.insert(header::AUTHORIZATION, value);
    }
    parts.extensions.insert(ComingTo { namespace: namespace.clone(), auth: auth.map(Into::into) });
    Cow::Owned(parts)
}

/// Who comes with a token of its own: as the application says, else as the token does.
async fn identity_of(
    node: &Node,
    coming: &Parts,
    namespace: &str,
    token: &str,
) -> Result<Arc<Identity>, Problem> {
    if let Some(authorizer) = &node.authorizer
        && let Some(identity) = authorizer.connect(coming).await?
    {
        return Ok(Arc::new(identity));
    }
    match node.auth.verify(token, unix_ms()).await {
        // A middleware may have tokens of its own, which mean nothing here: those that look like a JWT are the hub's to judge.
        Err(problem)
            if problem.code == Code::Unauthorized
                && token.split('.').count() != 3
                && node.application().is_some_and(|application| application.knows(namespace)) =>
        {
            Ok(Arc::default())
        }
        verified => verified,
    }
}

/// An interrupted client that nothing had been said to alone reads its private channel all the same, from the beginning: what is there was said
/// while it was away. None when it is there no more.
async fn private_place(node: &Node, core: &Core, channel: ChannelName) -> Result<Option<Place>, Problem> {
    let told = core.told();
    let Bounds { epoch, head, .. } = node.hub.follow(&channel, &Start::default()).await?.bounds;
    if told.is_some_and(|told| told.epoch != epoch || told.offset > head) {
        return Ok(None);
    }
    let (room, at) = (Room::joined(), Position { epoch, offset: 0 });
    Ok(Some(Place { channel, room, at, is_certain: !core.is_blind() }))
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
    let anew = |why: &str| {
        tracing::debug!(%namespace, why, "an interrupted Socket.IO client begins anew");
        Ok(None)
    };
    let Some(core) = node.socketio.pids.get(&node.hub, pid, keep) else { return anew("it is not known") };
    if core.namespace != *namespace || core.user != identity.user {
        return anew("it is another client now");
    }
    let turn = core.supersede();
    let Some(mut resumed) = core.resume(received.as_ref()) else {
        node.socketio.pids.remove(&node.hub, &core);
        return anew("what it received cannot be told");
    };
    let private = private_channel(&core.sid);
    if node.speaks_to_clients(namespace) && !resumed.iter().any(|place| place.channel == private) {
        let Some(place) = private_place(node, &core, private).await? else {
            node.socketio.pids.remove(&node.hub, &core);
            return anew("the log no longer holds what it was told alone");
        };
        resumed.push(place);
    }
    for Place { channel, room, at, is_certain } in &resumed {
        let may = room.layout == Layout::Rooms
            || fanfare_session::check(&*node.rules, identity, Right::Subscribe, channel, None).is_ok();
        let start = Start { since: Some(*at), ..Start::default() };
        let follows = node.hub.follow(channel, &start).await?;
        let known = *is_certain || follows.bounds.head == at.offset;
        if !may || !known || follows.recovered != Some(true) {
            node.socketio.pids.remove(&node.hub, &core);
            return anew(match (may, known) {
                (false, _) => "it may not read what it read",
                (_, false) => "what it received last before the server died cannot be told",
                _ => "the log no longer holds what it missed",
            });
        }
    }
    // What it has received is now said by the places alone.
    if !core.goes_on_at(turn, &resumed) {
        return Err(Problem::new(Code::Unavailable, "another connection goes on in the place of this one"));
    }
    Ok(Some((core, turn, resumed)))
}
