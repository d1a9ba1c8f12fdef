//! Presence over HTTP, for clients that read by SSE, stream or poll.
use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
};
use fanfare_hub::Entering;
use fanfare_protocol::{ChannelName, Code, Problem, Reply, Right, json, options::members_from_query};
use fanfare_session::checks;
use fanfare_transport::{Caller, query};
use http::request::Parts;

use super::{
    App, Shared,
    answer::{self, Answer},
    body,
    target::Target,
    who,
};

/// `GET`: a page of members, with counts.
pub async fn members(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Target(channel): Target,
    parts: Parts,
) -> Answer {
    let (limit, after) = members_from_query(&query::pairs(parts.uri.query())?)?;
    who::may(&app, &caller, Right::Presence, &channel)?;
    checks::check_presence(&*app.node.rules, &channel)?;
    who::may_read(&app, &caller, &parts, &channel, true).await?;
    let page = app.node.hub.members(&channel, limit, after).await?;
    Ok(answer::json(json::reply(&Reply::Members(page))))
}

/// `PUT`: enters, or changes what the membership says. It lasts while a stream or poll of the session is open, else for the lease.
pub async fn enter(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Target(channel): Target,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    if let Err(problem) = may_enter(&app, &caller, &parts, &channel).await {
        body::leave_unread(&parts.headers, body);
        return Err(problem.into());
    }
    let body = body::read(&app, &parts.headers, body, app.body_limits().body_bytes).await?;
    let data = json::presence_data(&body)?;
    checks::check_size(&app.node.rules.limits(), &data)?;
    let entering = Entering {
        client: caller.client,
        user: caller.identity.user.clone(),
        info: caller.identity.info.clone(),
        data,
        connection: None,
        grace_ms: app.node.rules.presence_lease_ms(),
    };
    app.node.hub.enter(&channel, entering).await?;
    Ok(answer::json(json::reply(&Reply::Done)))
}

/// Members are seen by each other: where the application decides who may see them, it decides who may be one.
async fn may_enter(
    app: &App,
    caller: &Caller,
    request: &Parts,
    channel: &ChannelName,
) -> Result<(), Problem> {
    with_session(caller)?;
    who::may(app, caller, Right::Enter, channel)?;
    checks::check_presence(&*app.node.rules, channel)?;
    who::may_read(app, caller, request, channel, true).await
}

/// `DELETE`: leaves at once.
pub async fn leave(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Target(channel): Target,
) -> Answer {
    with_session(&caller)?;
    who::may(&app, &caller, Right::Enter, &channel)?;
    let user = caller.identity.user.as_ref();
    if app.node.rules.presence(&channel) && app.node.hub.leave(&channel, caller.client, user).await? {
        return Ok(answer::json(json::reply(&Reply::Done)));
    }
    Err(Problem::new(Code::NotFound, format!("this client is no member of {channel}"))
        .remedy("nothing to do")
        .into())
}

/// A session that was made for this request alone would be a member that nobody can ever be again.
fn with_session(caller: &Caller) -> Result<(), Problem> {
    if !caller.session_is_new {
        return Ok(());
    }
    Err(Problem::new(Code::BadRequest, "presence needs a session")
        .remedy("send the session of your stream or poll in the header Fanfare-Session or as ?session="))
}
