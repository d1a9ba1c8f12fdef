//! As much of an HTTP/1.1 client as a bare client needs: one request at a time, bodies whole or piece by piece.
use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to the server, kept alive between requests.
#[derive(Debug)]
pub struct HttpConnection {
    stream: TcpStream,
    read: BytesMut,
    host: String,
    body: Body,
}

/// The first part of an answer.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names in lower case, as they came.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What is left of the body under way.
#[derive(Clone, Copy, Debug)]
enum Body {
    Length(usize),
    /// Bytes left of the chunk, its CR LF not counted; 0 between chunks.
    Chunked(usize),
    UntilClosed,
    Done,
}

impl HttpConnection {
    /// Connects.
    ///
    /// # Errors
    /// As the socket.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Over a connection that is open already.
    ///
    /// # Errors
    /// As the socket.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        Ok(Self { stream, read: BytesMut::new(), host: address.to_string(), body: Body::Done })
    }

    /// Sends a request; `target` is path and query.
    ///
    /// # Errors
    /// As the socket.
    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            request
                .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await
    }

    /// Reads the head of the answer.
    ///
    /// # Errors
    /// As the socket; `InvalidData` when it is no HTTP.
    pub async fn head(&mut self) -> io::Result<Head> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.fill().await?;
        };
        let bytes = self.read.split_to(end + 4);
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid("a head that is not UTF-8"))?;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid("no status line"))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let head = Head { status, headers };
        self.body = Self::framing(&head)?;
        Ok(head)
    }

    fn framing(head: &Head) -> io::Result<Body> {
        if head.status == 304 || head.status == 204 || head.status < 200 {
            return Ok(Body::Done);
        }
        if let Some(length) = head.header("content-length") {
            return length.parse().map(Body::Length).map_err(|_| invalid("a strange Content-Length"));
        }
        if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Ok(Body::Chunked(0));
        }
        Ok(Body::UntilClosed)
    }

    /// The next piece of the body; none at its end. A body cut short is `UnexpectedEof`.
    ///
    /// # Errors
    /// As the socket; `InvalidData` when it is no HTTP.
    pub async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.body {
                Body::Done | Body::Length(0) => {
                    self.body = Body::Done;
                    return Ok(None);
                }
                Body::Chunked(0) => {
                    let size = self.chunk_size().await?;
                    if size == 0 {
                        self.line().await?;
                        self.body = Body::Done;
                    } else {
                        self.body = Body::Chunked(size);
                    }
                }
                Body::Length(left) => {
                    let piece = self.take(left).await?;
                    self.body = Body::Length(left - piece.len());
                    return Ok(Some(piece));
                }
                Body::Chunked(left) => {
                    let piece = self.take(left).await?;
                    self.body = Body::Chunked(left - piece.len());
                    if piece.len() == left {
                        self.line().await?;
                    }
                    return Ok(Some(piece));
                }
                Body::UntilClosed => return self.take(usize::MAX).await.map(Some),
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`HttpConnection::piece`].
    pub async fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As [`HttpConnection::piece`].
    pub async fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<(Head, Vec<u8>)> {
        self.send(method, target, headers, body).await?;
        let head = self.head().await?;
        let body = self.body().await?;
        Ok((head, body))
    }

    /// The socket and what was read beyond the head, for a connection that is HTTP no more.
    pub fn upgraded(self) -> (TcpStream, BytesMut) {
        (self.stream, self.read)
    }

    async fn chunk_size(&mut self) -> io::Result<usize> {
        let line = self.line().await?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .ok_or_else(|| invalid("a strange chunk size"))
    }

    /// A line without its CR LF.
    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line = self.read.split_to(end).freeze();
                self.read.advance(2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, most: usize) -> io::Result<Bytes> {
        if self.read.is_empty() {
            self.fill().await?;
        }
        let length = most.min(self.read.len());
        Ok(self.read.split_to(length).freeze())
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.read.reserve(16 << 10);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
