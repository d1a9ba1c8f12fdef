//! Why a data directory cannot be used, and what to do about it.
use std::{io, path::PathBuf};

use fanfare_broker_disk::OpenError;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it.
    #[error(
        "data directory {}: another process has it open\n  remedy: stop that process, or name another directory with `data` or --data",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Something in it is damaged that no crash explains.
    #[error(
        "data directory: {} is damaged at byte {at}: {what}\n  remedy: `fanfare store verify` lists all damage; restore the directory from a backup, or move it away to begin anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The system refused.
    #[error(
        "data directory: {}: {error}\n  remedy: make it a directory that this user can write to, or name another with `data` or --data",
        path.display()
    )]
    Unusable {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The directory of dev mode, which lies where everybody may write, is not this user's alone.
    #[error(
        "data directory {}: {what}, so somebody else may have put it there\n  remedy: remove it, or name another directory with --data",
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InUse { path } => Self::InUse { path },
            OpenError::Damaged { path, at, what } => Self::Damaged { path, at, what },
            OpenError::Io { path, error } => Self::Unusable { path, error },
        }
    }
}
