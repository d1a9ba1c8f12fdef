//! What comes over a connection, cut into units: WebSocket frames, pieces of an endless HTTP answer, whole HTTP answers.

pub mod http;
pub mod websocket;

/// How the bytes of a connection are framed once its handshake is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// RFC 6455 frames.
    WebSocket,
    /// An HTTP answer in chunks.
    Chunked,
    /// An HTTP answer that goes on until the connection ends, in lines.
    Endless,
    /// One HTTP answer after another.
    Answers,
}

/// One unit.
#[derive(PartialEq, Eq, Debug)]
pub enum Unit<'a> {
    /// A message of the server's, or a piece of one.
    Data(&'a [u8]),
    /// A whole HTTP answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its body.
        body: &'a [u8],
        /// The connection ends with it.
        close: bool,
    },
    /// A WebSocket ping, to be answered with the same bytes.
    Ping(&'a [u8]),
    /// The server ends the conversation; its reason.
    End(&'a [u8]),
    /// Nothing of interest.
    Other,
}

/// The server's bytes are not what the protocol says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The first unit of `data` and how many bytes it takes; none when it has not all come.
///
/// # Errors
/// It cannot become one.
#[inline]
pub fn next(framing: Framing, data: &[u8]) -> Result<Option<(Unit<'_>, usize)>, Malformed> {
    match framing {
        Framing::WebSocket => websocket::next(data),
        Framing::Chunked => http::chunk(data),
        Framing::Endless => Ok(http::lines(data)),
        Framing::Answers => http::answer(data),
    }
}
