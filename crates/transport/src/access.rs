//! Who a request is: origin, host, session and credentials.
use std::{net::IpAddr, sync::Arc};

use fanfare_hub::unix_ms;
use fanfare_protocol::{ClientId, Code, Identity, Problem, SessionId};
use http::{HeaderMap, HeaderName, header, request::Parts};

use crate::{node::Node, query};

/// The header that carries a client's secret session.
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("fanfare-session");
/// The cookie that may carry a token.
pub const TOKEN_COOKIE: &str = "fanfare_token";

/// Who a request is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the credentials say.
    pub identity: Arc<Identity>,
    /// The client's secret.
    pub session: SessionId,
    /// The server made the session: the answer must tell it.
    pub session_is_new: bool,
    /// The public name.
    pub client: ClientId,
}

/// Where a token was found.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Source {
    Explicit,
    Cookie,
}

/// Refuses, in development mode, requests that reached this host under a foreign name (DNS rebinding) or from a foreign page.
///
/// # Errors
/// `forbidden`.
pub fn check_host(node: &Node, parts: &Parts) -> Result<(), Problem> {
    if !node.rules.is_dev() {
        return Ok(());
    }
    let host = parts.uri.host().or_else(|| text(&parts.headers, header::HOST));
    let foreign_host = host.is_some_and(|host| !is_loopback(host));
    let foreign_origin = text(&parts.headers, header::ORIGIN).is_some_and(|origin| {
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        !is_loopback(host) && !node.rules.allows_origin(origin)
    });
    if foreign_host || foreign_origin {
        return Err(Problem::new(
            Code::Forbidden,
            "development mode answers only to this machine's own names and pages",
        )
        .remedy(
            "use http://127.0.0.1 or localhost, or start with a configuration file and allowed_origins",
        ));
    }
    Ok(())
}

/// True for `localhost` and loopback addresses, with or without a port.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host
            .rsplit_once(':')
            .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The client's session: given, or made now.
///
/// # Errors
/// `bad_request` when it is not a session.
pub fn session(parts: &Parts) -> Result<(SessionId, bool), Problem> {
    let named = query::one(parts.uri.query(), "session")?;
    let given = match &named {
        Some(session) => Some(session.as_str()),
        None => text(&parts.headers, SESSION_HEADER),
    };
    match given {
        Some(session) => Ok((SessionId::parse(session)?, false)),
        None => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)
                .map_err(|_| Problem::new(Code::Internal, "no random bytes to be had"))?;
            Ok((SessionId::from_random(bytes), true))
        }
    }
}

/// Who a request is, or why its credentials are refused. Says nothing about rights.
///
/// # Errors
/// `unauthorized`, `token_expired`, `revoked` for the token; `forbidden` for a cookie from a foreign page; `bad_request` for the session.
pub async fn caller(node: &Node, parts: &Parts) -> Result<Caller, Problem> {
    check_host(node, parts)?;
    let (session, session_is_new) = session(parts)?;
    let identity = identity(node, parts).await?;
    let client = session.client();
    Ok(Caller { identity, session, session_is_new, client })
}

/// The identity of a request's first credential; anonymous without any.
///
/// # Errors
/// As [`caller`].
pub async fn identity(node: &Node, parts: &Parts) -> Result<Arc<Identity>, Problem> {
    if let Some(authorizer) = &node.authorizer
        && let Some(identity) = authorizer.connect(parts).await?
    {
        return Ok(Arc::new(identity));
    }
    let Some((token, source)) = token(parts)? else { return Ok(Arc::default()) };
    if source == Source::Cookie && !may_use_cookie(node, parts) {
        return Err(Problem::new(Code::Forbidden, "a cookie counts only from an allowed origin")
            .remedy("add the page's origin to auth.allowed_origins, or send the token in a header"));
    }
    node.auth.verify(&token, unix_ms()).await
}

/// Whether the request would be refused for its origin before any upgrade.
///
/// # Errors
/// `forbidden`, as [`identity`] would.
pub fn check_origin(node: &Node, parts: &Parts) -> Result<(), Problem> {
    check_host(node, parts)?;
    match token(parts)? {
        Some((_, Source::Cookie)) if !may_use_cookie(node, parts) => {
            Err(Problem::new(Code::Forbidden, "a cookie counts only from an allowed origin")
                .remedy("add the page's origin to auth.allowed_origins, or send the token in a header"))
        }
        _ => Ok(()),
    }
}

/// The first credential found: header, WebSocket subprotocol, query, cookie.
fn token(parts: &Parts) -> Result<Option<(String, Source)>, Problem> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or_default();
        let token = value
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, t)| t.trim());
        return match token {
            Some(token) if !token.is_empty() => Ok(Some((token.to_owned(), Source::Explicit))),
            _ => Err(Problem::new(Code::Unauthorized, "the Authorization header is not a bearer token")
                .remedy("send Authorization: Bearer TOKEN")),
        };
    }
    for value in parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let offered = value.to_str().unwrap_or_default().split(',').map(str::trim);
        if let Some(token) = offered.into_iter().find_map(|name| name.strip_prefix("fanfare.token.")) {
            return Ok(Some((token.to_owned(), Source::Explicit)));
        }
    }
    if let Some(token) = query::one(parts.uri.query(), "token")? {
        return Ok(Some((token, Source::Explicit)));
    }
    let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = cookies.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == TOKEN_COOKIE && !value.is_empty()).then(|| value.trim_matches('"').to_owned())
    });
    Ok(found.map(|token| (token, Source::Cookie)))
}

/// For cookies an allowed origin is a listed one, the request's own scheme and host, or none with `Sec-Fetch-Site: same-origin`.
fn may_use_cookie(node: &Node, parts: &Parts) -> bool {
    match text(&parts.headers, header::ORIGIN) {
        Some(origin) => node.rules.allows_origin(origin) || is_own_origin(parts, origin),
        None => text(&parts.headers, HeaderName::from_static("sec-fetch-site")) == Some("same-origin"),
    }
}

/// Whether an origin is the request's own scheme and host.
pub fn is_own_origin(parts: &Parts, origin: &str) -> bool {
    let host = parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| text(&parts.headers, header::HOST));
    let secure = parts.uri.scheme_str() == Some("https") || parts.extensions.get::<Secure>().is_some();
    let scheme = if secure { "https" } else { "http" };
    let own = host.map(|host| format!("{scheme}://{host}"));
    own.is_some_and(|own| own.eq_ignore_ascii_case(origin))
}

/// Marks a request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Secure;

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
