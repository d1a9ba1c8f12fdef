//! A connection's visits to the application's namespaces: its calls, and what handlers ask of it.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
};

use fanfare_hub::Notice;
use fanfare_protocol::{Args, ChannelName, Code, Data, EventName, Problem};
use fanfare_session::{HubEvent, Now, Ticket};
use tokio::sync::{mpsc, oneshot};

use super::{
    Link,
    calls::Answer,
    peer::{Ask, NativePeer},
};
use crate::{
    application::{End, Handshake, Peer, Visit},
    authorizer::Asker,
    plan::Transport,
};

/// Calls of one connection that are not answered; with more it is not read.
const CALLS: usize = 64;
/// Namespaces that one connection may visit.
const NAMESPACES: usize = 16;
/// Events of the application's that one connection may leave unanswered.
const UNANSWERED: usize = 1024;

/// One call on its way.
type Call = (Ticket, EventName, Args);

enum Stage {
    /// The application is deciding; what was called meanwhile.
    Entering(VecDeque<Call>),
    In(Arc<dyn Visit>),
}

/// What a connection has that calls the application; the others have none of it.
pub(super) struct Visits {
    list: Vec<(Arc<str>, Stage)>,
    sender: mpsc::UnboundedSender<Ask>,
    asks: mpsc::UnboundedReceiver<Ask>,
    joins: Vec<(ChannelName, oneshot::Sender<Result<(), Problem>>)>,
    expected: HashMap<u64, oneshot::Sender<Args>>,
    last: Arc<AtomicU64>,
    /// Calls that are not answered.
    under_way: usize,
    /// Visits begun so far, for their names.
    begun: u64,
    end: End,
}

impl Visits {
    fn new() -> Self {
        let (sender, asks) = mpsc::unbounded_channel();
        Self {
            list: Vec::new(),
            sender,
            asks,
            joins: Vec::new(),
            expected: HashMap::new(),
            last: Arc::default(),
            under_way: 0,
            begun: 0,
            end: End::Lost,
        }
    }

    pub fn have_room(&self) -> bool {
        let room = |(_, stage): &(Arc<str>, Stage)| match stage {
            Stage::Entering(calls) => calls.len() < CALLS,
            Stage::In(visit) => visit.has_room(),
        };
        self.under_way < CALLS && self.list.iter().all(room)
    }

    fn stage(&mut self, namespace: &str) -> Option<&mut Stage> {
        self.list.iter_mut().find(|(name, _)| **name == *namespace).map(|(_, stage)| stage)
    }

    pub fn renew(&self, identity: &Arc<fanfare_protocol::Identity>) {
        for (_, stage) in &self.list {
            if let Stage::In(visit) = stage {
                visit.renew(identity.clone());
            }
        }
    }

    /// What became of a join.
    pub fn joined(&mut self, channel: &ChannelName, result: &Result<(), Problem>) {
        let (told, rest) = std::mem::take(&mut self.joins).into_iter().partition(|(name, _)| name == channel);
        self.joins = rest;
        let told: Vec<_> = told;
        for (_, done) in told {
            drop(done.send(result.clone()));
        }
    }

    /// A client's answer. None when nobody waits for it.
    fn answered(&mut self, id: &str, args: Args) -> Option<()> {
        let done = self.expected.remove(&id.parse().ok()?)?;
        done.send(args).ok()
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        for (_, stage) in &self.list {
            if let Stage::In(visit) = stage {
                visit.end(self.end);
            }
        }
    }
}

impl Link {
    /// The client itself, for decisions that want something done to it; none where the transport has no way.
    pub(super) fn own_peer(&mut self) -> Option<Arc<dyn Peer>> {
        if self.peer.is_none() && self.transport == Transport::WebSocket {
            let visits = self.visits.get_or_insert_with(|| Box::new(Visits::new()));
            let (client, id) = (self.connection.client, self.connection.id);
            self.peer = Some(Arc::new(NativePeer::new(
                format!("{}-{id:x}-0", client.as_str()),
                "/".into(),
                client,
                self.node.hub.clone(),
                visits.sender.clone(),
                visits.last.clone(),
            )));
        }
        self.peer.clone()
    }

    /// Hands a call to the application; the first to a namespace enters it.
    pub(super) fn visit(
        &mut self,
        at: Now,
        ticket: Ticket,
        namespace: Arc<str>,
        event: EventName,
        args: Args,
    ) {
        let visits = self.visits.get_or_insert_with(|| Box::new(Visits::new()));
        visits.under_way += 1;
        match visits.stage(&namespace) {
            Some(Stage::Entering(calls)) => calls.push_back((ticket, event, args)),
            Some(Stage::In(visit)) => {
                let answer = visit.call(event, args);
                self.later(async move { Answer::Called(HubEvent::Called(ticket, answer.await)) });
            }
            None => {
                if let Err(problem) = self.enter(namespace, (ticket, event, args)) {
                    self.called(at, HubEvent::Called(ticket, Err(problem)));
                }
            }
        }
    }

    fn enter(&mut self, namespace: Arc<str>, call: Call) -> Result<(), Problem> {
        let application = self.node.application().cloned().ok_or_else(|| no_namespace(&namespace))?;
        if !application.knows(&namespace) {
            return Err(no_namespace(&namespace));
        }
        let identity = self.session.identity().clone();
        let (client, id) = (self.connection.client, self.connection.id);
        let Some(visits) = &mut self.visits else { return Ok(()) };
        if visits.list.len() >= NAMESPACES {
            return Err(Problem::new(
                Code::LimitExceeded,
                format!("a connection may visit {NAMESPACES} namespaces"),
            ));
        }
        visits.begun += 1;
        visits.list.push((namespace.clone(), Stage::Entering(VecDeque::from([call]))));
        let peer = NativePeer::new(
            format!("{}-{id:x}-{}", client.as_str(), visits.begun),
            namespace.clone(),
            client,
            self.node.hub.clone(),
            visits.sender.clone(),
            visits.last.clone(),
        );
        let asker = self.asker.as_deref().cloned().unwrap_or_else(|| Asker {
            identity,
            client,
            request: Arc::new(http::Request::new(()).into_parts().0),
            peer: None,
        });
        let handshake = Handshake {
            namespace: namespace.clone(),
            asker,
            auth: Data::Json(bytes::Bytes::from_static(b"{}")),
            transport: self.transport.name(),
            recovered: false,
            channels: Vec::new(),
        };
        let entering = application.enter(handshake, Some(Arc::new(peer)));
        self.later(async move { Answer::Entered(namespace, entering.await) });
        Ok(())
    }

    /// The application has decided: the calls that waited follow, in order.
    pub(super) fn entered(&mut self, at: Now, namespace: &Arc<str>, result: Result<Arc<dyn Visit>, Problem>) {
        let Some(stage) = self.visits.as_mut().and_then(|visits| visits.stage(namespace)) else { return };
        let Stage::Entering(calls) = stage else { return };
        let calls = std::mem::take(calls);
        match result {
            Ok(visit) => {
                *stage = Stage::In(visit.clone());
                visit.begin();
                for (ticket, event, args) in calls {
                    let answer = visit.call(event, args);
                    self.later(async move { Answer::Called(HubEvent::Called(ticket, answer.await)) });
                }
            }
            Err(problem) => {
                self.leave_namespace(namespace, End::Server);
                for (ticket, ..) in calls {
                    self.called(at, HubEvent::Called(ticket, Err(problem.clone())));
                }
            }
        }
    }

    /// A call was answered.
    pub(super) fn called(&mut self, at: Now, event: HubEvent) {
        if let Some(visits) = &mut self.visits {
            visits.under_way = visits.under_way.saturating_sub(1);
        }
        self.session.handle_hub(at, event);
    }

    /// The client answers an event of the application's.
    pub(super) fn answered(&mut self, at: Now, ticket: Ticket, id: &str, args: Args) {
        let taken = self.visits.as_mut().and_then(|visits| visits.answered(id, args));
        let nobody = || {
            Problem::new(Code::NotFound, "nobody waits for this answer")
                .remedy("answer once, in time, with the id of the message's tag `answer`")
        };
        self.session.handle_hub(at, HubEvent::Answered(ticket, taken.ok_or_else(nobody)));
    }

    fn leave_namespace(&mut self, namespace: &Arc<str>, why: End) {
        let Some(visits) = &mut self.visits else { return };
        let Some(at) = visits.list.iter().position(|(name, _)| name == namespace) else { return };
        if let (_, Stage::In(visit)) = visits.list.remove(at) {
            visit.end(why);
        }
    }

    /// Does what handlers ask of this connection. True when there was something.
    pub(super) fn serve_asks(&mut self, at: Now, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(visits) = &mut self.visits {
            let Poll::Ready(Some(ask)) = visits.asks.poll_recv(cx) else { break };
            any = true;
            match ask {
                Ask::Join(channel, done) => {
                    visits.joins.push((channel.clone(), done));
                    self.session.join(&channel);
                }
                Ask::Leave(channel, done) => {
                    self.session.part(at, &channel);
                    self.act_all(at);
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Ask::Expect(id, done) => {
                    // Beyond the limit nobody answers, which the one who waits is told by the time that passes.
                    if visits.expected.len() < UNANSWERED {
                        visits.expected.insert(id, done);
                    }
                }
                Ask::Forget(id) => drop(visits.expected.remove(&id)),
                Ask::End(namespace) => self.leave_namespace(&namespace, End::Server),
                Ask::Disconnect(problem) => {
                    visits.end = End::Server;
                    self.connection.notify(Notice::Disconnect(problem));
                }
            }
            self.act_all(at);
        }
        any
    }
}

/// There are no handlers for this namespace.
pub(crate) fn no_namespace(namespace: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no namespace {namespace}"))
        .remedy("call an event of a namespace that the application has handlers for")
}
