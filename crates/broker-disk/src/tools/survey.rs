//! Going through a whole store without changing it: what is in it, and what is wrong with it.
use std::{
    fs::File,
    path::{Path, PathBuf},
};

use fanfare_protocol::{ChannelName, Epoch};

use super::{
    ToolError,
    account::{Account, Accounts},
    io,
};
use crate::{
    Cut, OpenError,
    directory::{Left, read_left},
    frame::{Kind, SEGMENT_HEADER},
    scan::{End, next_good, scan_from, without_zeros},
    segment,
};

/// Damages that are listed; more are only counted.
const LISTED: usize = 1000;

/// A store, as one look at its files found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// The epoch of every channel that has not lost its past; none when the file `store` is missing or unreadable.
    pub epoch: Option<Epoch>,
    /// Whether the last hub stopped in order.
    pub clean: bool,
    /// Whether a process has it open now. Then what is written meanwhile may look like a torn end.
    pub in_use: bool,
    /// The files of the log, oldest first.
    pub segments: Vec<SegmentSurvey>,
    /// Channels, by name.
    pub channels: Vec<ChannelSurvey>,
    /// The torn or damaged end that the next start will cut off and report.
    pub torn: Option<Cut>,
    /// Damage that keeps a hub from starting, in the order of the log; at most 1,000.
    pub damages: Vec<Damage>,
    /// How many damages there are.
    pub damage_count: usize,
}

/// One file of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentSurvey {
    /// The file.
    pub path: PathBuf,
    /// Its number.
    pub id: u32,
    /// Its size.
    pub bytes: u64,
    /// Good frames of any kind.
    pub frames: u64,
    /// Messages among them.
    pub messages: u64,
}

/// One channel of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelSurvey {
    /// Its name; internal ones (`$presence:...`) too.
    pub channel: ChannelName,
    /// The life of its log.
    pub epoch: Epoch,
    /// Its newest offset.
    pub head: u64,
    /// Every message from here to the head is on disk; `head + 1` when none is.
    pub oldest: u64,
    /// Messages on disk, those before `oldest` included that are the newest of a key, or wait to be squeezed out.
    pub messages: u64,
    /// Bytes of these messages on disk.
    pub bytes: u64,
    /// Keys that are set.
    pub keys: u64,
    /// When its newest message was published, in milliseconds since 1970; 0 when unknown.
    pub newest_ms: u64,
}

/// A place that is damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The byte where what is damaged begins.
    pub at: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl Survey {
    /// Bytes of the log.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Messages of all channels.
    pub fn messages(&self) -> u64 {
        self.channels.iter().map(|channel| channel.messages).sum()
    }

    fn damage(&mut self, path: &Path, at: u64, what: &'static str) {
        self.damage_count += 1;
        if self.damages.len() < LISTED {
            self.damages.push(Damage { path: path.to_owned(), at, what });
        }
    }
}

/// Reads a whole store and says what is in it and what is wrong with it. Nothing is changed, and no lock is needed.
///
/// # Errors
/// [`ToolError::NoStore`] when there is none; otherwise only what the system refuses: damage is in the answer.
pub fn survey(directory: &Path) -> Result<Survey, ToolError> {
    survey_with(directory).map(|(survey, _)| survey)
}

/// The same, and what the frames said.
pub(crate) fn survey_with(directory: &Path) -> Result<(Survey, Accounts), ToolError> {
    let log = directory.join("log");
    let files = match segment::list(&log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ToolError::NoStore { path: directory.to_owned() });
        }
        other => other.map_err(io(&log))?,
    };
    let mut survey = Survey {
        epoch: None,
        clean: false,
        in_use: in_use(directory),
        segments: Vec::new(),
        channels: Vec::new(),
        torn: None,
        damages: Vec::new(),
        damage_count: 0,
    };
    match read_left(directory) {
        Ok(Some(Left { epoch, clean, .. })) => (survey.epoch, survey.clean) = (Some(epoch), clean),
        Ok(None) if files.iter().all(|(_, path)| is_empty(path)) => {
            return Err(ToolError::NoStore { path: directory.to_owned() });
        }
        Ok(None) => survey.damage(&directory.join("store"), 0, "it is missing, though there is a log"),
        Err(OpenError::Damaged { path, at, what }) => survey.damage(&path, at, what),
        Err(error) => return Err(error.into()),
    }
    let (mut accounts, newest) = (Accounts::default(), files.last().map(|(id, _)| *id));
    for (id, path) in files {
        match std::fs::read(&path) {
            Ok(bytes) => look(&mut survey, &mut accounts, (id, &path, &bytes), newest == Some(id)),
            // Retention of a hub that runs meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && survey.in_use => {}
            Err(error) => return Err(io(&path)(error)),
        }
    }
    accounts.settle();
    survey.channels = accounts.by_number.values().map(channel).collect();
    survey.channels.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
    Ok((survey, accounts))
}

/// Whether nothing is in a segment: a first start was killed there.
fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() <= SEGMENT_HEADER as u64)
}

fn look(survey: &mut Survey, accounts: &mut Accounts, file: (u32, &Path, &[u8]), newest: bool) {
    let (id, path, bytes) = file;
    let (mut frames, mut messages) = (0, 0);
    let mut from = SEGMENT_HEADER;
    if newest && bytes.len() < SEGMENT_HEADER {
        // A crash while it was begun; the next start removes it.
        from = bytes.len();
    } else if !segment::begins_rightly(bytes, id) {
        survey.damage(path, 0, "it does not begin as a segment does");
    }
    while from < bytes.len() {
        let end = scan_from(id, bytes, from, |frame| {
            frames += 1;
            messages += u64::from(frame.header.kind == Kind::Message);
            accounts.frame(&frame)
        });
        let End::Bad(mut bad) = end else { break };
        let mut bytes = bytes;
        if newest {
            // What a hub that was killed, or runs, has prepared and not written is nothing.
            bytes = without_zeros(bytes, bad.at as usize);
            match scan_from(id, bytes, bad.at as usize, |frame| accounts.frame(&frame)) {
                End::Whole => break,
                End::Bad(written) => bad = written,
            }
        }
        if newest && !bad.synced {
            let bytes = bytes.len() as u64 - bad.at;
            survey.torn = Some(Cut { path: path.to_owned(), at: bad.at, bytes, what: bad.what });
            break;
        }
        survey.damage(path, bad.at, bad.what);
        let Some(next) = next_good(id, bytes, bad.at as usize) else { break };
        from = next;
    }
    survey.segments.push(SegmentSurvey {
        path: path.to_owned(),
        id,
        bytes: bytes.len() as u64,
        frames,
        messages,
    });
}

fn channel(account: &Account) -> ChannelSurvey {
    ChannelSurvey {
        channel: account.name.clone(),
        epoch: account.epoch,
        head: account.head,
        oldest: account.first,
        messages: account.messages,
        bytes: account.bytes,
        keys: account.keys.values().filter(|key| !key.tombstone).count() as u64,
        newest_ms: account.newest_ms,
    }
}

/// Whether a process holds the directory's lock.
fn in_use(directory: &Path) -> bool {
    File::open(directory.join("lock"))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}
