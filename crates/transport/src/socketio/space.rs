//! One namespace of one connection: its lanes, which are connections of the hub, one for each way in which it reads.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use fanfare_dialect_socketio::{Input, Kind, Layout, Parser, Wire, contract, json, ring::Ring, wire};
use fanfare_protocol::{
    Args, ChannelName, Code, Command, Data, EventName, Format, Identity, Position, Problem, Ref, Request,
    SubscribeOptions, command::Token, options::SubscribeRequest,
};
use http::request::Parts;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    core::{Core, Place, Room},
    few::Few,
    forms::{WebSocketFrames, form},
    mux::{LaneSocket, Mux},
    peer::SocketPeer,
    record,
    said::{Said, Say},
    sessions::Handle,
};
use crate::{
    access::Caller,
    application::{End, Later, Visit},
    authorizer::{Afterwards, Asker},
    link::{Dialect, Link, Wrote},
    node::Node,
    plan::{Plan, Transport},
};

/// Events before the application that are not answered; with more the connection is not read.
const CALLS: usize = 64;
/// Channels whose lane is remembered before anything of them is known.
const ASKED: usize = 512;
/// How long a client whose visit ends may take to receive what was said to it before.
const GOODBYE: Duration = Duration::from_secs(5);

/// Names lanes for the mux.
static LANES: AtomicU64 = AtomicU64::new(1);

/// Hears what happens to a lane's session.
struct Watch {
    core: Arc<Core>,
    ring: Arc<Mutex<Ring>>,
    layout: Layout,
    is_main: bool,
    over: Mutex<Option<Box<Problem>>>,
}

impl Dialect for Watch {
    fn begun(&self, channel: &ChannelName, options: &SubscribeOptions, after: Position) {
        self.core.reads(channel, Room { layout: self.layout, options: without_start(options) });
        self.core.begun(&self.ring, channel, after);
    }

    fn ended(&self, channel: &ChannelName) {
        self.core.reads_no_more(channel, self.layout);
    }

    fn is_member(&self, channel: &ChannelName, data: Option<&Data>) {
        self.core.is_member(channel, data);
    }

    fn over(&self, problem: &Problem) {
        self.over.lock().get_or_insert_with(|| Box::new(problem.clone()));
    }

    fn is_listed(&self) -> bool {
        self.is_main
    }
}

/// One connection of the hub.
pub(super) struct Lane {
    layout: Layout,
    id: u64,
    link: Link,
    watch: Arc<Watch>,
    recovers: bool,
}

/// What a namespace's lanes are made of.
pub(super) struct Ground {
    pub node: Arc<Node>,
    pub mux: Arc<Mux>,
    /// The request that the connection came with, where somebody decides who may want it.
    pub parts: Option<Arc<Parts>>,
    pub parser: Parser,
    /// The log outlives the process, and what it says of clients with it: it is told so often how far they have come.
    pub afresh: Option<Duration>,
    /// What is to be done to the client once it is in.
    pub then: Option<Afterwards>,
}

/// A call that the application has not answered.
struct Call {
    id: Option<u64>,
    /// The contract's word of that name, should the application not have it.
    word: Option<(String, Box<str>)>,
    answer: Later<Result<Args, Problem>>,
}

/// A visit that ends once the client has received what was said to it before.
struct Parting {
    problem: Problem,
    /// The whole connection ends.
    connection: bool,
    /// Everything that was to be said before is on its way.
    is_said: bool,
    /// By then at the latest.
    due: Instant,
}

/// What a client had been sent in a namespace at some time.
pub(super) struct Sent(Arc<Mutex<Ring>>, u64);

impl Sent {
    /// It has received that.
    pub fn received(self) {
        self.0.lock().received(self.1);
    }
}

/// A namespace that a client is in.
pub(super) struct Space {
    pub core: Arc<Core>,
    ring: Arc<Mutex<Ring>>,
    ground: Arc<Ground>,
    identity: Arc<Identity>,
    /// The first stands for the client in lists, and tells it everything but messages.
    lanes: Vec<Lane>,
    pub visit: Option<Arc<dyn Visit>>,
    calls: Vec<Call>,
    pub peer: Option<Arc<SocketPeer>>,
    /// The lanes that channels were last asked for on: what is said about a channel takes effect in order.
    asked: Few<Layout>,
    parting: Option<Parting>,
    /// The token that an anonymous client showed later.
    bearer: Option<Token>,
    /// Why it ends, for the application.
    pub end: End,
    entered: bool,
}

impl Space {
    /// None when another connection of the client has come meanwhile.
    pub fn new(
        ground: Arc<Ground>,
        core: Arc<Core>,
        identity: Arc<Identity>,
        handle: &Arc<Handle>,
        turn: u64,
    ) -> Option<Self> {
        let has_peer = ground.node.speaks_to_clients(&core.namespace);
        let mut space = Self {
            ring: core.ring(),
            core,
            ground,
            identity,
            lanes: Vec::new(),
            visit: None,
            calls: Vec::new(),
            peer: None,
            asked: Few::default(),
            parting: None,
            bearer: None,
            end: End::Lost,
            entered: false,
        };
        let layout = if has_peer { Layout::Rooms } else { Layout::Channels };
        let connection = space.lane(layout).link.connection.clone();
        if has_peer {
            space.peer = Some(Arc::new(SocketPeer {
                core: space.core.clone(),
                ring: space.ring.clone(),
                node: space.ground.node.clone(),
                handle: Arc::downgrade(handle),
                connection: connection.clone(),
                wire: space.wire(Layout::Rooms),
                held: Arc::new(Mutex::new(Some(Vec::new()))),
                said: Said::behind(connection.clone(), space.ground.node.rules.transport().control_bytes),
            }));
            space.introduce();
        }
        space.core.is_live(handle, vec![connection], turn).then_some(space)
    }

    fn wire(&self, layout: Layout) -> Wire {
        Wire {
            namespace: (*self.core.namespace).into(),
            layout,
            parser: self.ground.parser,
            positions: self.core.pid.is_some(),
        }
    }

    /// The lane of a layout, opened when it is first needed.
    fn lane(&mut self, layout: Layout) -> &mut Lane {
        let at = match self.lanes.iter().position(|lane| lane.layout == layout) {
            Some(at) => at,
            None => {
                let lane = self.open(layout);
                self.core.also_lives(&lane.link.connection);
                if let Some(main) = self.lanes.first()
                    && !main.link.connection.accompanied_by(&lane.link.connection)
                {
                    lane.link.connection.finish();
                }
                // Mostly there is one.
                self.lanes.reserve_exact(1);
                self.lanes.push(lane);
                self.introduce();
                self.lanes.len() - 1
            }
        };
        // It was found or pushed just now.
        &mut self.lanes[at]
    }

    /// Shows the client to the newest lane, for decisions that want something done to it.
    fn introduce(&mut self) {
        if let (Some(peer), Some(lane)) = (&self.peer, self.lanes.last_mut()) {
            lane.link.speak_through(peer.clone());
        }
    }

    fn open(&self, layout: Layout) -> Lane {
        let Ground { node, mux, parts, .. } = &*self.ground;
        let id = LANES.fetch_add(1, Ordering::Relaxed);
        let recovers = self.core.pid.is_some();
        let ring = recovers.then(|| self.ring.clone());
        let plan = Plan {
            transport: Transport::SocketIo,
            format: Format::Json,
            form: form(&self.wire(layout)),
            caller: Caller {
                identity: self.identity.clone(),
                session: self.core.session.clone(),
                session_is_new: false,
                client: self.core.client,
            },
            request: SubscribeRequest::default(),
            refused: None,
            accept: String::new(),
            subprotocol: None,
            parts: parts.clone(),
        };
        let mut link = Link::open(node, plan, Box::new(LaneSocket { mux: mux.clone(), lane: id, ring }));
        let watch = Arc::new(Watch {
            core: self.core.clone(),
            ring: self.ring.clone(),
            layout,
            is_main: self.lanes.is_empty(),
            over: Mutex::default(),
        });
        link.serve(watch.clone());
        if let Some(bearer) = &self.bearer {
            link.command(auth(bearer));
        }
        Lane { layout, id, link, watch, recovers }
    }

    fn main(&mut self) -> Option<&mut Lane> {
        self.lanes.first_mut()
    }

    /// Writes a packet to the client, before any message that is written later.
    pub fn send(&self, kind: Kind, id: Option<u64>, json: &[u8]) {
        if let Some(main) = self.lanes.first() {
            let wire = self.wire(main.layout);
            main.link.connection.send(|out| wire.packet(kind, id, json, &mut WebSocketFrames(out)));
        }
    }

    /// The client is in: it is told so, then goes on reading, then hears from the application.
    pub fn begin(&mut self, resumed: Option<Vec<Place>>) {
        let sid = json::string(&self.core.sid);
        let reply = match &self.core.pid {
            Some(pid) => format!("{{\"sid\":{sid},\"pid\":{}}}", json::string(pid)),
            None => format!("{{\"sid\":{sid}}}"),
        };
        self.send(Kind::Connect, None, reply.as_bytes());
        self.entered = true;
        if let Some(peer) = &self.peer {
            peer.release();
        }
        match resumed {
            Some(resumed) => self.go_on(resumed),
            None => {
                let identity = self.identity.clone();
                for channel in &identity.channels {
                    self.subscribe(channel.clone(), Layout::Channels, SubscribeOptions::default());
                }
            }
        }
        if let Some(visit) = &self.visit {
            visit.begin();
        }
        if let (Some(peer), Some(then), Some(request)) = (&self.peer, &self.ground.then, &self.ground.parts)
            && !then.is_empty()
        {
            then.run(&Asker {
                identity: self.identity.clone(),
                client: self.core.client,
                request: request.clone(),
                peer: Some(peer.clone()),
            });
        }
    }

    fn subscribe(&mut self, channel: ChannelName, layout: Layout, options: SubscribeOptions) {
        let command = Command::Subscribe { channel, options, token: None };
        self.lane(layout).link.command(Request { reference: None, command });
    }

    /// Reads on where the client was interrupted. Rooms were joined again before ([`Space::rejoin`]).
    fn go_on(&mut self, resumed: Vec<Place>) {
        for (channel, data) in self.core.memberships() {
            let layout = self.core.layout_of(&channel).unwrap_or(Layout::Channels);
            let command = Command::Enter { channel, data, token: None };
            self.lane(layout).link.command(Request { reference: None, command });
        }
        for Place { channel, room, at, .. } in resumed {
            if room.layout != Layout::Rooms {
                let mut options = room.options;
                options.start.since = Some(at);
                self.subscribe(channel, room.layout, options);
            }
        }
        for (id, array) in self.core.unanswered() {
            self.send(Kind::Event, Some(id), &array);
        }
    }

    /// Joins the rooms again in which an interrupted client was, each from where it had not received it; nothing is written before
    /// [`Space::begin`].
    pub fn rejoin(&self, resumed: &[Place]) -> Later<Result<(), Problem>> {
        let Some(peer) = self.peer.clone() else { return Box::pin(async { Ok(()) }) };
        let rooms: Vec<_> =
            resumed.iter().filter(|place| place.room.layout == Layout::Rooms).cloned().collect();
        Box::pin(async move {
            for Place { channel, room, at, .. } in rooms {
                let mut options = room.options;
                options.start.since = Some(at);
                let begun = peer.node.hub.subscribe(&peer.connection, &channel, &options, None).await?;
                peer.core.begun(&peer.ring, &channel, begun.after);
                if let Some(held) = &mut *peer.held.lock() {
                    held.push(channel);
                }
            }
            Ok(())
        })
    }

    /// What the client said here.
    pub fn handle(&mut self, input: Input) {
        if self.parting.is_some() {
            return;
        }
        match input {
            Input::Event { id, name, array, .. } => self.event(id, name, array),
            Input::Ack { id, array, .. } => {
                if let Ok(args) = Args::from_array(&String::from(array).into()) {
                    self.core.answered(id, args);
                }
            }
            Input::Connect { .. } | Input::Disconnect { .. } => {}
        }
    }

    fn event(&mut self, id: Option<u64>, name: String, array: Box<str>) {
        let Some(visit) = self.visit.clone() else { return self.ask(id, &name, &array) };
        let word = contract::is_word(&name).then(|| (name.clone(), array.clone()));
        let called = EventName::parse(&name).and_then(|event| {
            let mut args = Args::from_array(&String::from(array).into())?;
            args.0.remove(0);
            let most = self.ground.node.rules.limits().message_bytes;
            if args.bytes() > most {
                let detail = format!("the arguments are {} bytes; at most {most} are allowed", args.bytes());
                return Err(Problem::new(Code::TooLarge, detail));
            }
            self.main().map_or(Ok(()), |main| main.link.meter_event())?;
            Ok((event, args))
        });
        match called {
            Ok((event, args)) => self.calls.push(Call { id, word, answer: visit.call(event, args) }),
            Err(problem) => self.refuse(id, problem),
        }
    }

    /// A word of the contract, or nothing that anybody here knows.
    fn ask(&mut self, id: Option<u64>, name: &str, array: &str) {
        let elements = json::elements(array).unwrap_or_default();
        let args = elements.get(1..).unwrap_or_default();
        if !contract::is_word(name) {
            let shown: String = name.chars().take(40).collect();
            let problem = Problem::new(Code::NotFound, format!("nobody here handles the event {shown:?}"))
                .remedy("emit subscribe, publish, enter, leave, members or history, or add a handler to the application");
            return self.refuse(id, problem);
        }
        match contract::read(&self.core.namespace, name, args, id) {
            Ok(asked) => asked.into_iter().for_each(|asked| self.run(asked)),
            Err(problem) => self.refuse(id, problem),
        }
    }

    fn run(&mut self, asked: contract::Asked) {
        let contract::Asked { mut layout, mut request, bearer } = asked;
        if let Some(bearer) = bearer {
            self.show(bearer, &mut request.command);
        }
        match &request.command {
            Command::Subscribe { channel, .. } => {
                if layout == Layout::Echo && self.core.layout_of(channel) == Some(Layout::Echo) {
                    // It goes on already: said again after a recovery.
                    return;
                }
                let before = self.way_of(channel, layout);
                if before != layout {
                    // It is read in one way: as was asked last.
                    let command = Command::Unsubscribe { channel: channel.clone() };
                    let silent = Some(Ref::Text("".into()));
                    self.lane(before).link.command(Request { reference: silent, command });
                }
                self.goes(channel, layout);
            }
            Command::Enter { channel, .. } => {
                layout = self.way_of(channel, layout);
                self.goes(channel, layout);
            }
            Command::Unsubscribe { channel } => {
                layout = self.way_of(channel, layout);
                self.asked.remove(channel);
            }
            Command::Publish { publish, .. } => layout = self.way_of(&publish.channel, layout),
            Command::Leave { channel }
            | Command::History { channel, .. }
            | Command::Members { channel, .. } => layout = self.way_of(channel, layout),
            _ => {}
        }
        self.lane(layout).link.command(request);
    }

    /// The lane for a command about a channel: behind the subscription or the entry that came before it.
    fn way_of(&self, channel: &ChannelName, otherwise: Layout) -> Layout {
        self.asked.get(channel).copied().or_else(|| self.core.layout_of(channel)).unwrap_or(otherwise)
    }

    /// What comes after this about the channel goes the same way. What is forgotten here is known once it was answered.
    fn goes(&mut self, channel: &ChannelName, layout: Layout) {
        if self.asked.len() >= ASKED {
            self.asked = Few::default();
        }
        self.asked.insert(channel.clone(), layout);
    }

    /// A token that came beside a command: that of a client without one becomes the client's own, another's is the command's.
    fn show(&mut self, bearer: Token, command: &mut Command) {
        if !self.identity.is_anonymous() {
            if let Command::Subscribe { token, .. } | Command::Enter { token, .. } = command {
                *token = Some(bearer);
            }
        } else if self.bearer.as_ref() != Some(&bearer) {
            for lane in &mut self.lanes {
                lane.link.command(auth(&bearer));
            }
            self.bearer = Some(bearer);
        }
    }

    fn refuse(&mut self, id: Option<u64>, problem: Problem) {
        let reference = id.and_then(|id| i64::try_from(id).ok()).map(Ref::Number);
        if let Some(main) = self.main() {
            main.link.refuse(reference, problem);
        }
    }

    /// Whether more may be read from the client now.
    pub fn wants_input(&self) -> bool {
        let said = self.peer.as_ref().map_or(0, |peer| peer.said.len());
        self.calls.len() + said < CALLS
            && self.visit.as_ref().is_none_or(|visit| visit.has_room())
            && self.lanes.iter().all(|lane| lane.link.wants_input())
    }

    /// Does everything that can be done without waiting. Why the namespace is over, if it is.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> Option<Problem> {
        self.poll_calls(cx);
        self.tell();
        for lane in &mut self.lanes {
            lane.link.drive(cx);
        }
        if let Some(afresh) = self.ground.afresh
            && self.core.pid.is_some()
            && self.core.take_stale(afresh)
        {
            record::write(&self.ground.node.hub, &self.core, false);
        }
        self.lanes.iter().find_map(|lane| lane.watch.over.lock().take()).map(|problem| *problem)
    }

    /// The connection is gone, and nothing more is sent: the client may come back, also to another run of the server.
    pub fn is_gone(&self, handle: &Arc<Handle>) {
        self.finish();
        if self.core.is_gone(handle) && self.core.is_recorded() {
            record::write(&self.ground.node.hub, &self.core, true);
        }
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) {
        let mut n = 0;
        while let Some(call) = self.calls.get_mut(n) {
            let Poll::Ready(answer) = call.answer.as_mut().poll(cx) else {
                n += 1;
                continue;
            };
            let Call { id, word, .. } = self.calls.remove(n);
            let Some(peer) = &self.peer else { continue };
            match (answer, word) {
                (Ok(args), _) => {
                    if let (Some(id), Data::Json(array)) = (id, args.to_array()) {
                        peer.say(Kind::Ack, id, &array);
                    }
                }
                (Err(problem), Some((name, array))) if problem.code == Code::NotFound => {
                    self.ask(id, &name, &array);
                }
                (Err(problem), _) => peer.said.push(Say::Refusal(id, problem)),
            }
        }
    }

    /// Says what is not owed a message before it any more. True when there was something.
    fn tell(&mut self) -> bool {
        let Some(peer) = self.peer.clone() else { return false };
        let mut any = false;
        while let Some(say) = peer.said.next() {
            any = true;
            match say {
                Say::Packets(frames) => peer.connection.send(|out| out.extend_from_slice(&frames)),
                Say::Refusal(id, problem) => self.refuse(id, problem),
                Say::Goodbye => {
                    if let Some(parting) = &mut self.parting {
                        parting.is_said = true;
                    }
                }
            }
        }
        any
    }

    /// Ends the visit once the client has received what was said to it; nothing that it says is heard any more.
    pub fn part(&mut self, problem: Problem, connection: bool) {
        let due = Instant::now() + GOODBYE;
        match (&mut self.parting, &self.peer) {
            (Some(parting), _) => parting.connection |= connection,
            (parting @ None, Some(peer)) => {
                *parting = Some(Parting { problem, connection, is_said: false, due });
                peer.said.push(Say::Goodbye);
            }
            (parting @ None, None) => *parting = Some(Parting { problem, connection, is_said: true, due }),
        }
    }

    /// Why the visit ends now, and whether the whole connection does.
    pub fn parted(&mut self) -> Option<(Problem, bool)> {
        let is_over = self.has_said_goodbye();
        let parting = self.parting.take_if(|parting| is_over || parting.due <= Instant::now())?;
        Some((parting.problem, parting.connection))
    }

    /// Whether everything that came before the end has been written.
    fn has_said_goodbye(&self) -> bool {
        self.parting.as_ref().is_some_and(|parting| parting.is_said)
            && self.lanes.iter().all(|lane| lane.link.connection.control_bytes() == 0)
    }

    /// When a visit that is about to end does, at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.parting.as_ref().map(|parting| parting.due)
    }

    /// Writes what there is to write, and what may be said behind it.
    pub fn pump(&mut self, cx: &mut Context<'_>, write: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> Wrote {
        loop {
            let wrote = self.pump_lanes(cx, write);
            if wrote == Wrote::Dead || !self.tell() {
                if self.has_said_goodbye() {
                    cx.waker().wake_by_ref();
                }
                return wrote;
            }
        }
    }

    /// Frames that were cut before others. What the first lane has to say precedes what others have.
    fn pump_lanes(
        &mut self,
        cx: &mut Context<'_>,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Wrote {
        let owner = self.ground.mux.owner();
        let mut order: Vec<usize> = (0..self.lanes.len()).collect();
        order.sort_by_key(|n| self.lanes.get(*n).is_none_or(|lane| Some(lane.id) != owner));
        let mut all = Wrote::Enough;
        for n in order {
            let mux = self.ground.mux.clone();
            let ring = self.ring.clone();
            let Some(lane) = self.lanes.get_mut(n) else { continue };
            let (id, recovers) = (lane.id, lane.recovers);
            let mut awaits_answer = false;
            let wrote = lane.link.pump(cx, &mut |bytes| {
                awaits_answer = mux.owner().is_none();
                mux.write(id, recovers.then_some(&*ring), bytes, |bytes| {
                    awaits_answer = false;
                    write(bytes)
                })
            });
            match wrote {
                Wrote::Enough | Wrote::Finished => {}
                // The socket was not asked: it goes on when the client has said what it has received.
                Wrote::Blocked if awaits_answer => {}
                Wrote::Blocked => all = Wrote::Blocked,
                Wrote::Dead => return Wrote::Dead,
            }
        }
        all
    }

    /// What writing has come to.
    pub fn rests(&mut self, waits: bool, progress: bool) {
        for lane in &mut self.lanes {
            lane.link.rests(waits, progress);
        }
    }

    /// Whether the lane that was cut in the middle of a frame is one of these.
    pub fn owns(&self, lane: u64) -> bool {
        self.lanes.iter().any(|own| own.id == lane)
    }

    /// What is queued goes out, no messages any more.
    pub fn finish(&self) {
        for lane in &self.lanes {
            lane.link.connection.finish();
        }
    }

    /// What the client has been sent by now.
    pub fn sent(&self) -> Sent {
        let sent = self.ring.lock().sent_by_now();
        Sent(self.ring.clone(), sent)
    }

    /// Bytes came in.
    pub fn received(&mut self) {
        for lane in &mut self.lanes {
            lane.link.received();
        }
    }

    /// Ends the visit.
    pub fn leave(&mut self, why: End) {
        self.end = why;
        if let Some(visit) = self.visit.take() {
            visit.end(why);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.leave(self.end);
    }
}

fn auth(token: &Token) -> Request {
    Request { reference: None, command: Command::Auth { token: token.clone() } }
}

fn without_start(options: &SubscribeOptions) -> SubscribeOptions {
    SubscribeOptions { start: fanfare_protocol::Start::default(), ..options.clone() }
}

/// A packet of a namespace that the client is not in.
pub(super) fn packet(parser: Parser, namespace: &str, kind: Kind, json: &[u8]) -> Vec<u8> {
    let wire = Wire { namespace: namespace.into(), layout: Layout::Channels, parser, positions: false };
    let mut out = Vec::new();
    wire.packet(kind, None, json, &mut WebSocketFrames(&mut out));
    out
}

/// The payload of a CONNECT_ERROR.
pub(super) fn refusal(problem: &Problem) -> String {
    wire::refusal_json(problem)
}
