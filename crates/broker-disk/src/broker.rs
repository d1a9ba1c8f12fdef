//! The broker that keeps every channel's log on disk.
use std::{
    future::ready,
    io,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    thread::{self, JoinHandle},
};

use fanfare_broker::{
    Answer, Append, Appending, Bounds, Broker, ChannelInfo, Keyed, KeyedSlice, Lost, Policies, Read,
    ReadBack, Sink, Slice,
};
use fanfare_protocol::{ChannelName, Problem};
use parking_lot::Mutex;

use crate::{
    DiskSettings, OpenError, Opened,
    answer::answer,
    append::{self, ServerIds},
    channels::Channel,
    counters::{Counters, Usage},
    keeper::Keeper,
    open::{Store, open},
    pool::Pool,
    queue::{Pending, Queue, What},
    reads::{Reading, known_bounds, nothing, read_nothing},
    record::write_renew,
    segment,
    shared::Shared,
    spare::Spare,
    syncer::{self, Syncing},
    teller,
    writer::Writer,
};

/// A [`Broker`] in one directory.
///
/// Time is what its callers say: the latest of `Append::unix_ms` and `tick`. The sink is called from the broker's own threads
/// (for ephemeral messages: from the caller's), under the log's lock, and so in order and never concurrently for one channel.
/// Dropping it without [`Broker::stop`] writes what waits, and leaves the directory as a crash does.
pub struct DiskBroker {
    shared: Arc<Shared>,
    ids: ServerIds,
    pool: Pool,
    keeper: Arc<Keeper>,
    opened: Opened,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DiskBroker {
    /// Opens a directory, reading its whole log: what is damaged is known before anything is served.
    ///
    /// # Errors
    /// When another process has the directory, it is damaged elsewhere than at its end, or the system refuses.
    pub fn open(settings: DiskSettings, policies: Arc<dyn Policies>) -> Result<Self, OpenError> {
        let store = open(&settings, policies.as_ref(), false)?;
        Self::begin(settings, policies, store)
    }

    /// Opens a directory with a new segment, so that [`DiskBroker::squeeze_all`] reaches everything before it.
    pub(crate) fn open_anew(settings: DiskSettings, policies: Arc<dyn Policies>) -> Result<Self, OpenError> {
        let store = open(&settings, policies.as_ref(), true)?;
        Self::begin(settings, policies, store)
    }

    fn begin(settings: DiskSettings, policies: Arc<dyn Policies>, store: Store) -> Result<Self, OpenError> {
        let Store { directory, channels, opened, sealed, newest, active, newest_ms } = store;
        let io = |error: io::Error| OpenError::Io { path: settings.directory.clone(), error };
        let log_directory = directory.log();
        let spare = Spare::new(&settings);
        let shared = Arc::new(Shared {
            queue: Queue::new(settings.queue_bytes),
            store: directory,
            spare,
            directory: log_directory,
            policies,
            channels,
            dropping: Mutex::default(),
            sink: OnceLock::new(),
            now_ms: AtomicU64::new(newest_ms),
            counters: Arc::default(),
            sealed: Mutex::new(sealed.into_iter().map(|segment| (segment, newest_ms)).collect()),
            settings: settings.clone(),
        });
        let mut loose = Vec::new();
        for channel in active {
            let cx = shared.context(&channel.name);
            let mut log = channel.log.lock();
            shared.arm_sooner(&channel, &mut log, &cx);
            if log.loose {
                loose.push((log.number, channel.clone()));
            }
        }
        let syncing = Arc::new(Syncing::default());
        let writer = Writer::new(shared.clone(), syncing.clone(), newest, loose);
        let keeper = Arc::new(Keeper::default());
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run).map_err(io)
        };
        let of_syncer = shared.clone();
        let (of_keeper, kept) = (keeper.clone(), shared.clone());
        let mut threads = vec![spawn("log-writer", Box::new(move || writer.run()))?];
        let (of_teller, telling) = (shared.clone(), syncing.clone());
        threads.push(spawn("log-syncer", Box::new(move || syncer::run(&of_syncer, &syncing)))?);
        threads.push(spawn("log-teller", Box::new(move || teller::run(&of_teller, &telling.telling)))?);
        if let Some(every) = settings.keep_every {
            threads.push(spawn("log-keeper", Box::new(move || of_keeper.run(&kept, every)))?);
        }
        let pool = Pool::new(settings.readers.max(1), shared.counters.clone()).map_err(io)?;
        let threads = Mutex::new(threads);
        Ok(Self { shared, ids: ServerIds::new(), pool, keeper, opened, threads })
    }

    /// What was found in the directory.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The figures.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What the log takes on disk now, asked of the system.
    ///
    /// # Errors
    /// The system refuses.
    pub fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for (_, path) in segment::list(&self.shared.directory)? {
            // A segment may go between the two looks.
            if let Ok(file) = std::fs::metadata(path) {
                usage.segments += 1;
                usage.bytes += file.len();
            }
        }
        Ok(usage)
    }

    /// Lets go on disk of what retention no longer needs, now; the broker does it by itself every so often.
    pub fn keep(&self) {
        self.keeper.pass(&self.shared, false);
    }

    /// The same, however little it frees.
    pub(crate) fn squeeze_all(&self) {
        self.keeper.pass(&self.shared, true);
    }

    /// Has a channel read by the pool, or says that there is none.
    fn read_with<'a, T: Send + 'static, R: Future<Output = Result<T, Problem>> + Send + 'static>(
        &'a self,
        name: &ChannelName,
        none: impl FnOnce(Bounds) -> T,
        read: impl FnOnce(Arc<Shared>, Arc<Channel>) -> R,
    ) -> Answer<'a, Result<T, Problem>> {
        match self.shared.channels.find(name) {
            Some(channel) => self.pool.run(read(self.shared.clone(), channel)),
            None => Box::pin(ready(Ok(none(nothing(self.shared.channels.epoch()))))),
        }
    }
}

impl Broker for DiskBroker {
    fn start(&self, sink: Arc<dyn Sink>) {
        // Named once, as the trait says; a second call changes nothing.
        let _ = self.shared.sink.set(sink);
    }

    fn append(&self, append: Append) -> Appending {
        append::append(&self.shared, &self.ids, append)
    }

    fn bounds<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<Bounds, Problem>> {
        if let Some(found) = self.shared.channels.find(channel) {
            let cx = self.shared.context(channel);
            if let Some(bounds) = known_bounds(&mut found.log.lock(), &cx) {
                return Box::pin(ready(Ok(bounds)));
            }
        }
        self.read_with(
            channel,
            |bounds| bounds,
            move |shared, found| async move { Reading::new(&shared, &found).bounds().await },
        )
    }

    fn read<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Read,
    ) -> Answer<'a, Result<Result<Slice, Lost>, Problem>> {
        let none = |bounds| read_nothing(bounds, read.after);
        self.read_with(channel, none, move |shared, found| async move {
            Reading::new(&shared, &found).read(&read).await
        })
    }

    fn read_back<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: ReadBack,
    ) -> Answer<'a, Result<Slice, Problem>> {
        let none = |bounds| Slice { messages: Vec::new(), bounds };
        self.read_with(channel, none, move |shared, found| async move {
            Reading::new(&shared, &found).read_back(&read).await
        })
    }

    fn read_keyed<'a>(
        &'a self,
        channel: &'a ChannelName,
        read: Keyed,
    ) -> Answer<'a, Result<KeyedSlice, Problem>> {
        let none = |bounds| KeyedSlice { messages: Vec::new(), next: read.until, bounds };
        self.read_with(channel, none, move |shared, found| async move {
            Reading::new(&shared, &found).read_keyed(&read).await
        })
    }

    fn renew<'a>(
        &'a self,
        channel: &'a ChannelName,
        keys: &'a [Arc<str>],
        ttl_ms: u64,
    ) -> Answer<'a, Result<Vec<Arc<str>>, Problem>> {
        let Some(found) = self.shared.channels.find(channel) else {
            return Box::pin(ready(Ok(keys.to_vec())));
        };
        Box::pin(ready(renew(&self.shared, &found, keys, ttl_ms)))
    }

    fn interest<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<(), Problem>> {
        loop {
            let found = self.shared.channels.find_or_make(channel);
            let mut log = found.log.lock();
            if !log.closed {
                log.interested = true;
                return Box::pin(ready(Ok(())));
            }
        }
    }

    fn disinterest(&self, channel: &ChannelName) {
        let Some(found) = self.shared.channels.find(channel) else { return };
        found.log.lock().interested = false;
        self.shared.channels.may_be_idle();
        self.shared.channels.settle(&found);
    }

    /// The broker's own threads hand every commit on.
    fn delivers_all(&self) -> bool {
        true
    }

    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ChannelInfo>, Problem>> {
        let listed = self.shared.channels.list(prefix, after, limit);
        let shared = self.shared.clone();
        self.pool.run(async move {
            let mut infos = Vec::with_capacity(listed.len());
            for channel in &listed {
                let bounds = Reading::new(&shared, channel).bounds().await?;
                infos.push(ChannelInfo { channel: channel.name.clone(), bounds });
            }
            Ok(infos)
        })
    }

    fn tick(&self, unix_ms: u64) {
        self.shared.see(unix_ms);
        self.shared.queue.tell_all();
        let now_ms = self.shared.now_ms();
        loop {
            let due = self.shared.channels.due(now_ms);
            if due.is_empty() {
                break;
            }
            due.iter().for_each(|channel| append::maintain(&self.shared, &self.ids, channel));
        }
    }

    fn stop<'a>(&'a self) -> Answer<'a, Result<(), Problem>> {
        let (reply, awaited) = answer();
        let pending = Pending {
            channel: None,
            what: What::Stop(reply),
            answer_at_sync: true,
            reply: None,
            synced: None,
        };
        let queued = self.shared.queue.push(pending);
        self.keeper.stop();
        Box::pin(async move {
            match queued {
                Ok(()) => awaited.await.unwrap_or(Ok(())),
                // Stopped before.
                Err(problem) if problem.code == fanfare_protocol::Code::Draining => Ok(()),
                Err(problem) => Err(problem),
            }
        })
    }
}

impl Drop for DiskBroker {
    fn drop(&mut self) {
        self.keeper.stop();
        self.shared.queue.close();
        let (threads, current) = (std::mem::take(&mut *self.threads.lock()), thread::current().id());
        // The sink may hold the last reference and be let go of by one of them: then they end by themselves.
        if threads.iter().all(|thread| thread.thread().id() != current) {
            for thread in threads {
                let _ = thread.join();
            }
        }
    }
}

fn renew(
    shared: &Shared,
    channel: &Arc<Channel>,
    names: &[Arc<str>],
    ttl_ms: u64,
) -> Result<Vec<Arc<str>>, Problem> {
    let cx = shared.context(&channel.name);
    let mut log = channel.log.lock();
    crate::reads::follow(&mut log, &cx)?;
    let Some(keys) = &mut log.keys else { return Ok(names.to_vec()) };
    let expires_ms = cx.now_ms.saturating_add(ttl_ms);
    let mut missing = Vec::new();
    let mut renewed = Vec::new();
    for name in names {
        if !keys.renew(name, expires_ms) {
            missing.push(name.clone());
        } else if keys.expires_ms(name) == Some(expires_ms) {
            renewed.push((&**name, expires_ms));
        }
    }
    if !renewed.is_empty() {
        let what = What::Renew(write_renew(renewed.into_iter()));
        let channel = Some(channel.clone());
        // Leases are renewed again and again: one that is not written ends a little early after a crash.
        let pending = Pending { channel, what, answer_at_sync: false, reply: None, synced: None };
        let _ = shared.queue.push(pending);
    }
    Ok(missing)
}
