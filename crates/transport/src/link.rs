//! A connection between session and hub: carries out what the session asks, tells it what happened, and pumps what is to be written.
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use fanfare_broker::{Append, Budget};
use fanfare_hub::{
    Connection, Entering, Fetch, Fetched, Listed, Notice, Pumped, Socket, TURN_WRITES, unix_ms,
};
use fanfare_protocol::{
    ChannelName, Code, Command, Cursor, Event, Format, Problem, Publish, Request, SubscribeOptions,
};
use fanfare_session::{
    Action, Author, Close, HubCall, HubEvent, Now, Session, Sign, Subscribed, Ticket, session::Opening,
};
use fanfare_websocket::frame;

use crate::{
    authorizer::{Asker, Authorizer},
    node::Node,
    plan::{Plan, Transport},
};

type Asked = (Arc<dyn Authorizer>, Asker);
type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a reader waits before a broker that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(250);

/// What writing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrote {
    /// Nothing is left, or others have their turn first (the task was woken again).
    Enough,
    /// The socket takes no more for now.
    Blocked,
    /// Everything was written; close.
    Finished,
    /// The connection is gone.
    Dead,
}

/// What a catch-up waited for.
enum CaughtUp {
    Fetched(Fetch, Result<Fetched, Problem>),
    Decided(Result<(), Problem>),
    Waited,
}

/// What an SSE or stream connection still has to be told at its beginning.
struct Beginning {
    /// The request's channels, in order.
    channels: Vec<ChannelName>,
    /// Subscriptions that have not been answered.
    missing: usize,
    /// The cursor as requested; from-now elements become the head that they began at.
    cursor: Cursor,
}

/// A publication that waits for the application's decision.
struct Waiting {
    ticket: Ticket,
    publish: Box<Publish>,
    author: Author,
}

/// One connection's session, readers and calls under way.
pub(crate) struct Link {
    node: Arc<Node>,
    pub connection: Arc<Connection>,
    session: Session,
    transport: Transport,
    format: Format,
    calls: Vec<Later<Answer>>,
    catch_up: Option<Later<CaughtUp>>,
    congested: Option<Later<()>>,
    beginning: Option<Box<Beginning>>,
    /// Until when channels may be read that only tokens of commands grant.
    limits: BTreeMap<ChannelName, Option<u64>>,
    /// Held by the membership call under way.
    membership: Option<Arc<tokio::sync::Mutex<()>>>,
    asker: Option<Box<Asker>>,
    waiting: VecDeque<Waiting>,
    deciding: bool,
    armed: Option<Instant>,
    blocked: bool,
    since: u64,
}

/// What a call came to.
enum Answer {
    Hub(HubEvent),
    /// A subscription, with where it begins.
    Begun(HubEvent, ChannelName, Option<fanfare_protocol::Position>),
    /// A publication that the application had to decide about.
    Decided(HubEvent),
}

fn now() -> Now {
    Now { mono: Instant::now(), unix_ms: unix_ms() }
}

impl Link {
    /// Opens a connection as planned.
    pub fn open(node: &Arc<Node>, plan: Plan, socket: Box<dyn Socket>) -> Self {
        let Plan { transport, format, form, caller, request, refused, parts, .. } = plan;
        let connection = node.hub.connect(form, caller.client, socket);
        if transport != Transport::WebSocket {
            node.hub.hold_client(connection.id, caller.client);
        }
        let opening = Opening {
            session: caller.session,
            client: caller.client,
            identity: caller.identity.clone(),
            welcome: transport == Transport::WebSocket && refused.is_none(),
            seed: connection.id,
            version: node.version,
        };
        let asker = parts
            .map(|request| Box::new(Asker { identity: caller.identity, client: caller.client, request }));
        let at = now();
        let mut link = Self {
            session: Session::new(at, opening, node.rules.clone()),
            node: node.clone(),
            connection,
            transport,
            format,
            calls: Vec::new(),
            catch_up: None,
            congested: None,
            beginning: None,
            limits: BTreeMap::new(),
            membership: None,
            asker,
            waiting: VecDeque::new(),
            deciding: false,
            armed: None,
            blocked: false,
            since: at.unix_ms,
        };
        match refused {
            Some(problem) => link.session.handle_hub(at, HubEvent::Disconnect(problem)),
            None => link.begin(at, request),
        }
        link
    }

    /// Subscribes what the request names, as commands of the client's own.
    fn begin(&mut self, at: Now, request: fanfare_protocol::options::SubscribeRequest) {
        if self.transport == Transport::Sse {
            // Opens the client's stream, and any buffer on the way.
            self.send_raw(b": fanfare\n\n");
        }
        if self.transport != Transport::WebSocket {
            let channels = request.channels.clone();
            let cursor = request.cursor.clone().unwrap_or_else(|| Cursor(vec![None; channels.len()]));
            if channels.len() > 1 && self.transport == Transport::Sse {
                self.connection.carry_cursor(cursor.clone());
            }
            self.beginning = Some(Box::new(Beginning { missing: channels.len(), channels, cursor }));
        }
        for (channel, options) in request.subscriptions() {
            let command = Command::Subscribe { channel: channel.clone(), options, token: None };
            self.session.handle_command(at, Request { reference: None, command });
        }
    }

    /// The encoding of this connection's frames.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The node's memory for messages.
    pub fn budget(&self) -> &Budget {
        self.node.hub.budget()
    }

    /// Whether more may be read from the client now.
    pub fn wants_input(&self) -> bool {
        self.congested.is_none()
            && self.waiting.len() < 64
            && self.session.wants_input()
            && self.connection.control_bytes() < self.node.rules.transport().control_bytes
    }

    /// Bytes came in.
    pub fn received(&mut self) {
        self.session.handle_sign(now(), Sign::Received);
    }

    /// A frame's commands.
    pub fn commands(&mut self, frame: &[u8]) {
        let at = now();
        match self.format.decode(frame) {
            Ok(requests) => {
                for request in requests {
                    match request {
                        Ok(request) => self.session.handle_command(at, request),
                        Err(rejected) => {
                            self.session.handle_rejected(at, rejected.reference, rejected.problem)
                        }
                    }
                    self.act_all(at);
                }
            }
            Err(rejected) => self.session.handle_rejected(at, rejected.reference, rejected.problem),
        }
        self.act_all(at);
    }

    /// Queues raw frames (pong, close).
    pub fn send_raw(&self, frame: &[u8]) {
        self.connection.send(|out| out.extend_from_slice(frame));
    }

    /// Does everything that can be done without waiting.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        let at = now();
        self.connection.register_in(cx);
        for notice in self.connection.take_notices() {
            let event = match notice {
                Notice::Ended(channel, code) => HubEvent::Ended(channel, code),
                Notice::Disconnect(problem) => HubEvent::Disconnect(problem),
            };
            self.session.handle_hub(at, event);
        }
        if self.session.poll_timeout().is_some_and(|due| due <= at.mono) {
            if self.connection.take_accepted() {
                self.session.handle_sign(at, Sign::Accepted);
            }
            self.session.handle_timeout(at);
            self.armed = None;
        }
        loop {
            self.act_all(at);
            if !self.poll_calls(at, cx) {
                break;
            }
        }
        if self.congested.as_mut().is_some_and(|clear| clear.as_mut().poll(cx).is_ready()) {
            self.congested = None;
        }
        self.arm(at);
    }

    /// Asks the wheel to wake this connection when the session wants it.
    fn arm(&mut self, at: Now) {
        let Some(due) = self.session.poll_timeout() else { return };
        if self.armed.is_none_or(|armed| due < armed || armed <= at.mono) {
            self.armed = Some(due);
            let wait = due.saturating_duration_since(at.mono);
            self.node.hub.wheel().arm(&self.connection, wait.as_millis() as u64);
        }
    }

    fn act_all(&mut self, at: Now) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(event) => self.send(event),
                Action::Ping => self.ping(),
                Action::Hub(call) => self.call(at, call),
                Action::Close(close) => self.close(&close),
            }
        }
    }

    fn send(&mut self, event: Event) {
        match &event {
            Event::Error { problem, .. } | Event::Disconnect(problem) => self.node.errors.count(problem.code),
            _ => {}
        }
        let form = self.connection.form;
        let subscribed = match &event {
            Event::Subscribed { channel, .. } => Some(channel.clone()),
            _ => None,
        };
        if subscribed.is_some()
            && let Some(beginning) = &mut self.beginning
        {
            beginning.missing = beginning.missing.saturating_sub(1);
            if beginning.missing == 0 {
                self.connection.send(|out| form.0.cursor(&beginning.cursor, out));
            }
        }
        self.connection.send(|out| form.0.event(&event, out));
        if let Some(channel) = subscribed {
            self.connection.release(&channel);
        }
    }

    fn ping(&mut self) {
        match self.transport {
            Transport::WebSocket => self.send_raw(&frame::ping(b"")),
            Transport::Sse => {
                self.send_raw(b": \n\n");
                self.tell_cursor();
            }
            Transport::Stream => {
                self.send_raw(b"\n");
                self.tell_cursor();
            }
        }
    }

    /// After a quiet spell: where the reader stands, when that has moved.
    fn tell_cursor(&mut self) {
        let Some(beginning) = &mut self.beginning else { return };
        if beginning.missing > 0 {
            return;
        }
        let stands = |channel| self.connection.position(channel);
        let cursor = Cursor(beginning.channels.iter().map(stands).collect());
        if cursor != beginning.cursor {
            beginning.cursor = cursor.clone();
            let form = self.connection.form;
            self.connection.send(|out| form.0.event(&Event::Cursor(cursor), out));
        }
    }

    fn close(&mut self, close: &Close) {
        if self.transport == Transport::WebSocket {
            self.send_raw(&frame::close_frame(close.code, &close.reason));
        }
        self.connection.finish();
    }

    fn call(&mut self, at: Now, call: HubCall) {
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
            }
            HubCall::Publish { ticket, publish, author } => {
                self.publish(at, Waiting { ticket, publish, author })
            }
            HubCall::History { ticket, channel, page } => {
                let asked = self.asked();
                self.later(async move {
                    let page = match allowed(asked, &channel, &SubscribeOptions::default()).await {
                        Ok(()) => hub.history(&channel, &page).await,
                        Err(problem) => Err(problem),
                    };
                    Answer::Hub(HubEvent::History(ticket, page))
                });
            }
            HubCall::Members { ticket, channel, limit, after } => {
                let asked = self.asked();
                self.later(async move {
                    let options = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
                    let page = match allowed(asked, &channel, &options).await {
                        Ok(()) => hub.members(&channel, limit, after).await,
                        Err(problem) => Err(problem),
                    };
                    Answer::Hub(HubEvent::Members(ticket, page))
                });
            }
            HubCall::Enter { ticket, channel, author, data } => {
                let entering = Entering {
                    client: connection.client,
                    user: author.user,
                    info: author.info,
                    data,
                    connection: Some(connection.id),
                    grace_ms: self.node.rules.presence_grace_ms(),
                };
                self.later(async move {
                    Answer::Hub(HubEvent::Entered(ticket, hub.enter(&channel, entering).await))
                });
            }
            HubCall::Leave { ticket, channel } => {
                let turn = self.membership_turn();
                self.later(async move {
                    let _turn = turn.lock().await;
                    let left = hub.leave_as(&channel, connection.client, connection.id).await;
                    let none = || Problem::new(Code::NotFound, "not a member");
                    Answer::Hub(HubEvent::Entered(
                        ticket,
                        left.and_then(|was| was.then_some(()).ok_or_else(none)),
                    ))
                });
            }
            HubCall::Identify { identity } => {
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
                hub.directory().put(&connection, listed);
            }
        }
    }

    /// Entering and leaving take effect in order, also when a broker answers late: the lock is fair.
    fn membership_turn(&mut self) -> Arc<tokio::sync::Mutex<()>> {
        self.membership.get_or_insert_default().clone()
    }

    fn later(&mut self, call: impl Future<Output = Answer> + Send + 'static) {
        self.calls.push(Box::pin(call));
    }

    /// The application and who asks it, where it decides.
    fn asked(&self) -> Option<Asked> {
        self.node.authorizer.clone().zip(self.asker.as_deref().cloned())
    }

    fn subscribe(&mut self, ticket: Ticket, channel: ChannelName, options: SubscribeOptions) {
        let (hub, connection) = (self.node.hub.clone(), self.connection.clone());
        let element =
            self.beginning.as_ref().and_then(|b| b.channels.iter().position(|name| *name == channel));
        // SSE and streams were asked about before they were answered.
        let asked = self.asked().filter(|_| self.transport == Transport::WebSocket);
        self.later(async move {
            let begun = async {
                allowed(asked, &channel, &options).await?;
                hub.subscribe(&connection, &channel, &options, element).await
            };
            let begun = begun.await;
            let after = begun.as_ref().ok().map(|begun| begun.after);
            let subscribed =
                begun.map(|b| Subscribed { head: b.head, recovered: b.recovered, replay: b.replay });
            Answer::Begun(HubEvent::Subscribed(ticket, subscribed), channel, after)
        });
    }

    fn publish(&mut self, at: Now, waiting: Waiting) {
        if self.asker.is_some() && self.node.authorizer.is_some() {
            self.waiting.push_back(waiting);
            self.decide_next();
            return;
        }
        let Waiting { ticket, publish, author } = waiting;
        let channel = publish.channel.clone();
        let begun = Instant::now();
        match self.node.hub.publish(append(*publish, author, at.unix_ms)).now() {
            Ok(result) => {
                self.node.hub.counters().publish_us.record(begun.elapsed().as_micros() as u64);
                self.session.handle_hub(at, HubEvent::Published(ticket, result));
            }
            Err(pending) => {
                let hub = self.node.hub.clone();
                self.later(async move {
                    let result = pending.await;
                    hub.counters().publish_us.record(begun.elapsed().as_micros() as u64);
                    Answer::Hub(HubEvent::Published(ticket, result))
                });
            }
        }
        if self.congested.is_none()
            && let Some(congestion) = self.node.hub.congestion(&channel)
        {
            self.congested = Some(Box::pin(congestion.clear()));
        }
    }

    /// One publication at a time is before the application, so that its decisions keep the order of the messages.
    fn decide_next(&mut self) {
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
    fn poll_calls(&mut self, at: Now, cx: &mut Context<'_>) -> bool {
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
                Answer::Begun(event, channel, after) => {
                    self.begun(&channel, after);
                    self.session.handle_hub(at, event);
                }
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
    fn begun(&mut self, channel: &ChannelName, after: Option<fanfare_protocol::Position>) {
        if let Some(until) = self.limits.get(channel) {
            self.connection.limit(channel, *until);
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

    /// Writes what there is to write.
    pub fn pump(&mut self, cx: &mut Context<'_>, write: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> Wrote {
        let wrote = self.pump_out(cx, write);
        if wrote == Wrote::Blocked && !self.blocked {
            self.session.handle_sign(now(), Sign::Blocked);
        } else if wrote == Wrote::Enough && self.blocked {
            self.session.handle_sign(now(), Sign::Drained);
        }
        if self.blocked && self.connection.take_accepted() {
            self.session.handle_sign(now(), Sign::Accepted);
        }
        self.blocked = wrote == Wrote::Blocked;
        self.arm(now());
        wrote
    }

    fn pump_out(&mut self, cx: &mut Context<'_>, write: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> Wrote {
        loop {
            let caught_up = match &mut self.catch_up {
                Some(catch_up) => catch_up.as_mut().poll(cx),
                None => Poll::Pending,
            };
            let pumped = match caught_up {
                Poll::Ready(caught_up) => {
                    self.catch_up = None;
                    match self.caught_up(caught_up, write) {
                        Some(pumped) => pumped,
                        None => continue,
                    }
                }
                // While the broker is asked for one reader, control frames still go out.
                Poll::Pending => {
                    let writes = if self.catch_up.is_some() { 0 } else { TURN_WRITES };
                    self.connection.pump(unix_ms(), writes, write)
                }
            };
            match pumped {
                Pumped::Idle => return Wrote::Enough,
                Pumped::Again => {
                    if self.catch_up.is_none() {
                        cx.waker().wake_by_ref();
                    }
                    return Wrote::Enough;
                }
                Pumped::Blocked => return Wrote::Blocked,
                Pumped::Finished => return Wrote::Finished,
                Pumped::Dead => return Wrote::Dead,
                Pumped::Fetch(fetch) => {
                    let hub = self.node.hub.clone();
                    self.catch_up = Some(Box::pin(async move {
                        let fetched = hub.fetch(&fetch).await;
                        CaughtUp::Fetched(fetch, fetched)
                    }));
                }
                Pumped::Slow(slow) => {
                    let (hub, connection) = (self.node.hub.clone(), self.connection.clone());
                    self.catch_up =
                        Some(Box::pin(
                            async move { CaughtUp::Decided(hub.fell_off(&connection, &slow).await) },
                        ));
                }
            }
        }
    }

    fn caught_up(
        &mut self,
        caught_up: CaughtUp,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Option<Pumped> {
        match caught_up {
            CaughtUp::Fetched(fetch, Ok(fetched)) => {
                Some(self.connection.fetched(unix_ms(), &fetch, fetched, write))
            }
            CaughtUp::Fetched(fetch, Err(problem)) => {
                tracing::warn!(channel = %fetch.channel, %problem, "a reader waits for the broker");
                self.connection.fetch_failed(&fetch, &problem);
                self.catch_up = Some(Box::pin(async {
                    tokio::time::sleep(RETRY).await;
                    CaughtUp::Waited
                }));
                None
            }
            CaughtUp::Decided(Err(problem)) => {
                self.connection.notify(Notice::Disconnect(problem));
                Some(Pumped::Idle)
            }
            CaughtUp::Decided(Ok(())) | CaughtUp::Waited => None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.node.hub.disconnect(&self.connection);
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
