//! `fanfare sub`: tails channels, and goes on where it stood after every interruption.

mod poll;
mod position;
mod sse;
mod websocket;

use std::{sync::Arc, time::Duration};

use fanfare_protocol::{ChannelName, Cursor};
use serde_json::Value;

use super::{
    client::{Hub, HubArgs, backoff::Backoff, new_session},
    exit::Failure,
    output::{self, Style},
};
use position::Positions;

/// What to read.
#[derive(clap::Args, Debug)]
pub struct SubscribeArgs {
    /// The channels
    #[arg(required = true, value_name = "CHANNEL", value_parser = channel)]
    channels: Vec<ChannelName>,
    /// Over Server-Sent Events instead of WebSocket
    #[arg(long, conflicts_with = "poll")]
    sse: bool,
    /// By long-polling instead of WebSocket
    #[arg(long)]
    poll: bool,
    /// Begin after this position; for several channels a cursor, their positions joined with `~`
    #[arg(long, value_name = "POSITION")]
    since: Option<String>,
    /// Begin with the newest N messages
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Begin with the newest message of every key (keyed channels)
    #[arg(long)]
    snapshot: bool,
    /// Tell who enters and leaves, too (not with --poll)
    #[arg(long, conflicts_with = "poll")]
    presence: bool,
    /// End after N messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    hub: HubArgs,
}

/// Prints until it is interrupted.
///
/// # Errors
/// The hub cannot be reached at first, or refuses in a way that trying again will not change.
pub fn run(args: &SubscribeArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = Box::pin(tail(args)) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
            // Not only when the next message cannot be printed, which may be never (`fanfare sub C | head`).
            () = output::reader_gone() => Ok(()),
        }
    })
}

/// One run of `fanfare sub`.
struct Tail<'a> {
    args: &'a SubscribeArgs,
    hub: Arc<Hub>,
    /// The same in every connection: presence and `echo` go by it.
    session: String,
    positions: Positions,
    style: Style,
    printed: u64,
    /// The present connection has been accepted.
    accepted: bool,
    /// What the hub asked to wait before coming back.
    retry_after: Option<Duration>,
}

async fn tail(args: &SubscribeArgs) -> Result<(), Failure> {
    let since = match &args.since {
        Some(text) => Cursor::parse(text, args.channels.len()).map_err(|problem| {
            Failure::Other(format!("--since: {}\n  remedy: {}", problem.detail, problem.remedy_text()))
        })?,
        None => Cursor(vec![None; args.channels.len()]),
    };
    let mut tail = Tail {
        args,
        hub: Arc::new(Hub::new(&args.hub)?),
        session: new_session()?,
        positions: Positions::new(&args.channels, since),
        style: Style::of_stdout(),
        printed: 0,
        accepted: false,
        retry_after: None,
    };
    let mut backoff = Backoff::default();
    let mut ever = false;
    loop {
        (tail.accepted, tail.retry_after) = (false, None);
        let ended = if args.sse {
            sse::read(&mut tail).await
        } else if args.poll {
            poll::read(&mut tail).await
        } else {
            websocket::read(&mut tail).await
        };
        if tail.is_done() {
            return Ok(());
        }
        ever |= tail.accepted;
        if tail.accepted {
            backoff.reset();
        }
        let why = match ended {
            Ok(()) => "the hub ended the connection".to_owned(),
            // A hub that was never there is more likely a wrong address than an interruption.
            Err(failure) if !failure.is_retryable() || !ever => return Err(failure),
            Err(failure) => failure.to_string(),
        };
        let wait = backoff.next(tail.retry_after);
        let why = why.lines().next().unwrap_or_default();
        output::note(&format!("fanfare: {why}; again in {:.1} s", wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
    }
}

impl Tail<'_> {
    /// All that was asked for was printed.
    fn is_done(&self) -> bool {
        self.args.count.is_some_and(|count| self.printed >= count)
    }

    /// Takes a frame, whatever transport it came by: notes the position, prints it. Frames that end the connection are errors.
    fn frame(&mut self, raw: &str) -> Result<(), Failure> {
        let frame: Value = serde_json::from_str(raw)
            .map_err(|error| Failure::Network(format!("the hub sent what is not JSON: {error}")))?;
        let kind = frame.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "message" if self.is_done() => return Ok(()),
            "error" | "disconnect" | "unsubscribed" => {
                let ms = frame.get("retry_after_ms").and_then(Value::as_u64);
                self.retry_after = ms.map(Duration::from_millis);
                return Err(Failure::refused(&frame)
                    .unwrap_or_else(|| Failure::Network("the hub ended the connection".into())));
            }
            "subscribed" => self.subscribed(&frame),
            _ => {}
        }
        if let Some(line) = self.style.frame(raw, &frame) {
            output::line(&line)?;
        }
        // Noted after printing: what could not be printed was not read.
        self.positions.note(kind, &frame);
        self.printed += u64::from(kind == "message");
        Ok(())
    }

    fn subscribed(&mut self, frame: &Value) {
        self.accepted = true;
        if self.style.is_human() {
            let text = |name: &str| {
                frame.get(name).map(|value| value.to_string().replace('"', "")).unwrap_or_default()
            };
            let line = format!("reading {} from {}-{}", text("channel"), text("epoch"), text("offset"));
            output::note(&super::exit::plain(&line));
        }
    }

    /// The query of a request for the channels, without `since`.
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query: Vec<_> =
            self.args.channels.iter().map(|channel| ("channel", channel.to_string())).collect();
        if let Some(last) = self.args.last {
            query.push(("last", last.to_string()));
        }
        if self.args.snapshot {
            query.push(("snapshot", "1".into()));
        }
        if self.args.presence {
            query.push(("presence", "1".into()));
        }
        query
    }
}

/// Makes the frame of a message object.
fn message_frame(object: &str) -> String {
    match object.trim_start().strip_prefix('{') {
        Some(rest) if !rest.trim_start().starts_with('}') => format!("{{\"type\":\"message\",{rest}"),
        _ => "{\"type\":\"message\"}".into(),
    }
}

/// Checks a channel's name before the hub does.
pub fn channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text).map_err(|problem| format!("{}; {}", problem.detail, problem.remedy_text()))
}
