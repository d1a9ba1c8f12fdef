//! Handlers of one namespace, their types erased.
use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use fanfare_protocol::{Args, FromArgs, Problem};
use fanfare_transport::{End, Handshake};

use super::{Admission, Answer, Context};

/// How long a handler may take, unless its namespace says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) type Middleware = Arc<dyn Fn(Handshake) -> Run<Result<Admission, Problem>> + Send + Sync>;
pub(super) type Called = Arc<dyn Fn(Context, Args) -> Run<Result<Args, Problem>> + Send + Sync>;
pub(super) type Came = Arc<dyn Fn(Context) -> Run<()> + Send + Sync>;
pub(super) type Going = Arc<dyn Fn(Context, End) -> Run<()> + Send + Sync>;

/// A handler of one event.
#[derive(Clone)]
pub(super) struct Handler {
    pub run: Called,
    /// It does not wait for the events before it, nor those after for it.
    pub concurrent: bool,
}

/// Replaced as a whole when one is added, so that a lock is never held while they run.
#[derive(Clone)]
pub(super) struct Handlers {
    pub middlewares: Vec<Middleware>,
    pub events: HashMap<String, Handler>,
    pub any: Option<Handler>,
    pub came: Vec<Came>,
    pub going: Vec<Going>,
    pub deadline: Duration,
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            middlewares: Vec::new(),
            events: HashMap::new(),
            any: None,
            came: Vec::new(),
            going: Vec::new(),
            deadline: DEADLINE,
        }
    }
}

pub(super) fn middleware<F, R, A>(decide: F) -> Middleware
where
    F: Fn(Handshake) -> R + Send + Sync + 'static,
    R: Future<Output = Result<A, Problem>> + Send + 'static,
    A: Into<Admission>,
{
    Arc::new(move |handshake| {
        let decided = decide(handshake);
        Box::pin(async move { decided.await.map(Into::into) })
    })
}

pub(super) fn called<F, R, A>(handler: F) -> Called
where
    F: Fn(Context, A) -> R + Send + Sync + 'static,
    R: Future<Output: Answer> + Send + 'static,
    A: FromArgs,
{
    Arc::new(move |context, args| {
        let begun = A::from_args(args).map(|args| handler(context, args));
        Box::pin(async move { begun?.await.into_answer() })
    })
}
