//! The wire forms of the native transports.
use fanfare_hub::{Form, WireForm};
use fanfare_protocol::{Cursor, Event, Format, Message};
use fanfare_websocket::frame::{InPlace, Opcode};

/// WebSocket frames holding JSON.
pub const WS_JSON: Form = Form(&WebSocketForm { id: 1, format: Format::Json, opcode: Opcode::Text });
/// WebSocket frames holding MessagePack.
pub const WS_MSGPACK: Form = Form(&WebSocketForm { id: 2, format: Format::MsgPack, opcode: Opcode::Binary });
/// Lines of JSON.
pub const STREAM: Form = Form(&StreamForm);

/// The form of an SSE connection.
pub fn sse(channels: usize, envelope: bool) -> Form {
    match (channels, envelope) {
        (1, false) => Form(&SseForm { id: 4, own_id: true, envelope: false }),
        (1, true) => Form(&SseForm { id: 5, own_id: true, envelope: true }),
        (_, false) => Form(&SseForm { id: 6, own_id: false, envelope: false }),
        (_, true) => Form(&SseForm { id: 7, own_id: false, envelope: true }),
    }
}

struct WebSocketForm {
    id: u16,
    format: Format,
    opcode: Opcode,
}

impl WireForm for WebSocketForm {
    fn id(&self) -> u16 {
        self.id
    }

    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        let frame = InPlace::begin(out, message.data.len() + 160);
        self.format.message_frame(message, out);
        frame.finish(out, self.opcode);
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        let frame = InPlace::begin(out, 200);
        self.format.encode(event, out);
        frame.finish(out, self.opcode);
    }
}

/// One frame a line.
struct StreamForm;

impl WireForm for StreamForm {
    fn id(&self) -> u16 {
        3
    }

    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        Format::Json.message_frame(message, out);
        out.push(b'\n');
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        Format::Json.encode(event, out);
        out.push(b'\n');
    }
}

/// Blocks of `text/event-stream`. The `id:` of a single channel's messages is in the shared bytes; of several channels it is made per
/// reader ([`WireForm::cursor`]).
struct SseForm {
    id: u16,
    own_id: bool,
    envelope: bool,
}

impl SseForm {
    fn id_line(position: impl std::fmt::Display, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing into a Vec does not fail.
        let _ = writeln!(out, "id: {position}");
    }
}

impl WireForm for SseForm {
    fn id(&self) -> u16 {
        self.id
    }

    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        if self.own_id && !message.is_ephemeral() {
            Self::id_line(message.position(), out);
        }
        if self.envelope {
            out.extend_from_slice(b"data: ");
            Format::Json.message(message, out);
        } else {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(message.event.as_bytes());
            out.extend_from_slice(b"\ndata: ");
            Format::Json.data(&message.data, out);
        }
        out.extend_from_slice(b"\n\n");
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Gap(gap) if self.own_id => Self::id_line(gap.after, out),
            Event::Disconnect(problem) => {
                if let Some(ms) = problem.retry_after_ms {
                    out.extend_from_slice(format!("retry: {ms}\n").as_bytes());
                }
            }
            Event::Cursor(cursor) => {
                Self::id_line(cursor, out);
                return out.push(b'\n');
            }
            _ => {}
        }
        out.extend_from_slice(b"event: fanfare.");
        out.extend_from_slice(event.type_name().as_bytes());
        out.extend_from_slice(b"\ndata: ");
        Format::Json.encode(event, out);
        out.extend_from_slice(b"\n\n");
    }

    fn cursor(&self, cursor: &Cursor, out: &mut Vec<u8>) {
        Self::id_line(cursor, out);
    }
}
