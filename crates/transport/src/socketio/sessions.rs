//! Engine.IO sessions by their id, and how requests reach the task of one.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare_dialect_socketio::engine::Fault;
use fanfare_protocol::{Code, Problem};
use fanfare_websocket::Decoder;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{bare::EngineMessage, counted::Arrived};
use crate::socket::Io;

/// The answer to a request of the polling transport.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The body of a GET.
    Packets(Vec<u8>),
    /// A POST was taken.
    Taken,
    /// It was refused.
    Refused(Fault),
}

/// What the task of a session is told.
pub(crate) enum Told {
    /// A GET waits for packets.
    Get(oneshot::Sender<Reply>),
    /// A POST brought packets.
    Post(Arrived, oneshot::Sender<Reply>),
    /// Requests overlap, or one was not whole: the session ends.
    Fault,
    /// A WebSocket wants to take the session over: a GET that waits is answered.
    Probe,
    /// It takes over.
    Upgrade(Box<Upgraded>),
    /// A namespace ends; with a flag, its whole connection.
    End(Arc<str>, Problem, bool),
    /// Another connection goes on in the place of this one.
    Superseded,
    /// The node stops.
    Drain,
    /// A message for the client, without Socket.IO.
    Send(EngineMessage),
}

/// A WebSocket that has said that it takes a session over.
pub(crate) struct Upgraded {
    /// Its bytes.
    pub io: Box<dyn Io>,
    /// What was read of them.
    pub decoder: Decoder,
    /// What came behind, not decoded yet.
    pub rest: Vec<u8>,
}

/// A session as requests see it.
pub(crate) struct Handle {
    /// Its id.
    pub sid: Arc<str>,
    told: Mutex<Vec<Told>>,
    waker: AtomicWaker,
    /// A POST is being received.
    pub posting: AtomicBool,
    /// The client is to be asked how far it has come.
    pub asks: AtomicBool,
    /// A WebSocket is taking over, or has taken over: no other may.
    pub claimed: AtomicBool,
    /// Requests with this id are over.
    pub upgraded: AtomicBool,
}

impl Handle {
    /// Tells the session's task.
    pub fn tell(&self, told: Told) {
        self.told.lock().push(told);
        self.waker.wake();
    }

    /// The session's task is to ask the client how far it has come.
    pub fn ask(&self) {
        self.asks.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// What the task was told; it is woken for what comes.
    pub fn take(&self, cx: &Context<'_>) -> Vec<Told> {
        self.waker.register(cx.waker());
        std::mem::take(&mut *self.told.lock())
    }
}

/// The sessions of a node, or of one bare service.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Arc<str>, Arc<Handle>>>);

impl Sessions {
    /// A session of a new id.
    ///
    /// # Errors
    /// `internal` when there are no random bytes.
    pub fn open(&self, upgraded: bool) -> Result<Arc<Handle>, Problem> {
        let sid: Arc<str> = new_id()?.into();
        let handle = Arc::new(Handle {
            sid: sid.clone(),
            told: Mutex::default(),
            waker: AtomicWaker::new(),
            posting: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            claimed: AtomicBool::new(upgraded),
            upgraded: AtomicBool::new(upgraded),
        });
        self.0.lock().insert(sid, handle.clone());
        Ok(handle)
    }

    /// The session of an id.
    pub fn get(&self, sid: &str) -> Option<Arc<Handle>> {
        self.0.lock().get(sid).cloned()
    }

    /// A session has ended: nobody is told anything any more.
    pub fn close(&self, handle: &Handle) {
        self.0.lock().remove(&handle.sid);
        // Whoever waits learns it by the answer that does not come.
        drop(std::mem::take(&mut *handle.told.lock()));
        handle.upgraded.store(true, Ordering::Release);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.0.lock().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// 20 characters that nobody guesses.
///
/// # Errors
/// `internal` when there are no random bytes.
pub(crate) fn new_id() -> Result<String, Problem> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).map_err(|_| Problem::new(Code::Internal, "no random bytes to be had"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
