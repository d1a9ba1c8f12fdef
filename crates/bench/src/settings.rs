//! What a run does.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;
use crate::pace::Load;
use crate::stamp;

/// The words that a server understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Fanfare's own.
    Fanfare,
    /// Bare WebSockets: `/?channel=NAME` reads, `/publish` takes frames `NAME PAYLOAD`, which readers get as they are.
    Plain,
    /// The Pusher protocol.
    Pusher,
    /// Socket.IO 4 over WebSocket, with the events of a small server: `join`, `pub`, `m`.
    SocketIo,
    /// Socket.IO 4 over WebSocket, with the words that a hub of Fanfare's has for it: `subscribe` and `publish`, answered by acknowledgements.
    SocketIoHub,
    /// nchan: SSE or WebSocket at `/sub?id=NAME`, publishing by POST to `/pub?id=NAME`.
    Nchan,
}

/// How readers are reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// WebSocket.
    Ws,
    /// Server-sent events.
    Sse,
    /// Lines of JSON in an endless answer.
    Stream,
    /// Long-poll.
    Poll,
}

/// How frames are written on a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON text.
    Json,
    /// MessagePack.
    Msgpack,
}

/// Where publications come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishOver {
    /// WebSockets, pipelined.
    Ws,
    /// HTTP requests on kept-alive connections, one at a time on each.
    Http,
}

/// Readers that are cut off again and again.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Storm {
    /// Share of the readers that is cut, in 0..=1.
    pub share: f64,
    /// How often.
    pub every: Duration,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// What the report calls it.
    pub label: String,
    /// Who is measured.
    pub address: SocketAddr,
    /// As in its URL, for the `Host` header and TLS.
    pub host: String,
    /// Over TLS.
    pub tls: bool,
    /// Certificate authority to trust besides the usual.
    pub ca: Option<PathBuf>,
    /// Processes whose processor time and memory are read, with all that they start.
    pub pids: Vec<u32>,
    /// The words.
    pub protocol: Protocol,
    /// The way to readers.
    pub transport: Transport,
    /// On WebSockets.
    pub encoding: Encoding,
    /// Readers.
    pub subscribers: usize,
    /// Channels; readers are spread over them, publications go to each in turn.
    pub channels: usize,
    /// Channels that one reader reads.
    pub channels_per_subscriber: usize,
    /// Every reader publishes, each to a channel of its own, `InFlight` at a time, and nobody else does.
    pub own: bool,
    /// The pace.
    pub load: Load,
    /// Connections that publish.
    pub publishers: usize,
    /// How they do.
    pub publish_over: PublishOver,
    /// Payload in bytes.
    pub size: usize,
    /// Share of the readers that read slowly, in 0..=1.
    pub slow_share: f64,
    /// How slowly: bytes a second each.
    pub slow_rate: usize,
    /// Cutting off.
    pub storm: Option<Storm>,
    /// Not counted, before.
    pub warmup: Duration,
    /// Counted.
    pub duration: Duration,
    /// Rest before memory is read, after connecting and after leaving.
    pub settle: Duration,
    /// Bearer token of Fanfare; `APP:KEY:SECRET` of Pusher.
    #[serde(skip)]
    pub token: Option<String>,
}

impl Settings {
    /// The usual run against a Fanfare hub: 1,000 WebSockets on one channel, 128 bytes, 8 in flight, 5 s.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            label: "run".into(),
            address,
            host: address.to_string(),
            tls: false,
            ca: None,
            pids: Vec::new(),
            protocol: Protocol::Fanfare,
            transport: Transport::Ws,
            encoding: Encoding::Json,
            subscribers: 1000,
            channels: 1,
            channels_per_subscriber: 1,
            own: false,
            load: Load::InFlight(8),
            publishers: 1,
            publish_over: PublishOver::Ws,
            size: 128,
            slow_share: 0.0,
            slow_rate: 10_000,
            storm: None,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            settle: Duration::from_secs(1),
            token: None,
        }
    }

    /// Takes the server from a URL: `http://HOST:PORT` or `https://HOST:PORT`, without a path.
    ///
    /// # Errors
    /// It is none, or its host is not known.
    pub fn at(url: &str) -> Result<Self, BenchError> {
        let wrong = |reason: &str| BenchError::Url { url: url.into(), reason: reason.into() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let tls = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(wrong("its scheme is not http or https")),
        };
        let host = rest.trim_end_matches('/');
        if host.contains('/') {
            return Err(wrong("it has a path"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, port.parse().map_err(|_| wrong("its port is no number"))?)
            }
            _ => (host, if tls { 443 } else { 80 }),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = (name, port).to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
        let address = addresses.next().ok_or_else(|| wrong("its host has no address"))?;
        Ok(Self { host: host.into(), tls, ..Self::new(address) })
    }

    /// How many readers read slowly: the last ones.
    pub fn slow(&self) -> usize {
        (self.subscribers as f64 * self.slow_share).round() as usize
    }

    /// The first channel that reader `n` reads; it reads [`channels_per_subscriber`](Self::channels_per_subscriber) from there.
    pub fn first_channel(&self, n: usize) -> u32 {
        (n * self.channels_per_subscriber % self.channels) as u32
    }

    /// Publishers of one channel: each has an order of its own.
    pub fn lanes(&self) -> usize {
        if self.own { 1 } else { self.publishers }
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    /// They do not; the text says which.
    pub fn check(&self) -> Result<(), BenchError> {
        let wrong = |text: String| Err(BenchError::Settings(text));
        if self.subscribers == 0
            || self.channels == 0
            || self.channels_per_subscriber == 0
            || self.publishers == 0
        {
            return wrong(
                "subscribers, channels, channels a subscriber and publishers are at least 1".into(),
            );
        }
        if self.size < stamp::BYTES {
            return wrong(format!(
                "a payload has at least {} bytes: they say which message it is",
                stamp::BYTES
            ));
        }
        if !self.channels.is_multiple_of(self.channels_per_subscriber) {
            return wrong("--channels must be a multiple of --channels-per-subscriber".into());
        }
        if !(0.0..=1.0).contains(&self.slow_share)
            || self.storm.is_some_and(|storm| !(0.0..=1.0).contains(&storm.share))
        {
            return wrong("shares of subscribers lie between 0 and 1".into());
        }
        if self.own
            && (self.transport != Transport::Ws
                || self.channels != self.subscribers
                || self.channels_per_subscriber != 1)
        {
            return wrong(
                "--own needs WebSockets and makes a channel for each subscriber: leave out --channels".into(),
            );
        }
        if self.own && !matches!(self.load, Load::InFlight(_)) {
            return wrong("--own publishes with --in-flight, not with --rate".into());
        }
        match self.load {
            Load::InFlight(0) => return wrong("at least one publication is in flight".into()),
            Load::Rate(rate) if !(rate > 0.0 && rate <= 10_000_000.0) => {
                return wrong("--rate lies between 0 and 10,000,000 a second".into());
            }
            _ => {}
        }
        if self.storm.is_some() && !matches!(self.load, Load::Rate(_)) {
            return wrong(
                "storms need --rate: with --in-flight nothing is published while readers are away".into(),
            );
        }
        if self.channels_per_subscriber > 16
            && (self.protocol != Protocol::Fanfare
                || self.transport != Transport::Ws
                || self.encoding != Encoding::Json)
            && self.protocol != Protocol::Plain
        {
            return wrong("more than 16 channels a subscriber need Fanfare's WebSocket with JSON".into());
        }
        let foreign_transport = match self.protocol {
            Protocol::Fanfare => false,
            Protocol::Nchan => !matches!(self.transport, Transport::Ws | Transport::Sse),
            _ => self.transport != Transport::Ws,
        };
        if foreign_transport {
            return wrong("that protocol does not have that transport".into());
        }
        let publishes = match self.protocol {
            Protocol::Fanfare => None,
            Protocol::Plain | Protocol::SocketIo | Protocol::SocketIoHub => Some(PublishOver::Ws),
            Protocol::Pusher | Protocol::Nchan => Some(PublishOver::Http),
        };
        if publishes.is_some_and(|over| over != self.publish_over) {
            return wrong("that protocol publishes the other way: see --publish-over".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_server() {
        let at = |url: &str| {
            Settings::at(url).map(|settings| (settings.address.to_string(), settings.host, settings.tls))
        };
        assert_eq!(
            at("http://127.0.0.1:8000").unwrap(),
            ("127.0.0.1:8000".into(), "127.0.0.1:8000".into(), false)
        );
        assert_eq!(at("https://127.0.0.1/").unwrap(), ("127.0.0.1:443".into(), "127.0.0.1".into(), true));
        assert_eq!(at("ws://[::1]:9").unwrap().0, "[::1]:9");
        for wrong in ["127.0.0.1:8000", "ftp://127.0.0.1:1", "http://127.0.0.1:x", "http://127.0.0.1:1/v1/ws"]
        {
            assert!(matches!(at(wrong), Err(BenchError::Url { .. })), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let usual = || Settings::new(([127, 0, 0, 1], 1).into());
        usual().check().unwrap();
        let wrong: [fn(&mut Settings); 9] = [
            |s| s.subscribers = 0,
            |s| s.size = 19,
            |s| s.slow_share = 1.5,
            |s| s.load = Load::Rate(0.0),
            |s| s.own = true,
            |s| (s.channels, s.channels_per_subscriber) = (10, 3),
            |s| s.storm = Some(Storm { share: 0.5, every: Duration::from_secs(1) }),
            |s| s.protocol = Protocol::Pusher,
            |s| (s.protocol, s.transport) = (Protocol::Plain, Transport::Sse),
        ];
        for (at, change) in wrong.iter().enumerate() {
            let mut settings = usual();
            change(&mut settings);
            assert!(matches!(settings.check(), Err(BenchError::Settings(_))), "case {at}");
        }
    }

    #[test]
    fn readers_are_spread_over_the_channels() {
        let mut settings = Settings::new(([127, 0, 0, 1], 1).into());
        settings.channels = 6;
        settings.channels_per_subscriber = 2;
        let firsts: Vec<u32> = (0..5).map(|n| settings.first_channel(n)).collect();
        assert_eq!(firsts, [0, 2, 4, 0, 2]);
    }
}
