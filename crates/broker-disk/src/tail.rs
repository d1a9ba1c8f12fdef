//! The end of the log that is written and not known to be synced. When a sync fails nobody knows what of it is on disk, and the system may have
//! forgotten it: so it is kept in memory until it is synced, and written again after a failure, without what was refused.
use std::collections::{HashMap, VecDeque};

use crate::{
    frame::{HEADER, Header, Kind, crc},
    record::{ChannelBody, MessageBody},
};

/// Buffers that are larger are not kept for the next write.
const REUSED: usize = 1 << 20;

/// What was written and is not known to be synced, of the newest segment.
#[derive(Default)]
pub(crate) struct Tail {
    /// Where each write begins, and its bytes.
    writes: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// A buffer for another write.
    empty: Vec<u8>,
}

impl Tail {
    /// Bytes in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps what was written, and returns an empty buffer.
    pub fn keep(&mut self, at: u64, write: Vec<u8>) -> Vec<u8> {
        self.bytes += write.len();
        self.writes.push_back((at, write));
        std::mem::take(&mut self.empty)
    }

    /// Lets go of what is synced: everything before `len`.
    pub fn synced(&mut self, len: u64) {
        while self.writes.front().is_some_and(|(at, write)| *at + write.len() as u64 <= len)
            && let Some((_, mut write)) = self.writes.pop_front()
        {
            self.bytes -= write.len();
            if write.capacity() <= REUSED {
                write.clear();
                self.empty = write;
            }
        }
    }

    /// Where it begins, and all of it; what was synced already is left out.
    pub fn take(&mut self, synced: u64, end: u64) -> (u64, Vec<u8>) {
        self.synced(synced);
        let begin = self.writes.front().map_or(end, |(at, _)| *at);
        self.bytes = 0;
        (begin, self.writes.drain(..).flat_map(|(_, write)| write).collect())
    }
}

/// What a channel's run loses: messages, their weight, and where the message before them begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    pub prev: u32,
    pub count: u64,
    pub weight: u64,
}

/// Turns messages above their channel's head into frames that say nothing, so that everything else stays where it is, and cuts off what nobody
/// needs behind the last frame that says something.
pub(crate) fn void(segment: u32, bytes: &mut Vec<u8>, heads: &HashMap<u32, u64>) -> HashMap<u32, Loss> {
    let (mut at, mut end) = (0, 0);
    let mut losses: HashMap<u32, Loss> = HashMap::new();
    while let Some(header) = bytes.get(at..).and_then(|rest| Header::read(segment, rest)) {
        let next = at + header.frame_len();
        let Some(frame) = bytes.get_mut(at..next) else { break };
        let head = heads.get(&header.channel).copied();
        let offset = frame.get(HEADER..).and_then(MessageBody::offset);
        match (header.kind, head, offset) {
            (Kind::Message, Some(head), Some(offset)) if offset > head => {
                let loss = losses.entry(header.channel);
                let loss = loss.or_insert(Loss { prev: header.prev, count: 0, weight: 0 });
                loss.count += 1;
                loss.weight += frame.get(HEADER..).and_then(MessageBody::weight).map_or(0, u64::from);
                replace(segment, frame, Header { kind: Kind::Void, flags: 0, channel: 0, prev: 0, ..header });
            }
            (Kind::Channel, Some(head), _) => {
                let said = frame.get(HEADER..).and_then(ChannelBody::read);
                if said.is_some_and(|said| said.head > head) {
                    // It was to stand before or behind what is refused.
                    if let Some(place) = frame.get_mut(HEADER..HEADER + 8) {
                        place.copy_from_slice(&head.to_le_bytes());
                    }
                    let body_crc = crc(frame.get(HEADER..).unwrap_or_default());
                    replace(segment, frame, Header { body_crc, ..header });
                }
                end = next;
            }
            (Kind::Mark | Kind::Void, ..) => {}
            _ => end = next,
        }
        at = next;
    }
    bytes.truncate(end);
    losses
}

fn replace(segment: u32, frame: &mut [u8], header: Header) {
    let mut bytes = Vec::with_capacity(HEADER);
    header.write(segment, &mut bytes);
    if let Some(place) = frame.get_mut(..HEADER) {
        place.copy_from_slice(&bytes);
    }
}
