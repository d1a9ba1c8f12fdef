//! A WebSocket client that shows each frame as it is, and a raw socket for frames that no client sends.
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderName, HeaderValue},
    },
};

use crate::{http::Streamed, server::Server, wait::within};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The Close frame's code; 1006 when there was none.
    pub code: u16,
    /// Its reason.
    pub reason: String,
}

/// A connection.
#[derive(Debug)]
pub struct Ws {
    inner: WebSocketStream<TcpStream>,
    /// The answer's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    next_ref: u64,
}

impl Ws {
    /// Connects; the target is path and query.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(server: &Server, target: &str) -> Self {
        Self::with(server, target, &[]).await
    }

    /// Connects with headers.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn with(server: &Server, target: &str, headers: &[(&str, &str)]) -> Self {
        Self::try_with(server, target, headers).await.unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    /// Connects with headers, or tells why not.
    ///
    /// # Errors
    /// What the client finds wrong, such as another status than 101.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn try_with(
        server: &Server,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<tungstenite::Error>> {
        Self::over(server.connect().await, target, headers).await
    }

    /// The same over a connection made before.
    ///
    /// # Errors
    /// What the client finds wrong, such as another status than 101.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn over(
        stream: TcpStream,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<tungstenite::Error>> {
        let address = stream.peer_addr().unwrap();
        let mut request = format!("ws://{address}{target}").into_client_request().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let (inner, response) = within(client_async(request, stream)).await.map_err(Box::new)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Self { inner, headers, next_ref: 1000 })
    }

    /// Connects and reads `welcome`.
    ///
    /// # Panics
    /// When it does not come first.
    pub async fn welcomed(server: &Server, target: &str) -> (Self, Value) {
        let mut ws = Self::open(server, target).await;
        let welcome = ws.expect("welcome").await;
        (ws, welcome)
    }

    /// Connects with a token and reads `welcome`.
    ///
    /// # Panics
    /// When it does not come first.
    pub async fn as_user(server: &Server, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let mut ws = Self::with(server, "/v1/ws", &[("Authorization", &bearer)]).await;
        ws.expect("welcome").await;
        ws
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends text as it is.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends a frame of any kind.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        within(self.inner.send(message)).await.unwrap();
    }

    /// The next frame of any kind; none when the connection has ended without a Close.
    ///
    /// # Panics
    /// When none comes in time.
    #[track_caller]
    pub fn message(&mut self) -> impl Future<Output = Option<Message>> {
        within(async { self.inner.next().await.and_then(Result::ok) })
    }

    /// The next data frame. MessagePack comes as JSON.
    ///
    /// # Panics
    /// When the connection ends or nothing comes in time.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Value> {
        within(self.read())
    }

    async fn read(&mut self) -> Value {
        loop {
            match self.inner.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Binary(bytes))) => return rmp_serde::from_slice(&bytes).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a frame expected: {other:?}"),
            }
        }
    }

    /// The next packet of Socket.IO that is text; pings are answered.
    ///
    /// # Panics
    /// When something else comes, or nothing in time.
    pub async fn packet(&mut self) -> String {
        loop {
            match self.message().await {
                Some(Message::Text(text)) if text.as_str() == "2" => self.send_text("3").await,
                Some(Message::Text(text)) => return text.as_str().to_owned(),
                other => panic!("no text packet: {other:?}"),
            }
        }
    }

    /// The next frame, which must be of this type.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> impl Future<Output = Value> {
        let frame = self.recv();
        async move {
            let frame = frame.await;
            assert_eq!(frame["type"], kind, "{frame}");
            frame
        }
    }

    /// The next frame of this type; others before it are passed over.
    ///
    /// # Panics
    /// When none comes in time.
    #[track_caller]
    pub fn find(&mut self, kind: &str) -> impl Future<Output = Value> {
        within(async move {
            loop {
                let frame = self.read().await;
                if frame["type"] == kind {
                    return frame;
                }
            }
        })
    }

    /// Sends a command with a `ref` and returns what answers it; data that comes before is passed over.
    ///
    /// # Panics
    /// When nothing answers.
    #[track_caller]
    pub fn call(&mut self, mut command: Value) -> impl Future<Output = Value> {
        self.next_ref += 1;
        let reference = self.next_ref;
        command["ref"] = json!(reference);
        within(async move {
            self.send(&command).await;
            loop {
                let frame = self.read().await;
                if frame["ref"] == reference {
                    return frame;
                }
            }
        })
    }

    /// As [`Ws::call`], which must be answered with `ok`.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn ok(&mut self, command: Value) -> impl Future<Output = Value> {
        let answer = self.call(command);
        async move {
            let answer = answer.await;
            assert_eq!(answer["type"], "ok", "{answer}");
            answer
        }
    }

    /// As [`Ws::call`], which must be answered with this error.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn refused(&mut self, command: Value, code: &str) -> impl Future<Output = Value> {
        let shown = command.to_string();
        let answer = self.call(command);
        let code = code.to_owned();
        async move {
            let answer = answer.await;
            check_error(&answer, &code, &shown);
            answer
        }
    }

    /// Subscribes; the `subscribed` frame.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn subscribe(&mut self, channel: &str, options: Value) -> impl Future<Output = Value> {
        let mut command = json!({ "type": "subscribe", "channel": channel });
        if let (Some(command), Some(options)) = (command.as_object_mut(), options.as_object()) {
            command.extend(options.clone());
        }
        let answer = self.call(command);
        async move {
            let answer = answer.await;
            assert_eq!(answer["type"], "subscribed", "{answer}");
            answer
        }
    }

    /// The data of the next so many frames, all of which must be messages.
    ///
    /// # Panics
    /// When one is not.
    pub async fn data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(self.expect("message").await["data"].clone());
        }
        data
    }

    /// Checks that no data frame comes for so long, and that the connection still answers.
    ///
    /// # Panics
    /// When one does.
    pub async fn quiet(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while let Ok(next) = tokio::time::timeout_at(until, self.inner.next()).await {
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("silence expected: {other:?}"),
            }
        }
        self.alive().await;
    }

    /// Checks that the connection answers, and that nothing else was waiting.
    ///
    /// # Panics
    /// When something else comes before the answer.
    #[track_caller]
    pub fn alive(&mut self) -> impl Future<Output = ()> {
        self.next_ref += 1;
        let reference = self.next_ref;
        let place = std::panic::Location::caller();
        async move {
            self.send(&json!({ "type": "ping", "ref": reference })).await;
            let pong = self.recv().await;
            assert_eq!(
                (&pong["type"], &pong["ref"]),
                (&json!("pong"), &json!(reference)),
                "{pong} ({place})"
            );
        }
    }

    /// Reads on until the connection ends; data on the way is passed over.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = Ended> {
        within(async {
            loop {
                match self.inner.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Ended { code: frame.code.into(), reason: frame.reason.to_string() };
                    }
                    Some(Ok(Message::Close(None))) => return Ended { code: 1005, reason: String::new() },
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Ended { code: 1006, reason: String::new() },
                }
            }
        })
    }

    /// Checks that `disconnect` with this code comes next, then Close with this number.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn disconnected(&mut self, code: &str, number: u16) -> Value {
        let disconnect = self.find("disconnect").await;
        assert_eq!(disconnect["code"], code, "{disconnect}");
        assert!(disconnect["detail"].is_string(), "{disconnect}");
        let last = self.message().await;
        let Some(Message::Close(Some(close))) = last else { panic!("Close expected: {last:?}") };
        assert_eq!(u16::from(close.code), number, "{close:?}");
        assert!(close.reason.len() <= 123);
        disconnect
    }

    /// Closes as a client should.
    pub async fn close(mut self) {
        let _ = self.inner.close(None).await;
        self.ended().await;
    }

    /// The socket without a word of goodbye.
    pub fn cut(self) {
        drop(self);
    }
}

/// Checks an `error` frame in every field that the protocol names.
///
/// # Panics
/// When it is not one of this code.
#[track_caller]
pub fn check_error(frame: &Value, code: &str, why: &str) {
    assert_eq!(frame["type"], "error", "{why}: {frame}");
    assert_eq!(frame["code"], code, "{why}: {frame}");
    assert!(frame["detail"].is_string() && frame["remedy"].is_string(), "{why}: {frame}");
    assert!(frame["retryable"].is_boolean(), "{why}: {frame}");
}

/// A WebSocket of bytes: after the handshake, anything can be sent.
#[derive(Debug)]
pub struct Raw {
    /// The socket with what came after the handshake's head.
    stream: TcpStream,
    input: bytes::BytesMut,
}

impl Raw {
    /// Does the handshake.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(server: &Server) -> Self {
        Self::over(server.connect().await, server).await
    }

    /// Does the handshake on a connection made before.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn over(stream: TcpStream, server: &Server) -> Self {
        let streamed = handshake(server, "/v1/ws").open_on(stream).await;
        assert_eq!(streamed.status, 101);
        let (stream, input) = Streamed::into_parts(streamed);
        Self { stream, input }
    }

    /// Sends bytes, however long it takes; that the server has closed meanwhile is no failure.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends one masked frame whose first byte is this.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap_or_default()),
            length @ 126..=65535 => {
                frame.push(0xfe);
                frame.extend_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
            }
            length => {
                frame.push(0xff);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = [7, 77, 177, 211];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.write(&frame).await;
    }

    /// The next frame: first byte and payload; none at the end of the connection.
    ///
    /// # Panics
    /// When nothing comes in time, or the server masks.
    pub async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second] = *self.take(2).await? else { return None };
        assert!(second < 0x80, "a server does not mask");
        let length = match second {
            126 => self.take(2).await?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            127 => self.take(8).await?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            length => usize::from(length),
        };
        Some((first, self.take(length).await?.to_vec()))
    }

    async fn take(&mut self, length: usize) -> Option<bytes::BytesMut> {
        use tokio::io::AsyncReadExt as _;
        while self.input.len() < length {
            let read = within(self.stream.read_buf(&mut self.input)).await;
            if !matches!(read, Ok(n) if n > 0) {
                return None;
            }
        }
        Some(self.input.split_to(length))
    }

    /// Reads on to the Close frame; its code. None when the connection ended without.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.read().await?;
            if first == 0x88 {
                assert!(payload.len() <= 125);
                return payload
                    .get(..2)
                    .map(|two| two.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte)));
            }
        }
    }
}

/// A handshake as a plain request.
pub fn handshake(server: &Server, target: &str) -> crate::http::Request {
    server
        .get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}
