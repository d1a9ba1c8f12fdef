//! A client in a namespace, as handlers see it.
use std::{
    any::{Any, TypeId},
    collections::BTreeSet,
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fanfare_protocol::{
    Args, ClientId, Code, EventName, FromArgs, Identity, Problem, ToArgs, event::Published,
};
use fanfare_transport::{
    Handshake, Peer,
    application::{Absence, channel_room, namespace_channel, private_channel},
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::{
    Admission, Events, Target,
    admission::State,
    queue::Queue,
    space::{Space, event_name},
    who::Hearer,
};
use crate::Fanfare;

/// A client in a namespace. Cheap to clone; what is done to one that is gone is an error, or nothing.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub space: Arc<Space>,
    pub peer: Option<Arc<dyn Peer>>,
    sid: String,
    pub(super) handshake: Handshake,
    pub identity: RwLock<Arc<Identity>>,
    /// As a middleware says.
    user: Option<Arc<str>>,
    state: Mutex<State>,
    pub rooms: Mutex<BTreeSet<String>>,
    pub queue: Arc<Queue>,
    pub over: AtomicBool,
    /// It reads its private channel.
    private: OnceCell<()>,
    /// It reads the namespace's own channel.
    all: OnceCell<()>,
    /// Its place among calls over HTTP, until its handlers are done.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Socket {
    /// Somebody was let in. Calls over HTTP are nobody whom others could find.
    pub(super) fn enter(
        space: Arc<Space>,
        handshake: Handshake,
        admission: Admission,
        peer: Option<Arc<dyn Peer>>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let sid = peer.as_ref().map_or_else(String::new, |peer| peer.sid().to_owned());
        let rooms: BTreeSet<String> = handshake
            .channels
            .iter()
            .filter_map(|channel| channel_room(&handshake.namespace, channel))
            .collect();
        let socket = Self(Arc::new(Inner {
            space: space.clone(),
            sid,
            identity: RwLock::new(handshake.asker.identity.clone()),
            handshake,
            user: admission.user,
            state: Mutex::new(admission.state),
            rooms: Mutex::new(rooms.clone()),
            queue: Arc::default(),
            over: AtomicBool::new(false),
            private: OnceCell::new(),
            all: OnceCell::new(),
            peer,
            _turn: turn,
        }));
        if socket.0.peer.is_some() {
            space.who().came(&socket, &rooms);
        }
        socket
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::SeqCst)
    }

    /// The user: as a middleware says, else as the credentials do.
    pub fn user(&self) -> Option<Arc<str>> {
        self.0.user.clone().or_else(|| self.0.identity.read().user.clone())
    }

    /// What its credentials say.
    pub fn identity(&self) -> Arc<Identity> {
        self.0.identity.read().clone()
    }

    /// Its public name in this namespace, for [`Events::to`]; empty for a call over HTTP.
    pub fn sid(&self) -> &str {
        &self.0.sid
    }

    /// Whether it can be spoken to: false for a call over HTTP, and when it is gone.
    pub fn is_connected(&self) -> bool {
        self.peer().is_ok()
    }

    /// Its public name on every channel.
    pub fn client(&self) -> ClientId {
        self.0.handshake.asker.client
    }

    /// How it came.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// It goes on from an interrupted connection, and missed nothing.
    pub fn recovered(&self) -> bool {
        self.0.handshake.recovered
    }

    /// What was kept for it, by type.
    pub fn data<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value: Arc<dyn Any + Send + Sync> = self.0.state.lock().get(&TypeId::of::<T>())?.clone();
        value.downcast().ok()
    }

    /// Keeps a value for it, in place of an earlier one of this type.
    pub fn set_data<T: Send + Sync + 'static>(&self, value: T) {
        self.0.state.lock().insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The connection behind it.
    pub(super) fn peer(&self) -> Result<&Arc<dyn Peer>, Problem> {
        match &self.0.peer {
            Some(peer) if !self.is_over() => Ok(peer),
            Some(_) => Err(Problem::new(Code::Unavailable, "the client is gone")),
            None => Err(Problem::new(Code::BadRequest, "a call over HTTP has no connection for this event")
                .remedy("call it over a WebSocket or Socket.IO; over HTTP, subscribe to the room's channel")),
        }
    }

    /// Puts it into a room: it reads the room's channel from now on. Others in it are told nothing.
    ///
    /// # Errors
    /// `bad_request` for a name that cannot be and for calls over HTTP, `forbidden` for a room of another namespace, `limit_exceeded` at the
    /// connection's limit of channels.
    pub async fn join(&self, room: &str) -> Result<(), Problem> {
        let channel = self.0.space.channel(room)?;
        self.peer()?.join(channel).await?;
        self.0.rooms.lock().insert(room.to_owned());
        let mut who = self.0.space.who();
        if !self.is_over() {
            who.occupy(room, self.sid());
        }
        Ok(())
    }

    /// Takes it out of a room.
    ///
    /// # Errors
    /// `bad_request` as for [`Socket::join`].
    pub async fn leave(&self, room: &str) -> Result<(), Problem> {
        let channel = self.0.space.channel(room)?;
        if self.0.rooms.lock().remove(room) {
            self.0.space.who().vacate(room, self.sid());
            self.peer()?.leave(channel).await;
        }
        Ok(())
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<String> {
        self.0.rooms.lock().iter().cloned().collect()
    }

    /// It reads its private channel; where it does so only when it comes back, how.
    pub(super) async fn listen(&self) -> Result<Option<Arc<dyn Absence>>, Problem> {
        let joined = async {
            let peer = self.peer()?;
            self.0.private.get_or_try_init(|| peer.join(private_channel(&self.0.sid))).await
        };
        let Err(problem) = joined.await else { return Ok(None) };
        let absence = self.absence().filter(|absence| absence.may_end());
        if problem.code == Code::Unavailable && absence.is_some() { Ok(absence) } else { Err(problem) }
    }

    /// How it comes back, should it be cut off; none when it cannot.
    pub(super) fn absence(&self) -> Option<Arc<dyn Absence>> {
        self.0.peer.as_ref()?.absence()
    }

    /// It reads the namespace's own channel.
    pub(super) async fn listen_to_all(&self) -> Result<(), Problem> {
        let peer = self.peer()?;
        self.0.all.get_or_try_init(|| peer.join(namespace_channel(&self.0.space.name))).await?;
        self.0.space.who().hears(self);
        Ok(())
    }

    /// It does so already.
    pub(super) fn hears_all(&self) {
        drop(self.0.all.set(()));
        self.0.space.who().hears(self);
    }

    /// Says something to it alone. A Socket.IO client that was cut off hears it when it comes back.
    ///
    /// # Errors
    /// `bad_request` for a reserved event name or arguments that cannot be JSON, `too_large`, `unavailable` when it is gone for good.
    pub async fn emit(&self, event: &str, args: impl ToArgs) -> Result<Option<Published>, Problem> {
        self.tell(Target::new(self.0.space.clone(), None), event, args).await
    }

    /// The same, for what is worthless later: kept nowhere, not sent again.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub async fn emit_volatile(&self, event: &str, args: impl ToArgs) -> Result<Option<Published>, Problem> {
        self.tell(Target::new(self.0.space.clone(), None).volatile(), event, args).await
    }

    async fn tell(
        &self,
        target: Target,
        event: &str,
        args: impl ToArgs,
    ) -> Result<Option<Published>, Problem> {
        target.to_hearer(&Hearer::Here(self.clone()), &event_name(event)?, args.to_args()?).await
    }

    /// Says something to it and waits for its answer (Socket.IO: its acknowledgement). Do not await it in a handler that its client's next
    /// event must pass first.
    ///
    /// # Errors
    /// As [`Socket::emit`]; `unavailable` when no answer came in time; `bad_request` when the answer is of another type.
    pub async fn emit_with_ack<T: FromArgs>(
        &self,
        event: &str,
        args: impl ToArgs,
        within: Duration,
    ) -> Result<T, Problem> {
        let asked = self.request(event_name(event)?, args.to_args()?, within);
        T::from_args(asked.await?)
    }

    pub(super) async fn request(
        &self,
        event: EventName,
        args: Args,
        within: Duration,
    ) -> Result<Args, Problem> {
        self.peer()?.request(event, args, within).await
    }

    /// Ends its visit to this namespace (a native client may come again with its next call).
    pub fn disconnect(&self) {
        self.end(false);
    }

    /// Ends its whole connection, all namespaces with it.
    pub fn disconnect_all(&self) {
        self.end(true);
    }

    fn end(&self, connection: bool) {
        if let Ok(peer) = self.peer() {
            let problem = Problem::new(Code::Revoked, "disconnected by the application");
            peer.disconnect(problem, connection);
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("namespace", &self.0.space.name)
            .field("sid", &self.0.sid)
            .field("user", &self.user())
            .finish_non_exhaustive()
    }
}

/// What a handler gets: the client whose event it is (as [`Socket`]), and everyone else.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) socket: Socket,
    pub(super) event: Option<EventName>,
}

impl Deref for Context {
    type Target = Socket;
    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl Context {
    /// The client whose event it is.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The event's name; empty in [`Events::on_connect`] and [`Events::on_disconnecting`].
    pub fn event(&self) -> &str {
        self.event.as_deref().unwrap_or_default()
    }

    /// Those in a room but this client, every reader of its channel included; or one client, by its `sid`.
    pub fn to(&self, room: &str) -> Target {
        Target::new(self.socket.0.space.clone(), Some(self.socket.clone())).to(room)
    }

    /// Everybody in the namespace but this client, without those in a room.
    pub fn except(&self, room: &str) -> Target {
        Target::new(self.socket.0.space.clone(), Some(self.socket.clone())).except(room)
    }

    /// Says something to everybody in the namespace but this client.
    ///
    /// # Errors
    /// As [`Target::emit`].
    pub async fn broadcast(&self, event: &str, args: impl ToArgs) -> Result<Option<Published>, Problem> {
        Target::new(self.socket.0.space.clone(), Some(self.socket.clone())).emit(event, args).await
    }

    /// Those who joined a room, on this node; this client among them if it did.
    pub fn members(&self, room: &str) -> Vec<Socket> {
        self.events().members(room)
    }

    /// The namespace, to speak to everyone including this client.
    pub fn events(&self) -> Events {
        Events(self.socket.0.space.clone())
    }

    /// The hub, to publish, read and ask.
    ///
    /// # Errors
    /// `draining` when it is gone.
    pub fn fanfare(&self) -> Result<Fanfare, Problem> {
        let gone = || Problem::new(Code::Draining, "the hub is gone");
        self.socket.0.space.registry()?.home().ok_or_else(gone)
    }
}
