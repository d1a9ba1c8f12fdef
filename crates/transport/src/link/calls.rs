//! What the session asks of hub and auth, and the calls under way.
use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use fanfare_broker::{Append, Appending};
use fanfare_hub::{Entering, Listed, unix_ms};
use fanfare_protocol::{
    ChannelName, Code, Data, Position, Problem, Publish, SubscribeOptions, event::Published,
};
use fanfare_session::{Author, Cleared, HubCall, HubEvent, Now, Session, Subscribed, Ticket};

use super::Link;
use crate::{
    application::Visit,
    authorizer::{Asker, Authorizer},
};

type Asked = (Arc<dyn Authorizer>, Asker);

/// A publication that waits for the application's decision.
pub(super) struct Waiting {
    ticket: Ticket,
    publish: Box<Publish>,
    author: Author,
}

/// What a call came to.
pub(super) enum Answer {
    Hub(HubEvent),
    /// A subscription, with how it was asked for and where it begins.
    Begun(HubEvent, ChannelName, Box<SubscribeOptions>, Option<Position>),
    /// A client came to a channel's members, or went.
    Member(HubEvent, ChannelName, Option<Data>),
    /// A publication that the application had to decide about.
    Decided(HubEvent),
    /// A page.
    Page(HubEvent),
    /// The application's answer to a call.
    Called(HubEvent),
    /// Whether the application lets the client into a namespace.
    Entered(Arc<str>, Result<Arc<dyn Visit>, Problem>),
}

impl Link {
    pub(super) fn call(&mut self, at: Now, call: HubCall) {
        // The one that comes by the thousand.
        if let HubCall::Publish { ticket, publish, author } = call {
            return self.publish(at, Waiting { ticket, publish, author });
        }
        let hub = self.node.hub.clone();
        let connection = self.connection.clone();
        match call {
            HubCall::Authenticate { ticket, token } => {
                let verifying = self.node.auth.verify(&token.0, at.unix_ms);
                self.later(async move { Answer::Hub(HubEvent::Authenticated(ticket, verifying.await)) });
            }
            HubCall::Subscribe { ticket, channel, options } => {
                self.limits.remove(&channel);
                self.subscribe(ticket, channel, options);
            }
            HubCall::Until { channel, unix_ms } => {
                connection.limit(&channel, unix_ms);
                // Its reader may not be there yet.
                self.limits.insert(channel, unix_ms);
            }
            HubCall::Unsubscribe { channel } => {
                self.limits.remove(&channel);
                hub.unsubscribe(&connection, &channel);
                if let Some(dialect) = &self.dialect {
                    dialect.ended(&channel);
                }
            }
            HubCall::Publish { .. } => {}
            HubCall::History { .. } | HubCall::Members { .. } => {
                self.pages.push_back(call);
                self.next_page();
            }
            HubCall::Enter { ticket, channel, author, data } => {
                let said = self.dialect.is_some().then(|| data.clone());
                let entering = Entering {
                    client: connection.client,
                    user: author.user,
                    info: author.info,
                    data,
                    connection: Some(connection.id),
                    grace_ms: self.node.rules.presence_grace_ms(),
                };
                let (turn, asked) = (self.membership_turn(), self.asked());
                self.later(async move {
                    let _turn = turn.lock().await;
                    let presence = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
                    let entered = match allowed(asked, &channel, &presence).await {
                        Ok(()) => hub.enter(&channel, entering).await,
                        Err(problem) => Err(problem),
                    };
                    let said = said.filter(|_| entered.is_ok());
                    let event = HubEvent::Entered(ticket, entered);
                    match said {
                        Some(data) => Answer::Member(event, channel, Some(data)),
                        None => Answer::Hub(event),
                    }
                });
            }
            HubCall::Leave { ticket, channel, user } => {
                let turn = self.membership_turn();
                self.later(async move {
                    let _turn = turn.lock().await;
                    let left = hub.leave_as(&channel, connection.client, user.as_ref(), connection.id).await;
                    let none = || Problem::new(Code::NotFound, "not a member");
                    let event =
                        HubEvent::Entered(ticket, left.and_then(|was| was.then_some(()).ok_or_else(none)));
                    Answer::Member(event, channel, None)
                });
            }
            HubCall::Call { ticket, namespace, event, args } => {
                self.visit(at, ticket, namespace, event, args);
            }
            HubCall::Answer { ticket, id, args } => self.answered(at, ticket, &id, args),
            HubCall::Identify { identity } => {
                if let Some(visits) = &self.visits {
                    visits.renew(&identity);
                }
                connection.set_expiry(identity.expires_at);
                if let Some(asker) = &mut self.asker {
                    asker.identity = identity.clone();
                }
                let listed = Listed {
                    id: connection.id,
                    client: connection.client,
                    identity,
                    transport: self.transport.name(),
                    connected_at: self.since,
                };
                if self.dialect.as_ref().is_none_or(|dialect| dialect.is_listed()) {
                    hub.identify(&connection, listed);
                }
            }
        }
    }

    /// Whether a page waits that may be read now.
    pub fn has_page(&self) -> bool {
        !self.paging && !self.pages.is_empty() && self.connection.accepts(self.control_limit)
    }

    /// Reads the next page that was asked for, when the one before is answered and the client has room for it.
    pub(super) fn next_page(&mut self) {
        if !self.has_page() {
            return;
        }
        let Some(call) = self.pages.pop_front() else { return };
        self.paging = true;
        let (hub, asked) = (self.node.hub.clone(), self.asked());
        self.later(async move {
            let options = |presence| SubscribeOptions { presence, ..SubscribeOptions::default() };
            Answer::Page(match call {
                HubCall::History { ticket, channel, page } => {
                    let answer = match allowed(asked, &channel, &options(false)).await {
                        Ok(()) => hub.history(&channel, &page).await,
                        Err(problem) => Err(problem),
                    };
                    HubEvent::History(ticket, answer)
                }
                HubCall::Members { ticket, channel, limit, after } => {
                    let answer = match allowed(asked, &channel, &options(true)).await {
                        Ok(()) => hub.members(&channel, limit, after).await,
                        Err(problem) => Err(problem),
                    };
                    HubEvent::Members(ticket, answer)
                }
                // Nothing else is put among the pages.
                _ => HubEvent::Disconnect(Problem::new(
                    Code::Internal,
                    "a call that is no page was taken for one",
                )),
            })
        });
    }

    /// Entering and leaving take effect in order, also when a broker answers late: the lock is fair.
    pub(super) fn membership_turn(&mut self) -> Arc<tokio::sync::Mutex<()>> {
        self.membership.get_or_insert_default().clone()
    }

    pub(super) fn later(&mut self, call: impl Future<Output = Answer> + Send + 'static) {
        self.calls.push(Box::pin(call));
    }

    /// The application and who asks it, where it decides.
    pub(super) fn asked(&mut self) -> Option<Asked> {
        let (authorizer, mut asker) = self.node.authorizer.clone().zip(self.asker.as_deref().cloned())?;
        if authorizer.wants_peers() {
            asker.peer = self.own_peer();
        }
        Some((authorizer, asker))
    }

    pub(super) fn subscribe(&mut self, ticket: Ticket, channel: ChannelName, options: SubscribeOptions) {
        let (hub, connection) = (self.node.hub.clone(), self.connection.clone());
        let element =
            self.beginning.as_ref().and_then(|b| b.channels.iter().position(|name| *name == channel));
        // SSE and streams were asked about before they were answered; what the application joined is its own decision.
        let joined = self.session.has_joined(&channel) && !options.presence;
        let asked = self.asked().filter(|_| !self.transport.is_one_way() && !joined);
        self.later(async move {
            let begun = async {
                allowed(asked, &channel, &options).await?;
                hub.subscribe(&connection, &channel, &options, element).await
            };
            let begun = begun.await;
            let after = begun.as_ref().ok().map(|begun| begun.after);
            let subscribed =
                begun.map(|b| Subscribed { head: b.head, recovered: b.recovered, replay: b.replay });
            Answer::Begun(HubEvent::Subscribed(ticket, subscribed), channel, Box::new(options), after)
        });
    }

    pub(super) fn publish(&mut self, at: Now, waiting: Waiting) {
        if self.is_decided(&waiting.publish.channel) {
            self.waiting.push_back(waiting);
            self.decide_next();
            return;
        }
        let Waiting { ticket, publish, author } = waiting;
        match self.append(at, *publish, author) {
            Ok(result) => self.session.handle_hub(at, HubEvent::Published(ticket, result)),
            Err(appending) => self.answer_later(at, ticket, appending),
        }
    }

    /// A publication that waits for nothing: almost always its answer is there at once, and needs no ticket.
    pub(super) fn publish_cleared(&mut self, at: Now, cleared: Cleared) {
        let Cleared { reference, publish, author } = cleared;
        if self.is_decided(&publish.channel) {
            let ticket = self.session.await_published(reference);
            return self.publish(at, Waiting { ticket, publish, author });
        }
        match self.append(at, *publish, author) {
            Ok(result) => {
                if let Some(event) = Session::answer(reference, result) {
                    self.send(event);
                }
            }
            Err(appending) => {
                let ticket = self.session.await_published(reference);
                self.answer_later(at, ticket, appending);
            }
        }
    }

    /// Hands a publication to the broker. The connection is not read while readers of the channel cannot keep up.
    fn append(
        &mut self,
        at: Now,
        publish: Publish,
        author: Author,
    ) -> Result<Result<Published, Problem>, Appending> {
        let hub = &self.node.hub;
        let channel = publish.channel.clone();
        let answer = hub.publish(append(publish, author, at.unix_ms)).now();
        if answer.is_ok() {
            hub.counters().publish_us.record(at.mono.elapsed().as_micros() as u64);
        }
        if self.congested.is_none()
            && let Some(congestion) = hub.congestion(&channel)
        {
            self.congested = Some(Box::pin(congestion.clear()));
        }
        answer
    }

    fn answer_later(&mut self, at: Now, ticket: Ticket, appending: Appending) {
        let hub = self.node.hub.clone();
        self.later(async move {
            let result = appending.await;
            hub.counters().publish_us.record(at.mono.elapsed().as_micros() as u64);
            Answer::Hub(HubEvent::Published(ticket, result))
        });
    }

    /// Whether the application decides about publications on this channel.
    fn is_decided(&self, channel: &ChannelName) -> bool {
        let (Some(authorizer), Some(asker)) = (&self.node.authorizer, &self.asker) else { return false };
        authorizer.decides_publishing(asker, channel)
    }

    /// One publication at a time is before the application, so that its decisions keep the order of the messages.
    pub(super) fn decide_next(&mut self) {
        let asked = self.asked();
        let (false, Some((authorizer, asker))) = (self.deciding, asked) else { return };
        let Some(Waiting { ticket, mut publish, author }) = self.waiting.pop_front() else { return };
        self.deciding = true;
        let hub = self.node.hub.clone();
        self.later(async move {
            let result = async {
                authorizer.publish(&asker, &mut publish).await?;
                while let Some(congestion) = hub.congestion(&publish.channel) {
                    congestion.clear().await;
                }
                hub.publish(append(*publish, author, unix_ms())).await
            };
            Answer::Decided(HubEvent::Published(ticket, result.await))
        });
    }

    /// Polls every call under way; true when one was answered.
    pub(super) fn poll_calls(&mut self, at: Now, cx: &mut Context<'_>) -> bool {
        let mut answered = false;
        let mut n = 0;
        while let Some(call) = self.calls.get_mut(n) {
            let Poll::Ready(answer) = call.as_mut().poll(cx) else {
                n += 1;
                continue;
            };
            // Calls are polled in the order in which they were made.
            drop(self.calls.remove(n));
            answered = true;
            match answer {
                Answer::Hub(event) => self.session.handle_hub(at, event),
                Answer::Begun(event, channel, options, after) => {
                    self.begun(&channel, &options, after);
                    self.session.handle_hub(at, event);
                }
                Answer::Member(event, channel, data) => {
                    if let Some(dialect) = &self.dialect {
                        dialect.is_member(&channel, data.as_ref());
                    }
                    self.session.handle_hub(at, event);
                }
                Answer::Page(event) => {
                    self.paging = false;
                    self.session.handle_hub(at, event);
                }
                Answer::Called(event) => self.called(at, event),
                Answer::Entered(namespace, result) => self.entered(at, &namespace, result),
                Answer::Decided(event) => {
                    self.deciding = false;
                    self.session.handle_hub(at, event);
                    self.decide_next();
                }
            }
        }
        if answered && self.calls.is_empty() {
            self.calls = Vec::new();
        }
        answered
    }

    /// A from-now element of the request's cursor becomes the position that its subscription begins at.
    pub(super) fn begun(
        &mut self,
        channel: &ChannelName,
        options: &SubscribeOptions,
        after: Option<Position>,
    ) {
        if let (Some(dialect), Some(after)) = (&self.dialect, after) {
            dialect.begun(channel, options, after);
        }
        // The reader is there now, or will not be.
        if let Some(until) = self.limits.remove(channel) {
            self.connection.limit(channel, until);
        }
        let Some(beginning) = &mut self.beginning else { return };
        let Some(element) = beginning.channels.iter().position(|name| name == channel) else { return };
        if let Some(place) = beginning.cursor.0.get_mut(element)
            && place.is_none()
        {
            *place = after;
            self.connection.set_element(element, after);
        }
    }
}

/// The application's decision about reading a channel.
async fn allowed(
    asked: Option<Asked>,
    channel: &ChannelName,
    options: &SubscribeOptions,
) -> Result<(), Problem> {
    match &asked {
        Some((authorizer, asker)) => authorizer.subscribe(asker, channel, options).await,
        None => Ok(()),
    }
}

fn append(publish: Publish, author: Author, unix_ms: u64) -> Append {
    Append { publish, author: fanfare_broker::Author { user: author.user, client: author.client }, unix_ms }
}
