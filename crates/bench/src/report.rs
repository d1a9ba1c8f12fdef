//! What was measured: for people, as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::latency::{Latencies, Summary};
use crate::pace::Load;
use crate::settings::Settings;
use crate::track::Faults;

/// One run's figures.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was done.
    pub settings: Settings,
    /// It was ended before its time; the figures are of what was done until then.
    pub interrupted: bool,
    /// Length of the counted part.
    pub seconds: f64,
    /// Publications sent in it.
    pub published: u64,
    /// A second.
    pub published_per_s: f64,
    /// Deliveries received in it, by readers that keep up.
    pub deliveries: u64,
    /// A second.
    pub deliveries_per_s: f64,
    /// Million bytes a second, received.
    pub received_mb_per_s: f64,
    /// Open loop: publications that were due and could not be sent, since the server did not read.
    pub unsent: u64,
    /// Latency from when a publication was due to its delivery.
    pub latency: Summary,
    /// The server's processor time; none without a process to look at.
    pub cpu: Option<Cost>,
    /// The server's memory; likewise.
    pub memory: Option<Memory>,
    /// From the first connection begun to the last reader ready.
    pub connect_seconds: f64,
    /// Readers ready, a second.
    pub connections_per_s: f64,
    /// Milliseconds until a connection begun after the run was ready.
    pub ready_after_ms: Option<f64>,
    /// What readers missed or got twice.
    pub checks: Checks,
    /// Times when nothing came for three seconds and what was in flight was given up.
    pub stalls: u64,
    /// Readers slow on purpose.
    pub slow: Option<Slow>,
    /// Readers cut off on purpose.
    pub returns: Option<Returns>,
    /// The histogram, for plots.
    #[serde(skip)]
    pub plot: Latencies,
}

/// Processor time of the server, user and system.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Microseconds a delivery.
    pub us_per_delivery: f64,
    /// Microseconds a publication.
    pub us_per_publication: f64,
    /// Cores in use on average.
    pub cores: f64,
    /// Microseconds a connection, from its beginning to its being ready.
    pub us_per_connection: f64,
    /// Cores in use half a second after the last delivery.
    pub cores_after: Option<f64>,
}

/// Resident memory of the server in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Before anybody came.
    pub start: u64,
    /// With every reader connected, and nothing published.
    pub idle: u64,
    /// What each of them added.
    pub idle_per_connection: f64,
    /// At the end of the counted part.
    pub busy: u64,
    /// After everybody left; 0 when interrupted.
    pub after: u64,
}

/// What readers that keep up missed, got twice or got from elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Checks {
    /// Over all readers.
    #[serde(flatten)]
    pub faults: Faults,
    /// Messages of channels that the reader does not read.
    pub misdelivered: u64,
    /// Gaps that the server told of.
    pub gaps_told: u64,
    /// Readers whose connection ended without our doing.
    pub closed: u64,
    /// Why the first of them did.
    pub first_close: Option<String>,
}

/// Readers slow on purpose.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slow {
    /// How many.
    pub readers: usize,
    /// What they got.
    pub deliveries: u64,
    /// What they missed: more than the log still held.
    pub faults: Faults,
}

/// Readers cut off on purpose.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Returns {
    /// From the cut to being ready again; `count` is how many came back.
    pub times: Summary,
    /// Still away at the end.
    pub away: usize,
}

impl Report {
    /// One JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A table for people.
    pub fn human(&self) -> String {
        let mut rows = Rows::default();
        let settings = &self.settings;
        let channels =
            if settings.own { "a channel each".into() } else { count(settings.channels as u64, "channel") };
        rows.row(
            "readers",
            format!("{} over {:?}, {channels}", settings.subscribers, settings.transport).to_lowercase(),
        );
        rows.row(
            "connected",
            format!("in {:.2} s ({} a second)", self.connect_seconds, group(self.connections_per_s)),
        );
        if settings.load != Load::Idle {
            self.traffic(&mut rows);
        }
        if let Some(memory) = &self.memory {
            rows.row(
                "memory",
                format!(
                    "{} at the start, {} idle ({:.1} KB a connection), {} busy, {} after",
                    mb(memory.start),
                    mb(memory.idle),
                    memory.idle_per_connection / 1024.0,
                    mb(memory.busy),
                    mb(memory.after)
                ),
            );
        }
        rows.row("checks", self.checks.line());
        if let Some(slow) = &self.slow {
            let (read, lost) = (group(slow.deliveries as f64), slow.faults.lost);
            rows.row("slow readers", format!("{}: {read} deliveries, {lost} lost", slow.readers));
        }
        if let Some(returns) = &self.returns {
            let times = &returns.times;
            rows.row(
                "cut off",
                format!(
                    "{} back, half in {:.1} ms, 99 % in {:.1} ms, all in {:.1} ms; {} away",
                    times.count, times.p50_ms, times.p99_ms, times.max_ms, returns.away
                ),
            );
        }
        if self.interrupted {
            rows.row("interrupted", "these are the figures until then".into());
        }
        rows.text
    }

    fn traffic(&self, rows: &mut Rows) {
        let load = match self.settings.load {
            Load::InFlight(window) => format!("{window} in flight"),
            Load::Rate(rate) => format!("{} a second asked for", group(rate)),
            Load::Idle => String::new(),
        };
        let unsent = if self.unsent > 0 {
            format!(", {} held back by the server", self.unsent)
        } else {
            String::new()
        };
        rows.row(
            "published",
            format!(
                "{} a second ({load}, {} bytes){unsent}",
                group(self.published_per_s),
                self.settings.size
            ),
        );
        rows.row(
            "delivered",
            format!("{} a second, {:.1} MB/s", group(self.deliveries_per_s), self.received_mb_per_s),
        );
        let latency = &self.latency;
        rows.row(
            "latency",
            format!(
                "p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms",
                latency.p50_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
            ),
        );
        if let Some(cost) = &self.cpu {
            rows.row("server", format!("{:.3} us a delivery, {:.2} cores", cost.us_per_delivery, cost.cores));
        }
        if self.stalls > 0 {
            rows.row("stalls", format!("{} times nothing came for 3 s", self.stalls));
        }
    }
}

impl Checks {
    fn line(&self) -> String {
        let faults = &self.faults;
        let mut text = if faults.none() && self.misdelivered == 0 {
            String::from("everything once and in order")
        } else {
            format!(
                "{} lost, {} repeated, {} out of order, {} from other channels",
                faults.lost, faults.repeated, faults.disordered, self.misdelivered
            )
        };
        if self.gaps_told > 0 {
            let _ = write!(text, ", {} told", count(self.gaps_told, "gap"));
        }
        if self.closed > 0 {
            let why = self.first_close.as_deref().unwrap_or("");
            let _ = write!(text, ", {} cut off by the server (first: {why})", count(self.closed, "reader"));
        }
        text
    }
}

#[derive(Default)]
struct Rows {
    text: String,
}

impl Rows {
    fn row(&mut self, name: &str, value: String) {
        let _ = writeln!(self.text, "{name:<13}{value}");
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1048576.0)
}

/// A number with its thousands apart.
fn group(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0.0, 999.4, 1000.0, 1234567.0].map(group), ["0", "999", "1,000", "1,234,567"]);
    }
}
