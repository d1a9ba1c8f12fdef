//! The task of one connection: reads when it may, writes what its link has, ends cleanly.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fanfare_hub::Notice;
use fanfare_protocol::{Code, Format, Problem};
use fanfare_websocket::{Decoder, Limits, Message, frame};

use crate::{
    arrival::Arrival,
    link::{Link, Wrote},
    node::Node,
    plan::{Plan, Transport},
    socket::{Io, Linger, READS, with_scratch},
};

/// What the client's bytes are.
enum Input {
    /// WebSocket frames.
    Frames(Decoder),
    /// Nothing that matters (SSE, stream).
    Ignored,
}

/// What reading came to.
enum Read {
    Nothing,
    /// Something.
    Some,
    /// Everything there was: the task is woken when more comes.
    All,
}

enum Phase {
    Open,
    /// Everything was written: waiting for the other side to close.
    Linger(Linger),
}

/// One connection.
pub(crate) struct Driver<I: Io> {
    io: I,
    link: Link,
    input: Input,
    phase: Phase,
    /// What was read and may not be looked at yet.
    rest: Vec<u8>,
    /// Bytes of half-received messages and of `rest`, counted against the node's memory.
    held: usize,
    arrival: Arrival,
    /// Ends a connection that was closed and does not take its last frames.
    closing: Option<Linger>,
}

impl<I: Io> Drop for Driver<I> {
    fn drop(&mut self) {
        self.link.budget().give(self.held);
    }
}

impl<I: Io> Driver<I> {
    /// A driver for a planned connection whose answer has been sent; `early` is what the client sent behind its request.
    pub fn new(node: &Arc<Node>, plan: Plan, io: I, early: &[u8]) -> Self {
        let input = match plan.transport {
            Transport::WebSocket => {
                let limits = node.rules.transport();
                Input::Frames(Decoder::new(Limits {
                    message_bytes: limits.frame_bytes,
                    fragments: limits.fragments,
                    frame_bytes: limits.frame_bytes,
                }))
            }
            Transport::Sse | Transport::Stream | Transport::SocketIo => Input::Ignored,
        };
        let link = Link::open(node, plan, io.round_socket());
        let mut driver = Self {
            io,
            link,
            input,
            phase: Phase::Open,
            rest: Vec::new(),
            held: 0,
            arrival: Arrival::default(),
            closing: None,
        };
        driver.take(early);
        driver
    }

    /// Bytes from the client.
    fn take(&mut self, mut bytes: &[u8]) {
        if !bytes.is_empty() {
            self.link.received();
        }
        let mut begun = self.held == 0;
        // Every message may ask for much more than it holds: between two of them the client must have room for what it asked for.
        while !bytes.is_empty() && self.link.wants_input() {
            let Input::Frames(decoder) = &mut self.input else { return };
            match decoder.feed(&mut bytes) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    begun |= matches!(message, Message::Text(_) | Message::Binary(_));
                    message_in(&mut self.link, message);
                }
                Err(error) => {
                    self.link.send_raw(&frame::close_frame(error.close_code(), error.reason()));
                    self.link.connection.finish();
                    break;
                }
            }
        }
        self.rest = if self.link.connection.is_open() { bytes.to_vec() } else { Vec::new() };
        let partial = decoder_bytes(&self.input);
        self.arrival.received(partial > 0, begun);
        self.hold(self.held, partial + self.rest.len());
    }

    /// Counts what is half received; without room for it the connection ends.
    fn hold(&mut self, before: usize, now: usize) {
        if now == before {
            return;
        }
        let budget = self.link.budget();
        budget.give(before);
        if budget.try_take(now) {
            self.held = now;
            return;
        }
        self.held = 0;
        self.input = Input::Ignored;
        let problem = Problem::new(Code::Unavailable, "the server's memory for messages is used up")
            .retry_after_ms(1000)
            .remedy("try again in a moment, or raise limits.memory_bytes");
        self.link.connection.notify(Notice::Disconnect(problem));
    }

    /// Reads while there is something and the link wants it; an error when the connection has ended.
    fn read_some(&mut self, cx: &mut Context<'_>) -> io::Result<Read> {
        let _gathering = self.link.gather();
        with_scratch(|scratch| {
            let mut any = false;
            for _ in 0..READS {
                if !self.link.wants_input() {
                    self.arrival.hold_back();
                    return Ok(if any { Read::Some } else { Read::Nothing });
                }
                if !self.rest.is_empty() {
                    let rest = std::mem::take(&mut self.rest);
                    self.take(&rest);
                    any = true;
                    continue;
                }
                match self.io.poll_read(cx, scratch) {
                    Poll::Pending => return Ok(if any { Read::All } else { Read::Nothing }),
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Poll::Ready(Ok(n)) => self.take(scratch.get(..n).unwrap_or_default()),
                    Poll::Ready(Err(error)) => return Err(error),
                }
                any = true;
            }
            Ok(Read::Some)
        })
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.phase {
            Phase::Open => Poll::Ready(()),
            Phase::Linger(linger) => linger.poll(&mut self.io, cx),
        }
    }

    /// One turn; true when it must be taken again at once, None when the connection has ended.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        if self.arrival.is_late(cx) {
            let problem = Problem::new(Code::BadRequest, "a message took more than 60 s to arrive")
                .remedy("send a message without pauses, or smaller ones");
            self.link.connection.notify(Notice::Disconnect(problem));
        }
        self.link.drive(cx);
        if self.is_over(cx) {
            return None;
        }
        let Self { io, link, .. } = self;
        let mut waits = false;
        match link.pump(cx, &mut |bytes| io.try_write(bytes)) {
            Wrote::Enough => {}
            Wrote::Blocked => match io.poll_writable(cx) {
                Poll::Ready(Ok(())) => return Some(true),
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => waits = true,
            },
            Wrote::Finished => {
                self.phase = Phase::Linger(Linger::new());
                return Some(true);
            }
            Wrote::Dead => return None,
        }
        match self.io.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return None,
            // What was written stands in the stream's own buffer.
            Poll::Pending => waits = true,
        }
        let progress = self.io.take_progress();
        self.link.rests(waits, progress);
        // What was read causes output, which goes out before this task rests; so do pages that waited for room.
        let again = match self.read_some(cx).ok()? {
            Read::Nothing => self.link.has_page(),
            // What the stream itself answers to what was read goes out all the same.
            Read::All => {
                self.arrival.is_awaited()
                    || !self.link.is_at_rest()
                    || !matches!(self.io.poll_flush(cx), Poll::Ready(Ok(())))
            }
            Read::Some => true,
        };
        Some(again)
    }

    /// Whether a closed connection has had its time for the last frames.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.link.connection.is_open() {
            return false;
        }
        self.closing.get_or_insert_with(Linger::new).is_over(cx)
    }
}

fn decoder_bytes(input: &Input) -> usize {
    match input {
        Input::Frames(decoder) => decoder.buffered(),
        Input::Ignored => 0,
    }
}

/// One message from a WebSocket client.
fn message_in(link: &mut Link, message: Message) {
    match (message, link.format()) {
        (Message::Text(text), Format::Json) => link.commands(&text),
        (Message::Binary(bytes), Format::MsgPack) => link.commands(&bytes),
        (Message::Binary(_), Format::Json) => refuse(link, "binary frame on a JSON connection"),
        (Message::Text(_), Format::MsgPack) => refuse(link, "text frame on a MessagePack connection"),
        (Message::Ping(payload), _) => link.send_raw(&frame::pong(&payload)),
        (Message::Pong(_), _) => {}
        (Message::Close(close), _) => {
            link.send_raw(&frame::close_reply(close.as_ref()));
            link.connection.finish();
        }
    }
}

/// 1003: a kind of data that cannot be accepted (RFC 6455 section 7.4.1).
fn refuse(link: &mut Link, reason: &str) {
    link.send_raw(&frame::close_frame(1003, reason));
    link.connection.finish();
}

impl<I: Io> Future for Driver<I> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if matches!(me.phase, Phase::Linger(..)) {
            return me.poll_linger(cx);
        }
        // What was read causes output, and output makes room for input: bounded, so that one connection does not keep a worker.
        for _ in 0..8 {
            match me.turn(cx) {
                None => return Poll::Ready(()),
                Some(false) => return Poll::Pending,
                Some(true) if matches!(me.phase, Phase::Linger(..)) => return me.poll_linger(cx),
                Some(true) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
