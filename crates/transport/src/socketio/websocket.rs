//! A WebSocket that carries a session: frames in, and its end.
use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fanfare_broker::Budget;
use fanfare_protocol::Problem;
use fanfare_websocket::{Decoder, Limits, Message, frame};

use super::{
    counted::{Counted, full},
    engine::too_late,
    sessions::Upgraded,
    settings::SocketIoSettings,
};
use crate::{
    arrival::Arrival,
    node::Node,
    socket::{Io, Linger, READS, with_scratch},
};

/// What came.
pub(super) enum Carried {
    /// A text packet.
    Text(Bytes),
    /// A binary packet.
    Binary(Vec<u8>),
    /// Nothing for the layer above, but more may be there.
    Again,
    /// A frame to answer with.
    Say(Bytes),
    /// The client closes, or must be closed, with this frame.
    Close(Bytes),
    /// The connection must end.
    Late(Problem),
    /// The client is gone.
    Gone,
}

/// A WebSocket.
pub(crate) struct WebSocket {
    pub io: Box<dyn Io>,
    decoder: Decoder,
    /// What was read and not decoded.
    rest: Bytes,
    counted: Counted,
    arrival: Arrival,
    /// Output waits for the client.
    pub waits: bool,
    linger: Option<Linger>,
}

impl WebSocket {
    /// One that was just opened; `early` is what the client sent behind its request.
    pub fn new(node: &Node, settings: &SocketIoSettings, io: Box<dyn Io>, early: &[u8]) -> Self {
        let limits = node.rules.transport();
        let decoder = Decoder::new(Limits {
            message_bytes: settings.max_payload,
            fragments: limits.fragments,
            frame_bytes: settings.max_payload,
        });
        Self::of(io, decoder, Bytes::copy_from_slice(early))
    }

    /// One that has said that it takes a session over.
    pub fn taken_over(upgraded: Upgraded) -> Self {
        let Upgraded { io, decoder, rest } = upgraded;
        Self::of(io, decoder, rest.into())
    }

    fn of(io: Box<dyn Io>, decoder: Decoder, rest: Bytes) -> Self {
        Self {
            io,
            decoder,
            rest,
            counted: Counted::default(),
            arrival: Arrival::default(),
            waits: false,
            linger: None,
        }
    }

    /// What is under it.
    pub fn into_upgraded(self) -> Upgraded {
        Upgraded { io: self.io, decoder: self.decoder, rest: self.rest.to_vec() }
    }

    /// The next message. `held` are bytes that the layer above holds of one.
    pub fn poll_message(&mut self, cx: &mut Context<'_>, budget: &Arc<Budget>, held: usize) -> Poll<Carried> {
        if self.arrival.is_late(cx) {
            return Poll::Ready(Carried::Late(too_late()));
        }
        for _ in 0..READS {
            if !self.rest.is_empty() {
                let carried = self.decode();
                let partial = self.decoder.buffered() + held;
                self.arrival.received(partial > 0, partial == 0 || self.counted.bytes() == 0);
                if !self.counted.hold(budget, partial + self.rest.len()) {
                    return Poll::Ready(Carried::Late(full()));
                }
                match carried {
                    Some(carried) => return Poll::Ready(carried),
                    None => continue,
                }
            }
            let read = with_scratch(|scratch| {
                self.io
                    .poll_read(cx, scratch)
                    .map_ok(|n| Bytes::copy_from_slice(scratch.get(..n).unwrap_or_default()))
            });
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => self.rest = bytes,
                Poll::Ready(_) => return Poll::Ready(Carried::Gone),
            }
        }
        Poll::Ready(Carried::Again)
    }

    /// Decodes one message of what was read; none when more bytes are needed.
    fn decode(&mut self) -> Option<Carried> {
        let mut bytes: &[u8] = &self.rest;
        let message = self.decoder.feed(&mut bytes);
        let left = bytes.len();
        self.rest = self.rest.slice(self.rest.len() - left..);
        match message {
            Ok(None) => None,
            Ok(Some(Message::Text(text))) => Some(Carried::Text(text)),
            Ok(Some(Message::Binary(bytes))) => Some(Carried::Binary(bytes.to_vec())),
            Ok(Some(Message::Ping(payload))) => Some(Carried::Say(frame::pong(&payload))),
            Ok(Some(Message::Pong(_))) => Some(Carried::Again),
            Ok(Some(Message::Close(close))) => Some(Carried::Close(frame::close_reply(close.as_ref()))),
            Err(error) => Some(Carried::Close(frame::close_frame(error.close_code(), error.reason()))),
        }
    }

    /// Whether a closed connection has had its time for the last frames.
    pub fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.linger.get_or_insert_with(Linger::new).is_over(cx)
    }

    /// Everything was written: waits for the other side to close, not for long.
    pub fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.linger.get_or_insert_with(Linger::new).poll(&mut *self.io, cx)
    }
}
