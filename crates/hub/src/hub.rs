//! The hub: channels, connections, and the broker's deliveries.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use fanfare_broker::{Broker, Budget, Policies, Sink};
use fanfare_protocol::{ChannelName, ClientId, Epoch, Message, Problem};

use crate::{
    channel::{Channel, Taken},
    clock::unix_ms,
    connection::{Connection, Socket},
    counters::Counters,
    directory::Directory,
    form::Form,
    presence::Memberships,
    registry::Registry,
    roster::Roster,
    round::Round,
    wheel::Wheel,
};

/// What a namespace does with a reader that fell off the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slow {
    /// Close the connection; it can resume.
    Close,
    /// Go on with the newest per key (keyed namespaces; others like `Skip`).
    Conflate,
    /// Tell the gap and go on with what is left.
    Skip,
}

/// Configuration as the hub sees it; asked anew each time, so that a reload takes effect at once. Times in milliseconds.
pub trait HubRules: Policies {
    /// What happens to a reader of this channel that fell off the log.
    fn slow(&self, channel: &ChannelName) -> Slow;
    /// Newest messages of a channel kept in memory, in bytes.
    fn tail_bytes(&self) -> usize;
    /// How long a lost WebSocket's memberships last.
    fn presence_grace_ms(&self) -> u64;
    /// How long a membership lasts that nobody renews.
    fn presence_lease_ms(&self) -> u64;
    /// Members that one channel may have.
    fn members_per_channel(&self) -> usize {
        usize::MAX
    }
    /// Channels that one client may enter without a connection of its own, which is over HTTP.
    fn memberships_per_client(&self) -> usize {
        usize::MAX
    }
}

/// Starts a task that steps rounds. A runtime's `spawn` in the product; tests step rounds by hand.
pub type Spawn = Box<dyn Fn(Round) + Send + Sync>;

/// One node's hub.
pub struct Hub {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) rules: Arc<dyn HubRules>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) registry: Registry,
    pub(crate) counters: Arc<Counters>,
    pub(crate) directory: Directory,
    pub(crate) memberships: Memberships,
    pub(crate) wheel: Wheel,
    pub(crate) spawn: Spawn,
    next_connection: AtomicU64,
}

impl Hub {
    /// A hub over a broker, which it starts.
    pub fn new(
        broker: Arc<dyn Broker>,
        rules: Arc<dyn HubRules>,
        budget: Arc<Budget>,
        spawn: Spawn,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            broker: broker.clone(),
            rules,
            counters: Arc::new(Counters::new(budget.clone())),
            memberships: Memberships::new(budget.clone()),
            budget,
            registry: Registry::default(),
            directory: Directory::default(),
            wheel: Wheel::default(),
            spawn,
            next_connection: AtomicU64::new(1),
        });
        broker.start(Arc::new(Deliveries(Arc::downgrade(&hub))));
        hub
    }

    /// The node's figures.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Who is connected.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The timer wheel that wakes connections.
    pub fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// The broker behind the channels.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Memory of tails, memory history and partial input.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// How many channels this node reads.
    pub fn channels_read(&self) -> usize {
        self.registry.len()
    }

    /// A number that no connection of this node has.
    pub fn number(&self) -> u64 {
        self.next_connection.fetch_add(1, Relaxed)
    }

    /// A connection that writes `form` to `socket`.
    pub fn connect(&self, form: Form, client: ClientId, socket: Box<dyn Socket>) -> Arc<Connection> {
        let id = self.number();
        self.counters.connections.inc();
        Connection::new(id, form, client, socket, self.counters.clone())
    }

    /// Ends a connection: its readers are gone, its memberships begin their grace.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        for (key, reader) in connection.remove_all() {
            self.detach(connection, key, &reader);
        }
        self.counters.connections.dec();
        self.directory.remove(connection.id);
        self.wheel.forget(connection);
        self.memberships.lost(connection.id, connection.client, unix_ms());
    }

    pub(crate) fn detach(
        &self,
        connection: &Connection,
        key: crate::reader::ReaderKey,
        reader: &crate::reader::Reader,
    ) {
        if reader.kind == crate::reader::Kind::Messages {
            self.counters.subscriptions.dec();
        }
        let freed = reader.channel.lock().detach(&reader.shard, connection, key);
        self.count_tail(-(freed as isize));
        // A publisher may have waited for this shard alone.
        reader.channel.room.notify_waiters();
    }

    /// The channel with interest confirmed and its head known. Its `joining` was raised: the caller lowers it ([`Joined`] does).
    pub(crate) async fn join(&self, name: &ChannelName) -> Result<Joined, Problem> {
        let joined = Joined(self.registry.join(name));
        let channel = &joined.0;
        channel
            .ready
            .get_or_try_init(async || {
                self.broker.interest(name).await?;
                let bounds = self.broker.bounds(name).await?;
                let roster = match name.strip_prefix("$presence:") {
                    Some(of) => Some(Box::new(self.load_roster(name, of, bounds).await?)),
                    None => None,
                };
                let taken = {
                    let mut state = channel.lock();
                    state.roster = roster;
                    state.open(bounds.epoch, bounds.head, self.tail_limit())
                };
                self.follow_up(channel, taken);
                Ok::<_, Problem>(())
            })
            .await?;
        Ok(joined)
    }

    async fn load_roster(
        &self,
        name: &ChannelName,
        of: &str,
        bounds: fanfare_broker::Bounds,
    ) -> Result<Roster, Problem> {
        let mut roster = Roster::new(ChannelName::parse(of)?, bounds.head);
        let mut after = 0;
        while after < bounds.head {
            let read = fanfare_broker::Keyed {
                after,
                until: bounds.head,
                tombstones_after: bounds.head,
                limit: 1000,
                bytes: 1 << 20,
            };
            let slice = self.broker.read_keyed(name, read).await?;
            for message in &slice.messages {
                roster.apply(message);
            }
            after = slice.next;
        }
        Ok(roster)
    }

    /// Bytes that a tail may hold now: little when memory runs out, since the broker has it all.
    pub(crate) fn tail_limit(&self) -> usize {
        let short = self.budget.used() > self.budget.limit() / 10 * 9;
        if short { self.rules.tail_bytes().min(64 << 10) } else { self.rules.tail_bytes() }
    }

    pub(crate) fn follow_up(&self, channel: &Arc<Channel>, taken: Taken) {
        self.count_tail(taken.grown);
        taken.wake.into_iter().for_each(Waker::wake);
        for shard in taken.kick {
            self.schedule(Round::new(channel.clone(), shard, self.counters.clone()));
        }
        channel.watch.notify_waiters();
    }

    pub(crate) fn count_tail(&self, grown: isize) {
        self.counters.grow_tail(grown);
    }

    /// Closes the channels that nobody has counted on for a while. Called once a second.
    pub async fn sweep(&self) {
        const LINGER_SWEEPS: u32 = 30;
        for channel in self.registry.all() {
            // Without history the tail is all there is.
            let has_history = self.rules.policy(&channel.name).size > 0;
            let (idle, freed) = {
                let mut state = channel.lock();
                state.idle_sweeps = if state.is_idle() { state.idle_sweeps + 1 } else { 0 };
                state.quiet_sweeps = state.quiet_sweeps.saturating_add(1);
                let quiet = has_history && state.quiet_sweeps == LINGER_SWEEPS;
                let freed = if quiet { state.drop_tail() } else { 0 };
                let pruned = if state.quiet_sweeps == 2 { state.prune_newest() } else { 0 };
                (state.idle_sweeps >= LINGER_SWEEPS, freed + pruned)
            };
            self.count_tail(-(freed as isize));
            if idle && self.registry.remove_idle(&channel) {
                let held = channel.lock().tail.as_mut().map_or(0, |tail| {
                    let held = tail.held();
                    tail.trim(0);
                    held - tail.held()
                });
                self.count_tail(-(held as isize));
                self.broker.disinterest(&channel.name);
                // Somebody may have come back meanwhile, and have confirmed the interest that was just ended.
                if self.registry.get(&channel.name).is_some()
                    && self.broker.interest(&channel.name).await.is_ok()
                    && let Ok(again) = self.join(&channel.name).await
                {
                    self.repair(&again.0).await;
                }
            }
        }
    }
}

/// A channel that cannot be removed while this is held.
pub(crate) struct Joined(pub Arc<Channel>);

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.lock().joining -= 1;
    }
}

/// Where the broker hands what was committed.
struct Deliveries(std::sync::Weak<Hub>);

impl Sink for Deliveries {
    fn deliver(&self, channel: &ChannelName, messages: &[Arc<Message>]) {
        let Some(hub) = self.0.upgrade() else { return };
        let Some(channel) = hub.registry.get(channel) else { return };
        let limit = hub.tail_limit();
        let taken = channel.lock().take(messages, limit);
        hub.follow_up(&channel, taken);
    }

    fn reset(&self, channel: &ChannelName, epoch: Epoch) {
        let Some(hub) = self.0.upgrade() else { return };
        let Some(channel) = hub.registry.get(channel) else { return };
        let (taken, shards) = {
            let mut state = channel.lock();
            let Some(held) = state.tail.as_ref().map(|tail| tail.held() as isize) else {
                // The head is being asked for.
                state.early.clear();
                state.reset_to = Some(epoch);
                return;
            };
            if let Some(roster) = &mut state.roster {
                roster.clear();
            }
            let mut taken = state.open(epoch, 0, hub.tail_limit());
            taken.grown -= held;
            (taken, state.shards.clone())
        };
        for shard in shards {
            let readers = {
                let mut state = shard.state.lock();
                state.stand(crate::place::Place::default(), 0);
                state.readers()
            };
            for entry in readers.iter() {
                entry.connection.fall_behind(entry.key, true);
            }
        }
        hub.follow_up(&channel, taken);
        // What publishers waited for is gone.
        channel.room.notify_waiters();
    }
}
