//! The kernel's own price, the base of every ratio: accepts, upgrades, and makes one `write` for each delivery. Nothing else: no
//! history, no order between publishers, no backpressure (what a socket does not take is lost), no liveness, no limits.
//!
//! `/?channel=NAME` reads a channel, `/?channel=*` all, `/publish` takes messages `NAME PAYLOAD`, `/echo` gets its own back.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};

use base64::Engine as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest as _, Sha1};

const LISTENER: Token = Token(usize::MAX);

struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    open: bool,
    echo: bool,
}

/// Serves on `listener` for ever.
///
/// # Errors
/// The system's.
pub fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(4096));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut readers: HashMap<Vec<u8>, Vec<Token>> = HashMap::new();
    let (mut next, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        if poll.poll(&mut events, None).is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            return Err(io::Error::last_os_error());
        }
        for token in events.iter().map(mio::event::Event::token) {
            if token == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    let _ = socket.set_nodelay(true);
                    poll.registry().register(&mut socket, Token(next), Interest::READABLE)?;
                    clients
                        .insert(Token(next), Client { socket, input: Vec::new(), open: false, echo: false });
                    next += 1;
                }
            } else if let Some(client) = clients.get_mut(&token) {
                let alive = client.fill(&mut buffer);
                if let Some(channel) = client.upgrade() {
                    readers.entry(channel).or_default().push(token);
                }
                let (echo, messages) = (client.echo, client.messages());
                for message in &messages {
                    let channel = message.split(|&byte| byte == b' ').next().unwrap_or_default();
                    let frame = frame(message);
                    let all = [channel, b"*"].into_iter().filter_map(|name| readers.get(name)).flatten();
                    for reader in all.filter(|_| !echo).chain(echo.then_some(&token)) {
                        let _ = clients.get(reader).map(|client| (&client.socket).write(&frame));
                    }
                }
                if !alive {
                    clients.remove(&token);
                    readers.values_mut().for_each(|tokens| tokens.retain(|other| *other != token));
                }
            }
        }
    }
}

impl Client {
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return false,
                Ok(read) => self.input.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Answers the handshake once its head is there; gives the channel that is read.
    fn upgrade(&mut self) -> Option<Vec<u8>> {
        let end = if self.open { None } else { memchr::memmem::find(&self.input, b"\r\n\r\n") }?;
        let head: Vec<u8> = self.input.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
        let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let accept = base64::engine::general_purpose::STANDARD.encode(digest);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let _ = self.socket.write(answer.as_bytes());
        (self.open, self.echo) = (true, head.starts_with("GET /echo"));
        let channel = head.split(' ').nth(1).and_then(|target| target.strip_prefix("/?channel="))?;
        Some(channel.as_bytes().to_vec())
    }

    /// The whole messages that have come, unmasked.
    fn messages(&mut self) -> Vec<Vec<u8>> {
        let (mut messages, mut at) = (Vec::new(), 0);
        while let Some(&[_, length, ref rest @ ..]) = self.input.get(at..).filter(|_| self.open) {
            let (length, header) = match (length & 0x7f, rest) {
                (126, &[high, low, ..]) => (usize::from(u16::from_be_bytes([high, low])), 4),
                (126.., _) => break,
                (length, _) => (usize::from(length), 2),
            };
            let Some(masked) = self.input.get(at + header..at + header + 4 + length) else { break };
            let (mask, payload) = masked.split_at(4);
            messages.push(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect());
            at += header + 4 + length;
        }
        self.input.drain(..at);
        messages
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match message.len() {
        length @ 0..=125 => frame.push(length as u8),
        length => frame.extend([&[126][..], &(length as u16).to_be_bytes()].concat()),
    }
    frame.extend_from_slice(message);
    frame
}
