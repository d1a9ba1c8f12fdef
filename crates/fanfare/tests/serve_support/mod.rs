//! The binary as a process, and clients that reach it over plain TCP, TLS, HTTP/1.1 and HTTP/2.
#![allow(dead_code, reason = "each test file uses its own part")]
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// Longest wait for anything that should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A directory of this test's own, removed at the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let name = format!("fanfare-test-{}-{:016x}", std::process::id(), getrandom::u64().unwrap());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, killed at the end if it still runs.
pub struct Process {
    child: Child,
    pub scheme: String,
    pub address: SocketAddr,
    pub directory: Directory,
}

impl Process {
    /// Starts with this configuration on a free port, and waits for its line.
    pub fn start(toml: &str) -> Self {
        Self::start_in(Directory::new(), toml)
    }

    pub fn start_in(directory: Directory, toml: &str) -> Self {
        let config = directory.file("fanfare.toml", &format!("listen = \"127.0.0.1:0\"\n{toml}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .arg("--config")
            .arg(config)
            .current_dir(&directory.0)
            .env("TMPDIR", &directory.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        let (scheme, address) = url.split_once("://").unwrap();
        let (scheme, address) = (scheme.to_owned(), address.parse().unwrap());
        Self { child, scheme, address, directory }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the end; how it was and how long it took.
    pub async fn ended(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < SOON, "the process does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for 127.0.0.1 that signs itself, in `cert.pem` and `key.pem`; its DER form for clients.
pub fn certificate(directory: &Directory) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    directory.file("cert.pem", &made.cert.pem());
    directory.file("key.pem", &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub type BoxStream = Box<dyn Stream>;

/// A way to a server.
#[derive(Clone)]
pub struct Way {
    pub address: SocketAddr,
    pub certificate: Option<rustls::pki_types::CertificateDer<'static>>,
    pub h2: bool,
}

impl Way {
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, certificate: None, h2: false }
    }

    pub async fn dial(&self) -> BoxStream {
        self.over(timeout(SOON, TcpStream::connect(self.address)).await.unwrap().unwrap()).await
    }

    /// A connection whose kernel takes little that nobody reads.
    pub async fn dial_small(&self) -> BoxStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        self.over(timeout(SOON, socket.connect(self.address)).await.unwrap().unwrap()).await
    }

    async fn over(&self, tcp: TcpStream) -> BoxStream {
        tcp.set_nodelay(true).unwrap();
        let Some(certificate) = &self.certificate else { return Box::new(tcp) };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocol: &[u8] = if self.h2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = rustls::pki_types::ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(protocol));
        Box::new(tls)
    }

    pub fn uri(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub async fn http(&self) -> Http {
        self.http_over(self.dial().await).await
    }

    pub async fn http_over(&self, stream: BoxStream) -> Http {
        let io = TokioIo::new(stream);
        let sender = if self.h2 {
            // As small as they may be, so that a client that does not read holds little.
            let (sender, connection) = conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(65_535)
                .initial_connection_window_size(65_535)
                .handshake(io)
                .await
                .unwrap();
            tokio::spawn(connection);
            Sender::H2(sender)
        } else {
            let (sender, connection) = conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            Sender::H1(sender)
        };
        Http { way: self.clone(), sender }
    }

    /// A WebSocket over HTTP/1.1.
    pub async fn websocket(&self, path: &str) -> WebSocketStream<BoxStream> {
        self.websocket_over(self.dial().await, path).await
    }

    pub async fn websocket_over(&self, stream: BoxStream, path: &str) -> WebSocketStream<BoxStream> {
        let url = self.uri(path).replacen("http", "ws", 1);
        timeout(SOON, tokio_tungstenite::client_async(url, stream)).await.unwrap().unwrap().0
    }
}

enum Sender {
    H1(conn::http1::SendRequest<Body>),
    H2(conn::http2::SendRequest<Body>),
}

/// One connection of an HTTP client.
pub struct Http {
    way: Way,
    sender: Sender,
}

impl Http {
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let builder = Request::builder().method(method);
        match self.sender {
            Sender::H1(_) => builder.uri(path).header("host", self.way.address.to_string()),
            Sender::H2(_) => builder.uri(self.way.uri(path)),
        }
    }

    pub async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        let sent = async {
            match &mut self.sender {
                Sender::H1(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await
                }
                Sender::H2(sender) => sender.send_request(request).await,
            }
        };
        timeout(SOON, sent).await.expect("an answer in time").unwrap()
    }

    pub async fn get(&mut self, path: &str) -> Response<Incoming> {
        let request = self.request("GET", path).body(Body::empty()).unwrap();
        self.send(request).await
    }

    pub async fn publish(&mut self, channel: &str, data: Value) -> Value {
        let path = format!("/v1/channels/{channel}/messages");
        let body = serde_json::json!({ "data": data }).to_string();
        let request = self.request("POST", &path).body(Body::from(body)).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        json(response).await
    }
}

pub async fn json(response: Response<Incoming>) -> Value {
    let bytes = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&bytes)))
}

/// A body that is read piece by piece.
pub struct Text {
    body: Incoming,
    pub read: String,
}

impl Text {
    pub fn new(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), read: String::new() }
    }

    /// Reads what comes next; false at the end, clean or not.
    pub async fn more(&mut self) -> bool {
        let Some(Ok(frame)) = timeout(SOON, self.body.frame()).await.expect("bytes in time") else {
            return false;
        };
        self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        true
    }

    /// Reads until the text is there.
    pub async fn until(&mut self, text: &str) {
        while !self.read.contains(text) {
            let frame = timeout(SOON, self.body.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.read));
            let frame = frame.unwrap_or_else(|| panic!("ended without {text:?}: {:?}", self.read)).unwrap();
            self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// Reads to the end, which must be a clean one.
    pub async fn rest(mut self) -> String {
        while let Some(frame) = timeout(SOON, self.body.frame()).await.expect("an end in time") {
            let frame = frame.expect("a clean end");
            self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        self.read
    }
}

/// The next JSON frame of a WebSocket; None after a Close, whose code is then in `Err` of nothing: see [`end_of`].
pub async fn frame<S: Stream>(socket: &mut WebSocketStream<S>) -> Value {
    loop {
        match timeout(SOON, socket.next()).await.expect("a frame in time").expect("no end").unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Reads frames until one of this type.
pub async fn frame_of<S: Stream>(socket: &mut WebSocketStream<S>, kind: &str) -> Value {
    loop {
        let frame = frame(socket).await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// The frames that are left, and the code of the Close.
pub async fn end_of<S: Stream>(socket: &mut WebSocketStream<S>) -> (Vec<Value>, u16) {
    let mut frames = Vec::new();
    loop {
        match timeout(SOON, socket.next()).await.expect("a frame in time").expect("a Close").unwrap() {
            Message::Text(text) => frames.push(serde_json::from_str(&text).unwrap()),
            Message::Close(close) => return (frames, close.expect("a code").code.into()),
            _ => {}
        }
    }
}

pub async fn say<S: Stream>(socket: &mut WebSocketStream<S>, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}
