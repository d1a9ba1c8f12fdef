//! The echo server of `examples/echo` against two other implementations as its clients, over an in-memory pipe.

#![allow(clippy::unwrap_used)] // a failing helper fails its test

mod common;
#[path = "../examples/echo/server.rs"]
mod server;

use bytes::Bytes;
use fanfare_websocket::Limits;
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::io::DuplexStream;

const LIMITS: Limits = Limits { message_bytes: 1 << 20, fragments: 64, frame_bytes: 1 << 20 };

/// Around every boundary of the length encoding, and of the pipe.
const SIZES: [usize; 12] = [0, 1, 7, 125, 126, 127, 1000, 4096, 65_535, 65_536, 65_537, 300_000];

/// A client's end of a pipe whose other end is served; `pipe` is how many bytes it holds, which cuts the reads.
fn connect(pipe: usize) -> (DuplexStream, tokio::task::JoinHandle<std::io::Result<()>>) {
    let (client, mut served) = tokio::io::duplex(pipe);
    (client, tokio::spawn(async move { server::serve(&mut served, LIMITS).await }))
}

async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("no answer within a minute")
}

/// `size` bytes of UTF-8 with characters of every width, so that pipes and frames cut them.
fn words(size: usize) -> String {
    let mut text: String = "aé€🙂".chars().cycle().take(size / 3).collect();
    while text.len() > size {
        text.pop();
    }
    text.extend(std::iter::repeat_n('.', size - text.len()));
    text
}

mod tungstenite {
    use super::*;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
    use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

    async fn client(
        pipe: usize,
    ) -> (WebSocketStream<DuplexStream>, tokio::task::JoinHandle<std::io::Result<()>>) {
        let (stream, served) = connect(pipe);
        let (client, response) = tokio_tungstenite::client_async("ws://test/", stream).await.unwrap();
        assert_eq!(response.status(), 101);
        (client, served)
    }

    async fn next(client: &mut WebSocketStream<DuplexStream>) -> Message {
        within(client.next()).await.unwrap().unwrap()
    }

    /// Opcode, FIN, payload.
    type Part<'a> = (OpCode, bool, &'a [u8]);

    /// A frame of any kind.
    fn raw(opcode: OpCode, is_final: bool, payload: &[u8]) -> Frame {
        let header = FrameHeader { is_final, opcode, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
        Frame::from_payload(header, Bytes::copy_from_slice(payload))
    }

    #[tokio::test]
    async fn every_size_comes_back_through_every_pipe() {
        for pipe in [7, 1000, 1 << 20] {
            let (client, served) = client(pipe).await;
            // Writing and reading at once: a narrow pipe is full in both directions otherwise.
            let (mut sink, mut stream) = client.split();
            let sizes = SIZES.into_iter().filter(|size| *size < pipe * 10_000);
            let sent: Vec<Message> = sizes
                .flat_map(|size| [Message::text(words(size)), Message::binary(words(size).into_bytes())])
                .collect();
            let to_send = sent.clone();
            let writer = tokio::spawn(async move {
                for message in to_send {
                    sink.send(message).await.unwrap();
                }
                sink
            });
            for want in &sent {
                let got = within(stream.next()).await.unwrap().unwrap();
                assert!(got == *want, "pipe {pipe}, {} bytes", want.len());
            }
            let mut client = stream.reunite(writer.await.unwrap()).unwrap();
            client.close(None).await.unwrap();
            assert!(matches!(next(&mut client).await, Message::Close(None)));
            assert!(within(client.next()).await.is_none());
            served.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn fragments_with_a_ping_between() {
        let (mut client, _served) = client(50).await;
        let text = words(10_001);
        let (first, second) = text.as_bytes().split_at(5003);
        let text_frame = OpCode::Data(Data::Text);
        let more = OpCode::Data(Data::Continue);
        let ping = OpCode::Control(Control::Ping);
        for (bytes, opcode, fin) in [(first, text_frame, false), (b"now?", ping, true), (second, more, true)]
        {
            let frame = raw(opcode, fin, bytes);
            client.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(next(&mut client).await, Message::Pong(Bytes::from_static(b"now?")));
        assert_eq!(next(&mut client).await, Message::text(text));
    }

    #[tokio::test]
    async fn close_codes_are_echoed() {
        let (mut client, served) = client(100).await;
        let close = CloseFrame { code: CloseCode::Library(4321), reason: "done".into() };
        client.close(Some(close)).await.unwrap();
        match next(&mut client).await {
            Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 4321),
            other => panic!("{other:?}"),
        }
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn violations_are_closed_with_their_code() {
        let text = OpCode::Data(Data::Text);
        let binary = OpCode::Data(Data::Binary);
        let more = OpCode::Data(Data::Continue);
        let cases: [(&[Part<'_>], u16); 4] = [
            (&[(text, false, b"ok"), (more, true, b"\xff")], 1007),
            (&[(more, true, b"x")], 1002),
            (&[(binary, false, b"x"), (text, true, b"y")], 1002),
            (&[(OpCode::Control(Control::Close), true, &[3, 237])], 1002),
        ];
        for (frames, code) in cases {
            assert_eq!(answer_to(frames).await, code, "{frames:?}");
        }
        let mut many = vec![(binary, false, b"x".as_slice())];
        many.resize(LIMITS.fragments as usize + 1, (more, false, b"x"));
        assert_eq!(answer_to(&many).await, 1008);
        let large = vec![0; LIMITS.frame_bytes + 1];
        assert_eq!(answer_to(&[(binary, true, &large)]).await, 1009);
    }

    /// The code of the Close that these frames are answered with.
    async fn answer_to(frames: &[Part<'_>]) -> u16 {
        let (client, _served) = client(3 << 20).await;
        let (mut sink, mut stream) = client.split();
        for (opcode, fin, bytes) in frames {
            let frame = raw(*opcode, *fin, bytes);
            match sink.send(Message::Frame(frame)).await {
                Ok(()) | Err(Error::Protocol(ProtocolError::SendAfterClosing)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        match within(stream.next()).await {
            Some(Ok(Message::Close(Some(close)))) => close.code.into(),
            other => panic!("{other:?}"),
        }
    }
}

mod websockets {
    use super::*;
    use tokio_websockets::{ClientBuilder, CloseCode, Config, Message, WebSocketStream};

    async fn client(
        pipe: usize,
        frame_size: usize,
    ) -> (WebSocketStream<DuplexStream>, tokio::task::JoinHandle<std::io::Result<()>>) {
        let (stream, served) = connect(pipe);
        let config = Config::default().frame_size(frame_size);
        let builder = ClientBuilder::new().uri("ws://test/").unwrap().config(config);
        let (client, response) = builder.connect_on(stream).await.unwrap();
        assert_eq!(response.status().as_u16(), 101);
        (client, served)
    }

    #[tokio::test]
    async fn every_size_comes_back_in_frames_of_every_size() {
        for (pipe, frame_size) in [(64, 33), (1000, 5000), (1 << 20, 1 << 20)] {
            let (client, served) = client(pipe, frame_size).await;
            let (mut sink, mut stream) = client.split();
            let sent: Vec<Message> = SIZES
                .into_iter()
                .filter(|size| *size <= frame_size * LIMITS.fragments as usize)
                .flat_map(|size| [Message::text(words(size)), Message::binary(words(size).into_bytes())])
                .collect();
            assert!(sent.len() >= 14, "most sizes fit");
            let to_send = sent.clone();
            let writer = tokio::spawn(async move {
                for message in to_send {
                    sink.send(message).await.unwrap();
                }
                sink.send(Message::close(Some(CloseCode::GOING_AWAY), "bye")).await.unwrap();
                sink
            });
            for want in &sent {
                let got = within(stream.next()).await.unwrap().unwrap();
                assert_eq!(got.is_text(), want.is_text());
                assert!(got.as_payload()[..] == want.as_payload()[..], "pipe {pipe}, frames of {frame_size}");
            }
            let close = within(stream.next()).await.unwrap().unwrap();
            assert_eq!(close.as_close(), Some((CloseCode::GOING_AWAY, "")));
            drop((writer.await.unwrap(), stream));
            served.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn pings_are_answered() {
        let (mut client, _served) = client(20, 1 << 20).await;
        client.send(Message::ping(Bytes::from(vec![9; 125]))).await.unwrap();
        let pong = within(client.next()).await.unwrap().unwrap();
        assert!(pong.is_pong());
        assert_eq!(pong.as_payload()[..], [9; 125]);
    }
}

/// The same bytes into tungstenite's server side and into ours.
mod same_bytes {
    use super::*;
    use fanfare_websocket::{Decoder, Message};
    use proptest::prelude::*;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message as Theirs;
    use tokio_tungstenite::tungstenite::protocol::Role;

    fn frames() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
        let payload = prop_oneof![
            "[a-zé€🙂]{0,50}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..10),
            prop::collection::vec(0u8..0x80, 110..130),
        ];
        let first =
            prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x83, 0xc1]);
        prop::collection::vec((first, payload), 1..10)
    }

    fn ours(bytes: &[u8]) -> (Vec<Message>, bool) {
        let mut decoder = Decoder::new(LIMITS);
        let (mut messages, mut input) = (Vec::new(), bytes);
        loop {
            match decoder.feed(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, false),
                Err(_) => return (messages, true),
            }
        }
    }

    async fn theirs(bytes: &[u8]) -> (Vec<Message>, bool) {
        use tokio::io::AsyncWriteExt as _;
        let (mut client, served) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut server = WebSocketStream::from_raw_socket(served, Role::Server, None).await;
        let mut messages = Vec::new();
        loop {
            messages.push(match within(server.next()).await {
                Some(Ok(Theirs::Text(text))) => Message::Text(text.into()),
                Some(Ok(Theirs::Binary(data))) => Message::Binary(data),
                Some(Ok(Theirs::Ping(data))) => Message::Ping(data),
                Some(Ok(Theirs::Pong(data))) => Message::Pong(data),
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(error)) => {
                    use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};
                    let ended = matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake));
                    return (messages, !ended);
                }
                None => return (messages, false),
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn give_the_same_messages_and_verdict(frames in frames(), key in any::<[u8; 4]>()) {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(first, payload)| common::client_frame(*first, payload, key)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let theirs = runtime.block_on(theirs(&bytes));
            prop_assert_eq!(ours(&bytes), theirs);
        }
    }
}
