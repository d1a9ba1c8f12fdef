//! Reading the files of a log piece by piece, one thread ahead of who goes through them.
use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread,
};

use crate::{
    frame::{HEADER, Header},
    scan::{Frame, frame_at},
};

/// Bytes read at once.
const PIECE: usize = 1 << 20;
/// Pieces that are ahead.
const AHEAD: usize = 4;

/// A piece of a file; an empty one is its end.
type Read1 = io::Result<Vec<u8>>;

/// Files, read ahead.
pub(crate) struct Pieces {
    read: Receiver<Read1>,
    empty: Sender<Vec<u8>>,
}

impl Pieces {
    /// Begins to read files, in order.
    pub fn new(files: Vec<PathBuf>) -> io::Result<Self> {
        let (ahead, read) = sync_channel(AHEAD);
        let (empty, empties) = channel();
        thread::Builder::new().name("log-recovery".to_owned()).spawn(move || {
            for path in files {
                if read_all(&path, &ahead, &empties).is_none() {
                    break;
                }
            }
        })?;
        Ok(Self { read, empty })
    }

    /// The next piece of the file; empty at its end.
    pub fn next(&self) -> Read1 {
        self.read.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that reads ended")))
    }

    /// Gives a piece back, to be read into again.
    pub fn done(&self, piece: Vec<u8>) {
        // Nobody needs it when all is read.
        let _ = self.empty.send(piece);
    }
}

/// Reads a file to its end; none when nobody listens any more.
fn read_all(path: &PathBuf, ahead: &SyncSender<Read1>, empties: &Receiver<Vec<u8>>) -> Option<()> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return ahead.send(Err(error)).ok(),
    };
    loop {
        let mut piece = empties.try_recv().unwrap_or_default();
        piece.clear();
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
        let over = !matches!(read, Ok(count) if count > 0);
        ahead.send(read.map(|_| piece)).ok()?;
        if over {
            return Some(());
        }
    }
}

/// Goes through one file frame by frame, over the ends of pieces.
pub(crate) struct Frames {
    segment: u32,
    /// Where the next frame begins in the file.
    pub at: u64,
    /// The beginning of a frame that the last piece did not hold all of.
    cut: Vec<u8>,
}

impl Frames {
    /// From a place in a segment on.
    pub fn new(segment: u32, at: usize) -> Self {
        Self { segment, at: at as u64, cut: Vec::new() }
    }

    /// Whether the file ends within a frame.
    pub fn is_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    /// Calls `f` with every frame of a piece; false when something is wrong at `at`.
    pub fn piece(
        &mut self,
        mut piece: &[u8],
        f: &mut impl FnMut(&Frame<'_>) -> Result<(), &'static str>,
    ) -> bool {
        while self.is_cut() {
            let wanted = match Header::read(self.segment, &self.cut) {
                Some(header) => header.frame_len(),
                None if self.cut.len() < HEADER => HEADER,
                None => return false,
            };
            let (more, rest) = piece.split_at((wanted.saturating_sub(self.cut.len())).min(piece.len()));
            self.cut.extend_from_slice(more);
            piece = rest;
            if self.cut.len() < wanted {
                return true;
            }
            if wanted > HEADER || Header::read(self.segment, &self.cut).is_some_and(|header| header.len == 0)
            {
                let whole = std::mem::take(&mut self.cut);
                if !self.frame(&whole, f) {
                    return false;
                }
            }
        }
        while !piece.is_empty() {
            let whole = match Header::read(self.segment, piece) {
                Some(header) => header.frame_len() <= piece.len(),
                None if piece.len() < HEADER => false,
                None => return false,
            };
            if !whole {
                self.cut.extend_from_slice(piece);
                return true;
            }
            let at = self.at;
            if !self.frame(piece, f) {
                return false;
            }
            piece = piece.get((self.at - at) as usize..).unwrap_or_default();
        }
        true
    }

    fn frame(&mut self, bytes: &[u8], f: &mut impl FnMut(&Frame<'_>) -> Result<(), &'static str>) -> bool {
        let Ok(frame) = frame_at(self.segment, bytes, 0) else { return false };
        let frame = Frame { at: self.at as u32, ..frame };
        let len = frame.header.frame_len() as u64;
        let good = f(&frame).is_ok();
        self.at += if good { len } else { 0 };
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::{Kind, SEGMENT_HEADER, segment_header, write_frame},
        scan::{End, scan},
    };

    #[test]
    fn frames_are_the_same_however_a_file_is_cut_into_pieces() {
        let mut bytes = segment_header(7).to_vec();
        for n in 0..40 {
            write_frame(7, Kind::Renew, n, &vec![n as u8; n as usize * 3 % 50], &mut bytes);
        }
        let mut whole = Vec::new();
        let end = scan(7, &bytes, |frame| {
            whole.push((frame.at, frame.header, frame.body.to_vec()));
            Ok(())
        });
        assert_eq!((end, whole.len()), (End::Whole, 40));
        let damaged = |at: usize| {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            damaged
        };
        for size in [1, 2, 7, 23, 24, 25, 100, 5000] {
            for (bytes, good) in [(bytes.clone(), true), (damaged(900), false)] {
                let (mut frames, mut found) = (Frames::new(7, SEGMENT_HEADER), Vec::new());
                let mut take = |frame: &Frame<'_>| {
                    found.push((frame.at, frame.header, frame.body.to_vec()));
                    Ok(())
                };
                let all = bytes[SEGMENT_HEADER..].chunks(size).all(|piece| frames.piece(piece, &mut take));
                assert_eq!(all && !frames.is_cut(), good, "{size}");
                let whole = whole.iter().take_while(|(at, ..)| u64::from(*at) < frames.at);
                assert!(whole.eq(found.iter()), "{size}");
                assert!(good || (900 - 80..=900).contains(&(frames.at as usize)), "{}", frames.at);
            }
        }
    }
}
