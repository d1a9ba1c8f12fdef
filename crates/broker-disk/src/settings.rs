//! How a disk broker behaves, and what opening one says.
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How a [`DiskBroker`](crate::DiskBroker) behaves, beside each channel's policy.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// The data directory; made if it is not there.
    pub directory: PathBuf,
    /// Milliseconds for which a publisher's id is remembered.
    pub idempotency_ms: u64,
    /// Ids that a channel remembers at most.
    pub idempotency_ids: usize,
    /// Channels with messages; beyond it the longest idle lose their past.
    pub channels_limit: usize,
    /// A segment is full at so many bytes, and goes or is squeezed as a whole.
    pub segment_bytes: u64,
    /// Bytes that may wait to be written; beyond it publishes fail with `unavailable`.
    pub queue_bytes: usize,
    /// A channel of `ack = "memory"` that was quiet for so long keeps its epoch through a power cut; its next message waits
    /// for a sync.
    pub settle: Duration,
    /// Threads that read.
    pub readers: usize,
    /// How often retention is carried out on disk; none for never by itself.
    pub keep_every: Option<Duration>,
    /// How long a full disk is left alone before it is seen whether there is room again; 20 times that when it was full again soon.
    pub try_again: Duration,
    /// This boot of the machine; the system's own if none.
    pub boot_id: Option<String>,
    /// Told of every sync; for tests that make the power fail.
    pub witness: Option<Witness>,
    /// Asked before every write and sync; for tests of a disk that fails or is full.
    pub fault: Option<Fault>,
}

/// Is asked before anything is done to a file of the log, or to the reserve, and makes it fail.
#[derive(Clone)]
pub struct Fault(pub Arc<FaultOf>);

type FaultOf = dyn Fn(&Path, Doing) -> io::Result<()> + Send + Sync;

/// What is about to be done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// So many bytes are written.
    Write(u64),
    /// It is synced.
    Sync,
}

impl DiskSettings {
    pub(crate) fn ask(&self, path: &Path, doing: Doing) -> io::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |Fault(fault)| fault(path, doing))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fault")
    }
}

/// Is told after each sync which segment is durable, and up to which byte; before anybody is answered and before a mark in the log
/// says so.
#[derive(Clone)]
pub struct Witness(pub Arc<dyn Fn(u32, u64) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl DiskSettings {
    /// The defaults, in a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            idempotency_ms: 300_000,
            idempotency_ids: 1_000_000,
            channels_limit: 1_000_000,
            segment_bytes: 64 << 20,
            queue_bytes: 64 << 20,
            settle: Duration::from_secs(5),
            readers: 2,
            keep_every: Some(Duration::from_secs(10)),
            try_again: Duration::from_millis(250),
            boot_id: None,
            witness: None,
            fault: None,
        }
    }
}

/// Why a directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; stop that one, or choose another data directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Something in it is damaged that no crash explains.
    #[error("{} is damaged at byte {at}: {what}; restore the data directory from a backup, or move it away to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// What was found in a directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// Channels with messages.
    pub channels: usize,
    /// Messages on disk.
    pub messages: u64,
    /// Whether the last process ended without stopping in order.
    pub unclean: bool,
    /// Whether that was in another boot of the machine: what was not synced may be gone.
    pub power_cut: bool,
    /// The end that was cut off, if it was torn or damaged.
    pub cut: Option<Cut>,
    /// Channels that may have lost messages that readers have seen: they go on in another epoch.
    pub reset: Vec<fanfare_protocol::ChannelName>,
}

/// A torn or damaged end of the log, cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The segment.
    pub path: PathBuf,
    /// Where the last good frame ends.
    pub at: u64,
    /// Bytes cut off.
    pub bytes: u64,
    /// What was wrong with them.
    pub what: &'static str,
}
