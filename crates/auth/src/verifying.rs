//! The outcome of a verification, now or later.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fanfare_protocol::{Identity, Problem};

/// Who the token's bearer is, or why it is refused.
pub type Verified = Result<Arc<Identity>, Problem>;

/// A verification. Nearly all are ready at once; those that wait for a key set are not.
pub enum Verifying {
    /// The outcome.
    Ready(Verified),
    /// The outcome once a key set was fetched. Bounded by the fetch's time limit.
    Pending(Pin<Box<dyn Future<Output = Verified> + Send>>),
}

impl Verifying {
    /// The outcome, if it is known already.
    pub fn ready(&self) -> Option<&Verified> {
        match self {
            Self::Ready(verified) => Some(verified),
            Self::Pending(_) => None,
        }
    }
}

impl Future for Verifying {
    type Output = Verified;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verified> {
        match &mut *self {
            Self::Ready(verified) => Poll::Ready(verified.clone()),
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Verifying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(verified) => f.debug_tuple("Ready").field(verified).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}
