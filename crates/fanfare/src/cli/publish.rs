//! `fanfare pub`: publishes over HTTP.
use std::{io::Read as _, time::Duration};

use bytes::Bytes;
use fanfare_protocol::ChannelName;
use http::Method;
use serde_json::{Value, json, value::RawValue};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    client::{Hub, HubArgs, backoff::Backoff, http::Http, http::read, new_session},
    exit::{Failure, plain},
    output::{self, Style},
};

/// Attempts at one message. Each carries the same id, so that it is applied once.
const ATTEMPTS: u32 = 5;

/// What to publish.
#[derive(clap::Args, Debug)]
pub struct PublishArgs {
    /// The channel
    #[arg(value_parser = super::subscribe::channel)]
    channel: ChannelName,
    /// The payload: JSON, or else a text; `-` reads it from stdin
    #[arg(required_unless_present = "lines", conflicts_with = "lines")]
    data: Option<String>,
    /// Publish every line of stdin, each JSON or else a text
    #[arg(long)]
    lines: bool,
    /// The payload is a text, even if it could be JSON
    #[arg(long)]
    text: bool,
    /// The event's name
    #[arg(long)]
    event: Option<String>,
    /// The key, on keyed channels
    #[arg(long)]
    key: Option<String>,
    /// Idempotency id: the same id is applied once
    #[arg(long, conflicts_with = "lines")]
    id: Option<String>,
    /// Keep it nowhere: only those who listen now get it
    #[arg(long)]
    ephemeral: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Publishes.
///
/// # Errors
/// No connection, or the hub refuses; with `--lines` at the first line that fails.
pub fn run(args: &PublishArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = Box::pin(publish(args)) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    // A blocked read of stdin must not hold the process.
    runtime.shutdown_background();
    done
}

async fn publish(args: &PublishArgs) -> Result<(), Failure> {
    let hub = Hub::new(&args.hub)?;
    let mut publisher = Publisher { args, http: Http::new(&hub, None), hub: &hub, style: Style::of_stdout() };
    if args.lines {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            if !line.trim().is_empty() {
                publisher.one(&line).await?;
            }
        }
        return Ok(());
    }
    match args.data.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            publisher.one(text.trim_end_matches(['\r', '\n'])).await
        }
        Some(data) => publisher.one(data).await,
        None => Ok(()),
    }
}

struct Publisher<'a> {
    args: &'a PublishArgs,
    hub: &'a Hub,
    http: Http<'a>,
    style: Style,
}

impl Publisher<'_> {
    async fn one(&mut self, data: &str) -> Result<(), Failure> {
        let body = Bytes::from(self.body(data)?);
        let path = self.hub.path("/v1/messages", &[("channel", self.args.channel.to_string())]);
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            let sent = self.http.send(Method::POST, &path, &[], body.clone(), Duration::ZERO).await;
            let answer = match sent {
                Ok(answer) => read(answer).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(answer) => return self.tell(&answer),
                // What was never connected is reported at once; an ephemeral message has no id to repeat it by.
                Err(failure) if !failure.is_retryable() || attempt == ATTEMPTS || self.args.ephemeral => {
                    return Err(failure);
                }
                Err(failure)
                    if attempt == 1
                        && matches!(&failure, Failure::Network(text) if text.starts_with("no connection")) =>
                {
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(backoff.next(None)).await,
            }
        }
        Ok(())
    }

    /// The request's body. Payloads go as they are written: numbers keep their digits, objects their order.
    fn body(&self, data: &str) -> Result<Vec<u8>, Failure> {
        let args = self.args;
        let raw = if args.text { None } else { serde_json::from_str::<Box<RawValue>>(data).ok() };
        let data = match raw {
            Some(raw) => raw,
            None => {
                serde_json::value::to_raw_value(data).map_err(|error| Failure::Other(error.to_string()))?
            }
        };
        #[derive(serde::Serialize)]
        struct Body<'a> {
            data: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<String>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            ephemeral: bool,
        }
        let id = match &args.id {
            Some(id) => Some(id.clone()),
            None if args.ephemeral => None,
            None => Some(new_session()?),
        };
        let (event, key) = (args.event.as_deref(), args.key.as_deref());
        let body = Body { data: &data, event, key, id, ephemeral: args.ephemeral };
        serde_json::to_vec(&body).map_err(|error| Failure::Other(error.to_string()))
    }

    fn tell(&self, answer: &[u8]) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(answer);
        if !self.style.is_human() {
            return output::line(text.trim_end());
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
        let place =
            match (answer.get("epoch").and_then(Value::as_str), answer.get("offset").and_then(Value::as_u64))
            {
                (Some(epoch), Some(offset)) => format!(" at {}-{offset}", plain(epoch)),
                _ => ", kept nowhere".into(),
            };
        let again = answer.get("duplicate") == Some(&Value::Bool(true));
        let again = if again { " (it was published before)" } else { "" };
        output::line(&format!("published on {}{place}{again}", self.args.channel))
    }
}
