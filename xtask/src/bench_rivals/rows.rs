//! What is measured: the rows of docs/performance.md.

/// A server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// One `write` for each delivery and nothing else.
    Rawlimit,
    /// The hub with so many workers.
    Fanfare(u8),
    /// The hub with one worker, over TLS.
    FanfareTls,
    /// Bun's own publish-subscribe (uWebSockets).
    Bun,
    /// Node.js with the ws package.
    Ws,
    /// Node.js with Socket.IO.
    SocketIo,
    /// nginx with nchan.
    Nchan,
    /// sockudo, of the Pusher protocol.
    Sockudo,
}

impl Who {
    /// What `--only` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rawlimit => "rawlimit",
            Self::Fanfare(_) | Self::FanfareTls => "fanfare",
            Self::Bun => "bun",
            Self::Ws => "ws",
            Self::SocketIo => "socket.io",
            Self::Nchan => "nchan",
            Self::Sockudo => "sockudo",
        }
    }

    /// How the load generator speaks to it.
    pub fn protocol(self) -> &'static [&'static str] {
        match self {
            Self::Rawlimit | Self::Bun | Self::Ws => &["--protocol", "plain"],
            Self::Fanfare(_) | Self::FanfareTls => &[],
            Self::SocketIo => &["--protocol", "socketio"],
            Self::Nchan => &["--protocol", "nchan", "--transport", "sse"],
            Self::Sockudo => &["--protocol", "pusher", "--token", "app:key:secret"],
        }
    }

    /// Cores that it may use: it is pinned to one if it uses one.
    pub fn cores(self) -> u8 {
        match self {
            Self::Fanfare(workers) => workers,
            // Several threads, however it is configured.
            Self::Sockudo => 2,
            _ => 1,
        }
    }
}

/// One line of a row.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the page, unique in the row.
    pub name: &'static str,
    /// The server.
    pub who: Who,
    /// Arguments of `fanfare bench` besides the row's.
    pub args: &'static [&'static str],
    /// A second load on the same server meanwhile.
    pub beside: Option<&'static [&'static str]>,
}

/// The figure that a row compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// Processor time of the server a delivery, in microseconds.
    Cpu,
    /// 99th percentile of latency, in milliseconds.
    P99,
    /// Resident memory that an idle connection adds, in KB.
    Memory,
    /// Deliveries a second.
    Deliveries,
    /// Connections accepted, subscribed and told so, a second.
    Accepted,
}

impl Figure {
    /// The column's head.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "us of server CPU a delivery",
            Self::P99 => "p99, ms",
            Self::Memory => "KB an idle connection",
            Self::Deliveries => "deliveries a second",
            Self::Accepted => "connections a second",
        }
    }

    /// Where it stands in a report, and by what to divide it.
    pub fn place(self) -> (&'static str, f64) {
        match self {
            Self::Cpu => ("/cpu/us_per_delivery", 1.0),
            Self::P99 => ("/latency/p99_ms", 1.0),
            Self::Memory => ("/memory/idle_per_connection", 1024.0),
            Self::Deliveries => ("/deliveries_per_s", 1.0),
            Self::Accepted => ("/connections_per_s", 1.0),
        }
    }
}

/// What Fanfare aims at.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// At most so much.
    UpTo(f64),
    /// At least so much.
    Over(f64),
    /// At most so many times another entry.
    UpToTimes(f64, &'static str),
    /// At least so many times another entry.
    TimesOver(f64, &'static str),
    /// At most so much more than another entry.
    UpToMore(f64, &'static str),
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// What `--rows` calls it.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is done.
    pub text: &'static str,
    /// Arguments of `fanfare bench`.
    pub args: &'static [&'static str],
    /// What is compared.
    pub figure: Figure,
    /// The first is the base of ratios.
    pub entries: &'static [Entry],
    /// What entries aim at.
    pub aims: &'static [(&'static str, Aim)],
    /// Measurements cost long and vary little: at most so many rounds.
    pub rounds: usize,
    /// Length of a measurement in seconds, full and quick; the usual if none.
    pub seconds: Option<(f64, f64)>,
}

const fn entry(name: &'static str, who: Who, args: &'static [&'static str]) -> Entry {
    Entry { name, who, args, beside: None }
}

const RAW: Entry = entry("rawlimit", Who::Rawlimit, &[]);
const ONE: Entry = entry("Fanfare", Who::Fanfare(1), &[]);
const TWO: Entry = entry("Fanfare, two workers", Who::Fanfare(2), &[]);
const MSGPACK: Entry = entry("Fanfare, MessagePack", Who::Fanfare(1), &["--msgpack"]);
const SSE: Entry = entry("Fanfare, SSE", Who::Fanfare(1), &["--transport", "sse"]);
const STREAM: Entry = entry("Fanfare, NDJSON stream", Who::Fanfare(1), &["--transport", "stream"]);
const BUN: Entry = entry("Bun", Who::Bun, &[]);
const WS: Entry = entry("ws", Who::Ws, &[]);
const SOCKETIO: Entry = entry("Socket.IO", Who::SocketIo, &[]);
const SOCKETIO_HUB: Entry =
    entry("Fanfare, Socket.IO clients", Who::Fanfare(1), &["--protocol", "socketiohub"]);
const NCHAN: Entry = entry("nchan, SSE", Who::Nchan, &[]);
const SOCKUDO: Entry = entry("sockudo", Who::Sockudo, &[]);
const EVERYBODY: &[Entry] = &[RAW, ONE, TWO, MSGPACK, SSE, STREAM, BUN, WS, SOCKETIO, NCHAN, SOCKUDO];
const BUSY: &[&str] = &["-n", "1000", "--rate", "150"];

/// All rows, in the page's order.
pub const ROWS: &[Row] = &[
    Row {
        name: "one_in_flight",
        title: "One publication in flight",
        text: "1,000 readers of one channel, 128 bytes; the next publication leaves when every reader has the last. Nothing can be batched: this is the cost of a write.",
        args: &["-n", "1000", "--in-flight", "1"],
        figure: Figure::Cpu,
        entries: EVERYBODY,
        aims: &[
            ("Fanfare", Aim::UpToTimes(1.08, "rawlimit")),
            ("Fanfare, two workers", Aim::UpToTimes(1.1, "Fanfare")),
            ("Fanfare, SSE", Aim::UpToTimes(1.2, "Fanfare")),
            ("Fanfare, NDJSON stream", Aim::UpToTimes(1.2, "Fanfare")),
            ("Fanfare, MessagePack", Aim::UpToTimes(1.0, "Fanfare")),
        ],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "eight_in_flight",
        title: "Eight publications in flight",
        text: "The same with eight in flight from one connection: what waits goes out in one write, for who can.",
        args: &["-n", "1000", "--in-flight", "8"],
        figure: Figure::Cpu,
        entries: EVERYBODY,
        aims: &[
            ("Fanfare", Aim::UpToTimes(0.15, "rawlimit")),
            ("Fanfare", Aim::UpToTimes(1.0, "Bun")),
            ("Fanfare, two workers", Aim::UpToTimes(0.19, "rawlimit")),
            ("Fanfare, two workers", Aim::UpToTimes(1.1, "Fanfare")),
            ("Fanfare, SSE", Aim::UpToTimes(1.2, "Fanfare")),
            ("Fanfare, NDJSON stream", Aim::UpToTimes(1.2, "Fanfare")),
            ("Fanfare, MessagePack", Aim::UpToTimes(1.0, "Fanfare")),
        ],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "http_publishers",
        title: "Eight HTTP publishers",
        text: "The same from eight HTTP connections with a request in flight on each; the base has eight WebSocket publishers.",
        args: &["-n", "1000", "--in-flight", "8", "--publishers", "8"],
        figure: Figure::Cpu,
        entries: &[RAW, entry("Fanfare", Who::Fanfare(1), &["--publish-over", "http"]), NCHAN, SOCKUDO],
        aims: &[("Fanfare", Aim::UpToTimes(0.4, "rawlimit"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "ten_thousand",
        title: "10,000 readers",
        text: "10,000 readers of one channel, one in flight.",
        args: &["-n", "10000", "--in-flight", "1"],
        figure: Figure::Cpu,
        entries: &[RAW, ONE, TWO, BUN, WS],
        aims: &[("Fanfare", Aim::UpToTimes(1.12, "rawlimit"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "many_channels",
        title: "1,000 channels of ten readers",
        text: "10,000 readers, ten on each of 1,000 channels; one in flight, to each channel in turn.",
        args: &["-n", "10000", "-c", "1000", "--in-flight", "1"],
        figure: Figure::Cpu,
        entries: &[RAW, ONE, TWO, BUN, WS],
        aims: &[("Fanfare", Aim::UpToTimes(1.3, "rawlimit"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "one_reader",
        title: "One reader of 10,000 channels",
        text: "One WebSocket with 10,000 subscriptions; one message to each channel in turn, eight in flight.",
        args: &["-n", "1", "-c", "10000", "--channels-per-subscriber", "10000", "--in-flight", "8"],
        figure: Figure::Cpu,
        entries: &[RAW, ONE],
        aims: &[("Fanfare", Aim::UpToTimes(2.0, "rawlimit"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "own_channel",
        title: "1,000 clients that talk to themselves",
        text: "1,000 clients, each publishing to a channel that it alone reads, one in flight each; the base is an echo.",
        args: &["-n", "1000", "--own", "--in-flight", "1"],
        figure: Figure::Cpu,
        entries: &[RAW, ONE, TWO],
        aims: &[("Fanfare", Aim::UpToTimes(1.5, "rawlimit"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "idle_memory",
        title: "Idle connections",
        text: "10,000 connections that read a channel on which nothing happens. *Left* is what memory is still held once they are gone, of what they added.",
        args: &["-n", "10000", "--idle", "--settle", "2s"],
        figure: Figure::Memory,
        entries: &[
            RAW,
            ONE,
            SSE,
            entry("Fanfare, parked poll", Who::Fanfare(1), &["--transport", "poll"]),
            entry("Fanfare, TLS", Who::FanfareTls, &[]),
            BUN,
            WS,
            SOCKETIO,
            NCHAN,
            SOCKUDO,
        ],
        aims: &[
            ("Fanfare", Aim::UpTo(3.0)),
            ("Fanfare, SSE", Aim::UpTo(5.0)),
            ("Fanfare, parked poll", Aim::UpTo(5.0)),
            ("Fanfare, TLS", Aim::UpTo(12.0)),
        ],
        rounds: 2,
        seconds: None,
    },
    Row {
        name: "socketio",
        title: "Socket.IO clients",
        text: "1,000 clients of Socket.IO in one room, 128 bytes, one publication in flight: a hub, whose events end with their position so that clients can go on after an interruption, and the server of Node.js without recovery.",
        args: &["-n", "1000", "--in-flight", "1"],
        figure: Figure::Cpu,
        entries: &[RAW, SOCKETIO_HUB, SOCKETIO],
        aims: &[("Fanfare, Socket.IO clients", Aim::UpToTimes(0.25, "Socket.IO"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "socketio_busy",
        title: "Socket.IO clients, eight publications in flight",
        text: "The same with eight in flight.",
        args: &["-n", "1000", "--in-flight", "8"],
        figure: Figure::Cpu,
        entries: &[RAW, SOCKETIO_HUB, SOCKETIO],
        aims: &[("Fanfare, Socket.IO clients", Aim::UpToTimes(0.25, "Socket.IO"))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "socketio_idle",
        title: "Idle clients of Socket.IO",
        text: "10,000 clients in one room in which nothing happens.",
        args: &["-n", "10000", "--idle", "--settle", "2s"],
        figure: Figure::Memory,
        entries: &[RAW, SOCKETIO_HUB, SOCKETIO],
        aims: &[("Fanfare, Socket.IO clients", Aim::UpToTimes(0.5, "Socket.IO"))],
        rounds: 2,
        seconds: None,
    },
    Row {
        name: "accept",
        title: "Accepting",
        text: "10,000 connections as fast as the generator makes them (256 at once), each accepted, upgraded and told that it reads its channel.",
        args: &["-n", "10000", "--idle", "--settle", "0s"],
        figure: Figure::Accepted,
        entries: &[RAW, ONE, TWO, BUN, WS],
        aims: &[("Fanfare", Aim::Over(5000.0))],
        rounds: usize::MAX,
        seconds: None,
    },
    Row {
        name: "latency",
        title: "Latency at 100 publications a second",
        text: "1,000 readers, an open loop of 100 a second: from when a publication was due to its delivery.",
        args: &["-n", "1000", "--rate", "100"],
        figure: Figure::P99,
        entries: &[RAW, ONE, TWO, BUN, WS, SOCKETIO],
        aims: &[("Fanfare", Aim::UpToTimes(1.15, "rawlimit"))],
        rounds: usize::MAX,
        seconds: Some((4.0, 2.5)),
    },
    Row {
        name: "beside",
        title: "A quiet channel beside a busy one",
        text: "Ten readers and 50 publications a second, alone, and while 1,000 others on the same server get 150 a second. Servers have one core, both generators the other, where the busy one gives way.",
        args: &["-n", "10", "--rate", "50"],
        figure: Figure::P99,
        entries: &[
            entry("rawlimit, alone", Who::Rawlimit, &[]),
            Entry { name: "rawlimit, beside", who: Who::Rawlimit, args: &[], beside: Some(BUSY) },
            entry("Fanfare, alone", Who::Fanfare(1), &[]),
            Entry { name: "Fanfare, beside", who: Who::Fanfare(1), args: &[], beside: Some(BUSY) },
        ],
        aims: &[("Fanfare, beside", Aim::UpToMore(2.0, "Fanfare, alone"))],
        rounds: usize::MAX,
        seconds: Some((4.0, 2.5)),
    },
    Row {
        name: "open_loop",
        title: "More than the wire takes",
        text: "20,000 publications a second for 1,000 readers, 20 million deliveries a second asked for. Readers are not lost, publishers wait, and afterwards the hub is quiet.",
        args: &["-n", "1000", "--rate", "20000"],
        figure: Figure::Deliveries,
        entries: &[BUN, TWO, entry("Fanfare, one worker", Who::Fanfare(1), &[])],
        aims: &[("Fanfare, two workers", Aim::TimesOver(1.5, "Bun"))],
        rounds: 3,
        seconds: Some((30.0, 8.0)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aims_name_entries_that_are_there() {
        let mut aims = 0;
        for row in ROWS {
            let known = |name: &str| row.entries.iter().filter(|entry| entry.name == name).count() == 1;
            for (name, aim) in row.aims {
                let other = match aim {
                    Aim::UpToTimes(_, other) | Aim::TimesOver(_, other) | Aim::UpToMore(_, other) => {
                        Some(other)
                    }
                    Aim::UpTo(_) | Aim::Over(_) => None,
                };
                assert!(known(name) && other.is_none_or(|other| known(other)), "{}: {name}", row.name);
                aims += 1;
            }
        }
        assert!(aims >= ROWS.len(), "{aims}");
    }
}
