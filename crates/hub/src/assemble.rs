//! Bytes for one reader alone: joined small segments, without its own messages, or with a cursor before each.
use fanfare_protocol::{Cursor, Message, Position};

use crate::{form::Form, place::Place, reader::Reader, segment::Segment};

/// Bytes for one reader, with the place and end of every frame in them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The frames.
    pub bytes: Vec<u8>,
    /// The place of each and where it ends.
    pub units: Vec<(Place, usize)>,
}

impl Batch {
    /// What follows the reader's cursor in these segments, without what it skips. Ephemeral messages are kept only for a reader that
    /// stands at the head, be it that it waits for its connection's turn.
    pub fn assemble<'a>(
        form: Form,
        segments: impl IntoIterator<Item = &'a Segment>,
        reader: &Reader,
        elements: Option<&Cursor>,
        ephemeral: bool,
    ) -> Self {
        let mut batch = Self::default();
        let mut elements = elements.cloned();
        for segment in segments {
            let first = segment.first_after(reader.cursor);
            let mut start = segment.start(first);
            for entry in segment.index.iter().skip(first) {
                let end = entry.end as usize;
                let bytes = segment.bytes.get(start..end).unwrap_or_default();
                start = end;
                let own = reader.skip.is_some() && reader.skip == entry.origin;
                let is_ephemeral = entry.place.ephemeral > 0;
                if own || (is_ephemeral && !ephemeral) {
                    continue;
                }
                if !is_ephemeral {
                    batch.write_cursor(form, reader, elements.as_mut(), entry.place.offset);
                }
                batch.bytes.extend_from_slice(bytes);
                batch.units.push((entry.place, batch.bytes.len()));
            }
        }
        batch
    }

    /// The same from messages that the broker returned.
    pub fn encode<'a>(
        form: Form,
        messages: impl IntoIterator<Item = &'a Message>,
        reader: &Reader,
        elements: Option<&Cursor>,
    ) -> Self {
        let mut batch = Self::default();
        let mut elements = elements.cloned();
        for message in messages {
            if reader.skip.is_some() && reader.skip == message.origin {
                continue;
            }
            batch.write_cursor(form, reader, elements.as_mut(), message.offset);
            form.0.message(message, &mut batch.bytes);
            batch.units.push((Place::at(message.offset), batch.bytes.len()));
        }
        batch
    }

    fn write_cursor(&mut self, form: Form, reader: &Reader, elements: Option<&mut Cursor>, offset: u64) {
        let (Some(cursor), Some(element)) = (elements, reader.element) else { return };
        if let Some(place) = cursor.0.get_mut(element) {
            *place = Some(Position { epoch: reader.epoch, offset });
        }
        form.0.cursor(cursor, &mut self.bytes);
    }

    /// For a write of `at` bytes: the place of the frame that holds the last of them, and where that frame ends.
    pub fn cut(&self, at: usize) -> (Place, usize) {
        let n = self.units.partition_point(|(_, end)| *end < at);
        self.units.get(n).copied().unwrap_or((Place::default(), at))
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
