//! One file of the log.
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::frame::{SEGMENT_HEADER, segment_header};

/// A segment: an immutable file once the next one has begun, and append-only before. Readers hold it as long as they read;
/// a segment that was squeezed or deleted meanwhile is still theirs.
#[derive(Debug)]
pub(crate) struct Segment {
    pub id: u32,
    pub path: PathBuf,
    file: File,
    /// Bytes written, the header included.
    len: AtomicU64,
}

impl Segment {
    /// Begins a segment; its header is written, not yet synced.
    pub fn create(directory: &Path, id: u32) -> io::Result<Self> {
        let path = directory.join(file_name(id));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let segment = Self { id, path, file, len: AtomicU64::new(0) };
        if let Err(error) = segment.append(&segment_header(id)) {
            let _ = std::fs::remove_file(&segment.path);
            return Err(error);
        }
        Ok(segment)
    }

    /// Opens a segment that is there, of which `len` bytes are good.
    pub fn open(path: PathBuf, id: u32, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        if file.metadata()?.len() != len {
            file.set_len(len)?;
            file.sync_all()?;
        }
        Ok(Self { id, path, file, len: AtomicU64::new(len) })
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len.load(Relaxed)
    }

    /// Appends bytes, all or none: what a full disk cut short is taken back.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let len = self.len();
        match self.file.write_all_at(bytes, len) {
            Ok(()) => {
                self.len.store(len + bytes.len() as u64, Relaxed);
                Ok(())
            }
            Err(error) => {
                self.file.set_len(len)?;
                Err(error)
            }
        }
    }

    /// Makes everything written durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads up to `buffer.len()` bytes; fewer at the end.
    pub fn read_at(&self, mut at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => {
                    read += count;
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

/// The file of a segment.
pub(crate) fn file_name(id: u32) -> String {
    format!("{id:010}.log")
}

/// The segments of a directory, oldest first.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(id) = id.filter(|_| is_log) {
            found.push((id, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether bytes begin with the header of this segment.
pub(crate) fn begins_rightly(bytes: &[u8], id: u32) -> bool {
    bytes.get(..SEGMENT_HEADER) == Some(&segment_header(id)[..])
}

/// Makes a directory's own entries durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
