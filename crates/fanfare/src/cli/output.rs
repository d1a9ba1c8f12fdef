//! What is printed: for people on a terminal, one JSON object a line (NDJSON) into a pipe or file.
use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use super::exit::{Failure, plain};

const DIM: &str = "2";
const BOLD: &str = "1";
const CYAN: &str = "36";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Prints one line on stdout, at once.
///
/// # Errors
/// The reader is gone, or the disk is full.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Ready when nobody reads stdout any more: the other end of its pipe is closed. Never for files, nor where the system does not tell.
pub async fn reader_gone() {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use tokio::{io::Interest, net::unix::pipe::Sender};
        // Only watched, never written to: stdout stays a blocking file.
        let watched = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
        if let Ok(stdout) = watched
            && stdout.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending().await
}

/// Prints one line on stderr. A closed stderr is nobody's concern.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How frames are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// For people; else NDJSON.
    human: bool,
    color: bool,
}

impl Style {
    /// Decided by what stdout is. `NO_COLOR` (no-color.org) is honoured.
    pub fn of_stdout() -> Self {
        let human = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { human, color: human && !plain }
    }

    /// Whether people read it.
    pub fn is_human(self) -> bool {
        self.human
    }

    fn paint(self, color: &str, text: &str) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A frame as a line; `raw` is its JSON text. None for frames that are only of interest to machinery.
    pub fn frame(self, raw: &str, frame: &Value) -> Option<String> {
        let kind = text(frame, "type");
        if !matches!(kind, "message" | "gap" | "presence") {
            return None;
        }
        if !self.human {
            return Some(raw.to_owned());
        }
        Some(match kind {
            "gap" => self.gap(frame),
            "presence" => self.presence(frame),
            _ => self.message(frame),
        })
    }

    fn message(self, frame: &Value) -> String {
        let time = frame.get("time").and_then(Value::as_u64).map_or_else(|| "--:--:--".into(), clock);
        let mut line =
            format!("{} {}", self.paint(DIM, &time), self.paint(CYAN, &plain(text(frame, "channel"))));
        let event = text(frame, "event");
        if !matches!(event, "" | "message") {
            line += &format!(" {}", self.paint(BOLD, &plain(event)));
        }
        if let Some(key) = frame.get("key").and_then(Value::as_str) {
            line += &format!(" {}", self.paint(DIM, &format!("[{}]", plain(key))));
        }
        if let Some(user) = frame.get("user").and_then(Value::as_str) {
            line += &format!(" {}", self.paint(GREEN, &format!("{}:", plain(user))));
        }
        let data = frame.get("data").unwrap_or(&Value::Null).to_string();
        format!("{line} {}", plain(&data))
    }

    fn gap(self, frame: &Value) -> String {
        let text =
            format!("gap on {}: messages are lost ({})", text(frame, "channel"), text(frame, "reason"));
        self.paint(YELLOW, &plain(&text))
    }

    fn presence(self, frame: &Value) -> String {
        let name = |member: &Value| {
            let user = member.get("user").and_then(Value::as_str);
            plain(user.unwrap_or_else(|| text(member, "client")))
        };
        let members = frame.get("members").and_then(Value::as_array);
        let names: Vec<_> = members.into_iter().flatten().map(name).collect();
        let count = frame.get("count").and_then(Value::as_u64).unwrap_or(0);
        let line = format!(
            "{} {}: {} (now {count})",
            text(frame, "channel"),
            text(frame, "action"),
            names.join(", ")
        );
        self.paint(DIM, &plain(&line))
    }
}

/// A field's text; empty if it has none.
fn text<'a>(frame: &'a Value, name: &str) -> &'a str {
    frame.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Milliseconds since 1970 as the time of day, UTC.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Style = Style { human: false, color: false };
    const HUMAN: Style = Style { human: true, color: false };

    fn show(style: Style, raw: &str) -> Option<String> {
        style.frame(raw, &serde_json::from_str(raw).unwrap())
    }

    #[test]
    fn a_pipe_gets_the_frame_as_it_came() {
        let raw = r#"{"type":"message","channel":"a","z":1,"b":1.0}"#;
        assert_eq!(show(PIPE, raw).as_deref(), Some(raw));
        assert_eq!(show(PIPE, r#"{"type":"pong"}"#), None);
    }

    #[test]
    fn people_get_time_channel_event_user_and_data() {
        let raw = r#"{"type":"message","channel":"chat:1","time":3723000,"event":"say","user":"ada","data":{"a":1}}"#;
        assert_eq!(show(HUMAN, raw).unwrap(), r#"01:02:03 chat:1 say ada: {"a":1}"#);
        let raw = r#"{"type":"gap","channel":"chat:1","reason":"expired"}"#;
        assert!(show(HUMAN, raw).unwrap().contains("lost (expired)"));
    }

    #[test]
    fn nothing_that_is_received_steers_the_terminal() {
        let raw = r#"{"type":"message","channel":"a","event":"\u001b[2J","user":"\u009b1m","data":"\u001b]0;x\u0007\u009b"}"#;
        let shown = show(HUMAN, raw).unwrap();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}
