//! Publishing: one message, or many in one request.
use std::{sync::Arc, time::Instant};

use axum::{
    Extension,
    extract::{Request, State},
};
use fanfare_broker::{Append, Appending, Author};
use fanfare_hub::unix_ms;
use fanfare_protocol::{ChannelName, Code, Problem, Publish, Right, event::Published, json};
use fanfare_session::{check, checks};
use fanfare_transport::{Asker, Caller};

use super::{
    App, Shared,
    answer::{self, Answer},
    body,
    target::MaybeTarget,
    who,
};

/// `POST` of messages: one where the request names a channel, else many.
pub async fn publish(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    MaybeTarget(channel): MaybeTarget,
    request: Request,
) -> Answer {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    if let Err(problem) = may_publish(&app, &caller, channel.as_ref()) {
        body::leave_unread(&parts.headers, body);
        return Err(problem.into());
    }
    let limits = app.body_limits();
    let limit = if channel.is_some() { limits.body_bytes } else { limits.publish_many_bytes };
    let body = body::read(&app, &parts.headers, body, limit).await?;
    let publisher = Publisher::new(&app, &caller, parts);
    match channel {
        Some(channel) => publisher.one(begun, &body, channel).await,
        None => publisher.many(begun, &body, limits.publish_many_messages).await,
    }
}

/// Asked before the body is read, so that a stranger who may not publish costs no memory: whether the caller may publish to the channel some
/// event, and without one, anything anywhere. Each message is checked again when it is known.
fn may_publish(app: &App, caller: &Caller, channel: Option<&ChannelName>) -> Result<(), Problem> {
    if let Some(channel) = channel {
        return who::may(app, caller, Right::Publish, channel);
    }
    let (identity, right) = (&*caller.identity, Right::Publish);
    let granted = identity.api_key.is_some() || identity.grants.iter().any(|grant| grant.allow.has(right));
    let anonymous = identity.is_anonymous();
    // Without the configuration at hand nothing is known of namespaces.
    let open = app.live.as_ref().is_none_or(|live| {
        live.config().namespaces.values().any(|namespace| {
            namespace.anonymous.has(right) || (!anonymous && namespace.authenticated.has(right))
        })
    });
    if granted || open {
        return Ok(());
    }
    let code = if anonymous { Code::Unauthorized } else { Code::Forbidden };
    Err(Problem::new(code, "there is no channel that this request may publish to"))
}

/// Who publishes, and what decides about it.
struct Publisher<'a> {
    app: &'a App,
    caller: &'a Caller,
    /// Only where the application has a say.
    asker: Option<Asker>,
}

impl<'a> Publisher<'a> {
    fn new(app: &'a App, caller: &'a Caller, parts: http::request::Parts) -> Self {
        let asker = app.node.authorizer.is_some().then(|| Asker {
            identity: caller.identity.clone(),
            client: caller.client,
            request: Arc::new(parts),
            peer: None,
        });
        Self { app, caller, asker }
    }

    async fn one(&self, begun: Instant, body: &[u8], channel: ChannelName) -> Answer {
        let publish = json::publish(body, Some(channel))?;
        let published = self.append(publish).await?.await;
        self.record(begun);
        Ok(answer::json(json::published(&published?)))
    }

    /// Messages are queued in the order given, none waiting for the commit of another; each is good or refused alone.
    async fn many(&self, begun: Instant, body: &[u8], most: usize) -> Answer {
        let publications = json::publish_many(body)?;
        if publications.len() > most {
            let problem =
                Problem::new(Code::LimitExceeded, format!("more than {most} messages in a request"));
            return Err(problem.remedy("send them in several requests").into());
        }
        let mut queued = Vec::with_capacity(publications.len());
        for publication in publications {
            queued.push(match publication {
                Ok(publish) => self.append(publish).await,
                Err(problem) => Err(problem),
            });
        }
        let mut results: Vec<Result<Published, Problem>> = Vec::with_capacity(queued.len());
        for appending in queued {
            let result = match appending {
                Ok(appending) => {
                    let result = appending.await;
                    self.record(begun);
                    result
                }
                Err(problem) => Err(problem),
            };
            if let Err(problem) = &result {
                self.app.node.errors.count(problem.code);
            }
            results.push(result);
        }
        Ok(answer::json(json::results(&results)))
    }

    /// Checks a message and queues it, once its channel's readers can be written to.
    async fn append(&self, mut publish: Publish) -> Result<Appending, Problem> {
        let (node, identity) = (&self.app.node, &self.caller.identity);
        check(&*node.rules, identity, Right::Publish, &publish.channel, Some(&publish.event))?;
        checks::check_message(&node.rules.limits(), identity, &publish)?;
        checks::check_fit(&*node.rules, &publish)?;
        if let (Some(authorizer), Some(asker)) = (&node.authorizer, &self.asker) {
            authorizer.publish(asker, &mut publish).await?;
        }
        while let Some(congestion) = node.hub.congestion(&publish.channel) {
            congestion.clear().await;
        }
        let client = identity.api_key.is_none().then_some(self.caller.client);
        let author = Author { user: identity.user.clone(), client };
        Ok(node.hub.publish(Append { publish, author, unix_ms: unix_ms() }))
    }

    fn record(&self, begun: Instant) {
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.app.node.hub.counters().publish_us.record(us);
    }
}
