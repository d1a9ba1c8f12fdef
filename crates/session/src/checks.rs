//! What a command must satisfy before it reaches the hub, besides rights. HTTP handlers use the same checks.
use fanfare_protocol::{Args, ChannelName, Code, Data, Identity, Problem, Publish, Right, SubscribeOptions};

use crate::{Limits, Rules, check};

/// Whether a connection that reads so many channels may read one more.
///
/// # Errors
/// `limit_exceeded`.
pub fn check_room(limits: &Limits, reading: usize) -> Result<(), Problem> {
    let most = limits.channels_per_connection;
    if reading < most {
        return Ok(());
    }
    Err(Problem::new(Code::LimitExceeded, format!("a connection may read {most} channels"))
        .remedy("unsubscribe from channels that are not needed, or use another connection"))
}

/// Whether a channel may be read so: its namespace can serve the options, and `permit` grants each right that they need.
///
/// # Errors
/// `bad_request` as [`check_options`]; what `permit` answers.
pub fn check_subscription(
    rules: &dyn Rules,
    channel: &ChannelName,
    options: &SubscribeOptions,
    permit: impl Fn(Right) -> Result<(), Problem>,
) -> Result<(), Problem> {
    check_options(rules, channel, options)?;
    rights_to_subscribe(options).try_for_each(permit)
}

/// Whether an identity may read what a whole request names (SSE, stream, poll), before any of it is answered. What was read from a query
/// names at most 16 channels, and none twice ([`fanfare_protocol::options::from_query`]).
///
/// # Errors
/// As [`check_room`] and [`check_subscription`]; `unauthorized` or `forbidden`.
pub fn check_request(
    rules: &dyn Rules,
    identity: &Identity,
    channels: &[ChannelName],
    options: &SubscribeOptions,
) -> Result<(), Problem> {
    check_room(&rules.limits(), channels.len().saturating_sub(1))?;
    channels.iter().try_for_each(|channel| {
        check_subscription(rules, channel, options, |right| check(rules, identity, right, channel, None))
    })
}

/// The rights that a subscription with these options needs: `last` reads the past by count, `presence` sees members.
fn rights_to_subscribe(options: &SubscribeOptions) -> impl Iterator<Item = Right> {
    let history = options.start.last.is_some().then_some(Right::History);
    let presence = options.presence.then_some(Right::Presence);
    [Some(Right::Subscribe), history, presence].into_iter().flatten()
}

/// Whether the channel's namespace can serve these options.
///
/// # Errors
/// `bad_request` for a snapshot of a namespace that is not keyed, or member events where there are no members.
pub fn check_options(
    rules: &dyn Rules,
    channel: &ChannelName,
    options: &SubscribeOptions,
) -> Result<(), Problem> {
    if options.start.snapshot && !rules.keyed(channel) {
        return Err(Problem::new(Code::BadRequest, format!("{channel} is not keyed and has no snapshot"))
            .remedy("subscribe without snapshot, or set keyed = true for the namespace"));
    }
    if options.presence { check_presence(rules, channel) } else { Ok(()) }
}

/// Whether the channel's namespace has presence.
///
/// # Errors
/// `bad_request` when it has not.
pub fn check_presence(rules: &dyn Rules, channel: &ChannelName) -> Result<(), Problem> {
    if rules.presence(channel) {
        return Ok(());
    }
    Err(Problem::new(Code::BadRequest, format!("{channel} has no presence"))
        .remedy("set presence = true for the namespace"))
}

/// Whether a payload is within the limit.
///
/// # Errors
/// `too_large`, naming both sizes.
pub fn check_size(limits: &Limits, data: &Data) -> Result<(), Problem> {
    if data.len() <= limits.message_bytes {
        return Ok(());
    }
    let detail = format!("data is {} bytes; at most {} are allowed", data.len(), limits.message_bytes);
    Err(Problem::new(Code::TooLarge, detail))
}

/// Whether a message is what its namespace wants. One that removes a key says nothing that could not fit.
///
/// # Errors
/// `bad_request`, with the place in the data.
pub fn check_fit(rules: &dyn Rules, publish: &Publish) -> Result<(), Problem> {
    match rules.schema(&publish.channel) {
        Some(schema) if publish.key.is_none() || !publish.data.is_null() => {
            schema.check(&publish.event, &publish.data)
        }
        _ => Ok(()),
    }
}

/// Whether the arguments of an event, together, are within the limit of one message.
///
/// # Errors
/// `too_large`, naming both sizes.
pub fn check_args(limits: &Limits, args: &Args) -> Result<(), Problem> {
    if args.bytes() <= limits.message_bytes {
        return Ok(());
    }
    let detail = format!("data is {} bytes; at most {} are allowed", args.bytes(), limits.message_bytes);
    Err(Problem::new(Code::TooLarge, detail))
}

/// Whether a message may be published by this identity as far as its fields go; the right is checked by [`crate::check`].
///
/// # Errors
/// `too_large`, or `bad_request` when a client that is no API key names another client as the origin.
pub fn check_message(limits: &Limits, identity: &Identity, publish: &Publish) -> Result<(), Problem> {
    if publish.client.is_some() && identity.api_key.is_none() {
        return Err(Problem::new(Code::BadRequest, "only an API key may name the publishing client")
            .remedy("publish without the field client"));
    }
    check_size(limits, &publish.data)
}
