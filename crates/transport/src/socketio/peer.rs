//! A Socket.IO client as the application's handlers see it.
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fanfare_dialect_socketio::{Kind, Layout, Wire, ring::Ring};
use fanfare_hub::Connection;
use fanfare_protocol::{Args, ChannelName, ClientId, Code, Data, EventName, Position, Problem};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    core::{Core, Room, UNANSWERED},
    forms::WebSocketFrames,
    said::{Said, Say},
    sessions::{Handle, Told},
};
use crate::{
    application::{Absence, Later, Peer},
    node::Node,
};

pub(super) struct SocketPeer {
    pub core: Arc<Core>,
    pub ring: Arc<Mutex<Ring>>,
    pub node: Arc<Node>,
    pub handle: Weak<Handle>,
    /// What reads rooms.
    pub connection: Arc<Connection>,
    pub wire: Wire,
    /// Channels joined before the client knows that it is in: nothing of them is written yet. None once it knows.
    pub held: Arc<Mutex<Option<Vec<ChannelName>>>>,
    /// What it is told behind messages.
    pub said: Said,
}

/// A client that may come back; what is kept of it is not kept by this.
struct Away {
    node: Weak<Node>,
    core: Weak<Core>,
}

impl Absence for Away {
    fn may_end(&self) -> bool {
        let (Some(node), Some(core)) = (self.node.upgrade(), self.core.upgrade()) else { return false };
        let settings = node.rules.socketio();
        settings.recovery && node.socketio.pids.knows(&core, Duration::from_millis(settings.recovery_ms))
    }

    fn told(&self, at: Position) {
        if let Some(core) = self.core.upgrade() {
            core.was_told(at);
        }
    }
}

fn gone() -> Problem {
    Problem::new(Code::Unavailable, "the client is gone")
}

impl SocketPeer {
    /// Sends a packet with the id of an ack, behind the messages that were published before.
    pub fn say(&self, kind: Kind, id: u64, array: &[u8]) {
        let mut frames = Vec::new();
        self.wire.packet(kind, Some(id), array, &mut WebSocketFrames(&mut frames));
        self.said.push(Say::Packets(frames));
    }

    /// Whether this connection is the one that the client has. What another goes on with is no concern of one that was interrupted.
    fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.ring, &self.core.ring())
    }

    /// The client knows that it is in.
    pub fn release(&self) {
        let held = self.held.lock().take();
        for channel in held.into_iter().flatten() {
            self.connection.release(&channel);
        }
    }
}

impl Peer for SocketPeer {
    fn sid(&self) -> &str {
        &self.core.sid
    }

    fn client(&self) -> ClientId {
        self.core.client
    }

    fn join(&self, channel: ChannelName) -> Later<Result<(), Problem>> {
        if !self.is_current() {
            return Box::pin(async { Err(gone()) });
        }
        let (core, node, connection) = (self.core.clone(), self.node.clone(), self.connection.clone());
        let (held, ring) = (self.held.clone(), self.ring.clone());
        Box::pin(async move {
            if core.has_joined(&channel) {
                return Ok(());
            }
            let most = node.rules.limits().channels_per_connection;
            if core.joined() >= most {
                let detail = format!("a connection may read {most} channels");
                return Err(Problem::new(Code::LimitExceeded, detail).remedy("leave rooms first"));
            }
            let room = Room::joined();
            core.reads(&channel, room.clone());
            let begun = node.hub.subscribe(&connection, &channel, &room.options, None).await;
            match begun {
                Ok(begun) => core.begun(&ring, &channel, begun.after),
                // What another connection goes on with meanwhile is its own.
                Err(_) if !Arc::ptr_eq(&ring, &core.ring()) => return Err(gone()),
                Err(problem) => {
                    core.reads_no_more(&channel, Layout::Rooms);
                    return Err(problem);
                }
            }
            if !connection.is_open() {
                // Another connection may have looked already what the client reads.
                return Err(gone());
            }
            let mut held_now = held.lock();
            match &mut *held_now {
                Some(held) => held.push(channel),
                None => connection.release(&channel),
            }
            drop(held_now);
            connection.wake();
            Ok(())
        })
    }

    fn leave(&self, channel: ChannelName) -> Later<()> {
        if self.is_current() && self.core.has_joined(&channel) {
            self.core.reads_no_more(&channel, Layout::Rooms);
            self.node.hub.unsubscribe(&self.connection, &channel);
        }
        Box::pin(async {})
    }

    fn is_gone(&self) -> bool {
        !self.connection.is_open()
    }

    fn absence(&self) -> Option<Arc<dyn Absence>> {
        self.core.pid.as_ref()?;
        Some(Arc::new(Away { node: Arc::downgrade(&self.node), core: Arc::downgrade(&self.core) }))
    }

    fn request(&self, event: EventName, args: Args, within: Duration) -> Later<Result<Args, Problem>> {
        let core = self.core.clone();
        let array = array(&event, &args);
        // A client that does not read is asked no more than it may leave unanswered, however soon answers are given up.
        let asked = if self.said.len() < UNANSWERED { core.request(array.clone()) } else { None };
        if let Some((id, _)) = &asked {
            self.say(Kind::Event, *id, &array);
        }
        Box::pin(async move {
            let Some((id, answer)) = asked else {
                let detail = format!("the client has left {UNANSWERED} events unanswered");
                return Err(Problem::new(Code::LimitExceeded, detail));
            };
            let late = Problem::new(Code::Unavailable, format!("no answer within {} ms", within.as_millis()));
            let answered = match timeout(within, answer).await {
                Ok(answered) => answered.map_err(|_| gone()),
                Err(_) => Err(late),
            };
            if answered.is_err() {
                core.forget_request(id);
            }
            answered
        })
    }

    fn disconnect(&self, problem: Problem, connection: bool) {
        if let Some(handle) = self.handle.upgrade() {
            handle.tell(Told::End(self.core.namespace.clone(), problem, connection));
        }
    }
}

/// The array of an event's name and arguments.
pub(super) fn array(event: &str, args: &Args) -> Vec<u8> {
    let mut out = vec![b'['];
    fanfare_dialect_socketio::json::push_string(&mut out, event);
    if let Data::Json(rest) = args.to_array()
        && !args.is_empty()
    {
        out.push(b',');
        out.extend_from_slice(rest.get(1..).unwrap_or(b"]"));
    } else {
        out.push(b']');
    }
    out
}
