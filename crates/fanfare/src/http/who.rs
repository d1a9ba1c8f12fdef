//! Who asks: found once for each request, before its handler.
use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use fanfare_protocol::{ChannelName, Code, Identity, Problem, Right, SubscribeOptions};
use fanfare_session::check;
use fanfare_transport::{Caller, Refusal, access, ask_reading};
use http::{HeaderValue, request::Parts};

use super::{App, Shared};

/// Finds the caller for the handler, and tells it the session that the server made for it.
pub async fn identify(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match access::caller(&app.node, &parts).await {
        Ok(caller) => Arc::new(caller),
        Err(problem) => return Refusal(problem).into_response(),
    };
    parts.extensions.insert(caller.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if caller.session_is_new
        && let Ok(mut session) = HeaderValue::from_str(caller.session.reveal())
    {
        session.set_sensitive(true);
        response.headers_mut().insert(access::SESSION_HEADER, session);
    }
    response
}

/// Whether the caller may do this on the channel.
///
/// # Errors
/// `unauthorized` without credentials, `forbidden` with.
pub fn may(app: &App, caller: &Caller, right: Right, channel: &ChannelName) -> Result<(), Problem> {
    check(&*app.node.rules, &caller.identity, right, channel, None)
}

/// Whether the application, where it decides, lets the caller read the channel; `presence`: see its members.
///
/// # Errors
/// What the application says.
pub async fn may_read(
    app: &App,
    caller: &Caller,
    request: &Parts,
    channel: &ChannelName,
    presence: bool,
) -> Result<(), Problem> {
    let options = SubscribeOptions { presence, ..SubscribeOptions::default() };
    ask_reading(&app.node, caller, request, [channel], &options).await
}

/// Whether the credentials are an API key.
///
/// # Errors
/// `unauthorized` without credentials, `forbidden` with others.
pub fn api_key(identity: &Identity) -> Result<(), Problem> {
    if identity.api_key.is_some() {
        return Ok(());
    }
    let code = if identity.is_anonymous() { Code::Unauthorized } else { Code::Forbidden };
    Err(Problem::new(code, "this is for API keys")
        .remedy("send Authorization: Bearer KEY with a key of auth.api_keys in the configuration"))
}
