//! Making a store from channels and messages that another one had, in their places.
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use fanfare_protocol::{ChannelName, Epoch};

use super::{ChannelState, Stored, ToolError, io};
use crate::{
    directory::{Directory, Left, boot_id},
    frame::{HEADER, Header, Kind, REMEMBERED, crc, write_frame},
    record::{ChannelBody, write_message},
    segment::{Segment, list, sync_directory},
};

/// Bytes that are gathered before they are written.
const BATCH: usize = 1 << 20;

/// What was imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Channels.
    pub channels: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of the log that was made.
    pub bytes: u64,
}

/// A channel that is being imported.
struct Coming {
    number: u32,
    /// As the other store had it.
    state: ChannelState,
    /// Its last offset so far.
    written: u64,
    /// The segment with its newest frame, and where its last message there begins; 0 for none.
    carrier: u32,
    last_at: u32,
}

/// A store that is being made. Until [`Import::finish`] no hub takes it for one: an import that was cut short is not mistaken for
/// a whole one.
pub struct Import {
    directory: Directory,
    epoch: Epoch,
    segment_bytes: u64,
    segment: Segment,
    buffer: Vec<u8>,
    channels: HashMap<ChannelName, Coming>,
    messages: u64,
    full_bytes: u64,
}

impl Import {
    /// Begins a store of this epoch in a directory that has none.
    ///
    /// # Errors
    /// [`ToolError::NotEmpty`] when there is a store, or the beginning of one; otherwise what the system refuses.
    pub fn begin(directory: &Path, epoch: Epoch) -> Result<Self, ToolError> {
        Self::with_segments(directory, epoch, 64 << 20)
    }

    /// The same with segments of so many bytes.
    ///
    /// # Errors
    /// Those of [`Import::begin`].
    pub fn with_segments(directory: &Path, epoch: Epoch, segment_bytes: u64) -> Result<Self, ToolError> {
        let begun = |path: &Path| list(path).is_ok_and(|files| !files.is_empty());
        if directory.join("store").exists() || begun(&directory.join("log")) {
            return Err(ToolError::NotEmpty { path: directory.to_owned() });
        }
        let directory = Directory::open(directory)?;
        let log = directory.log();
        let segment = Segment::create(&log, 1).map_err(io(&log))?;
        // An empty segment is what a first start leaves that was killed; this one is the beginning of something.
        let mut begun = Vec::new();
        write_frame(1, Kind::Mark, 0, &0_u64.to_le_bytes(), &mut begun);
        segment.append(&begun).map_err(io(&log))?;
        Ok(Self {
            directory,
            epoch,
            segment_bytes,
            segment,
            buffer: Vec::new(),
            channels: HashMap::new(),
            messages: 0,
            full_bytes: 0,
        })
    }

    /// Names a channel, before its messages. One that is not named begins with its first message, in that one's epoch.
    ///
    /// # Errors
    /// [`ToolError::Unfit`] when it was named before.
    pub fn channel(&mut self, state: ChannelState) -> Result<(), ToolError> {
        let number = self.channels.len() as u32 + 1;
        let (channel, offset) = (state.channel.clone(), state.head);
        let coming = Coming { number, state, written: 0, carrier: 0, last_at: 0 };
        match self.channels.insert(channel.clone(), coming) {
            None => Ok(()),
            Some(_) => Err(ToolError::Unfit { channel, offset, what: "the channel was named before" }),
        }
    }

    /// Adds a message in its place. A channel's messages come in the order of their offsets; what is missing between them was
    /// not kept.
    ///
    /// # Errors
    /// [`ToolError::Unfit`] when it does not follow what came before; otherwise what the system refuses.
    pub fn message(&mut self, stored: &Stored) -> Result<(), ToolError> {
        let message = &stored.message;
        let unfit =
            |what| ToolError::Unfit { channel: message.channel.clone(), offset: message.offset, what };
        if !self.channels.contains_key(&message.channel) {
            self.channel(ChannelState {
                channel: message.channel.clone(),
                epoch: message.epoch,
                head: 0,
                newest_ms: 0,
                tombstones_after: 0,
            })?;
        }
        self.make_room()?;
        let (segment, base) = (self.segment.id, self.segment.len());
        let Some(coming) = self.channels.get_mut(&message.channel) else { return Ok(()) };
        if message.epoch != coming.state.epoch {
            return Err(unfit("it is of another epoch than its channel"));
        }
        if message.offset <= coming.written {
            return Err(unfit("its offset is not above the one before it"));
        }
        if coming.carrier != segment {
            let body = coming.describe(message.offset - 1).write();
            write_frame(segment, Kind::Channel, coming.number, &body, &mut self.buffer);
            (coming.carrier, coming.last_at) = (segment, 0);
        }
        let weight = message.weight();
        let body = write_message(message, weight, stored.expires_ms);
        let header = Header {
            len: body.len() as u32,
            kind: Kind::Message,
            flags: if stored.remembered { REMEMBERED } else { 0 },
            channel: coming.number,
            prev: coming.last_at,
            body_crc: crc(&body),
        };
        coming.last_at = (base + self.buffer.len() as u64) as u32;
        self.buffer.reserve(HEADER + body.len());
        header.write(segment, &mut self.buffer);
        self.buffer.extend_from_slice(&body);
        coming.written = message.offset;
        coming.state.head = coming.state.head.max(message.offset);
        coming.state.newest_ms = coming.state.newest_ms.max(message.time);
        self.messages += 1;
        Ok(())
    }

    /// Makes everything durable, and the directory a store that was stopped in order.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(mut self) -> Result<Imported, ToolError> {
        let unsaid: BTreeMap<u32, ChannelBody> = self
            .channels
            .values()
            .filter(|coming| coming.carrier == 0 || coming.written < coming.state.head)
            .map(|coming| (coming.number, coming.describe(coming.state.head)))
            .collect();
        for (number, body) in unsaid {
            self.make_room()?;
            write_frame(self.segment.id, Kind::Channel, number, &body.write(), &mut self.buffer);
        }
        self.write()?;
        self.segment.sync().map_err(io(&self.segment.path))?;
        let log = self.directory.log();
        sync_directory(&log).map_err(io(&log))?;
        let left = Left { epoch: self.epoch, boot: boot_id().unwrap_or_default(), clean: true };
        self.directory.mark(&left).map_err(io(&self.directory.path))?;
        Ok(Imported {
            channels: self.channels.len() as u64,
            messages: self.messages,
            bytes: self.full_bytes + self.segment.len(),
        })
    }

    fn write(&mut self) -> Result<(), ToolError> {
        let path: PathBuf = self.segment.path.clone();
        self.segment.append(&self.buffer).map_err(io(&path))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what was gathered, and begins another segment when this one is full.
    fn make_room(&mut self) -> Result<(), ToolError> {
        if self.buffer.len() >= BATCH || self.segment.len() + self.buffer.len() as u64 >= self.segment_bytes {
            self.write()?;
        }
        if self.segment.len() >= self.segment_bytes {
            self.segment.sync().map_err(io(&self.segment.path))?;
            self.full_bytes += self.segment.len();
            let log = self.directory.log();
            self.segment = Segment::create(&log, self.segment.id + 1).map_err(io(&log))?;
        }
        Ok(())
    }
}

impl Coming {
    fn describe(&self, head: u64) -> ChannelBody {
        ChannelBody {
            head,
            newest_ms: self.state.newest_ms,
            tombstones_after: self.state.tombstones_after,
            epoch: self.state.epoch,
            name: self.state.channel.clone(),
        }
    }
}
