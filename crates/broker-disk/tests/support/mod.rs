//! A broker in a directory that outlives it.
#![allow(dead_code, reason = "each test file uses some of it")]
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use fanfare_broker::{
    Append, Author, Bound, Bounds, Broker, ChannelPolicy, Keyed, Policies, Read,
    contract::{
        PolicyTable, Recorder,
        harness::{channel, publish, texts},
    },
};
use fanfare_broker_disk::{DiskBroker, DiskSettings, Doing, Fault, OpenError, Witness};
use fanfare_protocol::{Ack, ChannelName, Code, Position, Problem, Publish, event::Published};
use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata,
    span::{Attributes, Id, Record},
};

pub const START_MS: u64 = 1_760_000_000_000;

/// Everything is kept; namespace `m` is seen before it is synced, `k` and internal names are keyed.
pub struct ByNamespace;

impl Policies for ByNamespace {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        let (ack, keyed) = match channel.namespace() {
            Some("m") => (Ack::Memory, false),
            Some("k") => (Ack::Stored, true),
            _ if channel.is_internal() => (Ack::Stored, true),
            _ => (Ack::Stored, false),
        };
        ChannelPolicy { size: u64::MAX, ttl_ms: u64::MAX, bytes: u64::MAX, keyed, ack }
    }
}

pub fn settings(directory: &Path) -> DiskSettings {
    DiskSettings { keep_every: None, ..DiskSettings::new(directory) }
}

pub fn open(directory: &Path) -> DiskBroker {
    try_open(settings(directory)).unwrap()
}

pub fn try_open(settings: DiskSettings) -> Result<DiskBroker, OpenError> {
    started(settings, Arc::new(ByNamespace))
}

pub fn started(settings: DiskSettings, policies: Arc<dyn Policies>) -> Result<DiskBroker, OpenError> {
    let broker = DiskBroker::open(settings, policies)?;
    broker.start(Arc::new(Recorder::default()));
    Ok(broker)
}

pub fn table() -> Arc<PolicyTable> {
    Arc::new(PolicyTable::default())
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), future).await.expect("answered within 30 s")
    })
}

pub fn try_append(broker: &DiskBroker, publish: Publish, unix_ms: u64) -> Result<Published, Problem> {
    wait(broker.append(Append { publish, author: Author::default(), unix_ms }))
}

pub fn append(broker: &DiskBroker, publish: Publish) -> Position {
    try_append(broker, publish, START_MS).unwrap().position.unwrap()
}

pub fn append_text(broker: &DiskBroker, name: &str, data: &str) -> Position {
    append(broker, publish(&channel(name), data))
}

pub fn bounds(broker: &DiskBroker, name: &str) -> Bounds {
    wait(broker.bounds(&channel(name))).unwrap()
}

/// Everything that is held, as texts.
pub fn held(broker: &DiskBroker, name: &str) -> Vec<String> {
    let name = channel(name);
    let bounds = wait(broker.bounds(&name)).unwrap();
    let after = Position { epoch: bounds.epoch, offset: bounds.held - 1 };
    let read = Read { after, limit: usize::MAX, bytes: usize::MAX, bound: Bound::Held };
    texts(&wait(broker.read(&name, read)).unwrap().unwrap().messages)
}

/// The newest per key, tombstones left out, as texts.
pub fn snapshot(broker: &DiskBroker, name: &str) -> Vec<String> {
    let name = channel(name);
    let head = wait(broker.bounds(&name)).unwrap().head;
    let read = Keyed { after: 0, until: head, tombstones_after: head, limit: usize::MAX, bytes: usize::MAX };
    texts(&wait(broker.read_keyed(&name, read)).unwrap().messages)
}

pub fn stop(broker: DiskBroker) {
    wait(broker.stop()).unwrap();
}

/// The segments, oldest first.
pub fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("log")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Flips a bit of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// The last place where some text stands in a file.
pub fn find(path: &Path, text: &str) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let found = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
    found.unwrap_or_else(|| panic!("{text} is not in {}", path.display()))
}

/// Publishes until it is taken: for 20 seconds.
pub fn until_taken(broker: &DiskBroker, publish: Publish, unix_ms: u64) -> Position {
    let begun = Instant::now();
    loop {
        match try_append(broker, publish.clone(), unix_ms) {
            Ok(published) => return published.position.unwrap(),
            Err(problem) if begun.elapsed() > Duration::from_secs(20) => panic!("{problem}"),
            Err(problem) => assert_eq!(problem.code, Code::Unavailable, "{problem}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Counts what this process tells its operator: errors and warnings, and the rest.
#[derive(Clone, Default)]
pub struct Told(Arc<(AtomicUsize, AtomicUsize)>);

impl Told {
    /// Listens to the whole process from now on.
    pub fn listen() -> Self {
        let told = Self::default();
        tracing::subscriber::set_global_default(told.clone()).unwrap();
        told
    }

    /// Errors and warnings, and what else is said to everybody.
    pub fn so_far(&self) -> (usize, usize) {
        (self.0.0.load(SeqCst), self.0.1.load(SeqCst))
    }
}

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let bad = *event.metadata().level() <= Level::WARN;
        let count = if bad { &self.0.0 } else { &self.0.1 };
        count.fetch_add(1, SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A disk whose syncs fail while it is said so, forgetting what was not synced.
#[derive(Clone, Default)]
pub struct Disk {
    pub fails: Arc<AtomicBool>,
    /// The next failure forgets.
    pub forgets: Arc<AtomicBool>,
    pub failures: Arc<AtomicUsize>,
    /// By file; of others nothing but the header is synced.
    synced: Arc<Mutex<HashMap<PathBuf, u64>>>,
}

impl Disk {
    pub fn over(&self, settings: DiskSettings) -> DiskSettings {
        let (disk, synced, log) = (self.clone(), self.synced.clone(), settings.directory.join("log"));
        if log.exists() {
            // What a broker finds is synced.
            let found = segments(&settings.directory);
            *synced.lock() =
                found.iter().map(|path| (path.clone(), path.metadata().unwrap().len())).collect();
        }
        DiskSettings {
            witness: Some(Witness(Arc::new(move |segment, len| {
                synced.lock().insert(log.join(format!("{segment:010}.log")), len);
            }))),
            fault: Some(Fault(Arc::new(move |path, doing| disk.sync(path, doing)))),
            ..settings
        }
    }

    fn sync(&self, path: &Path, doing: Doing) -> io::Result<()> {
        if doing != Doing::Sync || !self.fails.load(SeqCst) {
            return Ok(());
        }
        self.failures.fetch_add(1, SeqCst);
        if self.forgets.swap(false, SeqCst) {
            let mut bytes = std::fs::read(path)?;
            let synced = self.synced.lock().get(path).copied().unwrap_or(16);
            bytes[synced as usize..].fill(0);
            std::fs::write(path, bytes)?;
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}
