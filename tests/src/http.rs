//! HTTP/1.1 by hand: a request a connection, answers as they are on the wire.
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wait::within;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request; `target` is path and query, already percent-encoded.
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self { address, method: method.into(), target: target.into(), headers: Vec::new(), body: None }
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A token or API key in `Authorization`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// Any body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn head(&self, connection: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            head += &format!("Connection: {connection}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    /// Sends it and reads the head of the answer; the body can be read as it comes.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn open(self) -> Streamed {
        within(async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            self.open_on(stream).await
        })
        .await
    }

    /// The same on a connection.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn open_on(self, mut stream: TcpStream) -> Streamed {
        let head = self.head("close");
        let body = self.body.unwrap_or_default();
        // A server may answer before it has read everything, and close.
        let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        let mut buffer = BytesMut::new();
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read_buf(&mut buffer).await;
            assert!(
                matches!(read, Ok(n) if n > 0),
                "{} {}: no answer ({read:?}), only {:?}",
                self.method,
                self.target,
                String::from_utf8_lossy(&buffer)
            );
        };
        let head = String::from_utf8(buffer.split_to(end).to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length =
            |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let framing = if status == 101 || (100..200).contains(&status) {
            Framing::Close
        } else if status == 204 || status == 304 || self.method == "HEAD" {
            Framing::Length(0)
        } else if length("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            Framing::Chunked(0)
        } else {
            length("content-length").map_or(Framing::Close, |length| Framing::Length(length.parse().unwrap()))
        };
        Streamed { status, headers, stream, buffer, framing }
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn send(self) -> Reply {
        let mut streamed = self.open().await;
        let mut body = Vec::new();
        while let Some(bytes) = streamed.next().await {
            body.extend_from_slice(&bytes);
        }
        Reply { status: streamed.status, headers: streamed.headers, body }
    }
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    /// What is left of the present chunk with its line end.
    Chunked(usize),
    Close,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Streamed {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
}

impl Streamed {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The next bytes of the body; none at its clean end.
    ///
    /// # Panics
    /// When nothing comes in time, or the body ends in the middle.
    pub async fn next(&mut self) -> Option<BytesMut> {
        within(self.read()).await
    }

    /// As [`Streamed::next`], for as long as it takes. Cancel safe.
    ///
    /// # Panics
    /// When the body ends in the middle.
    pub async fn read(&mut self) -> Option<BytesMut> {
        loop {
            if let Some(taken) = self.take() {
                return taken;
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if !matches!(read, Ok(n) if n > 0) {
                assert!(matches!(self.framing, Framing::Close), "the body was cut short: {read:?}");
                return None;
            }
        }
    }

    /// Some(None) at the end, None when more has to come.
    fn take(&mut self) -> Option<Option<BytesMut>> {
        match &mut self.framing {
            Framing::Length(0) => Some(None),
            _ if self.buffer.is_empty() => None,
            Framing::Close => Some(Some(self.buffer.split())),
            Framing::Length(left) => {
                let bytes = self.buffer.split_to(self.buffer.len().min(*left));
                *left -= bytes.len();
                Some(Some(bytes))
            }
            Framing::Chunked(left) => loop {
                if *left > 2 {
                    if self.buffer.is_empty() {
                        return None;
                    }
                    let bytes = self.buffer.split_to(self.buffer.len().min(*left - 2));
                    *left -= bytes.len();
                    return Some(Some(bytes));
                }
                if *left > 0 {
                    if self.buffer.len() < *left {
                        return None;
                    }
                    assert_eq!(self.buffer.get(..*left), Some(&b"\r\n"[..]));
                    self.buffer.advance(*left);
                    *left = 0;
                }
                let end = self.buffer.windows(2).position(|two| two == b"\r\n")?;
                let line = self.buffer.split_to(end);
                let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap(), 16).unwrap();
                self.buffer.advance(2);
                if length == 0 {
                    self.framing = Framing::Length(0);
                    return Some(None);
                }
                *left = length + 2;
            },
        }
    }

    /// Everything that has come beyond the head and the connection itself: after a 101.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.stream, self.buffer)
    }

    /// The rest of the body, and the answer as a whole.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn whole(mut self) -> Reply {
        let mut body = Vec::new();
        while let Some(bytes) = self.next().await {
            body.extend_from_slice(&bytes);
        }
        Reply { status: self.status, headers: self.headers, body }
    }
}

/// Splits a body into lines.
#[derive(Debug)]
pub struct Lines {
    streamed: Streamed,
    rest: Vec<u8>,
}

impl Lines {
    /// The lines of a body.
    pub fn new(streamed: Streamed) -> Self {
        Self { streamed, rest: Vec::new() }
    }

    /// The next line without its end; none at the clean end of the body.
    ///
    /// # Panics
    /// When none comes in time, or it is not UTF-8.
    #[track_caller]
    pub fn line(&mut self) -> impl Future<Output = Option<String>> {
        within(self.read())
    }

    /// As [`Lines::line`], for as long as it takes. Cancel safe.
    ///
    /// # Panics
    /// When it is not UTF-8, or the last line has no end.
    pub async fn read(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return Some(String::from_utf8(line).unwrap());
            }
            match self.streamed.read().await {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None => {
                    assert!(self.rest.is_empty(), "half a line: {:?}", String::from_utf8_lossy(&self.rest));
                    return None;
                }
            }
        }
    }

    /// The next line that is not empty, as JSON.
    ///
    /// # Panics
    /// When none comes in time, or it is not JSON.
    #[track_caller]
    pub fn frame(&mut self) -> impl Future<Output = Option<Value>> {
        within(async {
            loop {
                match self.read().await {
                    None => return None,
                    Some(line) if line.is_empty() => {}
                    Some(line) => return Some(serde_json::from_str(&line).unwrap()),
                }
            }
        })
    }

    /// The next frame, which must be of this type.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> impl Future<Output = Value> {
        let frame = self.frame();
        async move {
            let frame = frame.await.unwrap_or_else(|| panic!("the stream ended, {kind} expected"));
            assert_eq!(frame["type"], kind, "{frame}");
            frame
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The body of a 200.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks that this is a problem (RFC 9457) of a status and code in every field that the protocol names; its document.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let document = self.json();
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["status"], status, "{document}");
        for name in ["type", "title", "detail", "remedy"] {
            assert!(document[name].as_str().is_some_and(|text| !text.is_empty()), "{name} of {document}");
        }
        let retryable = document["retryable"].as_bool().unwrap();
        if retryable {
            assert!(document["retry_after_ms"].as_u64().is_some(), "{document}");
            assert!(self.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
        }
        document
    }
}

/// The position of an answer or message-like object with `epoch` and `offset`.
///
/// # Panics
/// When it has none.
pub fn position(answer: &Value) -> String {
    format!("{}-{}", answer["epoch"].as_str().unwrap(), answer["offset"].as_u64().unwrap())
}

/// A string for a query or path segment, percent-encoded but for the plainest characters.
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
