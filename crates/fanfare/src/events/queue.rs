//! The order of one client's events: one after the other, on a task that lives while there are any.
use std::{
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Events that wait or run; with more, the client is not read.
const ROOM: usize = 64;

/// What one client's handlers have to do.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Events whose handlers run beside the others.
    beside: AtomicUsize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: bool,
}

/// Counts a handler that runs beside the others, until it is dropped.
struct Beside(Arc<Queue>);

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.beside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    pub fn has_room(&self) -> bool {
        self.state.lock().waiting.len() + self.beside.load(Ordering::Relaxed) < ROOM
    }

    /// Runs a job after the others.
    pub fn push(self: &Arc<Self>, runtime: &Handle, job: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state.lock();
        state.waiting.push_back(Box::pin(job));
        if !state.running {
            state.running = true;
            drop(state);
            runtime.spawn(self.clone().work());
        }
    }

    /// Runs a job now.
    pub fn beside(self: &Arc<Self>, runtime: &Handle, job: impl Future<Output = ()> + Send + 'static) {
        self.beside.fetch_add(1, Ordering::Relaxed);
        let counted = Beside(self.clone());
        runtime.spawn(async move {
            job.await;
            drop(counted);
        });
    }

    async fn work(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.waiting.pop_front();
                if next.is_none() {
                    *state = State::default();
                }
                next
            };
            let Some(job) = next else { return };
            // Handlers' own panics are caught where they are called; one that slips through must not stop the queue.
            drop(AssertUnwindSafe(job).catch_unwind().await);
        }
    }
}
