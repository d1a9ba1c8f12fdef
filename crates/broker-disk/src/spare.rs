//! Space kept in reserve, so that retention can write down where channels stand when the disk is full, and delete what holds it.
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
};

use parking_lot::Mutex;

use crate::{DiskSettings, Doing};

/// A file of zeros in the data directory.
pub(crate) struct Spare {
    path: PathBuf,
    size: u64,
    settings: DiskSettings,
    /// One at a time.
    changing: Mutex<()>,
}

impl Spare {
    /// The reserve of a directory: an eighth of a segment, for to say of many channels where they stand takes about as much.
    pub fn new(settings: &DiskSettings) -> Self {
        let (path, size) = (settings.directory.join("spare"), settings.segment_bytes / 8);
        Self { path, size, settings: settings.clone(), changing: Mutex::default() }
    }

    /// Has the reserve hold what it should.
    pub fn fill(&self) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.grow(self.size)
    }

    /// The same, when there is room for some more besides.
    pub fn fill_with_room(&self) -> io::Result<()> {
        let _changing = self.changing.lock();
        let held = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        match self.grow(self.size + self.size / 4 + 4096) {
            Ok(()) => self.cut(self.size),
            Err(error) => {
                self.cut(held.min(self.size))?;
                Err(error)
            }
        }
    }

    /// Gives the space away.
    pub fn release(&self) {
        let _changing = self.changing.lock();
        if self.path.exists()
            && let Err(error) = self.cut(0)
        {
            tracing::debug!(%error, "the reserve could not be given away");
        }
    }

    fn grow(&self, size: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let held = file.metadata()?.len();
        if held >= size {
            return Ok(());
        }
        let mut left = size - held;
        self.settings.ask(&self.path, Doing::Write(left))?;
        let block = [0; 16 << 10];
        while let Some(part) =
            block.get(..left.min(block.len() as u64) as usize).filter(|part| !part.is_empty())
        {
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        // Only then is it known that there is room.
        file.sync_all()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(&self.path)?.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
    use super::*;

    #[test]
    fn it_is_filled_and_given_away() {
        let directory = tempfile::tempdir().unwrap();
        let settings = DiskSettings { segment_bytes: 800_000, ..DiskSettings::new(directory.path()) };
        let spare = Spare::new(&settings);
        let len = || std::fs::metadata(directory.path().join("spare")).unwrap().len();
        spare.fill().unwrap();
        assert_eq!(len(), 100_000);
        spare.release();
        assert_eq!(len(), 0);
        spare.fill_with_room().unwrap();
        assert_eq!(len(), 100_000, "the room besides is not kept");
    }
}
