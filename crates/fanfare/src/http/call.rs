//! `POST /v1/call`: an event for the application's handlers, from clients without a connection of their own.
use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
};
use bytes::Bytes;
use fanfare_protocol::{Code, Command, Data, Problem, Reply, json};
use fanfare_session::checks;
use fanfare_transport::{Asker, Caller, Handshake};

use super::{
    Shared,
    answer::{self, Answer},
    body,
};

/// Passes the namespace's middlewares, then the event to its handler; what the handler returns is the answer. Who calls so is in no room.
pub async fn call(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let Some(application) = app.node.application().filter(|application| application.wants_requests()) else {
        body::leave_unread(&parts.headers, body);
        return Err(Problem::new(Code::NotFound, "this server has no handlers to call").into());
    };
    let body = body::read(&app, &parts.headers, body, app.body_limits().body_bytes).await?;
    let Command::Call { namespace, event, args } = json::call(&body)? else {
        return Err(Problem::new(Code::BadRequest, "this is not a call").into());
    };
    checks::check_args(&app.node.rules.limits(), &args)?;
    let asker = Asker {
        identity: caller.identity.clone(),
        client: caller.client,
        request: Arc::new(parts),
        peer: None,
    };
    let handshake = Handshake {
        namespace,
        asker,
        auth: Data::Json(Bytes::from_static(b"{}")),
        transport: "http",
        recovered: false,
        channels: Vec::new(),
    };
    let visit = application.enter(handshake, None).await?;
    let answer = visit.call(event, args).await?;
    Ok(answer::json(json::reply(&Reply::Called(answer))))
}
