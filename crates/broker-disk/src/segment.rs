//! One file of the log.
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use parking_lot::Mutex;

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
    /// How far the file reaches: behind what is written are the zeros of [`Segment::prepare`].
    reach: AtomicU64,
    /// From where on the file is not to be believed, for a sync failed; `u64::MAX` if all of it is.
    torn_at: AtomicU64,
    /// What stands there.
    torn: Mutex<Vec<u8>>,
}

impl Segment {
    /// Begins a segment; its header is written, not yet synced.
    pub fn create(directory: &Path, id: u32) -> io::Result<Self> {
        let path = directory.join(file_name(id));
        if path.metadata().is_ok_and(|file| file.len() <= SEGMENT_HEADER as u64) {
            // Left by an attempt that failed.
            std::fs::remove_file(&path)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let segment = Self::new(path, id, file, 0);
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
        Ok(Self::new(path, id, file, len))
    }

    fn new(path: PathBuf, id: u32, file: File, len: u64) -> Self {
        let (len, reach) = (AtomicU64::new(len), AtomicU64::new(len));
        let (torn_at, torn) = (AtomicU64::new(u64::MAX), Mutex::default());
        Self { id, path, file, len, reach, torn_at, torn }
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
                self.reach.fetch_max(len + bytes.len() as u64, Relaxed);
                Ok(())
            }
            Err(error) => {
                self.end_at(len)?;
                Err(error)
            }
        }
    }

    /// Bytes that can be written before the file grows.
    pub fn prepared(&self) -> u64 {
        self.reach.load(Relaxed).saturating_sub(self.len())
    }

    /// Writes zeros where the next so many bytes will be: the file grows now, and not with each of them.
    pub fn prepare(&self, bytes: u64) -> io::Result<()> {
        const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
        let (begin, end) = (self.reach.load(Relaxed), self.len() + bytes);
        let mut at = begin;
        while let Some(zeros) = ZEROS.get(..end.saturating_sub(at).min(ZEROS.len() as u64) as usize)
            && !zeros.is_empty()
        {
            if let Err(error) = self.file.write_all_at(zeros, at) {
                self.end_at(begin)?;
                return Err(error);
            }
            at += zeros.len() as u64;
        }
        self.reach.store(at, Relaxed);
        Ok(())
    }

    /// Has the file end with what is written, for good.
    pub fn trim(&self) -> io::Result<()> {
        if self.prepared() == 0 {
            return Ok(());
        }
        self.end_at(self.len())?;
        self.file.sync_all()
    }

    /// Cuts off what follows a place, for good.
    pub fn cut(&self, at: u64) -> io::Result<()> {
        self.end_at(at)?;
        self.len.store(at, Relaxed);
        self.file.sync_all()
    }

    fn end_at(&self, at: u64) -> io::Result<()> {
        self.file.set_len(at)?;
        self.reach.store(at, Relaxed);
        Ok(())
    }

    /// From a place on the file is not to be believed; this is what stands there, and where the segment ends.
    pub fn tear(&self, at: u64, bytes: Vec<u8>) {
        let mut torn = self.torn.lock();
        self.len.store(at + bytes.len() as u64, Relaxed);
        *torn = bytes;
        self.torn_at.store(at, Release);
    }

    /// How many bytes are torn.
    pub fn torn(&self) -> Option<usize> {
        (self.torn_at.load(Acquire) != u64::MAX).then(|| self.torn.lock().len())
    }

    /// Writes what is torn again, and syncs it with `sync`.
    pub fn mend(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut torn = self.torn.lock();
        let at = self.torn_at.load(Acquire);
        self.file.write_all_at(&torn, at)?;
        self.end_at(at + torn.len() as u64)?;
        sync()?;
        self.torn_at.store(u64::MAX, Release);
        *torn = Vec::new();
        Ok(())
    }

    /// Makes everything written durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads up to `buffer.len()` bytes; fewer at the end of what is written.
    pub fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let written = self.len().saturating_sub(at).min(buffer.len() as u64) as usize;
        let (buffer, _) = buffer.split_at_mut(written);
        if at.saturating_add(buffer.len() as u64) <= self.torn_at.load(Acquire) {
            return self.read_file(at, buffer);
        }
        let torn = self.torn.lock();
        let torn_at = self.torn_at.load(Acquire);
        let whole = torn_at.saturating_sub(at).min(buffer.len() as u64) as usize;
        let (before, behind) = buffer.split_at_mut(whole);
        let read = self.read_file(at, before)?;
        if read < whole || torn_at == u64::MAX {
            return Ok(read);
        }
        let skip = at.saturating_sub(torn_at).min(torn.len() as u64) as usize;
        let kept = torn.get(skip..).unwrap_or_default();
        let count = kept.len().min(behind.len());
        if let (Some(to), Some(from)) = (behind.get_mut(..count), kept.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(read + count)
    }

    fn read_file(&self, mut at: u64, buffer: &mut [u8]) -> io::Result<usize> {
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
