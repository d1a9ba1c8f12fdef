//! Taking every message out of a store, in the order in which the log has them.
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    vec,
};

use fanfare_protocol::{ChannelName, Epoch};

use super::{ChannelState, Stored, ToolError, account::Accounts, damaged, io, survey::survey_with};
use crate::{
    directory::Directory,
    frame::{Kind, REMEMBERED, SEGMENT_HEADER},
    record::{ChannelBody, MessageBody},
    scan::frame_at,
    segment,
};

/// A store being taken out: its channels, then (as an iterator) every message, oldest segment first. A channel's messages come
/// in the order of their offsets; among channels the order is that of the log. The directory stays locked until it is dropped.
///
/// Memory: the channels, and one segment at a time.
pub struct Export {
    /// The store's epoch.
    pub epoch: Epoch,
    /// Every channel, by name.
    pub channels: Vec<ChannelState>,
    /// Messages that will come.
    pub messages: u64,
    names: HashMap<u32, (ChannelName, Epoch)>,
    /// Deadlines that were moved after their message was written, by channel and offset.
    deadlines: HashMap<(u32, u64), u64>,
    /// Channels whose frames are of an epoch that is over.
    of_the_past: HashSet<u32>,
    files: vec::IntoIter<(u32, PathBuf, u64)>,
    open: Option<Open>,
    _directory: Directory,
}

struct Open {
    id: u32,
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

/// Begins to take everything out of a store. A torn end is left out, as the next start would.
///
/// # Errors
/// When there is no store, a process has it open, it is damaged, or the system refuses.
pub fn export(directory: &Path) -> Result<Export, ToolError> {
    let lock = Directory::open_existing(directory)?
        .ok_or_else(|| ToolError::NoStore { path: directory.to_owned() })?;
    let (survey, accounts) = survey_with(directory)?;
    if let Some(damage) = survey.damages.into_iter().next() {
        return Err(damaged(&damage.path, damage.at, damage.what));
    }
    let Some(epoch) = survey.epoch else {
        return Err(ToolError::NoStore { path: directory.to_owned() });
    };
    let end = |path: &Path, bytes| match &survey.torn {
        Some(cut) if cut.path == path => cut.at,
        _ => bytes,
    };
    let files: Vec<_> = survey
        .segments
        .iter()
        .map(|segment| (segment.id, segment.path.clone(), end(&segment.path, segment.bytes)))
        .collect();
    let messages = survey.channels.iter().map(|channel| channel.messages).sum();
    let mut channels: Vec<_> = accounts.by_number.values().map(state).collect();
    channels.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
    let names =
        accounts.by_number.iter().map(|(number, of)| (*number, (of.name.clone(), of.epoch))).collect();
    Ok(Export {
        epoch,
        channels,
        messages,
        names,
        deadlines: deadlines(&accounts),
        of_the_past: HashSet::new(),
        files: files.into_iter(),
        open: None,
        _directory: lock,
    })
}

fn state(account: &super::account::Account) -> ChannelState {
    ChannelState {
        channel: account.name.clone(),
        epoch: account.epoch,
        head: account.head,
        newest_ms: account.newest_ms,
        tombstones_after: account.tombstones_after,
    }
}

fn deadlines(accounts: &Accounts) -> HashMap<(u32, u64), u64> {
    let of = |(number, account): (&u32, &super::account::Account)| {
        let number = *number;
        let keys = account.keys.values();
        keys.filter_map(move |key| Some(((number, key.offset), key.expires_ms?))).collect::<Vec<_>>()
    };
    accounts.by_number.iter().flat_map(of).collect()
}

impl Export {
    /// The next message of the open segment; none at its end.
    fn step(&mut self) -> Result<Option<Stored>, ToolError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        while open.at < open.bytes.len() {
            let wrong = |at: usize, what| damaged(&open.path, at as u64, what);
            let frame = frame_at(open.id, &open.bytes, open.at).map_err(|what| wrong(open.at, what))?;
            let (at, number) = (open.at, frame.header.channel);
            open.at += frame.header.frame_len();
            let Some((name, epoch)) = self.names.get(&number) else { continue };
            match frame.header.kind {
                Kind::Channel => {
                    let body = ChannelBody::read(frame.body)
                        .ok_or_else(|| wrong(at, "a channel's frame makes no sense"))?;
                    if body.epoch == *epoch {
                        self.of_the_past.remove(&number);
                    } else {
                        self.of_the_past.insert(number);
                    }
                }
                Kind::Message if !self.of_the_past.contains(&number) => {
                    let body =
                        MessageBody::read(frame.body).ok_or_else(|| wrong(at, "a message makes no sense"))?;
                    let moved = self.deadlines.get(&(number, body.offset)).copied();
                    return Ok(Some(Stored {
                        message: body.message(name, *epoch),
                        expires_ms: moved.or(body.expires_ms),
                        remembered: frame.header.flags & REMEMBERED != 0,
                    }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn next_segment(&mut self) -> Result<bool, ToolError> {
        let Some((id, path, end)) = self.files.next() else { return Ok(false) };
        let mut bytes = std::fs::read(&path).map_err(io(&path))?;
        bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        if bytes.len() >= SEGMENT_HEADER && !segment::begins_rightly(&bytes, id) {
            return Err(damaged(&path, 0, "it does not begin as a segment does"));
        }
        self.open = Some(Open { id, path, bytes, at: SEGMENT_HEADER });
        Ok(true)
    }
}

impl Iterator for Export {
    type Item = Result<Stored, ToolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some(stored)) => return Some(Ok(stored)),
                Ok(None) => match self.next_segment() {
                    Ok(true) => {}
                    Ok(false) => {
                        self.open = None;
                        return None;
                    }
                    Err(error) => return Some(Err(self.over(error))),
                },
                Err(error) => return Some(Err(self.over(error))),
            }
        }
    }
}

impl Export {
    /// Nothing comes after an error.
    fn over(&mut self, error: ToolError) -> ToolError {
        self.open = None;
        self.files = Vec::new().into_iter();
        error
    }
}
