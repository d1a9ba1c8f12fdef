//! Wire forms of Socket.IO: WebSocket frames, which polling takes apart again. One for each namespace, layout and encoding that is in use; they
//! are as few as the namespaces that exist.
use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use fanfare_dialect_socketio::{Frames, Wire};
use fanfare_hub::{Form, WireForm};
use fanfare_protocol::{Event, Message};
use fanfare_websocket::frame::{self, Opcode};
use parking_lot::Mutex;

/// Numbers below are other transports'.
const FIRST_ID: u16 = 1000;

static FORMS: LazyLock<Mutex<HashMap<Wire, Form>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU16 = AtomicU16::new(FIRST_ID);

/// The form of a wire, made once.
pub(crate) fn form(wire: &Wire) -> Form {
    let mut forms = FORMS.lock();
    if let Some(form) = forms.get(wire) {
        return *form;
    }
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let form = Form(Box::leak(Box::new(SocketIoForm { id, wire: wire.clone() })));
    forms.insert(wire.clone(), form);
    form
}

struct SocketIoForm {
    id: u16,
    wire: Wire,
}

/// Packets as WebSocket frames.
pub(crate) struct WebSocketFrames<'a>(pub &'a mut Vec<u8>);

impl Frames for WebSocketFrames<'_> {
    fn text(&mut self, packet: &[u8]) {
        frame::append_frame(self.0, Opcode::Text, packet);
    }

    fn binary(&mut self, bytes: &[u8]) {
        frame::append_frame(self.0, Opcode::Binary, bytes);
    }
}

impl WireForm for SocketIoForm {
    fn id(&self) -> u16 {
        self.id
    }

    fn message(&self, message: &Message, out: &mut Vec<u8>) {
        self.wire.message(message, &mut WebSocketFrames(out));
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        self.wire.event(event, &mut WebSocketFrames(out));
    }
}

/// One frame of those that forms make: whether it is text, its payload, and where it ends.
pub(crate) struct Framed<'a> {
    /// Text, else binary.
    pub is_text: bool,
    /// What it holds.
    pub payload: &'a [u8],
}

/// Goes through whole frames. Control frames are passed over, which no form makes.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Framed<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
            let (len, rest) = match second & 0x7f {
                126 => {
                    let (len, rest) = rest.split_first_chunk::<2>()?;
                    (u64::from(u16::from_be_bytes(*len)), rest)
                }
                127 => {
                    let (len, rest) = rest.split_first_chunk::<8>()?;
                    (u64::from_be_bytes(*len), rest)
                }
                len => (u64::from(len), rest),
            };
            let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            bytes = rest;
            match first & 0x0f {
                1 => return Some(Framed { is_text: true, payload }),
                2 => return Some(Framed { is_text: false, payload }),
                _ => {}
            }
        }
    })
}
