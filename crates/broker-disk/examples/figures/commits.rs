//! Stored publishes, beside the disk's own syncs with the same groups. Both take turns, a second each, so that what else the machine does
//! is in both.
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fanfare_broker::{Appending, Broker};
use fanfare_broker_disk::DiskBroker;
use fanfare_protocol::ChannelName;

use crate::{
    Met, row,
    store::{Outcome, Syncs, fresh, message, names},
};

const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);
/// What a message of 128 bytes is in the log.
const BYTES: usize = 230;

/// Times, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn percent(&self, part: usize) -> Duration {
        self.0.get(self.0.len() * part / 100).copied().unwrap_or_default()
    }

    fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / self.0.len().max(1) as u32
    }
}

struct Measured {
    /// Messages a second.
    rate: f64,
    /// From a publish to its answer.
    took: Times,
    /// Messages that waited for a sync.
    group: f64,
    /// The log's own syncs.
    own: Times,
    /// The disk alone: messages a second in groups of as many, and its syncs, each with a write.
    alone: f64,
    syncs: Times,
}

/// One publisher, who waits for each answer.
pub fn one(root: &Path) -> Outcome<()> {
    let m = measure(root, 1, 1)?;
    let (p99, sync) = (m.took.percent(99), m.syncs.mean());
    row(
        "1 publisher: p99",
        "3 syncs",
        &format!("{p99:.2?} = {:.1} syncs; mean {:.2?}", ratio(p99, sync), m.took.mean()),
        &format!("{}; {}", told("a write and sync alone", &m.syncs), told("its own syncs", &m.own)),
        within(p99, sync, &m.syncs),
    );
    Ok(())
}

/// 64 publishers with so many messages on their way each.
pub fn many(root: &Path, window: usize) -> Outcome<()> {
    let m = measure(root, 64, window)?;
    row(
        &format!("64 publishers, {window} on its way each: stored/s"),
        "50,000, or 80 % of the disk",
        &format!("{:.0}, in groups of {:.0}", m.rate, m.group),
        &format!("the disk alone with such groups {:.0}/s: {:.0} %", m.alone, m.rate / m.alone * 100.0),
        (m.rate >= 50_000.0 || m.rate >= m.alone * 0.8).into(),
    );
    let (p99, mean) = (m.took.percent(99), m.took.mean());
    row(
        &format!("64 publishers, {window} on its way each: p99"),
        "3 means",
        &format!("{p99:.2?} = {:.1} means", ratio(p99, mean)),
        &format!("{}; {}", told("writes and syncs alone", &m.syncs), told("its own syncs", &m.own)),
        within(p99, mean, &m.syncs),
    );
    Ok(())
}

/// Whether a 99th percentile is within three times what it is measured by, and if not, whether that of the disk's own syncs is.
fn within(p99: Duration, of: Duration, syncs: &Times) -> Met {
    match p99 <= of * 3 {
        true => Met::Yes,
        false if syncs.percent(99) > syncs.mean() * 3 => Met::BeyondTheDisk,
        false => Met::No,
    }
}

fn told(what: &str, times: &Times) -> String {
    let (p99, mean) = (times.percent(99), times.mean());
    format!("{what}: mean {mean:.2?}, p99 {p99:.2?} = {:.1} means", ratio(p99, mean))
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn measure(root: &Path, publishers: usize, window: usize) -> Outcome<Measured> {
    let own_syncs = Syncs::default();
    let broker = Arc::new(own_syncs.open(&fresh(root, "commits")?)?);
    let channels = names(publishers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let (mut took, mut syncs, mut seconds, mut alone) = (Vec::new(), Vec::new(), 0.0, 0.0);
    let (mut messages, mut group) = (0, 1.0);
    let mut own = Vec::new();
    for _ in 0..TURNS {
        let (begun, before) = (Instant::now(), broker.counters().commits.get());
        let turn = runtime.block_on(publish(&broker, &channels, window))?;
        seconds += begun.elapsed().as_secs_f64();
        let now = turn.len() * window;
        group = now as f64 / (broker.counters().commits.get() - before).max(1) as f64;
        messages += now;
        took.extend(turn);
        own.extend(own_syncs.take());
        let by_itself = disk_alone(root, (group.round() as usize).max(1))?;
        alone += by_itself.len() as f64 * group.max(1.0);
        syncs.extend(by_itself);
    }
    let alone = alone / syncs.iter().sum::<Duration>().as_secs_f64();
    Ok(Measured {
        rate: messages as f64 / seconds,
        took: Times::of(took),
        group,
        own: Times::of(own),
        alone,
        syncs: Times::of(syncs),
    })
}

async fn publish(
    broker: &Arc<DiskBroker>,
    channels: &[ChannelName],
    window: usize,
) -> Outcome<Vec<Duration>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for channel in channels {
        let (broker, channel, stop) = (broker.clone(), channel.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while !stop.load(Relaxed) {
                let begun = Instant::now();
                let queued: Vec<Appending> = (0..window).map(|_| broker.append(message(&channel))).collect();
                for appending in queued {
                    appending.await?;
                }
                took.push(begun.elapsed());
            }
            Outcome::Ok(took)
        }));
    }
    tokio::time::sleep(TURN).await;
    stop.store(true, Relaxed);
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    Ok(took)
}

/// Writes and syncs of a file that grows by so many messages each time.
fn disk_alone(root: &Path, group: usize) -> Outcome<Vec<Duration>> {
    let path = root.join("alone");
    let mut file = File::create(&path)?;
    let bytes = vec![b'x'; group * BYTES];
    let (start, mut took) = (Instant::now(), Vec::new());
    while start.elapsed() < TURN {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(took)
}
