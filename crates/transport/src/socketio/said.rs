//! What a client is told only behind the messages that were published before: answers of handlers, their questions, their goodbye. Whatever else is
//! no message goes before messages.
use std::{collections::VecDeque, sync::Arc};

use fanfare_hub::{Connection, Mark};
use fanfare_protocol::Problem;
use parking_lot::Mutex;

/// What is said.
pub(super) enum Say {
    /// Packets, as frames.
    Packets(Vec<u8>),
    /// An event was refused: the id of its ack, and why.
    Refusal(Option<u64>, Problem),
    /// The client's visit ends for this reason.
    Goodbye,
}

/// What waits to be said, in order. Bounded by who says it: answers by events that are not answered, questions by those that may be outstanding.
pub(super) struct Said {
    connection: Arc<Connection>,
    queue: Mutex<VecDeque<(Vec<Mark>, Say)>>,
}

impl Said {
    /// Behind the messages of this connection.
    pub fn behind(connection: Arc<Connection>) -> Self {
        Self { connection, queue: Mutex::default() }
    }

    /// Says it behind everything that has been delivered by now.
    pub fn push(&self, say: Say) {
        let marks = self.connection.pending();
        self.queue.lock().push_back((marks, say));
        self.connection.wake();
    }

    /// What may be said now.
    pub fn next(&self) -> Option<Say> {
        let mut queue = self.queue.lock();
        let (marks, _) = queue.front()?;
        if !self.connection.has_passed(marks) {
            return None;
        }
        let (_, say) = queue.pop_front()?;
        if queue.is_empty() {
            *queue = VecDeque::new();
        }
        Some(say)
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }
}
