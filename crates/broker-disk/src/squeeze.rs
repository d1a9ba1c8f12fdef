//! Writing a segment anew without what nobody needs, or letting it go.
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    path::Path,
    sync::Arc,
};

use parking_lot::MutexGuard;

use crate::{
    Doing,
    answer::{answer, wait},
    channels::Channel,
    frame::{HEADER, Header, Kind, LOOSE, crc, segment_header, write_frame},
    log::Log,
    queue::{Pending, What},
    record::{ChannelBody, EXPIRES_AT, MessageBody, read_renew, write_renew},
    run::Run,
    scan::{End, Frame, scan},
    segment::{Segment, sync_directory},
    shared::Shared,
};

/// A channel's messages in the squeezed segment: offset, place, time, weight.
type Kept = Vec<(u64, u32, u64, u32)>;

struct Squeezing<'a> {
    segment: u32,
    channels: HashMap<u32, &'a Arc<Channel>>,
    kept: HashMap<u32, Kept>,
    /// Where a channel's newest message of the squeezed segment begins; 0 when it was only described.
    described: HashMap<u32, u32>,
    /// Channels that are in another epoch by now.
    of_the_past: HashSet<u32>,
    /// No older segment holds what a removed key once was.
    oldest: bool,
    out: Vec<u8>,
}

/// Squeezes a full segment. `channels` are all that have something in it or whose place it names, and all with keys. With `all` it is done however
/// little it frees.
pub(crate) fn squeeze(
    shared: &Shared,
    segment: &Arc<Segment>,
    channels: &[Arc<Channel>],
    all: bool,
) -> io::Result<()> {
    carry(shared, segment.id, channels)?;
    let bytes = std::fs::read(&segment.path)?;
    let mut squeezing = Squeezing {
        segment: segment.id,
        channels: channels.iter().map(|channel| (channel.log.lock().number, channel)).collect(),
        kept: HashMap::new(),
        described: HashMap::new(),
        of_the_past: HashSet::new(),
        oldest: shared.sealed.lock().iter().all(|(other, _)| other.id >= segment.id),
        out: segment_header(segment.id).to_vec(),
    };
    if let End::Bad(bad) = scan(segment.id, &bytes, |frame| squeezing.frame(&frame)) {
        let what = format!("damaged at byte {}: {}", bad.at, bad.what);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let Squeezing { kept, out, .. } = squeezing;
    let worth = if all { segment.len() - 1 } else { segment.len() / 2 };
    if out.len() as u64 > worth {
        // Not worth it yet.
        return Ok(());
    }
    if kept.is_empty() && out.len() == crate::frame::SEGMENT_HEADER {
        std::fs::remove_file(&segment.path)?;
        sync_directory(&shared.directory)?;
        shared.sealed.lock().retain(|(other, _)| other.id != segment.id);
        replace(channels, segment.id, None, &kept);
        return Ok(());
    }
    let new = segment.path.with_extension("new");
    let allowed = shared.settings.ask(&new, Doing::Write(out.len() as u64));
    if let Err(error) = allowed.and_then(|()| write_new(&new, &out)) {
        // It may be the disk that is full: what is there of it must not stay.
        let _ = std::fs::remove_file(&new);
        return Err(error);
    }
    std::fs::rename(&new, &segment.path)?;
    sync_directory(&shared.directory)?;
    let squeezed = Arc::new(Segment::open(segment.path.clone(), segment.id, out.len() as u64)?);
    for (other, _) in shared.sealed.lock().iter_mut().filter(|(other, _)| other.id == segment.id) {
        *other = squeezed.clone();
    }
    replace(channels, segment.id, Some(&squeezed), &kept);
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::create(path)?;
    io::Write::write_all(&mut &file, bytes)?;
    file.sync_all()
}

/// Has the newest segment say where channels stand whose place only this one names, and which tombstones are no longer known; and waits until all that
/// newer segments say of channels is synced.
fn carry(shared: &Shared, segment: u32, channels: &[Arc<Channel>]) -> io::Result<()> {
    let mut said = Vec::new();
    let mut say = |channel: Option<Arc<Channel>>| {
        let (reply, awaited) = answer();
        let what = What::Head;
        let pending = Pending { channel, what, answer_at_sync: true, reply: None, synced: Some(reply) };
        shared.queue.push(pending).map_err(|problem| io::Error::other(problem.to_string()))?;
        said.push(awaited);
        io::Result::Ok(())
    };
    for channel in channels {
        let log = channel.log.lock();
        if log.carrier != segment && !log.keys.as_ref().is_some_and(|keys| keys.is_unsaid()) {
            continue;
        }
        say(Some(channel.clone()))?;
    }
    // A frame of no channel, which is nothing: what names the others' places may have been written a moment ago.
    say(None)?;
    // Each of them: on a full disk one may be written and another not.
    if said.into_iter().all(|said| wait(said).is_some()) {
        Ok(())
    } else {
        Err(io::Error::other("where channels stand could not be written"))
    }
}

fn replace(channels: &[Arc<Channel>], id: u32, segment: Option<&Arc<Segment>>, kept: &HashMap<u32, Kept>) {
    for channel in channels {
        let mut log = channel.log.lock();
        let number = log.number;
        let run = segment.and_then(|segment| {
            let mut messages = kept.get(&number)?.iter();
            let (offset, at, time, weight) = *messages.next()?;
            let mut run = Run::new(segment.clone(), offset, at, time, weight);
            messages.for_each(|(offset, at, time, weight)| run.push(*offset, *at, *time, *weight));
            Some(run)
        });
        log.runs.replace(id, run);
    }
}

impl Squeezing<'_> {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        let number = frame.header.channel;
        if frame.header.kind == Kind::Gone && !self.oldest {
            // An older segment may hold messages of it.
            write_frame(self.segment, Kind::Gone, number, frame.body, &mut self.out);
        }
        let Some(channel) = self.channels.get(&number).copied() else { return Ok(()) };
        let log = channel.log.lock();
        if frame.header.kind == Kind::Channel {
            let body = ChannelBody::read(frame.body).ok_or("a channel's frame makes no sense")?;
            if body.epoch == log.epoch {
                self.of_the_past.remove(&number);
            } else {
                self.of_the_past.insert(number);
            }
        }
        if self.of_the_past.contains(&number) {
            return Ok(());
        }
        match frame.header.kind {
            Kind::Message => self.message(channel, &log, frame),
            Kind::Renew => self.renew(channel, &log, frame),
            Kind::Channel | Kind::Settled | Kind::Mark | Kind::Gone | Kind::Void => Ok(()),
        }
    }

    fn message(
        &mut self,
        channel: &Channel,
        log: &MutexGuard<'_, Log>,
        frame: &Frame<'_>,
    ) -> Result<(), &'static str> {
        let body = MessageBody::read(frame.body).ok_or("a message makes no sense")?;
        let newest_of_key = log.keys.as_ref().is_some_and(|keys| keys.holds(body.offset));
        let number = frame.header.channel;
        // An older segment may hold what a tombstone removed: without it, a restart would bring that back.
        let removes = body.is_tombstone() && log.keys.is_some() && !self.oldest;
        if body.offset < log.first && !newest_of_key && !removes {
            return Ok(());
        }
        self.describe(channel, log, number, body.offset - 1);
        let mut bytes = frame.body.to_vec();
        if newest_of_key
            && let Some(expires_ms) = body.key.and_then(|key| log.keys.as_ref()?.expires_ms(key))
            && let Some(place) = bytes.get_mut(EXPIRES_AT..EXPIRES_AT + 8)
        {
            place.copy_from_slice(&expires_ms.to_le_bytes());
        }
        let at = self.out.len() as u32;
        let prev = self.described.insert(number, at).unwrap_or(0);
        // What was seen before it was synced is synced by now; the flag stands for what may have followed.
        let flags = if log.loose { frame.header.flags } else { frame.header.flags & !LOOSE };
        let header = Header { prev, flags, body_crc: crc(&bytes), ..frame.header };
        debug_assert_eq!(header.frame_len(), HEADER + bytes.len());
        header.write(self.segment, &mut self.out);
        self.out.extend_from_slice(&bytes);
        self.kept.entry(number).or_default().push((body.offset, at, body.time, body.weight));
        Ok(())
    }

    fn renew(
        &mut self,
        channel: &Channel,
        log: &MutexGuard<'_, Log>,
        frame: &Frame<'_>,
    ) -> Result<(), &'static str> {
        let keys = read_renew(frame.body).ok_or("a frame of deadlines makes no sense")?;
        let Some(index) = &log.keys else { return Ok(()) };
        let live: Vec<_> = keys.into_iter().filter(|(key, at)| index.expires_ms(key) == Some(*at)).collect();
        if !live.is_empty() {
            let number = frame.header.channel;
            let written = self.kept.get(&number).and_then(|kept| kept.last()).map_or(0, |kept| kept.0);
            self.describe(channel, log, number, written);
            write_frame(self.segment, Kind::Renew, number, &write_renew(live.into_iter()), &mut self.out);
        }
        Ok(())
    }

    /// Says whose messages follow, once.
    fn describe(&mut self, channel: &Channel, log: &MutexGuard<'_, Log>, number: u32, head: u64) {
        if self.described.contains_key(&number) {
            return;
        }
        self.described.insert(number, 0);
        let tombstones_after = log.keys.as_ref().map_or(0, |keys| keys.tombstones_after());
        let body = ChannelBody {
            head,
            newest_ms: 0,
            tombstones_after,
            epoch: log.epoch,
            name: channel.name.clone(),
        };
        write_frame(self.segment, Kind::Channel, number, &body.write(), &mut self.out);
    }
}
