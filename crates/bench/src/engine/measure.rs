//! The parts of a run: connect, rest, warm up, measure, drain, leave.

use std::time::{Duration, Instant};

use super::Engine;
use crate::error::BenchError;
use crate::pace::{Load, Timetable};
use crate::report::{Checks, Cost, Memory, Report, Returns, Slow};
use crate::track::Faults;

/// Deliveries that have not come after so long are not waited for any more.
const STALL: Duration = Duration::from_secs(3);
/// After the last publication: this long without a delivery, and nothing more is expected.
const SILENCE: Duration = Duration::from_secs(2);
/// What was published may take so long to arrive, at most.
const DRAIN: Duration = Duration::from_secs(20);
/// The longest wait for memory to be given back.
const LEAVING: Duration = Duration::from_secs(15);

/// The counted part.
#[derive(Default)]
struct Counted {
    seconds: f64,
    delivered: u64,
    published: u64,
    cpu: f64,
    bytes: u64,
    unsent: u64,
}

impl Engine<'_> {
    pub(super) fn run(mut self) -> Result<Report, BenchError> {
        let rss_start = self.processes.rss();
        let cpu_start = self.processes.cpu();
        let connecting = self.connect_all()?;
        let connected = self.ready as f64;
        let cpu_connecting = self.processes.cpu() - cpu_start;
        self.rest(self.settings.settle)?;
        let rss_idle = self.processes.rss();
        let mut counted = Counted::default();
        let mut after = (None, None);
        if self.settings.load != Load::Idle && !self.stopped() {
            self.connect_publishers()?;
            counted = self.publish_and_measure()?;
        }
        let rss_busy = self.processes.rss();
        let interrupted = self.stopped();
        if self.settings.load != Load::Idle && !interrupted {
            after = self.aftermath()?;
        }
        let checks = self.checks();
        let slow = self.slow_report();
        let away = self.readers.len() - self.ready;
        let rss_after = if interrupted { 0 } else { self.leave() };
        let known = self.processes.known();
        let subscribers = self.settings.subscribers as f64;
        Ok(Report {
            settings: self.settings.clone(),
            interrupted,
            seconds: counted.seconds,
            published: counted.published,
            published_per_s: per(counted.published as f64, counted.seconds),
            deliveries: counted.delivered,
            deliveries_per_s: per(counted.delivered as f64, counted.seconds),
            received_mb_per_s: per(counted.bytes as f64 / 1e6, counted.seconds),
            unsent: counted.unsent,
            latency: self.tally.latencies.summary(),
            cpu: known.then(|| Cost {
                us_per_delivery: per(counted.cpu * 1e6, counted.delivered as f64),
                us_per_publication: per(counted.cpu * 1e6, counted.published as f64),
                cores: per(counted.cpu, counted.seconds),
                us_per_connection: per(cpu_connecting * 1e6, subscribers),
                cores_after: after.0,
            }),
            memory: known.then(|| Memory {
                start: rss_start,
                idle: rss_idle,
                idle_per_connection: per(rss_idle.saturating_sub(rss_start) as f64, subscribers),
                busy: rss_busy,
                after: rss_after,
            }),
            connect_seconds: connecting.as_secs_f64(),
            connections_per_s: per(connected, connecting.as_secs_f64()),
            ready_after_ms: after.1,
            checks,
            stalls: self.stalls,
            slow,
            returns: self.settings.storm.map(|_| Returns { times: self.returns.summary(), away }),
            plot: self.tally.latencies,
        })
    }

    /// Lets `time` pass; what arrives is served.
    fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stopped() {
            self.turn(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)))?;
        }
        Ok(())
    }

    fn publish_and_measure(&mut self) -> Result<Counted, BenchError> {
        self.begin_publishing()?;
        self.keep_publishing(self.settings.warmup)?;
        let (began, cpu) = (Instant::now(), self.processes.cpu());
        let before = (self.tally.delivered, self.tally.published, self.tally.bytes);
        self.tally.latencies.clear();
        self.tally.counted.0 = self.tally.now();
        self.keep_publishing(self.settings.duration)?;
        self.tally.counted.1 = self.tally.now();
        let counted = Counted {
            seconds: began.elapsed().as_secs_f64(),
            delivered: self.tally.delivered - before.0,
            published: self.tally.published - before.1,
            cpu: self.processes.cpu() - cpu,
            bytes: self.tally.bytes - before.2,
            unsent: self.timetable.as_ref().map_or(0, |timetable| timetable.overdue(self.tally.now())),
        };
        self.publishing = false;
        self.drain()?;
        Ok(counted)
    }

    fn begin_publishing(&mut self) -> Result<(), BenchError> {
        if let Load::Rate(rate) = self.settings.load {
            self.timetable = Some(Timetable::new(rate, self.tally.now()));
        }
        self.publishing = true;
        if let (true, Load::InFlight(window)) = (self.settings.own, self.settings.load) {
            for at in 0..self.readers.len() {
                if let Some(reader) = self.readers.get_mut(at) {
                    reader.may_publish = window;
                }
                self.publish_own(at)?;
            }
        }
        Ok(())
    }

    fn keep_publishing(&mut self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        let mut storm = self.settings.storm.map(|storm| (Instant::now() + storm.every, storm, 0));
        let mut last = (self.tally.progress, Instant::now());
        while Instant::now() < until && !self.stopped() {
            self.turn(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)))?;
            if self.tally.progress != last.0 {
                last = (self.tally.progress, Instant::now());
            } else if last.1.elapsed() > STALL && self.tally.outstanding > 0 {
                self.stalls += 1;
                self.tally.outstanding = 0;
                last.1 = Instant::now();
            }
            if let Some((next, storm, from)) = &mut storm
                && *next <= Instant::now()
            {
                let (count, total) = ((self.readers.len() as f64 * storm.share) as usize, self.readers.len());
                let begin = *from;
                (*next, *from) = (Instant::now() + storm.every, (begin + count) % total);
                for n in 0..count {
                    self.cut((begin + n) % total);
                }
            }
        }
        Ok(())
    }

    /// Waits for what is still on its way.
    fn drain(&mut self) -> Result<(), BenchError> {
        self.hurry = true;
        let began = Instant::now();
        let mut last = (self.tally.progress + self.tally.delivered_slow, Instant::now());
        while began.elapsed() < DRAIN && !self.stopped() {
            let complete =
                self.tally.outstanding <= 0 && self.ready == self.readers.len() && self.settings.slow() == 0;
            if complete || last.1.elapsed() > SILENCE {
                break;
            }
            self.turn(Duration::from_millis(20))?;
            let progress = self.tally.progress + self.tally.delivered_slow;
            if progress != last.0 {
                last = (progress, Instant::now());
            }
        }
        Ok(())
    }

    /// What the server does once all is over: processor cores in use half a second later, and milliseconds until a new connection is ready.
    fn aftermath(&mut self) -> Result<(Option<f64>, Option<f64>), BenchError> {
        self.rest(Duration::from_millis(250))?;
        let (began, cpu) = (Instant::now(), self.processes.cpu());
        self.rest(Duration::from_millis(500))?;
        let cores = per(self.processes.cpu() - cpu, began.elapsed().as_secs_f64());
        let began = Instant::now();
        self.cut(0);
        while self.readers.first().is_some_and(|reader| !reader.is_ready())
            && began.elapsed() < STALL
            && !self.stopped()
        {
            self.turn(Duration::from_millis(1))?;
        }
        Ok((Some(cores), Some(began.elapsed().as_secs_f64() * 1e3)))
    }

    fn checks(&self) -> Checks {
        let mut faults = Faults::default();
        for reader in self.readers.iter().filter(|reader| !reader.slow && reader.was_ready) {
            faults += reader.faults(&self.tally);
        }
        Checks {
            faults,
            misdelivered: self.tally.misdelivered,
            gaps_told: self.tally.gaps,
            closed: self.tally.closed,
            first_close: self.tally.first_end.clone(),
        }
    }

    fn slow_report(&self) -> Option<Slow> {
        let slow = self.settings.slow();
        let mut faults = Faults::default();
        for reader in self.readers.iter().filter(|reader| reader.slow) {
            faults += reader.faults(&self.tally);
        }
        (slow > 0).then_some(Slow { readers: slow, deliveries: self.tally.delivered_slow, faults })
    }

    /// Everybody goes; gives the memory that the server holds then. Allocators give back late: the least is what counts.
    fn leave(&mut self) -> u64 {
        for peer in &mut self.readers {
            peer.peer.close();
        }
        self.publishers.clear();
        if !self.processes.known() {
            return 0;
        }
        let began = Instant::now();
        let (mut least, mut since) = (self.processes.rss(), Instant::now());
        while began.elapsed() < LEAVING && since.elapsed() < self.settings.settle * 3 && !self.stopped() {
            std::thread::sleep(Duration::from_millis(100));
            let rss = self.processes.rss();
            if rss < least {
                (least, since) = (rss, Instant::now());
            }
        }
        least
    }
}

/// A quotient; zero where there is nothing to divide by.
fn per(amount: f64, by: f64) -> f64 {
    if by > 0.0 { amount / by } else { 0.0 }
}
