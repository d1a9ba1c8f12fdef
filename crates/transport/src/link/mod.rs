//! A connection between session and hub: carries out what the session asks, tells it what happened, and pumps what is to be written.
mod calls;
mod output;
pub(crate) mod peer;
mod tell;
pub(crate) mod visits;

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::Instant,
};

use fanfare_broker::Budget;
use fanfare_hub::{Connection, Gathering, Notice, Socket, unix_ms};
use fanfare_protocol::{
    ChannelName, Command, Cursor, Data, Format, Position, Problem, Ref, Rejected, Request, SubscribeOptions,
    options::SubscribeRequest,
};
use fanfare_session::{Action, Direct, HubCall, HubEvent, Now, Session, Sign, session::Opening};

use crate::{
    application::Peer,
    authorizer::{Afterwards, Asker},
    node::Node,
    plan::{Plan, Transport},
};

pub(crate) use output::Wrote;

use calls::{Answer, Waiting};
use output::CaughtUp;
use visits::Visits;

/// Pages that one connection may have asked for and not been given.
const PAGES: usize = 100;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an SSE or stream connection still has to be told at its beginning.
struct Beginning {
    /// The request's channels, in order.
    channels: Vec<ChannelName>,
    /// Subscriptions that have not been answered.
    missing: usize,
    /// The cursor as requested; from-now elements become the head that they began at.
    cursor: Cursor,
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
    /// Until when channels may be read that only tokens of commands grant, while their readers may not be there yet.
    limits: BTreeMap<ChannelName, Option<u64>>,
    /// Pages of history and members that were asked for: one at a time, and only with room for it.
    pages: VecDeque<HubCall>,
    paging: bool,
    /// `limits.control_bytes`, as it was when the connection began.
    control_limit: usize,
    /// Subscriptions of an SSE or stream request that are answered, until all are.
    held: Vec<ChannelName>,
    /// Held by the membership call under way.
    membership: Option<Arc<tokio::sync::Mutex<()>>>,
    asker: Option<Box<Asker>>,
    waiting: VecDeque<Waiting>,
    deciding: bool,
    visits: Option<Box<Visits>>,
    armed: Option<Instant>,
    /// The time of this turn, read once.
    at: Now,
    /// Output waits for the socket.
    blocked: bool,
    /// Bytes that had stood in a stream's own buffer went out since this was last asked.
    progressed: bool,
    since: u64,
    dialect: Option<Arc<dyn Dialect>>,
    /// The client as decisions see it, once one was wanted.
    peer: Option<Arc<dyn Peer>>,
}

/// What a dialect wants to know of a link that serves it.
pub(crate) trait Dialect: Send + Sync {
    /// A reader was attached: what it is sent comes after this position. Nothing has been.
    fn begun(&self, channel: &ChannelName, options: &SubscribeOptions, after: Position);
    /// A channel is read no more.
    fn ended(&self, channel: &ChannelName);
    /// The client is a member of a channel, or is one no more.
    fn is_member(&self, channel: &ChannelName, data: Option<&Data>);
    /// The session ends.
    fn over(&self, problem: &Problem);
    /// Whether the connection stands for its client in lists.
    fn is_listed(&self) -> bool;
}

fn now() -> Now {
    Now { mono: Instant::now(), unix_ms: unix_ms() }
}

impl Link {
    /// Opens a connection as planned.
    pub fn open(node: &Arc<Node>, plan: Plan, socket: Box<dyn Socket>) -> Self {
        let Plan { transport, format, form, caller, request, refused, parts, .. } = plan;
        let connection = node.hub.connect(form, caller.client, socket);
        if transport.is_one_way() {
            node.hub.hold_client(connection.id, caller.client, caller.identity.user.as_ref());
        }
        let opening = Opening {
            session: caller.session,
            client: caller.client,
            identity: caller.identity.clone(),
            welcome: transport == Transport::WebSocket && refused.is_none(),
            seed: connection.id,
            version: node.version,
        };
        let asker = parts.map(|request| Asker {
            identity: caller.identity,
            client: caller.client,
            request,
            peer: None,
        });
        let asker = asker.map(Box::new);
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
            pages: VecDeque::new(),
            paging: false,
            control_limit: node.rules.transport().control_bytes,
            held: Vec::new(),
            membership: None,
            asker,
            waiting: VecDeque::new(),
            deciding: false,
            visits: None,
            armed: None,
            at,
            blocked: false,
            progressed: false,
            since: at.unix_ms,
            dialect: None,
            peer: None,
        };
        match refused {
            Some(problem) => link.session.handle_hub(at, HubEvent::Disconnect(problem)),
            None => {
                link.begin(at, request);
                link.has_come();
            }
        }
        link
    }

    /// Subscribes what the request names, as commands of the client's own.
    fn begin(&mut self, at: Now, request: SubscribeRequest) {
        if self.transport == Transport::Sse {
            // Opens the client's stream, and any buffer on the way.
            self.send_raw(b": fanfare\n\n");
        }
        if self.transport.is_one_way() {
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

    /// The client is there: what was decided to be done to it then is done.
    fn has_come(&mut self) {
        // Clients of a dialect have come when it says so.
        if self.transport != Transport::WebSocket {
            return;
        }
        let waiting = self.asker.as_deref().and_then(Afterwards::of).filter(|then| !then.is_empty());
        if let Some(waiting) = waiting
            && let Some((_, asker)) = self.asked()
        {
            waiting.run(&asker);
        }
    }

    /// The client itself, where its transport knows a way to it.
    pub fn speak_through(&mut self, peer: Arc<dyn Peer>) {
        self.peer = Some(peer);
    }

    /// Serves a dialect, which hears of what happens from now on.
    pub fn serve(&mut self, dialect: Arc<dyn Dialect>) {
        self.dialect = Some(dialect);
    }

    /// A command that came in other words.
    pub fn command(&mut self, request: Request) {
        let at = now();
        self.session.handle_command(at, request);
        self.act_all(at);
    }

    /// An event for the application came in other words: whether it may pass.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn meter_event(&mut self) -> Result<(), Problem> {
        self.session.meter_event(now())
    }

    /// A command that its dialect refused.
    pub fn refuse(&mut self, reference: Option<Ref>, problem: Problem) {
        let at = now();
        self.session.handle_rejected(at, reference, problem);
        self.act_all(at);
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
            && self.visits.as_ref().is_none_or(|visits| visits.have_room())
            && self.pages.len() < PAGES
            && self.session.wants_input()
            && self.connection.accepts(self.control_limit)
    }

    /// Bytes came in.
    pub fn received(&mut self) {
        self.session.handle_sign(self.at, Sign::Received);
    }

    /// Lets the rounds of what is published wait until what is returned is dropped: what one read brings goes out together.
    pub fn gather(&self) -> Gathering {
        self.node.hub.gather()
    }

    /// A frame's commands, in the turn that [`Link::drive`] began.
    pub fn commands(&mut self, frame: &[u8]) {
        let at = self.at;
        if let Err(rejected) = self.format.decode_each(frame, |request| self.take_request(at, request)) {
            self.take_request(at, Err(rejected));
        }
    }

    fn take_request(&mut self, at: Now, request: Result<Request, Rejected>) {
        match request {
            Ok(request) => match self.session.clear(at, request) {
                Direct::Cleared(cleared) => return self.publish_cleared(at, cleared),
                Direct::Other(request) => self.session.handle_command(at, request),
                Direct::Done => {}
            },
            Err(rejected) => self.session.handle_rejected(at, rejected.reference, rejected.problem),
        }
        self.act_all(at);
    }

    /// Whether another turn would find nothing to do, when all that came was read and nothing else happens.
    pub fn is_at_rest(&self) -> bool {
        self.calls.is_empty()
            && self.catch_up.is_none()
            && self.congested.is_none()
            && self.pages.is_empty()
            && self.waiting.is_empty()
            && self.visits.is_none()
            && !self.connection.has_work()
            && self.session.poll_timeout().is_none_or(|due| self.armed.is_some_and(|armed| armed <= due))
    }

    /// Queues raw frames (pong, close).
    pub fn send_raw(&self, frame: &[u8]) {
        self.connection.send(|out| out.extend_from_slice(frame));
    }

    /// Does everything that can be done without waiting.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        let at = now();
        self.at = at;
        self.connection.register_in(cx);
        for notice in self.connection.take_notices() {
            let event = match notice {
                Notice::Ended(channel, code) => {
                    self.limits.remove(&channel);
                    if let Some(dialect) = &self.dialect {
                        dialect.ended(&channel);
                    }
                    HubEvent::Ended(channel, code)
                }
                Notice::Disconnect(problem) => HubEvent::Disconnect(problem),
            };
            self.session.handle_hub(at, event);
        }
        if self.session.poll_timeout().is_some_and(|due| due <= at.mono) {
            if self.take_accepted() {
                self.session.handle_sign(at, Sign::Accepted);
            }
            // A publisher that is held back cannot be heard: its pong waits in the kernel.
            if !self.wants_input() {
                self.session.handle_sign(at, Sign::Received);
            }
            self.session.handle_timeout(at);
            self.armed = None;
        }
        loop {
            self.act_all(at);
            self.next_page();
            let asked = self.serve_asks(at, cx);
            if !self.poll_calls(at, cx) && !asked {
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
        // A wheel whose ticks were held up makes up for them, and comes early to what was asked of it meanwhile.
        let came = !self.connection.is_armed();
        if came || self.armed.is_none_or(|armed| due < armed || armed <= at.mono) {
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
                Action::Joined { channel, result } => {
                    if let Some(visits) = &mut self.visits {
                        visits.joined(&channel, &result);
                    }
                }
                Action::Close(close) => self.close(&close),
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Of several connections that serve one client together, one stands for it.
        let stands = self.dialect.as_ref().is_none_or(|dialect| dialect.is_listed());
        if stands && let (Some(authorizer), Some(asker)) = (&self.node.authorizer, self.asker.as_deref()) {
            authorizer.disconnected(asker, self.transport.name());
        }
        self.node.hub.disconnect(&self.connection);
    }
}
