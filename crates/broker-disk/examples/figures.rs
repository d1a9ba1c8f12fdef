//! The log's figures on this machine's disk: `cargo run --release -p fanfare-broker-disk --example figures -- DIRECTORY [WHAT]`.
//!
//! WHAT is `commits` (stored publishes a second, beside what the disk's own sync allows with the same batches), `read` (messages
//! read back a second); both if absent. Memory and start are those of a process that has just begun, so they are filled first:
//! `fill-many`, then `many` (a million channels); `fill-start`, then `start` (a gigabyte of log).
use std::{
    error::Error,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fanfare_broker::{Append, Appending, Author, Bound, Broker, ChannelPolicy, Policies, Read, Sink};
use fanfare_broker_disk::{DiskBroker, DiskSettings};
use fanfare_protocol::{Ack, ChannelName, Data, Epoch, EventName, Message, Position, Publish};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// As the hub has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECONDS: u64 = 3;

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

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn open(directory: &Path) -> Outcome<DiskBroker> {
    let broker = DiskBroker::open(DiskSettings::new(directory), Arc::new(Stored))?;
    broker.start(Arc::new(Nobody));
    Ok(broker)
}

fn message(channel: &ChannelName) -> Append {
    let data = Bytes::from(format!("\"{}\"", "x".repeat(126)));
    let publish = Publish {
        channel: channel.clone(),
        event: EventName::default(),
        data: Data::Json(data),
        key: None,
        id: None,
        tags: Arc::new([]),
        ephemeral: false,
        ack: None,
        ttl_ms: None,
        condition: None,
        client: None,
    };
    Append { publish, author: Author::default(), unix_ms: 1_760_000_000_000 }
}

fn name(text: &str) -> Outcome<ChannelName> {
    Ok(ChannelName::parse(text)?)
}

fn fresh(root: &Path, name: &str) -> Outcome<PathBuf> {
    let directory = root.join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Syncs a second of a file that grows by `batch` messages each time, the median sync and its 99th percentile.
fn disk_alone(root: &Path, batch: usize) -> Outcome<(f64, Duration, Duration)> {
    let path = root.join("alone");
    let mut file = File::create(&path)?;
    let bytes = vec![b'x'; batch * 230];
    let (start, mut took) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    std::fs::remove_file(&path)?;
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    Ok((took.len() as f64 / start.elapsed().as_secs_f64(), at(50), at(99)))
}

/// So many publishers, each a task with `window` messages on their way.
fn commits(root: &Path, publishers: usize, window: usize) -> Outcome<()> {
    let directory = fresh(root, "commits")?;
    let broker = Arc::new(open(&directory)?);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let start = Instant::now();
    let mut took = runtime.block_on(async {
        let mut tasks = Vec::new();
        for n in 0..publishers {
            let (broker, stop, count) = (broker.clone(), stop.clone(), count.clone());
            tasks.push(tokio::spawn(async move { publisher(&broker, n, window, &stop, &count).await }));
        }
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        stop.store(true, Relaxed);
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await??);
        }
        Outcome::Ok(took)
    })?;
    let rate = count.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    let mean = took.iter().sum::<Duration>() / took.len().max(1) as u32;
    let commits = &broker.counters().commits;
    let (group, syncs) = (rate * start.elapsed().as_secs_f64() / commits.get() as f64, commits.get());
    let (alone, sync, slow) = disk_alone(root, (group as usize).max(1))?;
    println!(
        "{publishers:>3} publishers x {window:>3}: {rate:>8.0} stored/s, mean {mean:.1?}, p50 {:.1?}, p99 {:.1?}; {syncs} syncs of {group:.0}",
        at(50),
        at(99),
    );
    println!(
        "     the disk alone with such groups: {:>8.0}/s, a sync {sync:.1?}, p99 {slow:.1?}",
        alone * group.max(1.0)
    );
    Ok(())
}

async fn publisher(
    broker: &DiskBroker,
    n: usize,
    window: usize,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Outcome<Vec<Duration>> {
    let channel = name(&format!("bench:{n}"))?;
    let mut took = Vec::new();
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let queued: Vec<Appending> = (0..window).map(|_| broker.append(message(&channel))).collect();
        for appending in queued {
            appending.await?;
        }
        took.push(begun.elapsed());
        count.fetch_add(window as u64, Relaxed);
    }
    Ok(took)
}

fn write_many(broker: &DiskBroker, channels: &[ChannelName], count: usize) -> Outcome<()> {
    let mut queued = Vec::with_capacity(8192);
    for n in 0..count {
        let channel = channels.get(n % channels.len()).ok_or("no channels")?;
        queued.push(broker.append(message(channel)));
        if queued.len() == 8192 {
            for appending in queued.drain(..) {
                wait(appending)?;
            }
        }
    }
    for appending in queued {
        wait(appending)?;
    }
    Ok(())
}

fn read(root: &Path) -> Outcome<()> {
    for channels in [1, 50] {
        let directory = fresh(root, "read")?;
        let broker = open(&directory)?;
        let names = (0..channels).map(|n| name(&format!("bench:{n}"))).collect::<Outcome<Vec<_>>>()?;
        write_many(&broker, &names, 500_000)?;
        let first = names.first().ok_or("no channels")?;
        let begun = Instant::now();
        let bounds = wait(broker.bounds(first))?;
        let bounds_took = begun.elapsed();
        let (begun, cpu, mut messages) = (Instant::now(), cpu()?, 0);
        for channel in &names {
            let bounds = wait(broker.bounds(channel))?;
            let mut after = Position { epoch: bounds.epoch, offset: 0 };
            while after.offset < bounds.head {
                let read = Read { after, limit: 1000, bytes: 64 << 10, bound: Bound::Held };
                let slice = wait(broker.read(channel, read))?.map_err(|lost| format!("{lost:?}"))?;
                messages += slice.messages.len();
                after = slice.messages.last().ok_or("nothing came")?.position();
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "read back, {channels} channels: {:.0} messages/s, {:.0} a second of CPU (first bounds of {} messages: {bounds_took:.1?})",
            messages as f64 / seconds,
            messages as f64 / (self::cpu()? - cpu),
            bounds.head
        );
    }
    Ok(())
}

/// Seconds of CPU that this process has used.
fn cpu() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit_once(')').ok_or("no name")?.1;
    let ticks: Vec<f64> =
        after.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Kilobytes of memory in use.
fn memory_kb() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn start(directory: &Path) -> Outcome<()> {
    let (before, begun, used) = (memory_kb()?, Instant::now(), cpu()?);
    let broker = open(directory)?;
    let (took, used) = (begun.elapsed(), cpu()? - used);
    let opened = broker.opened();
    println!(
        "start with {} channels, {} messages: {took:.2?}, {used:.2} s of CPU",
        opened.channels, opened.messages
    );
    let grown = |when: &str| -> Outcome<()> {
        let grown = memory_kb()?.saturating_sub(before) * 1024;
        let each = grown / opened.channels.max(1) as u64;
        println!("     {when}: {} MB more memory, {each} B a channel", grown >> 20);
        Ok(())
    };
    grown("at once")?;
    // What the start needed and let go is given back bit by bit, as memory is asked for again.
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(100));
        write_many(&broker, &[name("room:1")?], 100)?;
    }
    grown("a little later")
}

fn fill(directory: &Path, channels: usize, messages: usize) -> Outcome<()> {
    let broker = open(directory)?;
    let names = (0..channels).map(|n| name(&format!("room:{n}"))).collect::<Outcome<Vec<_>>>()?;
    write_many(&broker, &names, messages)
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("name a directory to write in")?);
    let what = arguments.next();
    let asked = |part: &str| what.as_deref().is_none_or(|what| what == part);
    if asked("commits") {
        for (publishers, window) in [(1, 1), (64, 1), (64, 16), (64, 64)] {
            commits(&root, publishers, window)?;
        }
    }
    if asked("read") {
        read(&root)?;
    }
    // The memory of a process that has just begun: filled by one, opened by another.
    match what.as_deref() {
        Some("fill-many") => fill(&fresh(&root, "many")?, 1_000_000, 1_000_000)?,
        Some("many") => start(&root.join("many"))?,
        Some("fill-start") => fill(&fresh(&root, "start")?, 1000, 4_500_000)?,
        Some("start") => start(&root.join("start"))?,
        _ => {}
    }
    Ok(())
}
