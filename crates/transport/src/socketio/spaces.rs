//! The namespaces of one connection.
use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use fanfare_dialect_socketio::{Fatal, Input, Kind, Machine, Parser};
use fanfare_protocol::{Code, Data, Problem};
use tokio::time::Instant;

use super::{
    admit::{Admitted, admit},
    core::Place,
    mux::Mux,
    request::Kept,
    sessions::Handle,
    settings::SocketIoSettings,
    space::{Ground, Sent, Space, packet, refusal},
};
use crate::{
    application::{End, Handshake, Later, Visit},
    authorizer::Asker,
    link::Wrote,
    node::Node,
};

/// How long a client that was told to go may take to close its connection.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a client was doing that is coming in.
enum Entering {
    /// Its credentials are looked at.
    Admission(Arc<str>, Option<Box<str>>, Later<Result<Admitted, Problem>>),
    /// The application is asked.
    Decision(Box<Space>, Resumed, Later<Result<Option<Arc<dyn Visit>>, Problem>>),
}

type Resumed = Option<Vec<Place>>;

/// How a connection ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The client broke a rule, or was silent.
    Fault,
    /// For this reason, so that it comes back.
    Problem(Problem),
}

/// The namespaces of one connection.
pub(super) struct Spaces {
    node: Arc<Node>,
    settings: Arc<SocketIoSettings>,
    handle: Arc<Handle>,
    mux: Arc<Mux>,
    request: Kept,
    machine: Machine,
    #[expect(
        clippy::vec_box,
        reason = "an element more makes room for three, and most connections have one"
    )]
    list: Vec<Box<Space>>,
    entering: Vec<Entering>,
    /// When a connection ends that has joined nothing.
    connect_due: Option<Instant>,
    /// Left, but in the middle of a frame.
    #[expect(clippy::vec_box, reason = "as above")]
    leaving: Vec<Box<Space>>,
    /// Packets of the connection's own.
    pub out: Vec<u8>,
    /// What each namespace had been sent when the client was last pinged.
    pinged: Vec<Sent>,
    /// What each had been sent with the last answer to a GET.
    answered: Vec<Sent>,
}

impl Spaces {
    pub fn new(
        node: Arc<Node>,
        settings: Arc<SocketIoSettings>,
        handle: Arc<Handle>,
        mux: Arc<Mux>,
        request: Kept,
    ) -> Self {
        let limits = fanfare_dialect_socketio::Limits {
            attachments: settings.attachments,
            namespaces: settings.namespaces,
            packet_bytes: settings.max_payload,
        };
        let connect_due = Instant::now().checked_add(Duration::from_millis(settings.connect_timeout_ms));
        Self {
            node,
            settings,
            handle,
            mux,
            request,
            machine: Machine::new(limits),
            list: Vec::new(),
            entering: Vec::new(),
            connect_due,
            leaving: Vec::new(),
            out: Vec::new(),
            pinged: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// A text packet came.
    pub fn text(&mut self, text: &str) -> Result<(), Ending> {
        let input = self.machine.text(text);
        self.input(input)
    }

    /// A binary packet came.
    pub fn binary(&mut self, bytes: Vec<u8>) -> Result<(), Ending> {
        let input = self.machine.binary(bytes);
        self.input(input)
    }

    fn input(&mut self, input: Result<Option<Input>, Fatal>) -> Result<(), Ending> {
        match input {
            Ok(None) => {}
            Ok(Some(Input::Connect { namespace, auth })) => self.connect(&namespace, auth),
            Ok(Some(Input::Disconnect { namespace })) => {
                if let Some(mut space) = self.take(&namespace) {
                    // Who says goodbye does not go on later.
                    self.node.socketio.pids.remove(&self.node.hub, &space.core);
                    space.leave(End::Client);
                    self.let_go(space);
                }
            }
            Ok(Some(input @ (Input::Event { .. } | Input::Ack { .. }))) => {
                let (Input::Event { namespace, .. } | Input::Ack { namespace, .. }) = &input else {
                    return Ok(());
                };
                let space = self.list.iter_mut().find(|space| *space.core.namespace == **namespace);
                if let Some(space) = space {
                    space.handle(input);
                }
            }
            Err(fatal) => {
                tracing::debug!(%fatal, "a Socket.IO connection ends");
                self.node.errors.count(Code::BadRequest);
                return Err(Ending::Fault);
            }
        }
        Ok(())
    }

    fn parser(&self) -> Parser {
        self.machine.parser()
    }

    fn exists(&self, namespace: &str) -> bool {
        let known = |application: &Arc<dyn crate::application::Application>| application.knows(namespace);
        namespace == "/"
            || self.node.application().is_some_and(known)
            || namespace.strip_prefix('/').is_some_and(|name| self.node.rules.has_namespace(name))
    }

    fn connect(&mut self, namespace: &str, auth: Option<Box<str>>) {
        if !self.exists(namespace) {
            self.machine.refused(namespace);
            let refused = b"{\"message\":\"Invalid namespace\"}";
            self.out.extend(packet(self.parser(), namespace, Kind::ConnectError, refused));
            return;
        }
        let namespace: Arc<str> = namespace.into();
        let (node, settings, parts) = (self.node.clone(), self.settings.clone(), self.request.parts());
        let (name, said) = (namespace.clone(), auth.clone());
        let admission =
            Box::pin(async move { admit(&node, &settings, &parts, &name, said.as_deref()).await });
        self.entering.push(Entering::Admission(namespace, auth, admission));
    }

    fn admitted(&mut self, auth: Option<Box<str>>, admitted: Admitted) -> Result<(), Ending> {
        let Admitted { identity, core, turn, resumed, then } = admitted;
        let ground = Arc::new(Ground {
            node: self.node.clone(),
            mux: self.mux.clone(),
            parts: self.node.authorizer.is_some().then(|| self.request.parts()),
            parser: self.parser(),
            afresh: self.settings.outlives.then(|| Duration::from_millis(self.settings.ping_interval_ms)),
            then,
        });
        // Else another connection of the client has come meanwhile.
        let space =
            Space::new(ground, core.clone(), identity.clone(), &self.handle, turn).ok_or(Ending::Fault)?;
        let rejoined = space.rejoin(resumed.as_deref().unwrap_or_default());
        let entered = match (self.node.application(), &space.peer) {
            (Some(application), Some(peer)) => {
                let auth = auth.map_or_else(|| "{}".to_owned(), String::from);
                let channels = resumed.iter().flatten().map(|place| place.channel.clone());
                let handshake = Handshake {
                    namespace: core.namespace.clone(),
                    asker: Asker { identity, client: core.client, request: self.request.parts(), peer: None },
                    auth: Data::Json(auth.into()),
                    transport: "socketio",
                    recovered: resumed.is_some(),
                    channels: channels.filter(|channel| !channel.is_internal()).collect(),
                };
                Some(application.enter(handshake, Some(peer.clone())))
            }
            _ => None,
        };
        let decision = Box::pin(async move {
            rejoined.await?;
            match entered {
                Some(entered) => entered.await.map(Some),
                None => Ok(None),
            }
        });
        self.entering.push(Entering::Decision(Box::new(space), resumed, decision));
        Ok(())
    }

    fn entered(&mut self, mut space: Box<Space>, visit: Option<Arc<dyn Visit>>, resumed: Resumed) {
        self.machine.joined(&space.core.namespace);
        space.visit = visit;
        let keep = Duration::from_millis(self.settings.recovery_ms);
        let most = self.node.rules.transport().connections;
        self.node.socketio.pids.put(&self.node.hub, &space.core, keep, most);
        self.connect_due = None;
        space.begin(resumed);
        self.list.push(space);
    }

    /// A CONNECT is refused: the client does not try again by itself, so only what would not change is said so.
    fn refused(&mut self, namespace: &str, problem: Problem) -> Result<(), Ending> {
        self.node.errors.count(problem.code);
        if problem.is_retryable() {
            return Err(Ending::Problem(problem));
        }
        self.machine.refused(namespace);
        self.out.extend(packet(self.parser(), namespace, Kind::ConnectError, refusal(&problem).as_bytes()));
        Ok(())
    }

    fn take(&mut self, namespace: &str) -> Option<Box<Space>> {
        let at = self.list.iter().position(|space| *space.core.namespace == *namespace)?;
        Some(self.list.remove(at))
    }

    /// A namespace is left: a frame of it that was cut still goes out.
    fn let_go(&mut self, space: Box<Space>) {
        space.finish();
        if self.mux.owner().is_some_and(|owner| space.owns(owner)) {
            self.leaving.push(space);
        }
    }

    /// The server ends a namespace, or where the client is to come back the connection.
    pub fn end(&mut self, namespace: &str, problem: Problem, connection: bool) -> Result<(), Ending> {
        if problem.is_retryable() || problem.code == Code::TokenExpired {
            if let Some(space) = self.list.iter_mut().find(|space| *space.core.namespace == *namespace) {
                space.end = End::Server;
            }
            return Err(Ending::Problem(problem));
        }
        if connection {
            // Each namespace is told, so that the client does not come back by itself; it then closes its connection.
            let all: Vec<_> = self.list.iter().map(|space| space.core.namespace.clone()).collect();
            all.iter().for_each(|namespace| self.dismiss(namespace));
            self.nobody_enters();
            self.connect_due = Instant::now().checked_add(GOODBYE);
        } else {
            self.dismiss(namespace);
        }
        Ok(())
    }

    /// Ends a namespace, and tells the client.
    fn dismiss(&mut self, namespace: &str) {
        if let Some(mut space) = self.take(namespace) {
            self.machine.ended(namespace);
            self.node.socketio.pids.remove(&self.node.hub, &space.core);
            space.leave(End::Server);
            self.let_go(space);
            self.out.extend(packet(self.parser(), namespace, Kind::Disconnect, b""));
        }
    }

    /// The application ends a visit, or the client's connection, behind what it has said to the client.
    pub fn part(&mut self, namespace: &str, problem: Problem, connection: bool) -> Result<(), Ending> {
        match self.list.iter_mut().find(|space| *space.core.namespace == *namespace) {
            Some(space) => {
                space.part(problem, connection);
                Ok(())
            }
            None => self.end(namespace, problem, connection),
        }
    }

    /// Does everything that can be done without waiting.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        self.poll_entering(cx)?;
        let over: Vec<_> = (self.list.iter_mut())
            .filter_map(|space| Some((space.drive(cx)?, space.core.namespace.clone())))
            .collect();
        for (problem, namespace) in over {
            self.end(&namespace, problem, false)?;
        }
        let parted: Vec<_> = (self.list.iter_mut())
            .filter_map(|space| Some((space.parted()?, space.core.namespace.clone())))
            .collect();
        for ((problem, connection), namespace) in parted {
            self.end(&namespace, problem, connection)?;
        }
        if self.connect_due.is_some_and(|due| due <= Instant::now()) {
            self.connect_due = None;
            if !self.machine.is_used() || self.list.is_empty() {
                return Err(Ending::Fault);
            }
        }
        Ok(())
    }

    fn poll_entering(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        let mut n = 0;
        while let Some(entering) = self.entering.get_mut(n) {
            match entering {
                Entering::Admission(_, _, admission) => {
                    let Poll::Ready(result) = admission.as_mut().poll(cx) else {
                        n += 1;
                        continue;
                    };
                    let Entering::Admission(namespace, auth, _) = self.entering.remove(n) else { continue };
                    match result {
                        Ok(admitted) => self.admitted(auth, admitted)?,
                        Err(problem) => self.refused(&namespace, problem)?,
                    }
                }
                Entering::Decision(space, _, decision) => {
                    // Its lanes live while it waits.
                    drop(space.drive(cx));
                    let Poll::Ready(result) = decision.as_mut().poll(cx) else {
                        n += 1;
                        continue;
                    };
                    let Entering::Decision(space, resumed, _) = self.entering.remove(n) else { continue };
                    match result {
                        Ok(visit) => self.entered(space, visit, resumed),
                        Err(problem) => {
                            let namespace = space.core.namespace.clone();
                            self.node.socketio.pids.remove(&self.node.hub, &space.core);
                            drop(space);
                            self.refused(&namespace, problem)?;
                        }
                    }
                }
            }
        }
        if self.entering.is_empty() {
            self.entering = Vec::new();
        }
        Ok(())
    }

    /// Whether nothing was joined.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        self.list.iter().filter_map(|space| space.due()).chain(self.connect_due).min()
    }

    fn sent(&self) -> Vec<Sent> {
        self.list.iter().map(|space| space.sent()).collect()
    }

    /// The client is asked whether it is there: what it has been sent by now it has received when it answers.
    pub fn pinged(&mut self) {
        self.pinged = self.sent();
    }

    /// It has answered.
    pub fn ponged(&mut self) {
        std::mem::take(&mut self.pinged).into_iter().for_each(Sent::received);
    }

    /// What there was to send is the answer to a GET: the client has received it when it asks again.
    pub fn answered(&mut self) {
        self.answered = self.sent();
    }

    /// It asks again.
    pub fn asked_again(&mut self) {
        std::mem::take(&mut self.answered).into_iter().for_each(Sent::received);
    }

    /// Whether more may be read from the client now.
    pub fn wants_input(&self) -> bool {
        self.entering.len() < self.settings.namespaces.max(1)
            && self.list.iter().all(|space| space.wants_input())
    }

    /// Bytes held of a packet whose attachments are awaited.
    pub fn held(&self) -> usize {
        self.machine.held()
    }

    /// Writes what there is to write.
    pub fn pump(&mut self, cx: &mut Context<'_>, write: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> Wrote {
        let mut all = Wrote::Enough;
        if let Some(owner) = self.mux.owner() {
            // Whose frame was cut goes first.
            self.leaving.sort_by_key(|space| !space.owns(owner));
            self.list.sort_by_key(|space| !space.owns(owner));
        }
        for space in self.leaving.iter_mut().chain(&mut self.list) {
            match space.pump(cx, write) {
                Wrote::Enough | Wrote::Finished => {}
                Wrote::Blocked => all = Wrote::Blocked,
                Wrote::Dead => return Wrote::Dead,
            }
        }
        let owner = self.mux.owner();
        self.leaving.retain(|space| owner.is_some_and(|owner| space.owns(owner)));
        all
    }

    /// What writing has come to.
    pub fn rests(&mut self, waits: bool, progress: bool) {
        self.list.iter_mut().for_each(|space| space.rests(waits, progress));
    }

    /// Bytes came in.
    pub fn received(&mut self) {
        self.list.iter_mut().for_each(|space| space.received());
    }

    /// Nothing more is written.
    pub fn finish(&mut self, why: End) {
        for space in &mut self.list {
            space.finish();
            if why != End::Lost {
                space.end = why;
            }
        }
    }

    /// The connection is gone: who may come back is remembered.
    pub fn is_gone(&mut self) {
        for space in &self.list {
            space.is_gone(&self.handle);
        }
        self.nobody_enters();
    }

    /// Who was coming in does not; who was coming back still may.
    fn nobody_enters(&mut self) {
        for entering in std::mem::take(&mut self.entering) {
            if let Entering::Decision(space, ..) = entering {
                space.is_gone(&self.handle);
            }
        }
    }
}
