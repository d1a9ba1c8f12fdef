//! What a handler answers.
use fanfare_protocol::{Args, Problem, ToArgs};

/// What a handler may return: nothing, or a result whose value is the answer (a tuple is several arguments, `()` none).
pub trait Answer {
    /// The answer's arguments.
    ///
    /// # Errors
    /// The handler's own, or a value that cannot be JSON.
    fn into_answer(self) -> Result<Args, Problem>;
}

impl Answer for () {
    fn into_answer(self) -> Result<Args, Problem> {
        Ok(Args::default())
    }
}

impl<T: ToArgs> Answer for Result<T, Problem> {
    fn into_answer(self) -> Result<Args, Problem> {
        self?.to_args()
    }
}
