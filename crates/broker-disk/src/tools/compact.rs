//! Letting go of everything that retention does not need, at once.
use std::{path::Path, sync::Arc};

use fanfare_broker::{Broker, Policies};

use super::{ToolError, io};
use crate::{DiskBroker, DiskSettings, Opened, answer::wait, segment};

/// What compaction did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// What was found when the store was opened: a torn end was cut, a channel reset.
    pub opened: Opened,
    /// Files and bytes before.
    pub before: (usize, u64),
    /// Files and bytes after.
    pub after: (usize, u64),
}

/// Opens a store as a hub does, squeezes every segment by its channels' retention at `unix_ms`, and stops. Publishers' ids inside the
/// idempotency window keep the segments that hold them.
///
/// # Errors
/// Those of opening a store; `unavailable` when the disk takes no more.
pub fn compact(
    settings: DiskSettings,
    policies: Arc<dyn Policies>,
    unix_ms: u64,
) -> Result<Compacted, ToolError> {
    if !settings.directory.join("log").is_dir() {
        return Err(ToolError::NoStore { path: settings.directory });
    }
    let log = settings.directory.join("log");
    let before = size(&log)?;
    let broker = DiskBroker::open_anew(DiskSettings { keep_every: None, ..settings }, policies)?;
    broker.tick(unix_ms);
    broker.squeeze_all();
    let opened = broker.opened().clone();
    wait(broker.stop())?;
    drop(broker);
    Ok(Compacted { opened, before, after: size(&log)? })
}

fn size(log: &Path) -> Result<(usize, u64), ToolError> {
    let files = segment::list(log).map_err(io(log))?;
    let mut bytes = 0;
    for (_, path) in &files {
        bytes += std::fs::metadata(path).map_err(io(path))?.len();
    }
    Ok((files.len(), bytes))
}
