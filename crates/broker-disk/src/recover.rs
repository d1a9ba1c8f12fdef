//! What the segments of a directory say, read once at the start.
use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use fanfare_broker::Policies;
use fanfare_protocol::{ChannelName, Epoch};

use crate::{
    Cut, DiskSettings, OpenError,
    frame::{Kind, LOOSE, REMEMBERED, SEGMENT_HEADER},
    ids::SeenIds,
    keys::{KeyIndex, Keyed},
    log::Log,
    record::{ChannelBody, MessageBody, read_renew},
    scan::{Bad, End, Frame, scan},
    segment::{self, Segment},
};

/// A channel as the segments left it.
pub(crate) struct Found {
    pub name: ChannelName,
    pub log: Log,
    /// Whether its namespace keeps keys.
    keyed: bool,
}

/// Everything that the segments said.
pub(crate) struct Recovered {
    /// By number.
    pub channels: Vec<Option<Found>>,
    pub segments: Vec<Arc<Segment>>,
    pub messages: u64,
    /// The latest `time` of any message.
    pub newest_ms: u64,
    pub cut: Option<Cut>,
    /// Channels that lost messages by the cut; none: nobody knows which.
    pub lost: Option<Vec<u32>>,
    /// What was cut off had never reached the disk as a whole: if the power failed, none of it was synced.
    pub unwritten: bool,
}

struct Recovering<'a> {
    settings: &'a DiskSettings,
    policies: &'a dyn Policies,
    into: Recovered,
}

/// Reads every segment of a directory.
pub(crate) fn recover(
    directory: &Path,
    settings: &DiskSettings,
    policies: &dyn Policies,
) -> Result<Recovered, OpenError> {
    let into = Recovered {
        channels: Vec::new(),
        segments: Vec::new(),
        messages: 0,
        newest_ms: 0,
        cut: None,
        lost: Some(Vec::new()),
        unwritten: false,
    };
    let mut recovering = Recovering { settings, policies, into };
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };
    let mut files = segment::list(directory).map_err(io(directory))?;
    if let Some((_, path)) = files.last() {
        let begun = std::fs::metadata(path).map_err(io(path))?.len();
        if begun < SEGMENT_HEADER as u64 {
            // A crash while the segment was begun; nothing was in it.
            std::fs::remove_file(path).map_err(io(path))?;
            files.pop();
        }
    }
    let newest = files.last().map(|(id, _)| *id);
    // One thread reads the next segment while this one goes through the last.
    let (ahead, read) = mpsc::sync_channel(1);
    let reader = thread::Builder::new().name("log-recovery".to_owned()).spawn(move || {
        for (id, path) in files {
            let bytes = std::fs::read(&path);
            if ahead.send((id, path, bytes)).is_err() {
                break;
            }
        }
    });
    reader.map_err(io(directory))?;
    for (id, path, bytes) in read {
        let bytes = bytes.map_err(io(&path))?;
        let damaged = |at: u64, what| OpenError::Damaged { path: path.clone(), at, what };
        if !segment::begins_rightly(&bytes, id) {
            return Err(damaged(0, "it does not begin as a segment does"));
        }
        let file = Arc::new(Segment::open(path.clone(), id, bytes.len() as u64).map_err(io(&path))?);
        let end = scan(id, &bytes, |frame| recovering.frame(&file, &frame));
        match end {
            End::Whole => recovering.into.segments.push(file),
            End::Bad(bad) if newest != Some(id) || bad.synced => return Err(damaged(bad.at, bad.what)),
            End::Bad(bad) => {
                drop(file);
                recovering.cut(&path, id, &bytes, bad).map_err(io(&path))?;
            }
        }
    }
    Ok(recovering.into)
}

impl Recovering<'_> {
    fn cut(&mut self, path: &Path, id: u32, bytes: &[u8], bad: Bad) -> std::io::Result<()> {
        let file = Arc::new(Segment::open(path.to_owned(), id, bad.at)?);
        // Runs hold the file as it was opened before; they read the same bytes.
        self.into.segments.push(file);
        self.into.lost = bad.lost.map(|lost| lost.into_iter().collect());
        self.into.unwritten = bad.unwritten;
        self.into.cut = Some(Cut {
            path: path.to_owned(),
            at: bad.at,
            bytes: bytes.len() as u64 - bad.at,
            what: bad.what,
        });
        Ok(())
    }

    fn frame(&mut self, segment: &Arc<Segment>, frame: &Frame<'_>) -> Result<(), &'static str> {
        match frame.header.kind {
            Kind::Channel => {
                let body = ChannelBody::read(frame.body).ok_or("a channel's frame makes no sense")?;
                self.channel(segment.id, frame.header.channel, body)
            }
            Kind::Message => self.message(segment, frame),
            Kind::Renew => {
                let keys = read_renew(frame.body).ok_or("a frame of deadlines makes no sense")?;
                let found = self.found(frame.header.channel)?;
                if let Some(index) = &mut found.log.keys {
                    for (key, expires_ms) in keys {
                        index.renew(key, expires_ms);
                    }
                }
                Ok(())
            }
            Kind::Settled => {
                self.found(frame.header.channel)?.log.loose = false;
                Ok(())
            }
            Kind::Gone => {
                if let Some(found) = self.into.channels.get_mut(frame.header.channel as usize) {
                    *found = None;
                }
                Ok(())
            }
            Kind::Mark | Kind::Void => Ok(()),
        }
    }

    fn found(&mut self, number: u32) -> Result<&mut Found, &'static str> {
        let found = self.into.channels.get_mut(number as usize).and_then(Option::as_mut);
        found.ok_or("a frame of a channel that no frame describes")
    }

    fn channel(&mut self, segment: u32, number: u32, body: ChannelBody) -> Result<(), &'static str> {
        let at = number as usize;
        if at >= self.into.channels.len() {
            self.into.channels.resize_with(at + 1, || None);
        }
        let Some(place) = self.into.channels.get_mut(at) else { return Err("too many channels") };
        if place.as_ref().is_some_and(|found| found.name != body.name) {
            return Err("two channels of one number");
        }
        let keyed = self.policies.policy(&body.name).keyed;
        let fresh = |name| {
            let mut log = Log::new(body.epoch);
            log.number = number;
            log.keys = keyed.then(|| Box::new(KeyIndex::new(0)));
            Found { name, log, keyed }
        };
        let found = place.get_or_insert_with(|| fresh(body.name.clone()));
        if found.log.epoch != body.epoch {
            *found = fresh(body.name);
        }
        let log = &mut found.log;
        // 0 says nothing of the head: a squeezed segment has only deadlines of this channel.
        if body.head > 0 && body.head < log.written {
            return Err("a channel goes back");
        }
        if body.head > log.written {
            skip_to(log, body.head);
        }
        log.newest_ms = log.newest_ms.max(body.newest_ms);
        log.carrier = segment;
        if let Some(keys) = &mut log.keys {
            keys.forget_tombstones(body.tombstones_after);
            keys.said(body.tombstones_after);
        }
        Ok(())
    }

    fn message(&mut self, segment: &Arc<Segment>, frame: &Frame<'_>) -> Result<(), &'static str> {
        let body = MessageBody::read(frame.body).ok_or("a message makes no sense")?;
        let (window_ms, limit) = (self.settings.idempotency_ms, self.settings.idempotency_ids);
        let found = self.found(frame.header.channel)?;
        let log = &mut found.log;
        if body.offset <= log.written {
            return Err("an offset goes back");
        }
        if body.offset > log.written + 1 {
            skip_to(log, body.offset - 1);
        }
        log.written = body.offset;
        log.assigned = body.offset;
        log.head = body.offset;
        log.newest_ms = log.newest_ms.max(body.time);
        log.carrier = segment.id;
        log.loose |= frame.header.flags & LOOSE != 0;
        log.runs.push(segment, body.offset, frame.at, body.time, body.weight);
        if frame.header.flags & REMEMBERED != 0 {
            let ids = log.ids.get_or_insert_with(|| Box::new(SeenIds::default()));
            ids.insert(body.id.into(), body.offset, body.time);
            ids.forget(body.time, window_ms, limit);
        }
        if let (true, Some(keys), Some(key)) = (found.keyed, &mut log.keys, body.key) {
            let (offset, time, tombstone) = (body.offset, body.time, body.is_tombstone());
            keys.insert(&Keyed { key, offset, time, tombstone, expires_ms: body.expires_ms });
        }
        self.into.messages += 1;
        self.into.newest_ms = self.into.newest_ms.max(body.time);
        Ok(())
    }
}

/// Messages up to `offset` are gone: the log holds what follows.
fn skip_to(log: &mut Log, offset: u64) {
    (log.assigned, log.written, log.head, log.first) = (offset, offset, offset, offset + 1);
}

/// Gives a channel another life: what it had is not to be trusted.
pub(crate) fn reset(log: &mut Log, epoch: Epoch) {
    let number = log.number;
    *log = Log::new(epoch);
    log.number = number;
}
