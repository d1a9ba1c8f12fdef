//! What the session says to the client: frames, pings, the cursor after quiet spells, the end.
use fanfare_hub::Notice;
use fanfare_protocol::{Code, Cursor, Event};
use fanfare_session::Close;
use fanfare_websocket::frame;

use super::Link;
use crate::plan::Transport;

impl Link {
    pub(super) fn send(&mut self, event: Event) {
        match &event {
            Event::Error { problem, .. } => {
                self.node.errors.count(problem.code);
                if self.transport.is_one_way() {
                    // What the request asked for as a whole cannot be had in part.
                    return self.connection.notify(Notice::Disconnect(problem.clone()));
                }
            }
            Event::Disconnect(problem) => {
                self.node.errors.count(problem.code);
                if let Some(dialect) = &self.dialect {
                    dialect.over(problem);
                }
                if problem.code == Code::SlowConsumer {
                    self.node.hub.counters().slow_closes.inc();
                }
            }
            _ => {}
        }
        let form = self.connection.form;
        let subscribed = match &event {
            Event::Subscribed { channel, .. } => Some(channel.clone()),
            _ => None,
        };
        if subscribed.is_some()
            && let Some(beginning) = &mut self.beginning
        {
            beginning.missing = beginning.missing.saturating_sub(1);
            if beginning.missing == 0 {
                self.connection.send(|out| form.0.cursor(&beginning.cursor, out));
            }
        }
        self.connection.send(|out| form.0.event(&event, out));
        let Some(channel) = subscribed else { return };
        self.held.push(channel);
        // The last `subscribed` of an SSE request carries the cursor as requested: nothing of any channel comes before it.
        if self.beginning.as_ref().is_none_or(|beginning| beginning.missing == 0) {
            for channel in std::mem::take(&mut self.held) {
                self.connection.release(&channel);
            }
        }
    }

    pub(super) fn ping(&mut self) {
        match self.transport {
            Transport::WebSocket => self.send_raw(&frame::ping(b"")),
            Transport::Sse => {
                self.send_raw(b": \n\n");
                self.tell_cursor();
            }
            Transport::Stream => {
                self.send_raw(b"\n");
                self.tell_cursor();
            }
            // Its connection has a heartbeat of its own.
            Transport::SocketIo => {}
        }
    }

    /// After a quiet spell: where the reader stands, when that has moved.
    pub(super) fn tell_cursor(&mut self) {
        let Some(beginning) = &mut self.beginning else { return };
        if beginning.missing > 0 {
            return;
        }
        let stands = |channel| self.connection.position(channel);
        let cursor = Cursor(beginning.channels.iter().map(stands).collect());
        if cursor != beginning.cursor {
            beginning.cursor = cursor.clone();
            let form = self.connection.form;
            self.connection.send(|out| form.0.event(&Event::Cursor(cursor), out));
        }
    }

    pub(super) fn close(&mut self, close: &Close) {
        if self.transport == Transport::WebSocket {
            self.send_raw(&frame::close_frame(close.code, &close.reason));
        }
        self.connection.finish();
    }
}
