//! A future that another thread answers, without a runtime.
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

enum State<T> {
    Waiting(Option<Waker>),
    Answered(T),
    /// Answered and taken, or never to be answered.
    Over,
}

/// The side that answers. Dropped without an answer, it makes the other side return `None`.
pub(crate) struct Reply<T>(Arc<Mutex<State<T>>>);

/// The side that waits.
pub(crate) struct Awaited<T>(Arc<Mutex<State<T>>>);

/// Both sides.
pub(crate) fn answer<T>() -> (Reply<T>, Awaited<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Reply(state.clone()), Awaited(state))
}

impl<T> Reply<T> {
    pub fn send(self, value: T) {
        self.finish(State::Answered(value));
    }

    /// Whether anybody still waits for it.
    pub fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn finish(&self, end: State<T>) {
        let mut state = self.0.lock();
        if let State::Waiting(waker) = &mut *state {
            let waker = waker.take();
            *state = end;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.finish(State::Over);
    }
}

impl<T> Future for Awaited<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => match std::mem::replace(&mut *state, State::Over) {
                State::Answered(value) => Poll::Ready(Some(value)),
                _ => Poll::Ready(None),
            },
        }
    }
}

/// Waits on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
