//! As much of a WebSocket client (RFC 6455) as a bare client needs. It shares nothing with the server's codec.
use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{fault::Fault, http::HttpConnection};

/// The native subprotocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subprotocol {
    /// Text frames.
    Json,
    /// Binary frames.
    MessagePack,
}

impl Subprotocol {
    /// As it is offered.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "fanfare.v1.json",
            Self::MessagePack => "fanfare.v1.msgpack",
        }
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    read: BytesMut,
    subprotocol: Subprotocol,
    /// The beginning of a message in fragments.
    fragments: BytesMut,
}

/// One frame's header: what RFC 6455 section 5.2 puts before the payload of an unmasked frame.
struct Header {
    last: bool,
    opcode: u8,
    at: usize,
    length: usize,
}

impl WebSocket {
    /// Connects and shakes hands; `query` begins with `?` or is empty.
    ///
    /// # Errors
    /// When the connection is cut or the server refuses.
    pub async fn open(address: SocketAddr, subprotocol: Subprotocol, query: &str) -> Result<Self, Fault> {
        Self::over(TcpStream::connect(address).await?, subprotocol, query).await
    }

    /// Over a connection that is open already.
    ///
    /// # Errors
    /// When the connection is cut or the server refuses.
    pub async fn over(stream: TcpStream, subprotocol: Subprotocol, query: &str) -> Result<Self, Fault> {
        let mut http = HttpConnection::over(stream)?;
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", subprotocol.name()),
        ];
        http.send("GET", &format!("/v1/ws{query}"), &headers, b"").await?;
        let head = http.head().await?;
        if head.status != 101 {
            let body = http.body().await.unwrap_or_default();
            return Err(Fault::refused(head.status, &body));
        }
        // The accept of RFC 6455 section 1.3 for its own example key.
        if head.header("sec-websocket-accept") != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            || head.header("sec-websocket-protocol") != Some(subprotocol.name())
        {
            return Err(Fault::wrong(format!("a strange handshake: {:?}", head.headers)));
        }
        let (stream, read) = http.upgraded();
        Ok(Self { stream, read, subprotocol, fragments: BytesMut::new() })
    }

    /// Sends one message in the subprotocol's kind of frame.
    ///
    /// # Errors
    /// When the connection is cut.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut frame = Vec::with_capacity(payload.len() + 14);
        self.frame(payload, &mut frame);
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Appends the frame of a message to `out`, for [`WebSocket::send_raw`].
    pub fn frame(&self, payload: &[u8], out: &mut Vec<u8>) {
        let opcode = if self.subprotocol == Subprotocol::Json { 1 } else { 2 };
        masked(opcode, payload, out);
    }

    /// Writes frames made by [`WebSocket::frame`].
    ///
    /// # Errors
    /// When the connection is cut.
    pub async fn send_raw(&mut self, frames: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.write_all(frames).await?)
    }

    /// The next message. Pings are answered on the way.
    ///
    /// Waiting for it may be given up and taken up again.
    ///
    /// # Errors
    /// When the connection is cut, or the server closes it.
    pub async fn next(&mut self) -> Result<Bytes, Fault> {
        loop {
            if let Some(message) = self.ready().await? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// A message that has already been read from the socket.
    ///
    /// # Errors
    /// As [`WebSocket::next`].
    pub async fn ready(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(header) = self.header() {
            if self.read.len() < header.at + header.length {
                return Ok(None);
            }
            self.read.advance(header.at);
            let payload = self.read.split_to(header.length).freeze();
            match (header.opcode, header.last) {
                (1 | 2, true) => return Ok(Some(payload)),
                (0, true) => {
                    self.fragments.extend_from_slice(&payload);
                    return Ok(Some(self.fragments.split().freeze()));
                }
                (0..=2, false) => self.fragments.extend_from_slice(&payload),
                (8, _) => return Err(Fault::wrong(closed(&payload))),
                (9, _) => {
                    let mut pong = Vec::new();
                    masked(10, &payload, &mut pong);
                    self.stream.write_all(&pong).await?;
                }
                (10, _) => {}
                (opcode, _) => return Err(Fault::wrong(format!("a frame with opcode {opcode}"))),
            }
        }
        Ok(None)
    }

    fn header(&self) -> Option<Header> {
        let (first, second) = (*self.read.first()?, *self.read.get(1)?);
        let (at, length) = match second & 0x7f {
            126 => (4, u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?) as usize),
            127 => (10, usize::try_from(u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, short as usize),
        };
        Some(Header { last: first & 0x80 != 0, opcode: first & 0x0f, at, length })
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.read.reserve(16 << 10);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn closed(payload: &[u8]) -> String {
    let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    format!("the server closed with {code} {reason}")
}

/// Clients mask (RFC 6455 section 5.3); the key may be anything.
fn masked(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    const KEY: [u8; 4] = [0x5a, 0x21, 0xc3, 0x7e];
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
}
