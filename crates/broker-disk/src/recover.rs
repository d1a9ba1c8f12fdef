//! What the segments of a directory say, read once at the start.
use std::{path::Path, sync::Arc};

use fanfare_broker::Policies;
use fanfare_protocol::Epoch;

use crate::{
    Cut, DiskSettings, OpenError,
    found::{Found, Table},
    frame::{Kind, LOOSE, REMEMBERED, SEGMENT_HEADER},
    ids::SeenIds,
    keys::{KeyIndex, Keyed},
    log::Log,
    pieces::{Frames, Pieces},
    record::{ChannelBody, MessageBody, read_renew},
    scan::{Bad, End, Frame, scan_from, without_zeros},
    segment::{self, Segment},
};

/// Everything that the segments said.
pub(crate) struct Recovered {
    pub channels: Table,
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
        channels: Table::default(),
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
    let paths = files.iter().map(|(_, path)| path.clone()).collect();
    let pieces = Pieces::new(paths).map_err(io(directory))?;
    for (id, path) in files {
        recovering.segment(&pieces, id, &path, newest == Some(id))?;
        recovering.into.channels.lay_down();
    }
    Ok(recovering.into)
}

impl Recovering<'_> {
    /// Reads a segment. What is wrong with one is looked at with all of it in memory.
    fn segment(&mut self, pieces: &Pieces, id: u32, path: &Path, newest: bool) -> Result<(), OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        let damaged = |at: u64, what| OpenError::Damaged { path: path.to_owned(), at, what };
        let len = std::fs::metadata(path).map_err(io)?.len();
        let file = Arc::new(Segment::open(path.to_owned(), id, len).map_err(io)?);
        let mut frames = Frames::new(id, SEGMENT_HEADER);
        let (mut begun, mut good) = (false, true);
        loop {
            let piece = pieces.next().map_err(io)?;
            if !begun && !segment::begins_rightly(&piece, id) {
                return Err(damaged(0, "it does not begin as a segment does"));
            }
            if piece.is_empty() {
                break;
            }
            let skip = if begun { 0 } else { SEGMENT_HEADER };
            begun = true;
            good = good
                && frames.piece(piece.get(skip..).unwrap_or_default(), &mut |frame| self.frame(&file, frame));
            pieces.done(piece);
            self.into.channels.lay_down_many();
        }
        if good && !frames.is_cut() {
            self.into.segments.push(file);
            return Ok(());
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let bytes = if newest { without_zeros(&bytes, frames.at as usize) } else { &bytes };
        match scan_from(id, bytes, frames.at as usize, |frame| self.frame(&file, &frame)) {
            // What the last hub had prepared and not written: nothing.
            End::Whole => file.cut(bytes.len() as u64).map_err(io)?,
            End::Bad(bad) if !newest || bad.synced => return Err(damaged(bad.at, bad.what)),
            End::Bad(bad) => {
                file.cut(bad.at).map_err(io)?;
                self.cut(path, bytes, bad);
            }
        }
        self.into.segments.push(file);
        Ok(())
    }

    fn cut(&mut self, path: &Path, bytes: &[u8], bad: Bad) {
        self.into.lost = bad.lost.map(|lost| lost.into_iter().collect());
        self.into.unwritten = bad.unwritten;
        self.into.cut = Some(Cut {
            path: path.to_owned(),
            at: bad.at,
            bytes: bytes.len() as u64 - bad.at,
            what: bad.what,
        });
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
                let log = self.log(frame.header.channel)?;
                if let Some(index) = &mut log.keys {
                    for (key, expires_ms) in keys {
                        index.renew(key, expires_ms);
                    }
                }
                Ok(())
            }
            Kind::Settled => {
                self.log(frame.header.channel)?.loose = false;
                Ok(())
            }
            Kind::Gone => {
                self.into.channels.put(frame.header.channel, None);
                Ok(())
            }
            Kind::Mark | Kind::Void => Ok(()),
        }
    }

    /// The log of a channel. It has keys if its namespace keeps them.
    fn log(&mut self, number: u32) -> Result<&mut Log, &'static str> {
        let found = self.into.channels.get(number);
        found.and_then(Found::log).ok_or("a frame of a channel that no frame describes")
    }

    fn channel(&mut self, segment: u32, number: u32, body: ChannelBody) -> Result<(), &'static str> {
        let (mut named, mut epoch) = (None, None);
        if let Some(found) = self.into.channels.get(number) {
            named = Some(found.name == body.name);
            epoch = found.log().map(|log| log.epoch);
        }
        if named == Some(false) {
            return Err("two channels of one number");
        }
        if epoch != Some(body.epoch) {
            let keyed = self.policies.policy(&body.name).keyed;
            let mut log = Log::new(body.epoch);
            log.number = number;
            log.keys = keyed.then(|| Box::new(KeyIndex::new(0)));
            self.into.channels.put(number, Some(Found::new(body.name, log)));
        }
        let log = self.log(number)?;
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
        let log = self.log(frame.header.channel)?;
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
        if let (Some(keys), Some(key)) = (&mut log.keys, body.key) {
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
