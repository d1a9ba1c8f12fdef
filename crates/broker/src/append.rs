//! One message on its way into a log.
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fanfare_protocol::{ClientId, Problem, Publish, event::Published};

/// Who published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Author {
    /// The user, if the credentials name one.
    pub user: Option<Arc<str>>,
    /// The client; none for API keys and the hub itself.
    pub client: Option<ClientId>,
}

/// One message on its way into a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// What was published. `client` in it is only the origin that an API key named.
    pub publish: Publish,
    /// By whom.
    pub author: Author,
    /// Milliseconds since 1970; becomes the message's `time`.
    pub unix_ms: u64,
}

/// The answer to an append: there already, or at commit.
pub enum Appending {
    /// Committed (or refused) at once.
    Ready(Option<Result<Published, Problem>>),
    /// Will be answered at commit.
    Pending(Pin<Box<dyn Future<Output = Result<Published, Problem>> + Send>>),
}

impl Appending {
    /// An answer that is there already.
    pub fn ready(result: Result<Published, Problem>) -> Self {
        Self::Ready(Some(result))
    }

    /// Takes the answer if it is there already; otherwise gives the future back.
    ///
    /// # Errors
    /// The appending itself, when it is still under way.
    pub fn now(self) -> Result<Result<Published, Problem>, Self> {
        match self {
            Self::Ready(Some(result)) => Ok(result),
            other => Err(other),
        }
    }
}

impl Future for Appending {
    type Output = Result<Published, Problem>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => Poll::Pending,
            },
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
