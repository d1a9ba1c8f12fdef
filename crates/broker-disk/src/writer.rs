//! The one thread that writes: everything that waits goes into one write, and on to the syncer.
use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Doing,
    channels::Channel,
    frame::{HEADER, Header, Kind, LOOSE, REMEMBERED, write_frame},
    log::Log,
    queue::{Entry, Pending, What, same_channel, unwritable},
    record::ChannelBody,
    refuse::take_back,
    segment::{Segment, sync_directory},
    shared::Shared,
    syncer::{Health, Syncing, ToSync, sync},
};

/// What is written before it is synced is synced after so long at the latest.
const SYNC_WITHIN: Duration = Duration::from_millis(500);
/// Zeros are written ahead of a log that is written in pieces up to so many bytes: for larger ones the disk's work is the bytes themselves.
const SMALL: usize = 32 << 10;
/// So many zeros at least, and the sixteenth part of a segment at most.
const AHEAD: u64 = 8 << 10;
/// A disk that is full again soon is left alone for so many times as long.
const OFTEN: u32 = 20;

/// Where the writer put a pending thing.
struct Placed {
    pending: Pending,
    /// Where its frame begins; 0 for what writes none.
    at: u32,
    /// Readers see it with the sync.
    show_at_sync: bool,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    syncing: Arc<Syncing>,
    segment: Arc<Segment>,
    /// Bytes of `segment` that the last mark in it names.
    marked: u64,
    /// When something was first written that no sync was asked for.
    dirty_since: Option<Instant>,
    /// Channels whose messages are seen before they are synced, and when last.
    loose: HashMap<u32, (Arc<Channel>, Instant)>,
    settled: Instant,
    /// When it was last seen whether a full disk has room again, and when it last had.
    tried: Instant,
    healed: Option<Instant>,
    /// The disk had no room for zeros ahead of this segment.
    bare: bool,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        syncing: Arc<Syncing>,
        segment: Arc<Segment>,
        loose: Vec<(u32, Arc<Channel>)>,
    ) -> Self {
        let now = Instant::now();
        let loose = loose.into_iter().map(|(number, channel)| (number, (channel, now))).collect();
        Self {
            shared,
            syncing,
            segment,
            marked: 0,
            dirty_since: None,
            loose,
            settled: now,
            tried: now,
            healed: None,
            bare: false,
            buffer: Vec::new(),
        }
    }

    /// Writes until the queue is closed.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        while let Some(batch) = shared.queue.take(self.patience()) {
            if let Some(alone) = self.write(batch) {
                sync(&shared, &self.syncing, &self.segment, alone);
                self.syncing.rest();
            }
            self.settle();
            if self.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_WITHIN) {
                self.hand_over(Vec::new());
            }
            if shared.queue.is_full() && self.tried.elapsed() >= self.rest() {
                self.heal();
            }
        }
        if let Err(error) = self.mend() {
            tracing::warn!(%error, "the end of the log could not be synced");
        }
        if self.dirty_since.is_some() {
            self.hand_over(Vec::new());
        }
        if self.syncing.health() == Health::Good
            && let Err(error) = self.segment.trim()
        {
            tracing::debug!(%error, "what was prepared behind the log's end stays");
        }
        self.syncing.close();
    }

    fn patience(&self) -> Duration {
        if self.shared.queue.is_full() {
            return self.rest().saturating_sub(self.tried.elapsed());
        }
        match (self.dirty_since, self.loose.is_empty()) {
            (Some(since), _) => SYNC_WITHIN.saturating_sub(since.elapsed()),
            (None, false) => self.shared.settings.settle,
            (None, true) => Duration::from_secs(3600),
        }
    }

    /// How long to leave a full disk alone.
    fn rest(&self) -> Duration {
        let (once, often) = (self.shared.settings.try_again, self.shared.settings.try_again * OFTEN);
        let again = self.healed.is_some_and(|healed| healed.elapsed() < often);
        if again { often } else { once }
    }

    /// Sees whether a full disk has room again: for the reserve, and some more.
    fn heal(&mut self) {
        let has_room = self.mend().and_then(|()| self.shared.spare.fill_with_room());
        self.tried = Instant::now();
        match has_room {
            Ok(()) => {
                if let Some(after) = self.shared.queue.healed() {
                    self.healed = Some(self.tried);
                    tracing::info!(?after, "the log can be written again");
                }
            }
            Err(error) => tracing::debug!(%error, "the log still cannot be written"),
        }
    }

    /// Writes the tail again after a sync that failed for want of space.
    fn mend(&mut self) -> io::Result<()> {
        let syncing = self.syncing.clone();
        let _writing = syncing.writing.lock();
        let Some(bytes) = self.segment.torn() else { return Ok(()) };
        self.shared.settings.ask(&self.segment.path, Doing::Write(bytes as u64))?;
        self.segment.mend(|| self.shared.sync(&self.segment))?;
        self.dirty_since = None;
        self.syncing.mended(self.segment.id, self.segment.len());
        if let Err(error) = self.shared.store.trust() {
            // Then a restart gives channels another epoch that need none.
            tracing::debug!(%error, "it could not be written down that a sync is made up for");
        }
        Ok(())
    }

    fn hand_over(&mut self, to_sync: Vec<ToSync>) {
        self.dirty_since = None;
        self.syncing.push(self.segment.clone(), to_sync);
    }

    /// Writes a batch and hands it over. What is returned is left to this thread: it is alone, and nothing is being synced.
    fn write(&mut self, batch: Vec<Pending>) -> Option<Vec<ToSync>> {
        if batch.is_empty() {
            return None;
        }
        // What is unsynced is in memory.
        self.syncing.wait_room(self.shared.settings.queue_bytes);
        if let Err(error) = self.mend().and_then(|()| self.rotate()) {
            self.fail(batch.into_iter().map(unplaced).collect(), &error);
            return None;
        }
        let syncing = self.syncing.clone();
        let _writing = syncing.writing.lock();
        // A sync may have failed since the batch was taken, and be made up for by now.
        if syncing.health() != Health::Good || self.shared.queue.has_refused_since() {
            let error = io::Error::other("the log could not be synced");
            self.fail(batch.into_iter().map(unplaced).collect(), &error);
            return None;
        }
        self.buffer.clear();
        self.mark();
        let placed = self.place(batch);
        if let Err(error) = self.append() {
            self.fail(placed, &error);
            return None;
        }
        let to_sync = self.written(placed);
        if to_sync.len() == 1 && syncing.begin_here() {
            self.dirty_since = None;
            return Some(to_sync);
        }
        if !to_sync.is_empty() || self.syncing.unsynced() > self.shared.settings.queue_bytes / 8 {
            self.hand_over(to_sync);
        }
        None
    }

    /// Writes the buffer.
    fn append(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let at = self.segment.len();
        self.shared.settings.ask(&self.segment.path, Doing::Write(self.buffer.len() as u64))?;
        self.segment.append(&self.buffer)?;
        self.shared.counters.written_bytes.add(self.buffer.len() as u64);
        self.dirty_since.get_or_insert_with(Instant::now);
        self.prepare(self.buffer.len());
        self.buffer = self.syncing.keep(at, std::mem::take(&mut self.buffer));
        Ok(())
    }

    /// Has zeros written ahead of a log that is written in small pieces. To sync what overwrites them is to write these bytes; to sync a file
    /// that grew is a commit of the file system's journal besides, which takes about as long again.
    fn prepare(&mut self, piece: usize) {
        let (len, full) = (self.segment.len(), self.shared.settings.segment_bytes);
        let bytes = len.clamp(AHEAD, (full / 16).max(AHEAD)).min(full.saturating_sub(len));
        if self.bare || piece > SMALL || bytes < AHEAD || full / 16 < AHEAD || self.segment.prepared() > 0 {
            return;
        }
        let allowed = self.shared.settings.ask(&self.segment.path, Doing::Write(bytes));
        if let Err(error) = allowed.and_then(|()| self.segment.prepare(bytes)) {
            self.bare = true;
            tracing::debug!(%error, "there is no room to prepare the log's next bytes");
        }
    }

    /// Begins another segment when this one is full. The full one is synced first: only the newest may have a torn end.
    fn rotate(&mut self) -> io::Result<()> {
        if self.segment.len() < self.shared.settings.segment_bytes {
            return Ok(());
        }
        self.hand_over(Vec::new());
        if !self.syncing.wait_synced(self.segment.id, self.segment.len()) {
            return Err(io::Error::other("the log could not be synced"));
        }
        // Only the newest may have zeros at its end.
        self.segment.trim()?;
        let next = Segment::create(&self.shared.directory, self.segment.id + 1)?;
        if let Err(error) = next.sync().and_then(|()| sync_directory(&self.shared.directory)) {
            let _ = std::fs::remove_file(&next.path);
            return Err(error);
        }
        let full = std::mem::replace(&mut self.segment, Arc::new(next));
        (self.marked, self.bare) = (0, false);
        self.shared.sealed.lock().push((full, self.shared.now_ms()));
        Ok(())
    }

    /// Says how far the segment is synced: damage before that is no torn end.
    fn mark(&mut self) {
        let synced = self.syncing.synced(self.segment.id);
        if synced > self.marked {
            self.marked = synced;
            write_frame(self.segment.id, Kind::Mark, 0, &synced.to_le_bytes(), &mut self.buffer);
        }
    }

    /// Makes frames of a batch.
    fn place(&mut self, mut batch: Vec<Pending>) -> Vec<Placed> {
        // A channel's messages together: they are read together. What belongs to no channel comes last.
        let address =
            |pending: &Pending| pending.channel.as_ref().map_or(usize::MAX, |of| Arc::as_ptr(of) as usize);
        if !batch.is_sorted_by_key(address) {
            batch.sort_by_key(address);
        }
        // The channel's newest message of this batch.
        let mut newest: HashMap<u32, u32> = HashMap::new();
        let base = self.segment.len();
        let mut placed = Vec::with_capacity(batch.len());
        for mut pending in batch {
            let (mut at, mut show_at_sync) = (0, false);
            if let What::Gone(number) = pending.what {
                write_frame(self.segment.id, Kind::Gone, number, &[], &mut self.buffer);
            }
            if let Some(channel) = pending.channel.clone() {
                let mut log = channel.log.lock();
                if log.closed {
                    // Dropped since: nothing needs to be said of it.
                    placed.push(Placed { pending, at, show_at_sync });
                    continue;
                }
                let number = log.number;
                let described = log.carrier == self.segment.id || newest.contains_key(&number);
                let is_head = matches!(pending.what, What::Head);
                if is_head || (!described && !matches!(pending.what, What::Fence)) {
                    let written = match &pending.what {
                        What::Message(entry) => entry.message.offset - 1,
                        // Its head stands before this, or after it among what is being placed.
                        _ if described => 0,
                        _ => log.written,
                    };
                    let body = describe(&channel, &mut log, written).write();
                    write_frame(self.segment.id, Kind::Channel, number, &body, &mut self.buffer);
                    newest.entry(number).or_insert(0);
                }
                match &pending.what {
                    What::Message(entry) => {
                        show_at_sync = !entry.loose || !log.loose || log.unsynced > 0;
                        log.unsynced += u32::from(show_at_sync);
                        // Who is answered may read what was published.
                        pending.answer_at_sync |= entry.loose && show_at_sync;
                        let known = newest.get(&number).copied().filter(|at| *at > 0);
                        let prev = known.unwrap_or_else(|| log.runs.prev(self.segment.id));
                        at = (base + self.buffer.len() as u64) as u32;
                        newest.insert(number, at);
                        drop(log);
                        self.frame(entry, number, prev);
                    }
                    What::Renew(body) => {
                        write_frame(self.segment.id, Kind::Renew, number, body, &mut self.buffer);
                    }
                    What::Fence => pending.answer_at_sync |= log.unsynced > 0,
                    What::Head | What::Gone(_) | What::Stop(_) => {}
                }
            }
            placed.push(Placed { pending, at, show_at_sync });
        }
        placed
    }

    fn frame(&mut self, entry: &Entry, channel: u32, prev: u32) {
        let flag = |bit, set: bool| if set { bit } else { 0 };
        let header = Header {
            len: entry.body.len() as u32,
            kind: Kind::Message,
            flags: flag(LOOSE, entry.loose) | flag(REMEMBERED, entry.remembered),
            channel,
            prev,
            body_crc: entry.body_crc,
        };
        self.buffer.reserve(HEADER + entry.body.len());
        header.write(self.segment.id, &mut self.buffer);
        self.buffer.extend_from_slice(&entry.body);
    }

    /// Notes where everything is, shows what may be seen, and returns what waits for a sync.
    fn written(&mut self, placed: Vec<Placed>) -> Vec<ToSync> {
        let mut to_sync = Vec::new();
        for group in placed.chunk_by(|a, b| same_channel(&a.pending, &b.pending)) {
            let Some(channel) = group.first().and_then(|first| first.pending.channel.as_ref()) else {
                continue;
            };
            let cx = self.shared.context(&channel.name);
            let mut log = channel.log.lock();
            if log.closed {
                continue;
            }
            for placed in group {
                if !matches!(placed.pending.what, What::Fence) {
                    log.carrier = self.segment.id;
                }
                if let What::Message(entry) = &placed.pending.what {
                    let message = &entry.message;
                    log.written = message.offset;
                    self.shared.counters.written.inc();
                    log.runs.push(&self.segment, message.offset, placed.at, message.time, entry.weight);
                    if entry.loose {
                        self.loose.insert(log.number, (channel.clone(), Instant::now()));
                    }
                }
            }
            let seen = group.iter().filter(|placed| !placed.show_at_sync);
            let entries = seen.filter_map(|placed| placed.pending.entry());
            self.shared.show(channel, &mut log, &cx, entries);
        }
        for Placed { mut pending, show_at_sync, .. } in placed {
            if !pending.answer_at_sync
                && let Some((reply, published)) = pending.reply.take()
            {
                reply.send(Ok(published));
            }
            let waits = pending.reply.is_some() || pending.synced.is_some();
            if show_at_sync || waits || matches!(pending.what, What::Stop(_)) {
                to_sync.push(ToSync { pending, show: show_at_sync });
            }
        }
        to_sync
    }

    /// Ends the looseness of channels that have been quiet, so that a power cut leaves their epochs alone.
    fn settle(&mut self) {
        let rest = self.shared.settings.settle;
        if self.loose.is_empty() || self.settled.elapsed() < rest {
            return;
        }
        let syncing = self.syncing.clone();
        let _writing = syncing.writing.lock();
        if syncing.health() != Health::Good || self.shared.queue.is_full() {
            return;
        }
        self.settled = Instant::now();
        self.buffer.clear();
        let (segment, buffer) = (self.segment.id, &mut self.buffer);
        let mut rested = Vec::new();
        self.loose.retain(|number, (channel, last)| {
            if last.elapsed() < rest {
                return true;
            }
            let mut log = channel.log.lock();
            if log.unsynced > 0 {
                // Its looseness begins with a sync that is yet to end.
                return true;
            }
            if !log.closed {
                log.loose = false;
                if log.carrier != segment {
                    let written = log.written;
                    let body = describe(channel, &mut log, written).write();
                    write_frame(segment, Kind::Channel, *number, &body, buffer);
                }
                write_frame(segment, Kind::Settled, *number, &[], buffer);
                rested.push((*number, channel.clone()));
            }
            false
        });
        match self.append() {
            Ok(()) => rested.iter().for_each(|(_, channel)| channel.log.lock().carrier = segment),
            Err(error) => {
                tracing::debug!(%error, "channels could not be marked as settled");
                for (number, channel) in rested {
                    let mut log = channel.log.lock();
                    log.loose = true;
                    drop(log);
                    self.loose.insert(number, (channel, self.settled));
                }
            }
        }
    }

    /// Takes back a batch that could not be written, and all that waits behind it.
    fn fail(&mut self, placed: Vec<Placed>, error: &io::Error) {
        // Who publishes meanwhile is refused at once, and nothing is tried for a moment.
        self.tried = Instant::now();
        let behind = self.shared.fill_up(error, &self.segment);
        let problem = unwritable(&error.to_string());
        for Placed { pending, show_at_sync, .. } in placed {
            take_back(&self.shared, pending, show_at_sync, &problem);
        }
        behind.into_iter().for_each(|pending| take_back(&self.shared, pending, false, &problem));
    }
}

fn unplaced(pending: Pending) -> Placed {
    Placed { pending, at: 0, show_at_sync: false }
}

fn describe(channel: &Channel, log: &mut Log, written: u64) -> ChannelBody {
    let tombstones_after = log.keys.as_ref().map_or(0, |keys| keys.tombstones_after());
    if let Some(keys) = &mut log.keys {
        keys.said(tombstones_after);
    }
    ChannelBody {
        head: written,
        newest_ms: log.newest_ms,
        tombstones_after,
        epoch: log.epoch,
        name: channel.name.clone(),
    }
}
