//! A data message that is still arriving: its bytes so far, and for text how many of them are known to be UTF-8.

use crate::error::WsError;
use crate::header::OpenMessage;
use crate::mask;
use crate::message::Message;
use bytes::Bytes;

/// The data message under construction.
#[derive(Debug)]
pub(crate) struct Assembly {
    data: Vec<u8>,
    /// For text, the length of the prefix known to be UTF-8. At most three bytes, the beginning of one character,
    /// lie beyond it.
    checked: usize,
    fragments: u32,
    text: bool,
}

impl Assembly {
    /// Begins a message with its first frame.
    pub(crate) fn new(text: bool) -> Self {
        Self { data: Vec::new(), checked: 0, fragments: 1, text }
    }

    pub(crate) fn next_fragment(&mut self) {
        self.fragments = self.fragments.saturating_add(1);
    }

    pub(crate) fn progress(&self) -> OpenMessage {
        OpenMessage { bytes: self.data.len(), fragments: self.fragments }
    }

    /// Heap bytes held.
    pub(crate) fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Takes masked payload bytes. `ceiling` is the most that the message can still become, in bytes.
    ///
    /// # Errors
    /// [`WsError::InvalidUtf8`] as soon as no continuation could make the text valid.
    pub(crate) fn append(&mut self, masked: &[u8], key: [u8; 4], ceiling: usize) -> Result<(), WsError> {
        self.reserve(masked.len(), ceiling);
        mask::append_unmasked(&mut self.data, masked, key);
        if self.text { self.check_utf8() } else { Ok(()) }
    }

    /// Grows by doubling, so that many small reads do not copy the message each time, but never beyond
    /// `ceiling`, and never because of an announced length: only received bytes cost memory.
    fn reserve(&mut self, more: usize, ceiling: usize) {
        let needed = self.data.len().saturating_add(more);
        if needed > self.data.capacity() {
            let target = self.data.capacity().saturating_mul(2).min(ceiling).max(needed);
            self.data.reserve_exact(target - self.data.len());
        }
    }

    fn check_utf8(&mut self) -> Result<(), WsError> {
        let unchecked = self.data.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(unchecked) {
            Ok(_) => self.checked = self.data.len(),
            // Without an error length the input merely ends inside a character that can still become valid.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(WsError::InvalidUtf8),
        }
        Ok(())
    }

    /// The message, complete.
    ///
    /// # Errors
    /// [`WsError::InvalidUtf8`] when the text ends inside a character.
    pub(crate) fn finish(self) -> Result<Message, WsError> {
        if !self.text {
            return Ok(Message::Binary(Bytes::from(self.data)));
        }
        if self.checked != self.data.len() {
            return Err(WsError::InvalidUtf8);
        }
        Ok(Message::Text(Bytes::from(self.data)))
    }
}
