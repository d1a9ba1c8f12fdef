//! Servers' words: how to become a reader, how to publish, what to answer. One file for each protocol.

mod native;
mod nchan;
mod plain;
mod pusher;
mod socketio;

use std::ops::Range;

use crate::settings::{Protocol, Settings};

/// The names of a run's channels.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that no other run has, so that nothing of an earlier one is read.
    pub fn new(run: &str) -> Self {
        Self { prefix: format!("bench.{run}.") }
    }

    /// The name of a channel: letters, digits and dots alone, which need no escaping anywhere.
    pub fn of(&self, channel: u32) -> String {
        format!("{}{channel}", self.prefix)
    }
}

/// Who opens a connection.
#[derive(Clone, Debug)]
pub struct Place {
    /// The channels that it reads; empty for a publisher.
    pub channels: Range<u32>,
    /// Where it goes on: the epoch, and the number last seen in each channel.
    pub resume: Option<(String, Vec<u32>)>,
}

/// How a connection begins.
#[derive(Clone, Default, Debug)]
pub struct Opening {
    /// The request's target.
    pub target: String,
    /// Header lines besides `Host` and those of a WebSocket handshake.
    pub headers: Vec<String>,
    /// Sent at once after the handshake.
    pub frames: Vec<String>,
    /// Acknowledgements ([`Heard::Ready`]) to wait for before the connection counts as ready.
    pub ready: u32,
}

/// What a unit without a stamp means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing to us.
    Nothing,
    /// One acknowledgement, with the epoch that positions are of, where there is one.
    Ready(Option<String>),
    /// To be answered.
    Reply(Vec<String>),
    /// The server says that messages are missing.
    Gap,
    /// The server refuses; its words.
    Refused(String),
}

/// One protocol.
pub trait Adapter: Send + Sync {
    /// How a connection begins: a reader's, or with an empty `place.channels` a publisher's.
    fn open(&self, place: &Place) -> Opening;

    /// What a unit without a stamp means.
    fn hear(&self, place: &Place, unit: &[u8]) -> Heard;

    /// Writes a publication: the text of a WebSocket message, or a whole HTTP request.
    fn publish(&self, channel: u32, payload: &str, out: &mut String);

    /// The request that follows an answer to a poll.
    fn poll(&self, _place: &Place, _body: &[u8]) -> Option<String> {
        None
    }

    /// Whether a unit holds at most one message, so that what follows its stamp need not be looked at.
    fn single(&self) -> bool {
        true
    }
}

/// The adapter that the settings ask for.
pub fn of(settings: &Settings, names: Names) -> Box<dyn Adapter> {
    match settings.protocol {
        Protocol::Fanfare => Box::new(native::Native::new(settings, names)),
        Protocol::Plain => Box::new(plain::Plain::new(settings, names)),
        Protocol::Pusher => Box::new(pusher::Pusher::new(settings, names)),
        Protocol::SocketIo => Box::new(socketio::SocketIo::new(names, false)),
        Protocol::SocketIoHub => Box::new(socketio::SocketIo::new(names, true)),
        Protocol::Nchan => Box::new(nchan::Nchan::new(settings, names)),
    }
}

/// A server's words as one line, for an error.
fn words(unit: &[u8]) -> String {
    let text = String::from_utf8_lossy(unit.get(..unit.len().min(300)).unwrap_or_default());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

fn has(unit: &[u8], text: &str) -> bool {
    memchr::memmem::find(unit, text.as_bytes()).is_some()
}
