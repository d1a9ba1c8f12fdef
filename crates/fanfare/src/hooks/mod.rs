//! An application in another process, asked over HTTP: whether clients may, and what is answered to their events.
//!
//! A request is a signed POST; its answer allows, refuses, replaces the data, replies, and names actions to be taken. How it looks is told in
//! docs/application.md. What is not asked about is not delayed.
mod actions;
mod address;
mod answer;
mod authorizer;
mod breaker;
mod calls;
mod client;
mod connector;
mod question;

pub(crate) use address::is_public;
pub(crate) use authorizer::Hooks;
pub(crate) use calls::serve_calls;
pub(crate) use connector::UrlFault;

/// What is wrong with a hook's URL, as far as it can be told without a network.
pub(crate) fn check_url(url: &str, private_addresses: bool) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|_| UrlFault::NotAUrl.to_string())?;
    connector::Connector::new(&uri, private_addresses).map_err(|fault| fault.to_string())?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if !private_addresses && host.parse().is_ok_and(|address| !is_public(address)) {
        return Err(format!("{host} is not a public address; hooks.private_addresses = true allows it"));
    }
    Ok(())
}
