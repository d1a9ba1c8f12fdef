//! A bare client of the NDJSON stream.
use bytes::BytesMut;
use fanfare_protocol::Position;

use super::{
    client::{self, Client, Heard, Target},
    fault::Fault,
    http::HttpConnection,
};

/// Reads channels over `/v1/stream`, one frame a line.
#[derive(Debug)]
pub struct StreamClient {
    target: Target,
    connection: Option<HttpConnection>,
    partial: BytesMut,
}

impl StreamClient {
    /// A client that is not connected yet.
    pub fn new(target: Target) -> Self {
        Self { target, connection: None, partial: BytesMut::new() }
    }
}

impl Client for StreamClient {
    async fn open(&mut self, from: &[Position]) -> Result<(), Fault> {
        self.connection = None;
        self.partial.clear();
        let mut connection = HttpConnection::open(self.target.address).await?;
        let path = format!("/v1/stream?{}&since={}", self.target.query(), client::cursor(from));
        connection.send("GET", &path, &[], b"").await?;
        let head = connection.head().await?;
        if head.status != 200 || head.header("content-type") != Some("application/x-ndjson") {
            return Err(Fault::refused(head.status, &connection.body().await.unwrap_or_default()));
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Fault> {
        let before = heard.len();
        while heard.len() == before {
            let Some(connection) = &mut self.connection else { return Err(Fault::wrong("not open")) };
            let Some(piece) = connection.piece().await? else {
                return Err(Fault::wrong("the server ended the stream"));
            };
            self.partial.extend_from_slice(&piece);
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line = self.partial.split_to(end + 1);
                // Empty lines keep the connection alive.
                if end > 0 {
                    heard.extend(client::json(&line)?.heard(&self.target)?);
                }
            }
        }
        Ok(())
    }
}
