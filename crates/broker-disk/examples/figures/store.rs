//! A store to measure, and the machine's own figures.
use std::{
    error::Error,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fanfare_broker::{Append, Author, Broker, ChannelPolicy, Policies, Sink};
use fanfare_broker_disk::{DiskBroker, DiskSettings, Doing, Fault, Witness};
use fanfare_protocol::{Ack, ChannelName, Data, Epoch, Message, Publish};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Stored;

impl Policies for Stored {
    fn policy(&self, _: &ChannelName) -> ChannelPolicy {
        ChannelPolicy { size: u64::MAX, bytes: u64::MAX, ack: Ack::Stored, ..ChannelPolicy::default() }
    }
}

struct Nobody;

impl Sink for Nobody {
    fn deliver(&self, _: &ChannelName, _: &[Arc<Message>]) {}
    fn reset(&self, _: &ChannelName, _: Epoch) {}
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

pub fn open(directory: &Path) -> Outcome<DiskBroker> {
    open_with(DiskSettings::new(directory))
}

fn open_with(settings: DiskSettings) -> Outcome<DiskBroker> {
    let broker = DiskBroker::open(settings, Arc::new(Stored))?;
    broker.start(Arc::new(Nobody));
    Ok(broker)
}

/// How long each sync of a store took.
#[derive(Clone, Default)]
pub struct Syncs(Arc<Mutex<(Option<Instant>, Vec<Duration>)>>);

impl Syncs {
    /// A store whose syncs are timed.
    pub fn open(&self, directory: &Path) -> Outcome<DiskBroker> {
        let (before, after) = (self.clone(), self.clone());
        let begin = move |_: &Path, doing| {
            if doing == Doing::Sync {
                before.with(|times| times.0 = Some(Instant::now()));
            }
            Ok(())
        };
        let end = move |_, _| after.with(|times| times.1.extend(times.0.take().map(|begun| begun.elapsed())));
        open_with(DiskSettings {
            fault: Some(Fault(Arc::new(begin))),
            witness: Some(Witness(Arc::new(end))),
            ..DiskSettings::new(directory)
        })
    }

    /// Those since the last time.
    pub fn take(&self) -> Vec<Duration> {
        self.with(|times| std::mem::take(&mut times.1))
    }

    fn with<T>(&self, f: impl FnOnce(&mut (Option<Instant>, Vec<Duration>)) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub fn fresh(root: &Path, name: &str) -> Outcome<PathBuf> {
    let directory = root.join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

pub fn names(count: usize) -> Outcome<Vec<ChannelName>> {
    (0..count).map(|n| Ok(ChannelName::parse(&format!("room:{n}"))?)).collect()
}

/// A message of 128 bytes.
pub fn message(channel: &ChannelName) -> Append {
    let data = Bytes::from(format!("\"{}\"", "x".repeat(126)));
    let publish = Publish::new(channel.clone(), Data::Json(data));
    Append { publish, author: Author::default(), unix_ms: 1_760_000_000_000 }
}

/// So many messages, to the channels in turn, in groups of so many.
pub fn fill(broker: &DiskBroker, channels: &[ChannelName], count: usize, group: usize) -> Outcome<()> {
    let mut queued = Vec::with_capacity(group);
    for n in 0..count {
        queued.push(broker.append(message(channels.get(n % channels.len()).ok_or("no channels")?)));
        if queued.len() == group || n + 1 == count {
            for appending in queued.drain(..) {
                wait(appending)?;
            }
        }
    }
    Ok(())
}

/// Seconds of CPU that this process has used.
pub fn cpu() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit_once(')').ok_or("no name")?.1;
    let ticks: Vec<f64> =
        after.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Bytes of memory in use.
pub fn memory() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? * 1024)
}
