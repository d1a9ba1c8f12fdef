//! Bytes of clients' messages that are held, counted against the memory that all share.
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use fanfare_broker::Budget;
use fanfare_protocol::{Code, Problem};
use http_body_util::BodyExt;

/// Answers up to this size are not worth counting: what the servers' own buffers take is more.
const SMALL: usize = 4 << 10;

/// So many bytes, which the budget knows of as long as this is there.
#[derive(Default)]
pub(crate) struct Counted {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Counted {
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// So many from now on. False when there is no room for them: then it is none.
    pub fn hold(&mut self, budget: &Arc<Budget>, bytes: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        self.let_go();
        let has_room = bytes == 0 || budget.try_take(bytes);
        if has_room && bytes > 0 {
            self.bytes = bytes;
            self.budget.get_or_insert_with(|| budget.clone());
        }
        has_room
    }

    /// None any more.
    pub fn let_go(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(self.bytes);
        }
        self.bytes = 0;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The body of a POST.
pub(crate) struct Arrived {
    pub text: String,
    pub counted: Counted,
}

/// Why there is none.
pub(super) enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// There is no memory for it.
    Full,
    /// It broke off, or is no text.
    Broken,
}

/// Reads a body of at most so many bytes.
///
/// # Errors
/// Why it was not read.
pub(super) async fn arrive(mut body: Body, most: usize, budget: &Arc<Budget>) -> Result<Arrived, Unread> {
    let (mut bytes, mut counted) = (Vec::new(), Counted::default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Unread::TooLarge);
        }
        if !counted.hold(budget, bytes.len() + data.len()) {
            return Err(Unread::Full);
        }
        bytes.extend_from_slice(&data);
    }
    let text = String::from_utf8(bytes).map_err(|_| Unread::Broken)?;
    Ok(Arrived { text, counted })
}

/// The answer to a GET until the client has taken it, counted whether or not there is room: it is there already.
pub(super) fn answer(budget: &Arc<Budget>, bytes: Vec<u8>) -> Bytes {
    if bytes.len() <= SMALL {
        return bytes.into();
    }
    budget.take(bytes.len());
    let counted = Counted { budget: Some(budget.clone()), bytes: bytes.len() };
    Bytes::from_owner(Answer { bytes, _counted: counted })
}

struct Answer {
    bytes: Vec<u8>,
    _counted: Counted,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Told to a client for whose message there is no memory.
pub(super) fn full() -> Problem {
    Problem::new(Code::Unavailable, "the server's memory for messages is used up")
        .retry_after_ms(1000)
        .remedy("try again in a moment, or raise limits.memory_bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_counted_and_given_back() {
        let budget = Arc::new(Budget::new(10_000));
        let arrived = arrive(Body::from("x".repeat(6000)), 8000, &budget).await;
        assert_eq!(budget.used(), 6000);
        assert!(matches!(arrive(Body::from("x".repeat(6000)), 8000, &budget).await, Err(Unread::Full)));
        assert!(matches!(arrive(Body::from("x".repeat(8001)), 8000, &budget).await, Err(Unread::TooLarge)));
        assert!(matches!(arrive(Body::from(vec![0xff]), 8000, &budget).await, Err(Unread::Broken)));
        assert_eq!(budget.used(), 6000);
        let Ok(mut arrived) = arrived else { panic!("not read") };
        assert_eq!((arrived.text.len(), arrived.counted.bytes()), (6000, 6000));
        assert!(arrived.counted.hold(&budget, 9000));
        assert!(!arrived.counted.hold(&budget, 10_001));
        assert_eq!(budget.used(), 0);
        let (small, large) = (answer(&budget, vec![0; 100]), answer(&budget, vec![0; 5000]));
        assert_eq!((small.len(), large.len(), budget.used()), (100, 5000, 5000));
        drop(large);
        assert_eq!(budget.used(), 0);
    }
}
