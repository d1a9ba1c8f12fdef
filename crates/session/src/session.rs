//! The machine itself: what it holds, its inputs and outputs. What commands and answers do is in the files beside.
use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use fanfare_protocol::{
    ClientId, Code, Command, Event, Identity, Problem, Ref, Request, SessionId, SubscribeOptions,
    event::Welcome,
};

use crate::{
    Action, Close, HubCall, HubEvent, Limits, Now, Rules, Sign, Ticket,
    bucket::Bucket,
    calls::Calls,
    channels::{Channels, is_current},
    direct::Allowed,
    liveness::{Liveness, Verdict},
    timeline::{NEVER, Timeline},
};

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The client's secret, for `welcome`; not kept.
    pub session: SessionId,
    /// Its public name.
    pub client: ClientId,
    /// What the credentials shown so far say; the default is anonymous.
    pub identity: Arc<Identity>,
    /// True for a WebSocket: `welcome`, the token's channels, pings that want an answer. False for SSE and streams.
    pub welcome: bool,
    /// For the jitter of pings; any number.
    pub seed: u64,
    /// The server's version, for `welcome`.
    pub version: &'static str,
}

/// An `auth` that is being verified, and what came after it.
#[derive(Default, Debug)]
pub(crate) struct Renewal {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) held: VecDeque<Request>,
}

/// One connection of one client, without IO and clock.
///
/// Give it what happens (`handle_*`), then do what it says ([`Session::poll_action`]) until there is nothing left, and call
/// [`Session::handle_timeout`] when [`Session::poll_timeout`] is reached. After [`Action::Close`] it does nothing any more.
///
/// - Commands of one channel take effect in order; a command waits while a `subscribe` of its channel is unanswered or a token
///   that came with an earlier command is being verified, and all commands wait while an `auth` is.
/// - A hub answers every call with a ticket once, in any order, but what it says about one channel's reader
///   ([`HubEvent::Subscribed`], [`HubEvent::Ended`]) comes in the order in which it happened.
pub struct Session {
    pub(crate) rules: Arc<dyn Rules>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) client: ClientId,
    pub(crate) timeline: Timeline,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) calls: Calls,
    pub(crate) channels: Channels,
    pub(crate) renewal: Option<Box<Renewal>>,
    live: Liveness,
    bucket: Bucket,
    /// The last publication that was found to be allowed.
    pub(crate) allowed: Option<Box<Allowed>>,
    /// When the identity expires, on the session's scale.
    pub(crate) expiry: u64,
    /// When the first token of a channel expires.
    pub(crate) token_expiry: u64,
    /// Payload bytes of the commands that wait.
    pub(crate) waiting_bytes: u64,
    /// Commands that wait.
    pub(crate) waiting: u32,
    /// Channels with a reader, counted against the limit.
    pub(crate) reading: u32,
    /// Channels entered, counted against the limit.
    pub(crate) entered: u32,
    pub(crate) closed: bool,
}

impl Session {
    /// Begins a session: identifies it to the hub, welcomes a WebSocket client and subscribes its token's channels.
    pub fn new(now: Now, open: Opening, rules: Arc<dyn Rules>) -> Self {
        let limits = rules.limits();
        let timeline = Timeline::starting(now);
        let mut session = Self {
            live: Liveness::new(0, open.welcome, open.seed, &limits),
            identity: open.identity.clone(),
            client: open.client,
            timeline,
            actions: VecDeque::new(),
            calls: Calls::default(),
            channels: Channels::default(),
            renewal: None,
            bucket: Bucket::default(),
            allowed: None,
            expiry: open.identity.expires_at.map_or(NEVER, |at| timeline.of_unix(now, at)),
            token_expiry: NEVER,
            waiting_bytes: 0,
            waiting: 0,
            reading: 0,
            entered: 0,
            closed: false,
            rules,
        };
        session.hub(HubCall::Identify { identity: open.identity.clone() });
        if open.welcome {
            session.send(Event::Welcome(Box::new(Welcome {
                session: open.session,
                client: open.client,
                ping_ms: limits.ping_ms,
                idempotency_ms: limits.idempotency_ms,
                version: open.version,
                time: now.unix_ms,
                user: open.identity.user.clone(),
                expires_at: open.identity.expires_at,
            })));
            session.subscribe_own_channels(now);
        }
        session
    }

    /// A command came in. Refusals become [`Event::Error`] actions.
    pub fn handle_command(&mut self, now: Now, request: Request) {
        if self.end_if_expired(now) {
            return;
        }
        if let Err(problem) = self.meter(now, &request.command) {
            return self.refuse(request.reference, problem);
        }
        self.route_or_hold(now, request);
    }

    /// A frame came in that the codec refused.
    pub fn handle_rejected(&mut self, now: Now, reference: Option<Ref>, problem: Problem) {
        if !self.end_if_expired(now) {
            self.refuse(reference, problem);
        }
    }

    /// The hub, or auth, answers or tells.
    pub fn handle_hub(&mut self, now: Now, event: HubEvent) {
        if !self.closed {
            self.answered(now, event);
        }
    }

    /// The driver saw a sign of life, or none.
    pub fn handle_sign(&mut self, now: Now, sign: Sign) {
        if sign == Sign::Received {
            self.live.received();
        } else if !self.closed {
            let limits = self.rules.limits();
            self.live.sign(self.timeline.micros(now), sign, &limits);
        }
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.end_if_expired(now) {
            return;
        }
        let micros = self.timeline.micros(now);
        if self.expiry <= micros {
            // The wall clock was set back meanwhile. Never at once again, or a driver would spin.
            let at = self.identity.expires_at.map_or(NEVER, |at| self.timeline.of_unix(now, at));
            self.expiry = at.max(micros.saturating_add(1000));
        }
        if self.token_expiry <= micros {
            self.expire_tokens(now);
        }
        let limits = self.rules.limits();
        let listening = self.wants_input();
        match self.live.timeout(micros, listening, &limits) {
            Verdict::Fine => {}
            Verdict::Ping => self.actions.push_back(Action::Ping),
            Verdict::NoPong => {
                let detail = format!("nothing came for {} ms after a ping", limits.pong_ms);
                self.end(Problem::new(Code::NoPong, detail));
            }
            Verdict::Stalled => {
                let detail = format!("the connection took nothing for {} ms", limits.stall_ms);
                self.end(Problem::new(Code::SlowConsumer, detail));
            }
        }
    }

    /// What to do next; call it until it says None.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() {
            // An idle connection keeps no memory for this.
            self.actions = VecDeque::new();
        }
        action
    }

    /// When [`Session::handle_timeout`] wants to be called. It may change with every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        self.timeline.instant(self.live.due().min(self.expiry).min(self.token_expiry))
    }

    /// False while so many commands wait or are unanswered that no more should be read. Nothing that comes all the same is lost.
    pub fn wants_input(&self) -> bool {
        if self.closed {
            return false;
        }
        // Almost always nothing waits, and the limits need not be asked for.
        if self.unanswered() == 0 {
            return true;
        }
        let limits = self.rules.limits();
        self.waiting as usize + self.calls.len() < limits.pending_commands.max(1)
            && self.waiting_bytes < 16 * limits.message_bytes.max(4096) as u64
    }

    /// Who this connection is now.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The client's public name.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// True once [`Action::Close`] is among the actions or was taken.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Channels with a reader, attached or asked for.
    pub fn subscriptions(&self) -> usize {
        self.reading as usize
    }

    /// Commands that wait for others, and calls without an answer.
    pub fn unanswered(&self) -> usize {
        self.waiting as usize + self.calls.len()
    }

    pub(crate) fn send(&mut self, event: Event) {
        self.actions.push_back(Action::Send(event));
    }

    pub(crate) fn hub(&mut self, call: HubCall) {
        self.actions.push_back(Action::Hub(call));
    }

    pub(crate) fn refuse(&mut self, reference: Option<Ref>, problem: Problem) {
        self.send(Event::Error { reference, problem });
    }

    /// Says why, then closes. What was asked stays unanswered: the connection is gone.
    pub(crate) fn end(&mut self, problem: Problem) {
        let close = Close::of(&problem);
        self.send(Event::Disconnect(problem));
        self.actions.push_back(Action::Close(close));
        self.closed = true;
        self.calls.clear();
        self.channels = Channels::default();
        self.renewal = None;
        (self.waiting, self.waiting_bytes, self.reading, self.entered) = (0, 0, 0, 0);
    }

    /// True when the session is over, be it only now.
    pub(crate) fn end_if_expired(&mut self, now: Now) -> bool {
        if !self.closed && !is_current(&self.identity, now.unix_ms) {
            self.end(Problem::new(Code::TokenExpired, "the token of this connection has expired"));
        }
        self.closed
    }

    /// Something came in that is no command here and counts as one.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn meter_event(&mut self, now: Now) -> Result<(), Problem> {
        let limits = self.rules.limits();
        self.meter_by(now, &limits)
    }

    pub(crate) fn meter_by(&mut self, now: Now, limits: &Limits) -> Result<(), Problem> {
        if limits.commands_per_second == 0 {
            return Ok(());
        }
        let micros = self.timeline.micros(now);
        self.bucket.take(micros, limits.commands_per_second, limits.commands_burst).map_err(|wait| {
            let detail =
                format!("more than {} commands a second on this connection", limits.commands_per_second);
            Problem::new(Code::RateLimited, detail).retry_after_ms(wait)
        })
    }

    /// Whether the rate limit lets the command pass. What gives resources back is never refused.
    fn meter(&mut self, now: Now, command: &Command) -> Result<(), Problem> {
        match command {
            Command::Auth { .. } | Command::Unsubscribe { .. } | Command::Leave { .. } | Command::Ping => {
                Ok(())
            }
            Command::Subscribe { .. }
            | Command::Publish { .. }
            | Command::History { .. }
            | Command::Members { .. }
            | Command::Enter { .. }
            | Command::Call { .. }
            | Command::Answer { .. } => self.meter_event(now),
        }
    }

    /// The token's channels, except those that are read already: a renewal moves no reader.
    pub(crate) fn subscribe_own_channels(&mut self, now: Now) {
        let identity = self.identity.clone();
        for channel in &identity.channels {
            let is_new =
                self.channels.get(channel).is_none_or(|known| known.reader == crate::channels::Reader::None);
            if is_new {
                let command = Command::Subscribe {
                    channel: channel.clone(),
                    options: SubscribeOptions::default(),
                    token: None,
                };
                self.route(now, Request { reference: None, command });
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.client)
            .field("user", &self.identity.user)
            .field("channels", &self.channels)
            .field("calls", &self.calls)
            .field("waiting", &self.waiting)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Session;

    #[test]
    fn an_idle_session_is_small() {
        let size = size_of::<Session>();
        assert!(size <= 256, "{size} bytes; what is rarely used belongs in a box");
    }
}
