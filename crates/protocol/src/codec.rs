//! The two encodings of the protocol, as frames' payloads: no framing here.
use crate::{
    Data, Event, Message, Problem, Ref, Request,
    fields::{Raw, not_json},
    frames,
    json_scan::Json,
    pack_read::Reader,
    request::request,
    sink::{JsonSink, PackSink, Sink},
};

/// Commands in one frame, at most.
pub const COMMANDS: usize = 100;

/// An encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Compact JSON, in UTF-8.
    Json,
    /// MessagePack.
    MsgPack,
}

/// A command that was refused while it was read: answer it with an `error`.
#[derive(Clone, PartialEq, Debug)]
pub struct Rejected {
    /// The client's reference, where it could be read.
    pub reference: Option<Ref>,
    /// Why.
    pub problem: Problem,
}

/// What a frame holds: its commands in order, each good or refused alone; or the refusal of the frame as a whole.
pub type Decoded = Result<Vec<Result<Request, Rejected>>, Rejected>;

impl Format {
    /// Reads a client's frame: an object, or an array of at most 100 (which may be empty).
    ///
    /// # Errors
    /// `bad_request` when the frame is not in this encoding or neither object nor array; `limit_exceeded` when the array
    /// is longer: none of it is to be run.
    #[expect(clippy::result_large_err, reason = "made once per frame and consumed at once")]
    pub fn decode(self, frame: &[u8]) -> Decoded {
        let mut requests = Vec::with_capacity(1);
        self.decode_each(frame, |request| requests.push(request))?;
        Ok(requests)
    }

    /// The same, handing over each command as it is read; none when the frame is refused as a whole.
    ///
    /// # Errors
    /// As [`Format::decode`].
    #[expect(clippy::result_large_err, reason = "made once per frame and consumed at once")]
    pub fn decode_each(
        self,
        frame: &[u8],
        mut each: impl FnMut(Result<Request, Rejected>),
    ) -> Result<(), Rejected> {
        let whole = |problem| Rejected { reference: None, problem };
        let raw = match self {
            Self::Json => {
                let text = simdutf8::basic::from_utf8(frame).map_err(|_| whole(not_json()))?;
                Raw::Json(Json::unknown(text.trim_matches([' ', '\t', '\r', '\n'])))
            }
            Self::MsgPack => Raw::Pack(frame),
        };
        match raw {
            Raw::Json(json) if json.text.starts_with('[') => {}
            Raw::Pack([0x90..=0x9f | 0xdc | 0xdd, ..]) => {
                let mut reader = Reader(frame);
                reader.raw().map_err(whole)?;
                if !reader.0.is_empty() {
                    return Err(whole(crate::pack_read::malformed("bytes follow the array")));
                }
            }
            one => {
                each(request(one));
                return Ok(());
            }
        }
        let elements = raw.elements(COMMANDS).map_err(|problem| whole(problem.unwrap_or_else(not_json)))?;
        elements.into_iter().map(request).for_each(each);
        Ok(())
    }

    /// Appends an event as one frame's payload. A message is its object with `"type":"message"` before the rest.
    pub fn encode(self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Json => frames::event(&mut JsonSink(out), event),
            Self::MsgPack => frames::event(&mut PackSink(out), event),
        }
    }

    /// Appends a message as a frame's payload: as [`Format::encode`] does, without an [`Event`] around it.
    pub fn message_frame(self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Self::Json => frames::message_frame(&mut JsonSink(out), message),
            Self::MsgPack => frames::message_frame(&mut PackSink(out), message),
        }
    }

    /// Appends a message's object, without a `type`.
    pub fn message(self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Self::Json => frames::message(&mut JsonSink(out), message),
            Self::MsgPack => frames::message(&mut PackSink(out), message),
        }
    }

    /// Appends a payload alone: as JSON one line, where bytes are a base64 string with its quotes.
    pub fn data(self, data: &Data, out: &mut Vec<u8>) {
        match self {
            Self::Json => JsonSink(out).data(data),
            Self::MsgPack => PackSink(out).data(data),
        }
    }
}
