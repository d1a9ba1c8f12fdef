//! The store's figures, counted where they happen and read by whoever exports them.
use fanfare_broker::{Count, Level, Spread};

/// The store's figures.
#[derive(Debug, Default)]
pub struct Counters {
    /// Syncs that made something durable.
    pub commits: Count,
    /// Messages that waited for one sync: the size of a group commit. Messages that nobody waits for are not among them.
    pub commit_messages: Spread,
    /// Microseconds that a sync took.
    pub sync_us: Spread,
    /// Messages written to the log.
    pub written: Count,
    /// Bytes written to the log.
    pub written_bytes: Count,
    /// Writes and syncs that the system refused: a full disk, or a broken one.
    pub write_errors: Count,
    /// Messages that were refused because of it.
    pub refused: Count,
    /// Reads that wait for a reading thread, or are under way.
    pub reads: Level,
}

/// What the log takes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Files of the log.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
}
