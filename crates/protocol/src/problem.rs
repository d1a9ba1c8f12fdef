//! An error as a client meets it: a code, what happened, what to do next.
use std::{borrow::Cow, fmt};

use crate::{Code, Position};

/// An error with its remedy: an `error` frame, a problem document (RFC 9457), or the reason of a close.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What kind of error.
    pub code: Code,
    /// What happened, for a person. Never holds a token.
    pub detail: Cow<'static, str>,
    /// What to do next; the code's own remedy when absent.
    pub remedy: Option<Cow<'static, str>>,
    /// Milliseconds to wait before trying again.
    pub retry_after_ms: Option<u64>,
    /// For `conflict` of a conditional publish: the last position assigned.
    pub position: Option<Position>,
    /// Overrides the code's `retryable` (a `limit_exceeded` on a count of connections is).
    pub retryable: Option<bool>,
}

impl Problem {
    /// A problem with the code's own remedy.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            remedy: None,
            retry_after_ms: None,
            position: None,
            retryable: None,
        }
    }

    /// The same with a remedy of its own.
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same with a time to wait.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// The same, naming the channel's last position.
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The same, said to be worth another try.
    pub fn worth_retrying(mut self) -> Self {
        self.retryable = Some(true);
        self
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        self.retryable.unwrap_or_else(|| self.code.retryable())
    }

    /// Milliseconds to tell a client to wait: what was set, or a second where trying again may help; else none. For
    /// `retry_after_ms` and, in whole seconds rounded up, `Retry-After`.
    pub fn wait_ms(&self) -> Option<u64> {
        self.retry_after_ms.or(self.is_retryable().then_some(1000))
    }

    /// What to do next.
    pub fn remedy_text(&self) -> &str {
        self.remedy.as_deref().unwrap_or(self.code.row().remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.code.name(), self.detail, self.remedy_text())
    }
}
impl std::error::Error for Problem {}
