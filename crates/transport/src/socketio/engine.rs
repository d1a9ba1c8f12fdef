//! The task of one Engine.IO session: carried by requests at first or from the start by a WebSocket, changed once from the one to the other.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use fanfare_dialect_socketio::engine::{
    Beat, Fault, Heartbeat, Packet, Payload, Pushed, decode_text, open_packet,
};
use fanfare_protocol::{Code, Problem};
use fanfare_websocket::frame::{self, Opcode};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    bare::{EngineHandler, EngineMessage, EngineSocket},
    counted::{Arrived, Counted, full},
    forms::frames,
    mux::Mux,
    request::Kept,
    sessions::{Handle, Reply, Sessions, Told},
    settings::SocketIoSettings,
    spaces::{Ending, Spaces},
    websocket::{Carried, WebSocket},
};
use crate::{application::End, link::Wrote, node::Node};

/// Whose frame is cut while it is the session's own.
const OWN: u64 = 0;
/// Packets of the session's own that may wait, in bytes: a program that sends more than its client reads loses the client.
const OWN_BYTES: usize = 4 << 20;
/// Bytes of one answer to a GET, about: what is above waits for the next.
const ANSWER_BYTES: usize = 256 << 10;

/// What speaks above Engine.IO.
pub(super) enum Upper {
    /// Socket.IO.
    Spaces(Box<Spaces>),
    /// A program's own.
    Bare(Arc<dyn EngineHandler>),
}

/// How packets travel.
enum Carrier {
    /// A GET waits, perhaps; a POST whose answer waits until there is room for more, perhaps.
    Polling(Option<oneshot::Sender<Reply>>, Option<oneshot::Sender<Reply>>),
    /// One packet a frame.
    WebSocket(Box<WebSocket>),
}

/// One session.
pub(crate) struct Engine {
    node: Arc<Node>,
    sessions: Arc<Sessions>,
    handle: Arc<Handle>,
    mux: Arc<Mux>,
    carrier: Carrier,
    upper: Upper,
    heart: Heartbeat,
    begun: Instant,
    timer: Pin<Box<Sleep>>,
    /// The session's own packets, as frames: before all others.
    out: Vec<u8>,
    out_at: usize,
    /// What is left of a POST: it is taken as fast as there is room for what it causes.
    pushed: Option<Pushed>,
    /// What is held of POSTs.
    counted: Counted,
    /// A WebSocket is taking over.
    probed: bool,
    /// It ends: nothing but its last packets goes out.
    ending: bool,
}

/// What a session begins with.
pub(crate) struct Opening {
    pub node: Arc<Node>,
    pub sessions: Arc<Sessions>,
    pub handle: Arc<Handle>,
    pub settings: Arc<SocketIoSettings>,
    pub request: Kept,
    pub handler: Option<Arc<dyn EngineHandler>>,
}

impl Engine {
    fn new(opening: Opening, carrier: Carrier) -> Self {
        let Opening { node, sessions, handle, settings, request, handler } = opening;
        let mux = Mux::pulled(handle.clone());
        let begun = Instant::now();
        let heart = Heartbeat::new(0, settings.ping_interval_ms, settings.ping_timeout_ms);
        let upper = match handler {
            Some(handler) => Upper::Bare(handler),
            None => Upper::Spaces(Box::new(Spaces::new(
                node.clone(),
                settings,
                handle.clone(),
                mux.clone(),
                request,
            ))),
        };
        Self {
            node,
            sessions,
            handle,
            mux,
            carrier,
            upper,
            heart,
            begun,
            timer: Box::pin(sleep_until(begun)),
            out: Vec::new(),
            out_at: 0,
            pushed: None,
            counted: Counted::default(),
            probed: false,
            ending: false,
        }
    }

    /// A session that requests carry; its first answer is told here.
    pub fn polling(opening: Opening) -> (Self, Vec<u8>) {
        let settings = &opening.settings;
        let open = open_packet(
            &opening.handle.sid,
            true,
            settings.ping_interval_ms,
            settings.ping_timeout_ms,
            settings.max_payload,
        );
        (Self::new(opening, Carrier::Polling(None, None)), open.into_bytes())
    }

    /// A session that a WebSocket carries from the start.
    pub fn websocket(opening: Opening, socket: WebSocket) -> Self {
        let settings = &opening.settings;
        let open = open_packet(
            &opening.handle.sid,
            false,
            settings.ping_interval_ms,
            settings.ping_timeout_ms,
            settings.max_payload,
        );
        let mut engine = Self::new(opening, Carrier::Polling(None, None));
        engine.mux.open(socket.io.round_socket());
        engine.carrier = Carrier::WebSocket(Box::new(socket));
        engine.say(open.as_bytes());
        engine
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Queues a packet of the session's own.
    fn say(&mut self, packet: &[u8]) {
        frame::append_frame(&mut self.out, Opcode::Text, packet);
    }

    /// One packet of the client's.
    fn packet(&mut self, packet: Packet<'_>) -> Result<(), End> {
        match packet {
            Packet::Text(text) => self.message(EngineMessage::Text(text.to_owned())),
            Packet::Binary(bytes) => self.message(EngineMessage::Binary(bytes)),
            Packet::Pong => {
                let now = self.now();
                self.heart.handle_pong(now);
                if let Upper::Spaces(spaces) = &mut self.upper {
                    spaces.ponged();
                }
                Ok(())
            }
            Packet::Noop => Ok(()),
            Packet::Close => Err(End::Client),
            // Only the server pings, and an upgrade is said on another WebSocket.
            Packet::Ping(_) | Packet::Upgrade => Err(End::Lost),
        }
    }

    fn message(&mut self, message: EngineMessage) -> Result<(), End> {
        let done = match (&mut self.upper, message) {
            (Upper::Bare(handler), message) => {
                handler.clone().message(&EngineSocket::new(&self.handle), message);
                return Ok(());
            }
            (Upper::Spaces(spaces), EngineMessage::Text(text)) => spaces.text(&text),
            (Upper::Spaces(spaces), EngineMessage::Binary(bytes)) => spaces.binary(bytes),
        };
        done.map_err(|ending| {
            self.end(ending);
            End::Server
        })
    }

    /// Ends the session from this side.
    fn end(&mut self, ending: Ending) {
        let (code, reason) = match &ending {
            Ending::Fault => (None, String::new()),
            Ending::Problem(problem) => {
                if problem.code == Code::SlowConsumer {
                    self.node.hub.counters().slow_closes.inc();
                }
                (Some(problem.code.close()), fanfare_session::Close::of(problem).reason)
            }
        };
        self.close(End::Server, Reply::Packets(b"1".to_vec()), code.unwrap_or(1000), &reason);
    }

    /// Ends the session: `answer` for a GET that waits, a Close frame for a WebSocket.
    fn close(&mut self, why: End, answer: Reply, code: u16, reason: &str) {
        if self.ending {
            return;
        }
        self.ending = true;
        if let Upper::Spaces(spaces) = &mut self.upper {
            spaces.finish(why);
            spaces.is_gone();
        }
        self.sessions.close(&self.handle);
        match &mut self.carrier {
            Carrier::Polling(get, post) => {
                // Whoever waited may have gone.
                let _ = get.take().map(|get| get.send(answer));
                let _ = post.take().map(|post| post.send(Reply::Refused(Fault::BadRequest)));
            }
            Carrier::WebSocket(_) => self.out.extend_from_slice(&frame::close_frame(code, reason)),
        }
    }

    /// The other side ended it, or broke a rule.
    fn over(&mut self, why: End) {
        let answer = if why == End::Client { b"6".to_vec() } else { b"1".to_vec() };
        self.close(why, Reply::Packets(answer), 1000, "");
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Get(reply) => self.get(reply),
            Told::Post(arrived, reply) => self.post(arrived, reply),
            Told::Fault => self.over(End::Lost),
            Told::Probe => {
                self.probed = true;
            }
            Told::Upgrade(upgraded) => {
                if let Carrier::Polling(get, post) = &mut self.carrier {
                    // Whoever waited may have gone.
                    let _ = get.take().map(|get| get.send(Reply::Packets(b"6".to_vec())));
                    let _ = post.take().map(|post| post.send(Reply::Taken));
                    self.mux.open(upgraded.io.round_socket());
                    // Which counts by itself.
                    self.counted.let_go();
                    self.carrier = Carrier::WebSocket(Box::new(WebSocket::taken_over(*upgraded)));
                }
            }
            Told::End(namespace, problem, connection) => {
                if let Upper::Spaces(spaces) = &mut self.upper
                    && let Err(ending) = spaces.part(&namespace, problem, connection)
                {
                    self.end(ending);
                }
            }
            Told::Superseded => self.over(End::Lost),
            Told::Drain => {
                if let Upper::Spaces(spaces) = &self.upper
                    && spaces.is_empty()
                {
                    self.end(Ending::Problem(Problem::new(Code::Draining, "the server is stopping")));
                }
            }
            Told::Send(EngineMessage::Text(text)) => {
                self.say(format!("4{text}").as_bytes());
            }
            Told::Send(EngineMessage::Binary(bytes)) => {
                frame::append_frame(&mut self.out, Opcode::Binary, &bytes);
            }
        }
    }

    fn get(&mut self, reply: oneshot::Sender<Reply>) {
        // Whoever asked may have gone.
        match &mut self.carrier {
            Carrier::Polling(get @ None, _) => {
                *get = Some(reply);
                if let Upper::Spaces(spaces) = &mut self.upper {
                    spaces.asked_again();
                }
            }
            Carrier::Polling(Some(_), _) => {
                let _ = reply.send(Reply::Refused(Fault::BadRequest));
                self.over(End::Lost);
            }
            Carrier::WebSocket(_) => {
                let _ = reply.send(Reply::Refused(Fault::BadRequest));
            }
        }
    }

    fn post(&mut self, arrived: Arrived, reply: oneshot::Sender<Reply>) {
        let Carrier::Polling(_, post) = &mut self.carrier else {
            let _ = reply.send(Reply::Refused(Fault::BadRequest));
            return;
        };
        let Ok(pushed) = Pushed::read(arrived.text) else {
            let _ = reply.send(Reply::Refused(Fault::BadRequest));
            return self.over(End::Lost);
        };
        *post = Some(reply);
        (self.pushed, self.counted) = (Some(pushed), arrived.counted);
        if let Upper::Spaces(spaces) = &mut self.upper {
            spaces.received();
        }
        self.take_pushed();
    }

    /// Takes packets of a POST while there is room for what they cause.
    fn take_pushed(&mut self) {
        while !self.ending && self.has_room() {
            let Some(mut pushed) = self.pushed.take() else { return };
            let Some(packet) = pushed.take() else { return self.is_pushed() };
            let done = self.packet(packet);
            self.pushed = Some(pushed);
            if let Err(why) = done {
                if let (End::Client, Carrier::Polling(_, post)) = (why, &mut self.carrier) {
                    // It says goodbye: taken.
                    let _ = post.take().map(|post| post.send(Reply::Taken));
                }
                return self.over(why);
            }
        }
    }

    /// All of a POST was taken. What is left of it are attachments of a packet whose others are awaited.
    fn is_pushed(&mut self) {
        let held = match &self.upper {
            Upper::Spaces(spaces) => spaces.held(),
            Upper::Bare(_) => 0,
        };
        if matches!(self.carrier, Carrier::Polling(..)) && !self.counted.hold(self.node.hub.budget(), held) {
            self.end(Ending::Problem(full()));
        }
    }

    fn ping(&mut self) {
        self.say(b"2");
        if let Upper::Spaces(spaces) = &mut self.upper {
            spaces.pinged();
        }
    }

    fn beat(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        // Namespaces end by themselves when they take nothing for too long; a session of another kind must not wait for ever.
        let waits = matches!(&self.carrier, Carrier::WebSocket(socket) if socket.waits);
        // A client that is not read, because of the answers that it does not fetch or because its channel waits, cannot be heard.
        let blocked = (waits || !self.wants_input()) && matches!(self.upper, Upper::Spaces(_));
        if self.out.len() - self.out_at > OWN_BYTES {
            return self.over(End::Lost);
        }
        if self.handle.asks.load(Ordering::Acquire) && self.heart.ask(now) {
            self.handle.asks.store(false, Ordering::Release);
            self.ping();
        }
        match self.heart.handle_timeout(now, blocked) {
            Beat::Wait => {}
            Beat::Ping => self.ping(),
            Beat::Dead => {
                self.node.errors.count(Code::NoPong);
                self.over(End::Lost);
            }
        }
        let beat = self.begun + Duration::from_millis(self.heart.due());
        let due = match &self.upper {
            Upper::Spaces(spaces) => spaces.due().map_or(beat, |due| due.min(beat)),
            Upper::Bare(_) => beat,
        };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn wants_input(&self) -> bool {
        self.pushed.is_none() && self.has_room()
    }

    /// Whether there is room for what another packet causes.
    fn has_room(&self) -> bool {
        let room = self.out.len() - self.out_at < self.node.rules.transport().control_bytes;
        room && match &self.upper {
            Upper::Spaces(spaces) => spaces.wants_input(),
            Upper::Bare(_) => true,
        }
    }

    /// Everything that is said and done without waiting.
    fn drive(&mut self, cx: &mut Context<'_>) {
        for told in self.handle.take(cx) {
            self.told(told);
        }
        if self.ending {
            return;
        }
        self.beat(cx);
        self.take_pushed();
        if self.ending {
            return;
        }
        if let Upper::Spaces(spaces) = &mut self.upper {
            let driven = spaces.drive(cx);
            self.out.append(&mut spaces.out);
            if let Err(ending) = driven {
                self.end(ending);
            }
        }
    }

    /// Answers requests that wait. True when the session is over.
    fn answer(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ending {
            return true;
        }
        let wants = self.wants_input();
        let Carrier::Polling(get, post) = &mut self.carrier else { return false };
        if wants && let Some(post) = post.take() {
            // Who pushed may have gone: what was pushed was taken.
            let _ = post.send(Reply::Taken);
        }
        if let Some(waiting) = get
            && waiting.poll_closed(cx).is_ready()
        {
            self.over(End::Lost);
            return true;
        }
        if get.is_none() {
            return false;
        }
        let mut taken = std::mem::take(&mut self.out);
        if let Upper::Spaces(spaces) = &mut self.upper {
            let pumped = spaces.pump(cx, &mut |bytes| match taken.len() < ANSWER_BYTES {
                true => {
                    taken.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
                false => Err(io::ErrorKind::WouldBlock.into()),
            });
            if pumped == Wrote::Dead {
                self.over(End::Lost);
                return true;
            }
            spaces.rests(false, !taken.is_empty());
        }
        let mut payload = Payload::default();
        for frame in frames(&taken) {
            match frame.is_text {
                true => payload.text(frame.payload),
                false => payload.binary(frame.payload),
            }
        }
        if payload.is_empty() && self.probed {
            payload.text(b"6");
        }
        if !payload.is_empty()
            && let Carrier::Polling(get, _) = &mut self.carrier
            && let Some(get) = get.take()
        {
            if get.send(Reply::Packets(payload.into_bytes())).is_err() {
                self.over(End::Lost);
                return true;
            }
            if let Upper::Spaces(spaces) = &mut self.upper {
                spaces.answered();
            }
        }
        false
    }

    /// Writes to the WebSocket what there is: the session's own packets, then the namespaces'.
    fn pump(&mut self, cx: &mut Context<'_>) -> Wrote {
        let Carrier::WebSocket(socket) = &mut self.carrier else { return Wrote::Enough };
        let owner = self.mux.owner();
        if owner.is_some_and(|owner| owner != OWN)
            && let Upper::Spaces(spaces) = &mut self.upper
        {
            match spaces.pump(cx, &mut |bytes| socket.io.try_write(bytes)) {
                Wrote::Enough | Wrote::Finished => {}
                other => return other,
            }
        }
        while let Some(rest) = self.out.get(self.out_at..).filter(|rest| !rest.is_empty()) {
            match self.mux.write(OWN, None, rest, |bytes| socket.io.try_write(bytes)) {
                Ok(0) => return Wrote::Dead,
                Ok(n) => self.out_at += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wrote::Blocked,
                Err(_) => return Wrote::Dead,
            }
        }
        (self.out, self.out_at) = (Vec::new(), 0);
        if self.ending {
            return Wrote::Finished;
        }
        match &mut self.upper {
            Upper::Spaces(spaces) => spaces.pump(cx, &mut |bytes| socket.io.try_write(bytes)),
            Upper::Bare(_) => Wrote::Enough,
        }
    }

    /// One turn on a WebSocket; true when it must be taken again at once, None when the session is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        let wrote = self.pump(cx);
        let Carrier::WebSocket(socket) = &mut self.carrier else { return Some(false) };
        let mut waits = false;
        match wrote {
            Wrote::Enough => {}
            Wrote::Blocked => match socket.io.poll_writable(cx) {
                Poll::Ready(Ok(())) => return Some(true),
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => waits = true,
            },
            Wrote::Finished => return socket.poll_linger(cx).is_pending().then_some(false),
            Wrote::Dead => return None,
        }
        match socket.io.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return None,
            Poll::Pending => waits = true,
        }
        let progress = socket.io.take_progress();
        socket.waits = waits;
        if self.ending {
            return if socket.is_late(cx) { None } else { Some(false) };
        }
        if let Upper::Spaces(spaces) = &mut self.upper {
            spaces.rests(waits, progress);
        }
        self.read(cx)
    }

    /// Reads while there is something and there is room for it. None when the client is gone.
    fn read(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        let mut any = false;
        while self.wants_input() && !self.ending {
            let Carrier::WebSocket(socket) = &mut self.carrier else { return Some(any) };
            let held = match &self.upper {
                Upper::Spaces(spaces) => spaces.held(),
                Upper::Bare(_) => 0,
            };
            match socket.poll_message(cx, self.node.hub.budget(), held) {
                Poll::Pending => break,
                Poll::Ready(Carried::Again) => any = true,
                Poll::Ready(Carried::Text(text)) => {
                    any = true;
                    if let Upper::Spaces(spaces) = &mut self.upper {
                        spaces.received();
                    }
                    let text = std::str::from_utf8(&text).unwrap_or_default();
                    let done =
                        decode_text(text).map_err(|_| End::Lost).and_then(|packet| self.packet(packet));
                    if let Err(why) = done {
                        self.over(why);
                    }
                    // Commands cause replies, which are bounded between two messages.
                    if let Upper::Spaces(spaces) = &mut self.upper {
                        self.out.append(&mut spaces.out);
                    }
                }
                Poll::Ready(Carried::Binary(bytes)) => {
                    any = true;
                    if let Err(why) = self.packet(Packet::Binary(bytes)) {
                        self.over(why);
                    }
                }
                Poll::Ready(Carried::Say(frame)) => {
                    any = true;
                    self.out.extend_from_slice(&frame);
                }
                Poll::Ready(Carried::Close(frame)) => {
                    any = true;
                    self.over(End::Lost);
                    // Its own words in the place of ours.
                    self.out.truncate(self.out.len().saturating_sub(frame::close_frame(1000, "").len()));
                    self.out.extend_from_slice(&frame);
                }
                Poll::Ready(Carried::Late(problem)) => self.end(Ending::Problem(problem)),
                Poll::Ready(Carried::Gone) => return None,
            }
        }
        Some(any)
    }
}

impl Future for Engine {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        for _ in 0..8 {
            me.drive(cx);
            match &me.carrier {
                Carrier::Polling(..) => {
                    if me.answer(cx) {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
                Carrier::WebSocket(_) => match me.turn(cx) {
                    None => return Poll::Ready(()),
                    Some(false) => return Poll::Pending,
                    Some(true) => {}
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.sessions.close(&self.handle);
        self.handle.upgraded.store(true, Ordering::Release);
        if let Upper::Spaces(spaces) = &mut self.upper
            && !self.ending
        {
            spaces.is_gone();
        }
    }
}

/// Told to a client whose message took too long.
pub(super) fn too_late() -> Problem {
    Problem::new(Code::BadRequest, "a message took more than 60 s to arrive")
        .remedy("send a message without pauses, or smaller ones")
}
