//! The load generator: one thread, one readiness loop, every connection a small state machine.

mod connect;
mod measure;
mod publish;
mod reader;
mod tally;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::adapter::{self, Adapter, Names};
use crate::error::BenchError;
use crate::latency::Latencies;
use crate::link::Dialer;
use crate::pace::{Load, Timetable};
use crate::peer::Ended;
use crate::process::Processes;
use crate::report::Report;
use crate::settings::Settings;

use connect::Waiting;
use publish::Publisher;
use reader::Reader;
use tally::Tally;

/// What one read takes at most; larger units make it grow.
const SCRATCH: usize = 256 << 10;

/// Does what `settings` say; ends early, with what was measured until then, when `stop` becomes true.
///
/// # Errors
/// The settings are wrong, the server is not there, or it refuses to be a server of that protocol.
pub fn run(settings: &Settings, stop: &AtomicBool) -> Result<Report, BenchError> {
    settings.check()?;
    let processes = Processes::new(settings.pids.clone());
    if let Some(pid) = processes.missing() {
        return Err(BenchError::NoProcess(pid));
    }
    enough_files(settings)?;
    Engine::new(settings, processes, stop)?.run()
}

/// Raises the limit of open files as far as this run needs and the system lets.
fn enough_files(settings: &Settings) -> Result<(), BenchError> {
    let needed = settings.subscribers as u64 + settings.publishers as u64 + 32;
    #[cfg(unix)]
    {
        let limit = rlimit::increase_nofile_limit(needed).unwrap_or(u64::MAX);
        if limit < needed {
            return Err(BenchError::OpenFiles { needed, limit });
        }
    }
    Ok(())
}

struct Engine<'a> {
    settings: &'a Settings,
    adapter: Box<dyn Adapter>,
    dialer: Dialer,
    processes: Processes,
    stop: &'a AtomicBool,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    readers: Vec<Reader>,
    /// Readers that keep up, of each channel.
    audience: Vec<u32>,
    /// Readers to be connected, and when.
    waiting: VecDeque<Waiting>,
    /// Connections begun and not ready.
    dialing: usize,
    ready: usize,
    epoch: Option<String>,
    publishers: Vec<Publisher>,
    /// HTTP publishers whose answer has come.
    idle: VecDeque<usize>,
    next_publisher: usize,
    next_channel: u32,
    payload: Vec<u8>,
    text: String,
    timetable: Option<Timetable>,
    publishing: bool,
    tally: Tally,
    /// How long readers that were cut off took to be back.
    returns: Latencies,
    stalls: u64,
    next_slow_turn: Instant,
    /// Slow readers read as fast as the others now: the end is near.
    hurry: bool,
}

impl<'a> Engine<'a> {
    fn new(settings: &'a Settings, processes: Processes, stop: &'a AtomicBool) -> Result<Self, BenchError> {
        let names = Names::new(&run_id());
        let slow_from = settings.subscribers - settings.slow();
        let width = settings.channels_per_subscriber as u32;
        let readers: Vec<Reader> = (0..settings.subscribers)
            .map(|n| {
                let first = settings.first_channel(n);
                Reader::new(first..first + width, settings.lanes() as u32, n >= slow_from)
            })
            .collect();
        let mut audience = vec![0; settings.channels];
        for reader in readers.iter().filter(|reader| !reader.slow) {
            for channel in reader.channels.clone() {
                if let Some(count) = audience.get_mut(channel as usize) {
                    *count += 1;
                }
            }
        }
        Ok(Self {
            adapter: adapter::of(settings, names),
            dialer: Dialer::new(settings)?,
            processes,
            stop,
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            scratch: vec![0; SCRATCH],
            waiting: (0..readers.len()).map(Waiting::now).collect(),
            readers,
            audience,
            dialing: 0,
            ready: 0,
            epoch: None,
            publishers: Vec::new(),
            idle: VecDeque::new(),
            next_publisher: 0,
            next_channel: 0,
            payload: Vec::with_capacity(settings.size),
            text: String::new(),
            timetable: None,
            publishing: false,
            tally: Tally::new(settings.channels * settings.lanes()),
            returns: Latencies::default(),
            stalls: 0,
            next_slow_turn: Instant::now(),
            hurry: false,
            settings,
        })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// One turn of the loop: what is due, what is ready, what follows from it.
    fn turn(&mut self, wait: Duration) -> Result<(), BenchError> {
        self.dial_waiting()?;
        self.publish_due()?;
        let wait = self.patience(wait);
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(1));
        let polled = self.poll.poll(&mut events, Some(wait));
        if let Err(error) = polled
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            self.events = events;
            return Err(error.into());
        }
        let mut done = Ok(());
        for event in &events {
            let Token(at) = event.token();
            done = if at < self.readers.len() {
                self.serve_reader(at, event.is_writable())
            } else {
                self.serve_publisher(at - self.readers.len())
            };
            if done.is_err() {
                break;
            }
        }
        self.events = events;
        done?;
        self.serve_slow()
    }

    /// How long the poll may sleep. It wakes late by up to a millisecond, so the last one before a publication is spent awake.
    fn patience(&self, wait: Duration) -> Duration {
        let due = match (&self.timetable, self.settings.load) {
            (Some(timetable), Load::Rate(_)) if self.publishing => {
                timetable.next().saturating_sub(self.tally.now())
            }
            _ => u64::MAX,
        };
        let due = Duration::from_millis((due / 1_000_000).saturating_sub(1));
        wait.min(due)
    }

    fn serve_reader(&mut self, at: usize, writable: bool) -> Result<(), BenchError> {
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        if writable && let Err(why) = reader.peer.flush() {
            return self.reader_ended(at, &why);
        }
        if reader.slow && reader.was_ready && reader.is_ready() && !self.hurry {
            return Ok(());
        }
        self.read_reader(at, usize::MAX)
    }

    fn read_reader(&mut self, at: usize, limit: usize) -> Result<(), BenchError> {
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        match reader.turn(&*self.adapter, &mut self.tally, &mut self.scratch, limit) {
            Ok(news) => {
                if news.epoch.is_some() {
                    self.epoch = news.epoch;
                }
                if news.ready {
                    self.became_ready(at);
                }
            }
            Err(why) => return self.reader_ended(at, &why),
        }
        if self.settings.own && self.publishing { self.publish_own(at) } else { Ok(()) }
    }

    /// Slow readers read a tenth of their second's bytes ten times a second.
    fn serve_slow(&mut self) -> Result<(), BenchError> {
        let slow = self.settings.slow();
        if slow == 0 || self.next_slow_turn > Instant::now() {
            return Ok(());
        }
        self.next_slow_turn = Instant::now() + Duration::from_millis(100);
        let limit = if self.hurry { usize::MAX } else { self.settings.slow_rate.div_ceil(10) };
        for at in self.readers.len() - slow..self.readers.len() {
            if self.readers.get(at).is_some_and(Reader::is_ready) {
                self.read_reader(at, limit)?;
            }
        }
        Ok(())
    }

    fn reader_ended(&mut self, at: usize, why: &Ended) -> Result<(), BenchError> {
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        if !reader.was_ready {
            return Err(connect::failed(self.settings.address, at, why));
        }
        if reader.away_since.is_none() {
            self.tally.end(why);
            self.ready -= usize::from(reader.is_ready());
            reader.away_since = Some(self.tally.now());
        } else {
            self.dialing = self.dialing.saturating_sub(1);
        }
        reader.peer.close();
        self.waiting.push_back(Waiting::later(at));
        Ok(())
    }
}

/// A word that no earlier run had: milliseconds since 1970 and this process's number.
fn run_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}{:x}", now.as_millis(), std::process::id())
}
