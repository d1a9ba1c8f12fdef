//! What an operator does with a store while no hub serves it: look, verify, compact, export, import.
//!
//! [`survey`](survey()) only reads and needs no lock, so it may look at a store that is in use. [`export`](export()),
//! [`compact`](compact()) and [`Import`] hold the directory's lock as a hub does.
mod account;
mod compact;
mod export;
mod import;
mod survey;

use std::path::{Path, PathBuf};

use fanfare_protocol::{ChannelName, Epoch, Message, Problem};

pub use compact::{Compacted, compact};
pub use export::{Export, export};
pub use import::{Import, Imported};
pub use survey::{ChannelSurvey, Damage, SegmentSurvey, Survey, survey};

use crate::OpenError;

/// Why a tool could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The directory is in use, damaged, or the system refuses.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no store there.
    #[error("{} holds no store; name the data directory of a hub", path.display())]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// There is something there already.
    #[error("{} holds a store already; import into a directory that does not exist yet", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Something that is imported does not follow what came before.
    #[error("{channel} {offset}: {what}")]
    Unfit {
        /// Whose it is.
        channel: ChannelName,
        /// The offset that it names.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The log could not be written.
    #[error(transparent)]
    Refused(#[from] Problem),
}

/// A channel as a store keeps it, without its messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelState {
    /// Its name; internal ones (`$presence:...`) too.
    pub channel: ChannelName,
    /// The life of its log.
    pub epoch: Epoch,
    /// Its newest offset, whether or not that message is still kept.
    pub head: u64,
    /// When its newest message was published, in milliseconds since 1970; 0 when unknown.
    pub newest_ms: u64,
    /// Removals of keys up to this offset are no longer known.
    pub tombstones_after: u64,
}

/// A message as a store keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// The message, with its channel, epoch and offset.
    pub message: Message,
    /// When its key's time is over, in milliseconds since 1970, renewals included; none for what stays.
    pub expires_ms: Option<u64>,
    /// The id is its publisher's own, and counts for idempotency.
    pub remembered: bool,
}

/// A channel's name as a store may hold it: what publishers may use, and internal names.
pub fn stored_name(text: &str) -> Option<ChannelName> {
    match text.strip_prefix('$').and_then(|rest| rest.split_once(':')) {
        Some((kind, of)) => Some(ChannelName::internal(kind, of)),
        None => ChannelName::parse(text).ok(),
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| ToolError::Open(OpenError::Io { path, error })
}

fn damaged(path: &Path, at: u64, what: &'static str) -> ToolError {
    ToolError::Open(OpenError::Damaged { path: path.to_owned(), at, what })
}
