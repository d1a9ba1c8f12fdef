//! One namespace: its handlers, and who is there.
use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fanfare_protocol::{Args, ChannelName, Code, EventName, FromArgs, Problem, ToArgs, event::Published};
use fanfare_transport::{
    End, Handshake,
    application::{namespace_prefix, room_channel},
};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    Admission, Answer, Context, Registry, Socket, Target,
    handlers::{Handler, Handlers, called, middleware},
    who::Who,
};

/// One namespace.
pub(super) struct Space {
    pub name: Arc<str>,
    registry: Weak<Registry>,
    handlers: RwLock<Arc<Handlers>>,
    who: Mutex<Who>,
    /// Something was said to everybody: whoever comes reads the namespace's own channel.
    pub broadcasts: AtomicBool,
}

impl Space {
    pub fn new(name: Arc<str>, registry: Weak<Registry>) -> Arc<Self> {
        Arc::new(Self {
            name,
            registry,
            handlers: RwLock::default(),
            who: Mutex::default(),
            broadcasts: AtomicBool::new(false),
        })
    }

    pub fn handlers(&self) -> Arc<Handlers> {
        self.handlers.read().clone()
    }

    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.registry.upgrade().ok_or_else(|| Problem::new(Code::Draining, "the hub is gone"))
    }

    /// The channel of a room.
    pub fn channel(&self, room: &str) -> Result<ChannelName, Problem> {
        let channel = room_channel(&self.name, room)?;
        if &*self.name == "/"
            && let Some(prefix) = channel.namespace()
            && self.registry()?.has_prefix(prefix)
        {
            return Err(Problem::new(
                Code::Forbidden,
                format!("{room} is a room of the namespace /{prefix}"),
            )
            .remedy(format!("use events(\"/{prefix}\") for it")));
        }
        Ok(channel)
    }

    /// Whether an event is what the namespace's schema wants, if it has one: the arguments as they would stand in a message.
    pub fn check_fit(&self, registry: &Registry, event: &EventName, args: &Args) -> Result<(), Problem> {
        let prefix = namespace_prefix(&self.name).unwrap_or_default();
        match registry.rules.schema(&format!("{prefix}:")) {
            Some(schema) => schema.check(event, &args.clone().into_data().0),
            None => Ok(()),
        }
    }

    /// Whether the namespace's schema says anything of an event in particular.
    pub fn is_described(&self, registry: &Registry, event: &EventName) -> bool {
        let prefix = namespace_prefix(&self.name).unwrap_or_default();
        registry.rules.schema(&format!("{prefix}:")).is_some_and(|schema| schema.names(event))
    }

    /// Who is there; not to be held while anything is awaited.
    pub fn who(&self) -> MutexGuard<'_, Who> {
        self.who.lock()
    }

    pub fn socket(&self, sid: &str) -> Option<Socket> {
        self.who().socket(sid).cloned()
    }

    pub fn sockets(&self) -> Vec<Socket> {
        self.who().sockets().cloned().collect()
    }
}

/// A namespace of the application's: register its handlers, and speak to those who are there. Cheap to clone.
///
/// Clients' events come to handlers in the order in which each client sent them, one at a time for each client; a handler has 30 s
/// ([`Events::deadline`]). A handler that panics or is late is its own caller's error, nobody else's.
#[derive(Clone)]
pub struct Events(pub(super) Arc<Space>);

impl Events {
    fn change(self, change: impl FnOnce(&mut Handlers)) -> Self {
        let mut handlers = self.0.handlers.write();
        change(Arc::make_mut(&mut handlers));
        drop(handlers);
        self
    }

    /// A middleware: decides whether a client may come in, and says what its handlers should know. Several run in the order of their registration.
    /// A client that comes back from an interruption passes them again.
    pub fn authorise<F, R, A>(self, decide: F) -> Self
    where
        F: Fn(Handshake) -> R + Send + Sync + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
        A: Into<Admission>,
    {
        self.change(|handlers| handlers.middlewares.push(middleware(decide)))
    }

    /// Runs when a client has come in, before its first event. Not for calls over HTTP.
    pub fn on_connect<F, R>(self, handler: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.change(|handlers| handlers.came.push(Arc::new(move |context| Box::pin(handler(context)))))
    }

    /// Handles an event. Its arguments are read by serde: a tuple takes several, anything else the first one; what the handler returns is
    /// the answer, for those who want one.
    pub fn on<F, R, A>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, A) -> R + Send + Sync + 'static,
        R: Future<Output: Answer> + Send + 'static,
        A: FromArgs,
    {
        let handler = Handler { run: called(handler), concurrent: false };
        self.change(|handlers| drop(handlers.events.insert(event.to_owned(), handler)))
    }

    /// Handles an event beside the client's other events: it does not wait for those before it, nor those after it for this one.
    pub fn on_concurrent<F, R, A>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, A) -> R + Send + Sync + 'static,
        R: Future<Output: Answer> + Send + 'static,
        A: FromArgs,
    {
        let handler = Handler { run: called(handler), concurrent: true };
        self.change(|handlers| drop(handlers.events.insert(event.to_owned(), handler)))
    }

    /// Handles every event that has no handler of its own; [`Context::event`] tells which.
    pub fn on_any<F, R>(self, handler: F) -> Self
    where
        F: Fn(Context, Args) -> R + Send + Sync + 'static,
        R: Future<Output: Answer> + Send + 'static,
    {
        let handler = Handler { run: called(handler), concurrent: false };
        self.change(|handlers| handlers.any = Some(handler))
    }

    /// Runs when a client is going, after its last event, with the rooms that it was in.
    pub fn on_disconnecting<F, R>(self, handler: F) -> Self
    where
        F: Fn(Context, End) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.change(|handlers| {
            handlers.going.push(Arc::new(move |context, why| Box::pin(handler(context, why))));
        })
    }

    /// How long a handler or middleware of this namespace may take.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.change(|handlers| handlers.deadline = deadline)
    }

    /// Those in a room, every reader of its channel included; or one client, by its `sid`. A Socket.IO client that was cut off hears it when it comes
    /// back.
    pub fn to(&self, room: &str) -> Target {
        Target::new(self.0.clone(), None).to(room)
    }

    /// Says something to everybody in the namespace.
    ///
    /// # Errors
    /// As [`Target::emit`].
    pub async fn broadcast(&self, event: &str, args: impl ToArgs) -> Result<Option<Published>, Problem> {
        Target::new(self.0.clone(), None).emit(event, args).await
    }

    /// Those who joined a room, on this node.
    pub fn members(&self, room: &str) -> Vec<Socket> {
        self.0.who().members(room).cloned().collect()
    }

    /// Everybody in the namespace, on this node.
    pub fn sockets(&self) -> Vec<Socket> {
        self.0.sockets()
    }

    /// One of them.
    pub fn socket(&self, sid: &str) -> Option<Socket> {
        self.0.socket(sid)
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.0.name
    }

    /// Whether anything was said to everybody so far.
    pub(super) fn must_hear_all(space: &Space) -> bool {
        space.broadcasts.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({})", self.0.name)
    }
}

/// The event's name as it may be emitted.
pub(super) fn event_name(event: &str) -> Result<EventName, Problem> {
    EventName::parse(event)
}
