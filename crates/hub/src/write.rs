//! Handing bytes to a connection's socket: a reader's part of a round, control frames, and what becomes of a write that was cut.
use std::io;

use fanfare_protocol::{Cursor, Event, Position};
use tokio::time::Instant;

use crate::{
    assemble::Batch,
    connection::{Connection, Life, Out},
    place::Place,
    reader::{Kind, ReaderKey, State},
    segment::Segment,
};

impl Connection {
    /// Queues a gap and moves the carried cursor with it.
    pub(crate) fn write_gap(
        &self,
        control: &mut Vec<u8>,
        elements: Option<&mut Cursor>,
        element: Option<usize>,
        gap: fanfare_protocol::event::Gap,
    ) {
        if let (Some(cursor), Some(element)) = (elements, element) {
            if let Some(place) = cursor.0.get_mut(element) {
                *place = Some(gap.after);
            }
            self.form.0.cursor(cursor, control);
        }
        self.form.0.event(&Event::Gap(gap), control);
    }

    /// One reader's part of a round: the segment past its cursor in one write.
    pub(crate) fn write_round(
        &self,
        key: ReaderKey,
        segment: &Segment,
        unix_ms: u64,
        begun: Instant,
    ) -> Given {
        let mut guard = self.lock();
        let out = &mut *guard;
        let Some(reader) = out.reader(key) else { return Given::Nothing };
        if reader.state != State::InStep || out.life != Life::Open {
            return Given::Nothing;
        }
        let cursor = reader.cursor;
        if reader.epoch == segment.epoch && cursor >= segment.to {
            return Given::Nothing;
        }
        if let Some(until) = reader.paced.as_ref().and_then(|paced| paced.busy_until(begun)) {
            return Given::Later(until);
        }
        // Control frames that wait for their driver go ahead of the data in the same write, where they are not long.
        let short = out.control.len() - out.control_at <= JOINED;
        let clear = short && !out.blocked && unix_ms < out.expires.min(reader.until);
        // What changed among members is told in one piece: a reader that joined inside it asks the roster for its own.
        let inside = reader.kind == Kind::Members && cursor > segment.from;
        let blocked = out.blocked;
        let pulled = self.socket.is_pulled();
        if !clear || inside || pulled || reader.epoch != segment.epoch || cursor < segment.from {
            out.set_behind(key, &self.counters, true, blocked);
            drop(guard);
            self.wake();
            return Given::Behind;
        }
        let wrote = if reader.skip.is_some() || out.elements.is_some() {
            let batch = Batch::assemble(self.form, [segment], reader, out.elements.as_deref(), true);
            let put = out.put(
                key,
                &batch.bytes,
                segment.to,
                |at| batch.cut(at),
                |bytes| self.socket.try_write(bytes),
            );
            put.map(|()| batch.units.len())
        } else {
            let first = segment.first_after(cursor);
            let start = segment.start(first);
            let bytes = segment.bytes.get(start..).unwrap_or_default();
            let cut = |at: usize| {
                let (place, end) = segment.cut(start + at);
                (place, end - start)
            };
            out.put(key, bytes, segment.to, cut, |bytes| self.socket.try_write(bytes))
                .map(|()| segment.index.len() - first)
        };
        match wrote {
            Ok(count) => Given::Wrote(count),
            Err(stop) => {
                if stop == Stop::Dead {
                    out.life = Life::Dead;
                } else {
                    out.set_behind(key, &self.counters, true, blocked);
                }
                drop(guard);
                self.wake();
                Given::Behind
            }
        }
    }
}

/// Bytes of control frames that a round takes along at most: they are copied.
const JOINED: usize = 4 << 10;

/// What a round did for a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    /// So many messages were handed over; none when all were its own.
    Wrote(usize),
    /// It is not in step, or has it all.
    Nothing,
    /// It goes on by itself.
    Behind,
    /// Its own window is open until then.
    Later(Instant),
}

/// Why a write did not take everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The socket is full.
    Full,
    /// The connection is gone.
    Dead,
}

impl Out {
    /// Writes control frames until none is left.
    pub(crate) fn flush_control(
        &mut self,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        while let Some(rest) = self.control.get(self.control_at..).filter(|rest| !rest.is_empty()) {
            match write(rest) {
                Ok(0) => return Err(Stop::Dead),
                Ok(n) => {
                    self.accepted = true;
                    self.control_at += n;
                }
                Err(error) => return Err(self.stopped(&error)),
            }
        }
        self.control_at = 0;
        // Freed, not cleared: an idle connection holds no buffer.
        self.control = Vec::new();
        Ok(())
    }

    /// Writes data for a reader whose cursor becomes `to` when all of it is taken. `cut` tells, for a number of bytes taken, the place of
    /// the frame that holds the last of them and where that frame ends.
    pub(crate) fn put(
        &mut self,
        key: ReaderKey,
        bytes: &[u8],
        to: Place,
        cut: impl FnOnce(usize) -> (Place, usize),
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        let taken = match self.put_behind_control(bytes, &mut write) {
            Ok(Some(taken)) => taken,
            // What was not begun is read again.
            Ok(None) => {
                self.blocked = true;
                return Err(Stop::Full);
            }
            Err(stop) => return Err(stop),
        };
        if taken == bytes.len() {
            self.advance(key, to);
            return Ok(());
        }
        let (place, end) = cut(taken);
        if end > taken {
            // The frame that was cut is completed before anything else, so its reader has passed it; what follows is read again.
            self.control = bytes.get(taken..end).unwrap_or_default().to_vec();
            self.control_at = 0;
        }
        self.blocked = true;
        self.advance(key, place);
        Err(Stop::Full)
    }

    /// Control frames that wait, and data behind them. How much of the data was taken; none when nothing was that should have been.
    fn put_behind_control(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<Option<usize>, Stop> {
        if bytes.is_empty() {
            return Ok(Some(0));
        }
        // Almost always nothing waits: this is the loop over all readers of a channel.
        let ahead = self.control.len() - self.control_at;
        let written = if ahead == 0 { write(bytes) } else { write(&self.joined(bytes)) };
        let taken = match written {
            Ok(0) => return Err(Stop::Dead),
            Ok(taken) => taken,
            Err(error) => return Err(self.stopped(&error)),
        };
        self.accepted = true;
        if ahead == 0 {
            return Ok(Some(taken));
        }
        if taken < ahead {
            self.control_at += taken;
            return Ok(None);
        }
        (self.control, self.control_at) = (Vec::new(), 0);
        Ok(Some(taken - ahead).filter(|taken| *taken > 0))
    }

    #[cold]
    fn joined(&self, bytes: &[u8]) -> Vec<u8> {
        [self.control.get(self.control_at..).unwrap_or_default(), bytes].concat()
    }

    fn advance(&mut self, key: ReaderKey, to: Place) {
        let Some(reader) = self.reader_mut(key) else { return };
        reader.cursor = to;
        let (element, epoch) = (reader.element, reader.epoch);
        if let (Some(element), Some(cursor)) = (element, self.elements.as_deref_mut())
            && let Some(place) = cursor.0.get_mut(element)
        {
            *place = Some(Position { epoch, offset: to.offset });
        }
    }

    fn stopped(&mut self, error: &io::Error) -> Stop {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocked = true;
            Stop::Full
        } else {
            Stop::Dead
        }
    }
}
