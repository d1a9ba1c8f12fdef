//! Fanfare's own protocol (docs/protocol.md), over every transport.

use std::fmt::Write as _;

use memchr::memmem;

use super::{Adapter, Heard, Names, Opening, Place, has, words};
use crate::settings::{Encoding, PublishOver, Settings, Transport};

/// Channels that a request may name.
const IN_QUERY: usize = 16;
/// Commands in one frame.
const IN_FRAME: usize = 100;

/// Fanfare.
pub struct Native {
    names: Names,
    transport: Transport,
    msgpack: bool,
    over: PublishOver,
    host: String,
    token: Option<String>,
}

impl Native {
    pub fn new(settings: &Settings, names: Names) -> Self {
        Self {
            names,
            transport: settings.transport,
            msgpack: settings.encoding == Encoding::Msgpack && settings.transport == Transport::Ws,
            over: settings.publish_over,
            host: settings.host.clone(),
            token: settings.token.clone(),
        }
    }

    fn headers(&self, msgpack: bool) -> Vec<String> {
        let mut headers: Vec<String> =
            self.token.iter().map(|token| format!("Authorization: Bearer {token}")).collect();
        if msgpack {
            headers.push("Sec-WebSocket-Protocol: fanfare.v1.msgpack".into());
        }
        headers
    }

    fn path(&self) -> &'static str {
        match self.transport {
            Transport::Ws => "/v1/ws",
            Transport::Sse => "/v1/sse",
            Transport::Stream => "/v1/stream",
            Transport::Poll => "/v1/poll",
        }
    }

    fn target(&self, place: &Place) -> String {
        let mut target = String::from(self.path());
        for (at, channel) in place.channels.clone().enumerate() {
            let _ = write!(target, "{}channel={}", if at == 0 { '?' } else { '&' }, self.names.of(channel));
        }
        if let Some((epoch, seen)) = &place.resume {
            // Nobody else publishes on these channels, so a publication's number is its offset.
            let positions: Vec<String> = seen.iter().map(|seq| format!("{epoch}-{seq}")).collect();
            let _ = write!(target, "&since={}", positions.join("~"));
        }
        target
    }

    /// `subscribe` commands, as many in a frame as it may hold.
    fn subscribes(&self, place: &Place) -> Vec<String> {
        let channels: Vec<u32> = place.channels.clone().collect();
        let command = |channel: &u32| {
            let mut text = format!("{{\"type\":\"subscribe\",\"channel\":\"{}\"", self.names.of(*channel));
            let at = (channel - place.channels.start) as usize;
            if let Some((epoch, seen)) = &place.resume
                && let Some(seq) = seen.get(at)
            {
                let _ = write!(text, ",\"since\":\"{epoch}-{seq}\"");
            }
            text + "}"
        };
        channels
            .chunks(IN_FRAME)
            .map(|chunk| format!("[{}]", chunk.iter().map(command).collect::<Vec<_>>().join(",")))
            .collect()
    }
}

impl Adapter for Native {
    fn open(&self, place: &Place) -> Opening {
        if place.channels.is_empty() {
            return Opening { target: "/v1/ws".into(), headers: self.headers(false), ..Opening::default() };
        }
        let headers = self.headers(self.msgpack);
        if place.channels.len() > IN_QUERY {
            let ready = place.channels.len() as u32;
            return Opening { target: self.path().into(), headers, frames: self.subscribes(place), ready };
        }
        // A poll is ready with its first cursor.
        let ready = if self.transport == Transport::Poll { 1 } else { place.channels.len() as u32 };
        Opening { target: self.target(place), headers, frames: Vec::new(), ready }
    }

    fn hear(&self, _: &Place, unit: &[u8]) -> Heard {
        if self.transport == Transport::Poll {
            return Heard::Nothing;
        }
        // Types as JSON, as SSE's event names, or in MessagePack, where a short string stands behind its length.
        let is = |name: &str| {
            let json = format!("\"type\":\"{name}\"");
            let packed = [&[0xa4][..], b"type", &[0xa0 | name.len() as u8], name.as_bytes()].concat();
            has(unit, &json) || memmem::find(unit, &packed).is_some()
        };
        if is("subscribed") {
            return Heard::Ready(epoch(unit));
        }
        if is("gap") {
            return Heard::Gap;
        }
        if is("error") || is("disconnect") || is("unsubscribed") {
            return Heard::Refused(words(unit));
        }
        Heard::Nothing
    }

    fn publish(&self, channel: u32, payload: &str, out: &mut String) {
        let name = self.names.of(channel);
        let _ = match self.over {
            PublishOver::Ws => {
                write!(out, "{{\"type\":\"publish\",\"channel\":\"{name}\",\"data\":\"{payload}\"}}")
            }
            PublishOver::Http => {
                let authorization =
                    self.headers(false).into_iter().map(|line| line + "\r\n").collect::<String>();
                write!(
                    out,
                    "POST /v1/channels/{name}/messages HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Length: {}\r\n\r\n{{\"data\":\"{payload}\"}}",
                    self.host,
                    payload.len() + 11,
                )
            }
        };
    }

    fn poll(&self, place: &Place, body: &[u8]) -> Option<String> {
        const BEFORE: &[u8] = b"\"cursor\":\"";
        let at = memmem::rfind(body, BEFORE)? + BEFORE.len();
        let cursor = body.get(at..)?.split(|&byte| byte == b'"').next()?;
        let cursor = std::str::from_utf8(cursor).ok()?;
        let place = Place { channels: place.channels.clone(), resume: None };
        let headers = self.headers(false).into_iter().map(|line| line + "\r\n").collect::<String>();
        let target = self.target(&place);
        Some(format!("GET {target}&since={cursor}&wait=30 HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.host))
    }

    fn single(&self) -> bool {
        self.transport == Transport::Ws
    }
}

/// The epoch in a `subscribed`, whichever way it is written.
fn epoch(unit: &[u8]) -> Option<String> {
    let at = memmem::find(unit, b"epoch")? + 5;
    let rest = unit.get(at..)?;
    // JSON has `":"` between name and value, MessagePack the value's length in one byte.
    let value = rest.strip_prefix(b"\":\"").or_else(|| rest.get(1..))?;
    let limit = if rest.starts_with(b"\"") { 12 } else { usize::from(rest.first()? & 0x1f) };
    let epoch: String = value
        .iter()
        .take(limit)
        .take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        .map(|&byte| byte as char)
        .collect();
    (!epoch.is_empty()).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(change: impl FnOnce(&mut Settings)) -> Native {
        let mut settings = Settings::new(([127, 0, 0, 1], 8000).into());
        change(&mut settings);
        Native::new(&settings, Names::new("r"))
    }

    fn place(channels: std::ops::Range<u32>) -> Place {
        Place { channels, resume: None }
    }

    #[test]
    fn readers_subscribe_in_the_request_and_go_on_where_they_were() {
        let ws = native(|_| {});
        let opening = ws.open(&place(2..4));
        assert_eq!(opening.target, "/v1/ws?channel=bench.r.2&channel=bench.r.3");
        assert_eq!((opening.ready, opening.frames.len()), (2, 0));
        let back = Place { channels: 2..4, resume: Some(("k3f9".into(), vec![7, 0])) };
        assert!(ws.open(&back).target.ends_with("&since=k3f9-7~k3f9-0"));
    }

    #[test]
    fn many_channels_are_subscribed_with_commands_of_a_hundred() {
        let opening = native(|_| {}).open(&place(0..250));
        assert_eq!((opening.target.as_str(), opening.ready, opening.frames.len()), ("/v1/ws", 250, 3));
        let commands: Vec<serde_json::Value> = serde_json::from_str(&opening.frames[2]).unwrap();
        assert_eq!(commands.len(), 50);
        assert_eq!(commands[49]["channel"], "bench.r.249");
    }

    #[test]
    fn acknowledgements_are_known_in_json_in_events_and_in_messagepack() {
        let ws = native(|_| {});
        let ready = Heard::Ready(Some("k3f9".into()));
        let json = br#"{"type":"subscribed","channel":"c","epoch":"k3f9","offset":4}"#;
        assert_eq!(ws.hear(&place(0..1), json), ready);
        let packed = b"\x83\xa4type\xaasubscribed\xa5epoch\xa4k3f9\xa6offset\x04";
        assert_eq!(ws.hear(&place(0..1), packed), ready);
        assert_eq!(ws.hear(&place(0..1), br#"{"type":"welcome","session":"x"}"#), Heard::Nothing);
        assert_eq!(ws.hear(&place(0..1), br#"{"type":"gap","channel":"c"}"#), Heard::Gap);
        assert!(
            matches!(ws.hear(&place(0..1), br#"{"type":"error","code":"forbidden"}"#), Heard::Refused(text) if text.contains("forbidden"))
        );
    }

    #[test]
    fn publications_are_valid_on_both_ways() {
        let mut text = String::new();
        native(|_| {}).publish(3, "xyz", &mut text);
        let command: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&command["channel"], &command["data"]), (&"bench.r.3".into(), &"xyz".into()));
        let mut request = String::new();
        native(|s| (s.publish_over, s.token) = (PublishOver::Http, Some("T".into()))).publish(
            3,
            "xyz",
            &mut request,
        );
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("Authorization: Bearer T")
                && head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["data"], "xyz");
    }

    #[test]
    fn a_poll_goes_on_with_the_answers_cursor() {
        let poll = native(|s| s.transport = Transport::Poll);
        let body = br#"{"messages":[],"cursor":"e-7~e-9","poll_after_ms":0}"#;
        let next = poll.poll(&place(0..2), body).unwrap();
        let line = "GET /v1/poll?channel=bench.r.0&channel=bench.r.1&since=e-7~e-9&wait=30 HTTP/1.1\r\n";
        assert!(next.starts_with(line) && next.ends_with("\r\n\r\n"), "{next}");
        assert_eq!(poll.poll(&place(0..1), b"{}"), None);
    }
}
