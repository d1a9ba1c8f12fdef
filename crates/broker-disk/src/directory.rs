//! The data directory: its lock, its epoch, and how it was last left.
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use fanfare_protocol::Epoch;
use parking_lot::Mutex;

use crate::{OpenError, segment::sync_directory};

/// What the file `store` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Left {
    /// The epoch of every channel that has not lost its past.
    pub epoch: Epoch,
    /// The boot in which the directory was last opened.
    pub boot: String,
    /// Whether it was closed in order.
    pub clean: bool,
}

/// An open data directory, locked against other processes for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub path: PathBuf,
    /// What the file `store` says; held while it is replaced.
    state: Mutex<Option<Left>>,
    // The kernel lets the lock go when the process ends, however it ends: there is no stale lock.
    _lock: File,
}

const FORMAT: &str = "fanfare store 1";

impl Left {
    fn text(&self) -> String {
        let clean = if self.clean { "yes" } else { "no" };
        format!("{FORMAT}\nepoch {}\nboot {}\nclean {clean}\n", self.epoch, self.boot)
    }
}

impl Directory {
    /// Opens, makes and locks a directory.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        std::fs::create_dir_all(path.join("log")).map_err(io)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        Ok(Self { path: path.to_owned(), state: Mutex::new(None), _lock: lock })
    }

    /// Opens and locks a directory that holds a store; none if it does not.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, OpenError> {
        if path.join("store").exists() { Self::open(path).map(Some) } else { Ok(None) }
    }

    /// Where the segments are.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// How the directory was left; none for a new one.
    pub fn left(&self) -> Result<Option<Left>, OpenError> {
        read_left(&self.path)
    }

    /// Says in the directory how it stands, durably.
    pub fn mark(&self, left: &Left) -> io::Result<()> {
        self.replace(&mut self.state.lock(), left.clone())
    }

    fn replace(&self, state: &mut Option<Left>, left: Left) -> io::Result<()> {
        let text = left.text();
        let (path, new) = (self.path.join("store"), self.path.join("store.new"));
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        sync_directory(&self.path)?;
        *state = Some(left);
        Ok(())
    }

    /// Has every channel that is yet to begin, or to begin anew, do so in another epoch; durably.
    pub fn begin_epoch(&self, epoch: Epoch) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.clone() {
            Some(left) => self.replace(&mut state, Left { epoch, ..left }),
            None => Ok(()),
        }
    }

    /// Says, durably and without a byte more of space, that what was not synced may be gone: until [`Directory::trust`] a restart takes the
    /// machine for another boot.
    pub fn distrust(&self) -> io::Result<()> {
        let state = self.state.lock();
        let Some(left) = state.as_ref() else { return Ok(()) };
        let text = left.text();
        let nowhere = Left { boot: "-".repeat(left.boot.len()), ..left.clone() };
        let file = OpenOptions::new().write(true).open(self.path.join("store"))?;
        if file.metadata()?.len() == text.len() as u64 {
            file.write_all_at(nowhere.text().as_bytes(), 0)?;
        }
        file.sync_data()
    }

    /// Takes [`Directory::distrust`] back.
    pub fn trust(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.clone() {
            Some(left) => self.replace(&mut state, left),
            None => Ok(()),
        }
    }

    /// Says that everything was made durable and nothing was written since.
    pub fn mark_clean(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.clone() {
            Some(left) => self.replace(&mut state, Left { clean: true, ..left }),
            None => Ok(()),
        }
    }
}

/// How a directory was left, as its file `store` says; none without one.
pub(crate) fn read_left(directory: &Path) -> Result<Option<Left>, OpenError> {
    let path = directory.join("store");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::Io { path, error }),
    };
    let damaged = || OpenError::Damaged {
        path: path.clone(),
        at: 0,
        what: "it does not say \"fanfare store 1\" and an epoch",
    };
    let mut lines = text.lines();
    let mut value = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
    value(FORMAT).filter(|rest| rest.is_empty()).ok_or_else(damaged)?;
    let epoch = value("epoch ").and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
    let boot = value("boot ").ok_or_else(damaged)?.to_owned();
    let clean = value("clean ").ok_or_else(damaged)? == "yes";
    Ok(Some(Left { epoch, boot, clean }))
}

/// This boot of the machine; none where the system does not say.
pub(crate) fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
