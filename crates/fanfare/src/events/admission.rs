//! What a middleware says of a client that it lets in.
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

/// Values by their type.
pub(crate) type State = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What a middleware says of a client that it lets in: who it is, and what its handlers find in [`crate::Socket::data`].
///
/// # Examples
/// ```
/// # use fanfare::Admission;
/// struct Plan { seats: u32 }
///
/// let admission = Admission::new().user("ada").data(Plan { seats: 3 });
/// ```
#[derive(Default)]
pub struct Admission {
    pub(crate) user: Option<Arc<str>>,
    pub(crate) state: State,
}

impl Admission {
    /// Let in, as whoever its credentials say.
    pub fn new() -> Self {
        Self::default()
    }

    /// It is this user.
    pub fn user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Keeps a value for its handlers, one of each type.
    pub fn data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// A later middleware's word counts over an earlier one's.
    pub(crate) fn add(&mut self, later: Self) {
        self.user = later.user.or(self.user.take());
        self.state.extend(later.state);
    }
}

impl From<()> for Admission {
    fn from((): ()) -> Self {
        Self::new()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("user", &self.user).field("data", &self.state.len()).finish()
    }
}
