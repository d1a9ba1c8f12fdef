//! From a client's bytes to messages.

use crate::assembly::Assembly;
use crate::error::WsError;
use crate::frame::Opcode;
use crate::header::{Header, MAX_HEADER, OpenMessage};
use crate::mask;
use crate::message::Message;
use bytes::Bytes;

/// What one client may send; all of these can be settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of a message, over all its frames. Above it: 1009.
    pub message_bytes: usize,
    /// Frames of a message; 1 forbids fragmentation. Above it: 1008.
    pub fragments: u32,
    /// Payload bytes of a frame, judged by its header. Above it: 1009.
    pub frame_bytes: usize,
}

impl Default for Limits {
    /// 1 MiB a message and a frame, 1,024 fragments.
    fn default() -> Self {
        Self { message_bytes: 1 << 20, fragments: 1024, frame_bytes: 1 << 20 }
    }
}

/// Decodes one connection's input. Small enough to be kept for every idle connection; what is half received lives
/// in one heap block that exists only meanwhile.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    /// The beginning of a header that a read cut; the first `head_len` bytes count.
    head: [u8; MAX_HEADER],
    head_len: u8,
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Closed,
    Failed(WsError),
}

/// A frame whose payload is incomplete, a message whose last frame has not come, or both.
#[derive(Debug, Default)]
struct Partial {
    frame: Option<OpenFrame>,
    message: Option<Assembly>,
    /// Payload of the control frame that `frame` describes; it may come between a message's fragments.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct OpenFrame {
    opcode: Opcode,
    fin: bool,
    /// Turned so that it begins at the next payload byte.
    mask: [u8; 4],
    /// Payload bytes still to come.
    remaining: usize,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Open, head: [0; MAX_HEADER], head_len: 0, partial: None }
    }

    /// Takes bytes from the front of `input` until a message is complete or the input is used up.
    ///
    /// Call it again with the same `input` while it returns a message; `Ok(None)` means that everything was
    /// consumed and more must be read. Nothing of `input` is borrowed afterwards, so it can be a buffer shared by
    /// many connections. After a Close, and after an error, input is discarded: a Close is the last message, and
    /// an error is returned again by every later call.
    ///
    /// # Errors
    /// The first violation of the protocol or of the limits; answer with its
    /// [`close_code`](WsError::close_code) and end the connection.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WsError> {
        match self.state {
            State::Open => {}
            State::Closed => {
                *input = &[];
                return Ok(None);
            }
            State::Failed(error) => {
                *input = &[];
                return Err(error);
            }
        }
        let result = self.advance(input);
        match &result {
            Ok(Some(Message::Close(_))) => self.end(State::Closed, input),
            Err(error) => self.end(State::Failed(*error), input),
            Ok(_) => {}
        }
        result
    }

    /// Whether nothing is half received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head_len == 0 && self.partial.is_none()
    }

    /// Heap bytes held for what is half received, for memory accounting; 0 when idle.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>()
                + partial.control.capacity()
                + partial.message.as_ref().map_or(0, Assembly::capacity)
        })
    }

    /// Whether the client has sent its Close.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn end(&mut self, state: State, input: &mut &[u8]) {
        self.state = state;
        self.partial = None;
        self.head_len = 0;
        *input = &[];
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WsError> {
        loop {
            if self.partial.as_ref().is_none_or(|partial| partial.frame.is_none()) {
                let Some(header) = self.take_header(input)? else { return Ok(None) };
                if let Some(message) = self.take_whole(&header, input)? {
                    return Ok(Some(message));
                }
                self.open_frame(&header);
            }
            match self.take_payload(input)? {
                Payload::Incomplete => return Ok(None),
                Payload::Message(message) => return Ok(Some(message)),
                Payload::Fragment => {}
            }
        }
    }

    /// Reads a header from the input, or from what an earlier read left and the input.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, WsError> {
        let open = self.open_message();
        let kept = usize::from(self.head_len);
        if kept == 0 {
            let header = Header::parse(input, open, &self.limits)?;
            match &header {
                Some(header) => skip(input, header.size),
                None => self.keep_head(input),
            }
            return Ok(header);
        }
        // `keep_head` takes no more than fits, so the header may end before the bytes it copied do.
        let mut rest = *input;
        self.keep_head(&mut rest);
        let head = self.head.get(..usize::from(self.head_len)).unwrap_or_default();
        let header = Header::parse(head, open, &self.limits)?;
        match &header {
            Some(header) => {
                skip(input, header.size.saturating_sub(kept));
                self.head_len = 0;
            }
            None => *input = rest,
        }
        Ok(header)
    }

    /// Appends what fits of `input` to the header kept between reads.
    fn keep_head(&mut self, input: &mut &[u8]) {
        let free = self.head.iter_mut().skip(usize::from(self.head_len));
        let mut taken = 0u8;
        for (slot, byte) in free.zip(input.iter()) {
            *slot = *byte;
            taken += 1;
        }
        self.head_len += taken;
        skip(input, usize::from(taken));
    }

    fn open_message(&self) -> Option<OpenMessage> {
        self.partial.as_ref()?.message.as_ref().map(Assembly::progress)
    }

    /// The common case: a message in one frame, or a control frame, that lies whole in the input. One copy, no
    /// state. `None` when the frame is cut or fragmented.
    fn take_whole(&mut self, header: &Header, input: &mut &[u8]) -> Result<Option<Message>, WsError> {
        if !header.fin || header.opcode == Opcode::Continuation {
            return Ok(None);
        }
        let Some((masked, rest)) = input.split_at_checked(header.payload) else { return Ok(None) };
        *input = rest;
        let mut payload = masked.to_vec();
        mask::unmask(&mut payload, header.mask);
        if header.opcode == Opcode::Text && simdutf8::basic::from_utf8(&payload).is_err() {
            return Err(WsError::InvalidUtf8);
        }
        message(header.opcode, payload).map(Some)
    }

    /// Begins a frame whose payload is cut or belongs to a fragmented message.
    fn open_frame(&mut self, header: &Header) {
        let partial = self.partial.get_or_insert_default();
        partial.frame = Some(OpenFrame {
            opcode: header.opcode,
            fin: header.fin,
            mask: header.mask,
            remaining: header.payload,
        });
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                partial.message = Some(Assembly::new(header.opcode == Opcode::Text));
            }
            Opcode::Continuation => {
                if let Some(message) = &mut partial.message {
                    message.next_fragment();
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => partial.control.reserve_exact(header.payload),
        }
    }

    /// Moves payload bytes of the open frame out of the input; drops the heap block when nothing is left in it.
    fn take_payload(&mut self, input: &mut &[u8]) -> Result<Payload, WsError> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(Payload::Incomplete) };
        let Some(frame) = &mut partial.frame else { return Ok(Payload::Incomplete) };
        let (masked, rest) = input.split_at(frame.remaining.min(input.len()));
        *input = rest;
        if frame.opcode.is_control() {
            mask::append_unmasked(&mut partial.control, masked, frame.mask);
        } else if let Some(message) = &mut partial.message {
            let last = message.progress().bytes.saturating_add(frame.remaining);
            let ceiling = if frame.fin { last } else { self.limits.message_bytes };
            message.append(masked, frame.mask, ceiling)?;
        }
        frame.mask = mask::advance(frame.mask, masked.len());
        frame.remaining -= masked.len();
        if frame.remaining > 0 {
            return Ok(Payload::Incomplete);
        }
        let OpenFrame { opcode, fin, .. } = *frame;
        partial.frame = None;
        let complete = if opcode.is_control() {
            message(opcode, std::mem::take(&mut partial.control))?
        } else {
            match partial.message.take_if(|_| fin) {
                Some(assembly) => assembly.finish()?,
                None => return Ok(Payload::Fragment),
            }
        };
        if partial.message.is_none() {
            self.partial = None;
        }
        Ok(Payload::Message(complete))
    }
}

/// Where taking payload bytes ended.
enum Payload {
    /// The input is used up.
    Incomplete,
    /// A frame ended that is not the last of its message.
    Fragment,
    /// A message or control frame is complete.
    Message(Message),
}

/// The message of a frame that stands alone; text is checked by the caller.
fn message(opcode: Opcode, payload: Vec<u8>) -> Result<Message, WsError> {
    match opcode {
        Opcode::Text => Ok(Message::Text(Bytes::from(payload))),
        // A continuation never stands alone; the callers see to it.
        Opcode::Binary | Opcode::Continuation => Ok(Message::Binary(Bytes::from(payload))),
        Opcode::Ping => Ok(Message::Ping(Bytes::from(payload))),
        Opcode::Pong => Ok(Message::Pong(Bytes::from(payload))),
        Opcode::Close => Message::close(payload),
    }
}

fn skip(input: &mut &[u8], bytes: usize) {
    *input = input.get(bytes..).unwrap_or_default();
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
