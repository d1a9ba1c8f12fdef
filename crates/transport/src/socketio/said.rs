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

/// What waits to be said, in order: behind messages, and while the client does not read what was said before. Bounded by who says it.
pub(super) struct Said {
    connection: Arc<Connection>,
    /// Bytes that may wait on the connection itself.
    limit: usize,
    queue: Mutex<VecDeque<(Vec<Mark>, Say)>>,
}

impl Said {
    /// Behind the messages of this connection, which takes so many bytes that are no messages.
    pub fn behind(connection: Arc<Connection>, limit: usize) -> Self {
        Self { connection, limit, queue: Mutex::default() }
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
        if !self.connection.accepts(self.limit) || !self.connection.has_passed(marks) {
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
