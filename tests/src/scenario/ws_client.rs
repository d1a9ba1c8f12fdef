//! A bare WebSocket client, in either subprotocol.
use fanfare_protocol::Position;
use fanfare_testkit::Random;
use serde_json::json;

use super::{
    client::{self, Client, Frame, Heard, Target},
    fault::Fault,
    websocket::{Subprotocol, WebSocket},
};

/// Channels that a request may name in its query.
const QUERY_CHANNELS: usize = 16;

/// Reads channels over a WebSocket. By chance it names some of them in the query, and subscribes to the others by command.
#[derive(Debug)]
pub struct WsClient {
    target: Target,
    subprotocol: Subprotocol,
    random: Random,
    socket: Option<WebSocket>,
}

impl WsClient {
    /// A client that is not connected yet.
    pub fn new(target: Target, subprotocol: Subprotocol, seed: u64) -> Self {
        Self { target, subprotocol, random: Random::new(seed), socket: None }
    }

    fn hear_frame(&self, payload: &[u8]) -> Result<Option<Heard>, Fault> {
        match self.subprotocol {
            Subprotocol::Json => client::json(payload)?.heard(&self.target),
            Subprotocol::MessagePack => {
                let frame: Frame<'_> = rmp_serde::from_slice(payload)
                    .map_err(|error| Fault::wrong(format!("{error} in {payload:?}")))?;
                frame.heard(&self.target)
            }
        }
    }
}

impl Client for WsClient {
    async fn open(&mut self, from: &[Position]) -> Result<(), Fault> {
        self.socket = None;
        let named = self.random.index(from.len().min(QUERY_CHANNELS) + 1);
        let query = if named == 0 {
            String::new()
        } else {
            let channels: Vec<_> =
                self.target.channels.iter().take(named).map(|name| format!("channel={name}")).collect();
            let cursor = client::cursor(from.get(..named).unwrap_or_default());
            format!("?{}&since={cursor}", channels.join("&"))
        };
        let mut socket = WebSocket::open(self.target.address, self.subprotocol, &query).await?;
        let commands: Vec<_> = self
            .target
            .channels
            .iter()
            .zip(from)
            .skip(named)
            .map(|(name, since)| json!({"type": "subscribe", "channel": name, "since": since.to_string()}))
            .collect();
        if !commands.is_empty() {
            let payload = match self.subprotocol {
                Subprotocol::Json => serde_json::to_vec(&commands).map_err(|error| error.to_string()),
                Subprotocol::MessagePack => rmp_serde::to_vec(&commands).map_err(|error| error.to_string()),
            };
            socket.send(&payload.map_err(Fault::Wrong)?).await?;
        }
        self.socket = Some(socket);
        Ok(())
    }

    async fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        let before = heard.len();
        while heard.len() == before {
            let Some(socket) = &mut self.socket else { return Err(Fault::wrong("not open")) };
            let payload = socket.next().await?;
            heard.extend(self.hear_frame(&payload)?);
            while let Some(socket) = &mut self.socket
                && let Some(payload) = socket.ready().await?
            {
                heard.extend(self.hear_frame(&payload)?);
            }
        }
        Ok(())
    }
}
