//! A client's events on their way to handlers: in order, in time, panics kept apart.
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fanfare_protocol::{Args, Code, EventName, Identity, Problem};
use fanfare_transport::{End, Later, Visit, socketio::is_word};
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{
    Context, Events, Socket,
    handlers::{Called, Handler, Handlers},
    registry::Figures,
};

impl Visit for Socket {
    fn user(&self) -> Option<Arc<str>> {
        Self::user(self)
    }

    fn begin(&self) {
        let Ok(registry) = self.0.space.registry() else { return };
        let (socket, handlers) = (self.clone(), self.0.space.handlers());
        let hears_all = Events::must_hear_all(&self.0.space);
        if handlers.came.is_empty() && !hears_all {
            return;
        }
        self.0.queue.push(&registry.runtime, async move {
            if hears_all {
                // Who is gone hears nothing; who is at its limit is told so when it asks for more.
                drop(socket.listen_to_all().await);
            }
            for came in &handlers.came {
                let context = Context { socket: socket.clone(), event: None };
                guarded(&socket, &handlers, "connect", came(context)).await.ok();
            }
        });
    }

    fn has_room(&self) -> bool {
        self.0.queue.has_room()
    }

    fn call(&self, event: EventName, args: Args) -> Later<Result<Args, Problem>> {
        let (handlers, registry) = (self.0.space.handlers(), self.0.space.registry());
        let found = handlers.events.get(&*event).or(handlers.any.as_ref()).cloned();
        let (Some(Handler { run, concurrent }), Ok(registry)) = (found, registry) else {
            let problem = Problem::new(Code::NotFound, format!("no handler has the event {:?}", &*event))
                .remedy("emit an event that the application handles; names are compared exactly");
            return Box::pin(async { Err(problem) });
        };
        if let Err(problem) = self.0.space.check_fit(&registry, &event, &args) {
            // A word that Socket.IO clients have without code is refused by no schema that does not mean it: it is the hub's.
            let is_word = self.0.handshake.transport == "socketio" && is_word(&event);
            let is_meant =
                handlers.events.contains_key(&*event) || self.0.space.is_described(&registry, &event);
            let code = if is_word && !is_meant { Code::NotFound } else { problem.code };
            return Box::pin(async move { Err(Problem { code, ..problem }) });
        }
        Figures::count(&registry.figures.calls);
        let (answer, answered) = oneshot::channel();
        let socket = self.clone();
        let job = async move {
            // Who called may have gone.
            let _ = answer.send(answer_of(socket, &handlers, run, event, args).await);
        };
        if concurrent {
            self.0.queue.beside(&registry.runtime, job);
        } else {
            self.0.queue.push(&registry.runtime, job);
        }
        let lost = || Err(Problem::new(Code::Unavailable, "the server is stopping"));
        Box::pin(async move { answered.await.unwrap_or_else(|_| lost()) })
    }

    fn renew(&self, identity: Arc<Identity>) {
        *self.0.identity.write() = identity;
    }

    fn end(&self, why: End) {
        if self.0.peer.is_none() || self.0.over.swap(true, Ordering::SeqCst) {
            return;
        }
        let space = self.0.space.clone();
        let handlers = space.handlers();
        let registry = space.registry();
        let socket = self.clone();
        let Ok(registry) = registry else { return };
        self.0.queue.push(&registry.runtime, async move {
            for going in &handlers.going {
                let context = Context { socket: socket.clone(), event: None };
                guarded(&socket, &handlers, "disconnecting", going(context, why)).await.ok();
            }
            let rooms = std::mem::take(&mut *socket.0.rooms.lock());
            space.who().went(&socket, rooms.clone(), socket.absence());
            let Some(peer) = socket.0.peer.as_ref().filter(|peer| !peer.is_gone()) else { return };
            // A connection that goes on without this namespace reads none of its rooms any more.
            for room in &rooms {
                if let Ok(channel) = space.channel(room) {
                    peer.leave(channel).await;
                }
            }
            for channel in [
                fanfare_transport::application::private_channel(socket.sid()),
                fanfare_transport::application::namespace_channel(&space.name),
            ] {
                peer.leave(channel).await;
            }
        });
    }
}

async fn answer_of(
    socket: Socket,
    handlers: &Handlers,
    run: Called,
    event: EventName,
    args: Args,
) -> Result<Args, Problem> {
    let context = Context { socket: socket.clone(), event: Some(event.clone()) };
    // The handler's own first lines may panic too.
    let running = async move { run(context, args).await };
    let answer = guarded(&socket, handlers, &event, running).await.and_then(|answer| answer);
    if let (Err(_), Ok(registry)) = (&answer, socket.0.space.registry()) {
        Figures::count(&registry.figures.refused);
    }
    answer
}

/// Runs a handler in its time; a panic is an error of this event alone.
async fn guarded<T>(
    socket: &Socket,
    handlers: &Handlers,
    event: &str,
    running: impl Future<Output = T>,
) -> Result<T, Problem> {
    let namespace = &*socket.0.space.name;
    match timeout(handlers.deadline, AssertUnwindSafe(running).catch_unwind()).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => {
            if let Ok(registry) = socket.0.space.registry() {
                Figures::count(&registry.figures.panics);
            }
            tracing::error!(namespace, event, "a handler panicked");
            Err(Problem::new(Code::Internal, "the handler of this event failed"))
        }
        Err(_) => {
            if let Ok(registry) = socket.0.space.registry() {
                Figures::count(&registry.figures.late);
            }
            tracing::warn!(namespace, event, deadline = ?handlers.deadline, "a handler was stopped at its deadline");
            Err(late(handlers.deadline))
        }
    }
}

fn late(deadline: Duration) -> Problem {
    Problem::new(Code::Unavailable, format!("the handler took more than {} ms", deadline.as_millis()))
}

/// Waits for a task in its time, and ends it with that.
pub(super) async fn in_time<T>(deadline: Duration, task: JoinHandle<T>) -> Result<T, Problem> {
    struct Abort<T>(JoinHandle<T>);
    impl<T> Drop for Abort<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Abort(task);
    match timeout(deadline, &mut task.0).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => {
            tracing::error!("a middleware panicked");
            Err(Problem::new(Code::Internal, "the middleware failed"))
        }
        Err(_) => Err(late(deadline)),
    }
}
