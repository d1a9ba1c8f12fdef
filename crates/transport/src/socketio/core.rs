//! One client in one namespace, beyond the connection that it has at the moment: what it reads, what it has not answered, and what was sent to it in
//! which order. It outlives its connection for as long as the client may come back.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fanfare_dialect_socketio::{
    Layout, Offset,
    ring::{Resumed, Ring},
};
use fanfare_hub::{Connection, Hub};
use fanfare_protocol::{
    Args, ChannelName, ClientId, Data, Position, Problem, SessionId, Start, SubscribeOptions,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    few::Few,
    record,
    sessions::{Handle, Told},
};

/// Events of the server's that one client may leave unanswered.
pub(super) const UNANSWERED: usize = 1024;
/// How often those who did not come back are forgotten.
const SWEEP: Duration = Duration::from_secs(5);

/// How a channel is read.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub layout: Layout,
    pub options: SubscribeOptions,
}

impl Room {
    /// A room of a handler's: what the client caused is not for it.
    pub fn joined() -> Self {
        let options = SubscribeOptions { echo: false, ..SubscribeOptions::default() };
        Self { layout: Layout::Rooms, options }
    }
}

/// Where the reading of a channel goes on.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub channel: ChannelName,
    pub room: Room,
    pub at: Position,
    /// Else it is right only when nothing follows it.
    pub is_certain: bool,
}

/// An event that the client has not answered.
struct Request {
    /// The array of its name and arguments.
    array: Vec<u8>,
    done: oneshot::Sender<Args>,
}

/// The connection that a client has at the moment.
struct Live {
    handle: Weak<Handle>,
    connections: Vec<Arc<Connection>>,
}

#[derive(Default)]
struct Kept {
    /// Who may serve the client: the connection that came last.
    turn: u64,
    /// What that connection sends. One that was superseded keeps its own, which nobody reads.
    ring: Arc<Mutex<Ring>>,
    /// What handlers joined.
    joined: Few<Room>,
    /// What the client subscribed to.
    subscribed: Few<Room>,
    entered: Few<Data>,
    requests: BTreeMap<u64, Request>,
    last_request: u64,
    live: Option<Live>,
    gone_at: Option<Instant>,
    /// A channel is read in two ways at once: a position does not say which of them was received.
    ambiguous: bool,
    /// What the log says of the client is not what is true any more.
    is_stale: bool,
    /// When the log was last told of the client.
    told_at: Option<Instant>,
    /// The log says something of the client.
    is_recorded: bool,
    /// It was read back from there, as it was some time before its server died.
    is_blind: bool,
    /// The last that was published on its private channel while it may not have been read.
    told: Option<Position>,
}

/// A client in a namespace.
pub(super) struct Core {
    /// Public.
    pub sid: String,
    /// Secret: who names it goes on. None where that is not possible.
    pub pid: Option<String>,
    pub namespace: Arc<str>,
    pub session: SessionId,
    pub client: ClientId,
    pub user: Option<Arc<str>>,
    kept: Mutex<Kept>,
}

impl Core {
    pub fn new(
        sid: String,
        pid: Option<String>,
        namespace: Arc<str>,
        session: SessionId,
        user: Option<Arc<str>>,
    ) -> Arc<Self> {
        let client = session.client();
        Arc::new(Self { sid, pid, namespace, session, client, user, kept: Mutex::default() })
    }

    /// A connection serves the client from now on. False when another has come meanwhile.
    pub fn is_live(&self, handle: &Arc<Handle>, connections: Vec<Arc<Connection>>, turn: u64) -> bool {
        let mut kept = self.kept.lock();
        if kept.turn != turn {
            return false;
        }
        kept.live = Some(Live { handle: Arc::downgrade(handle), connections });
        kept.gone_at = None;
        true
    }

    /// Another connection of the hub serves it too.
    pub fn also_lives(&self, connection: &Arc<Connection>) {
        if let Some(live) = &mut self.kept.lock().live {
            live.connections.push(connection.clone());
        }
    }

    /// What is sent to it in which order.
    pub fn ring(&self) -> Arc<Mutex<Ring>> {
        self.kept.lock().ring.clone()
    }

    /// What is known before anything is sent. False when another connection has come meanwhile.
    pub fn begins_at(&self, turn: u64, ring: Ring) -> bool {
        let mut kept = self.kept.lock();
        let is_its_turn = kept.turn == turn;
        if is_its_turn {
            kept.ring = Arc::new(Mutex::new(ring));
        }
        is_its_turn
    }

    /// As [`Core::begins_at`], for a client that goes on at these places: of what handlers joined it to it is in those rooms alone.
    pub fn goes_on_at(&self, turn: u64, places: &[Place]) -> bool {
        let mut ring = Ring::default();
        places.iter().for_each(|place| ring.join(&place.channel, place.at));
        let mut kept = self.kept.lock();
        let is_its_turn = kept.turn == turn;
        if is_its_turn {
            kept.ring = Arc::new(Mutex::new(ring));
            (kept.is_blind, kept.told) = (false, None);
            // A join that was under way on the connection before is not this one's.
            kept.joined = Few::default();
            for Place { channel, room, .. } in
                places.iter().filter(|place| place.room.layout == Layout::Rooms)
            {
                kept.joined.insert(channel.clone(), room.clone());
            }
        }
        is_its_turn
    }

    /// Something was published on its private channel, which it may not be reading.
    pub fn was_told(&self, at: Position) {
        self.kept.lock().told = Some(at);
    }

    /// The last of that.
    pub fn told(&self) -> Option<Position> {
        self.kept.lock().told
    }

    /// Its connection was lost. False when another has taken over.
    pub fn is_gone(&self, handle: &Arc<Handle>) -> bool {
        let mut kept = self.kept.lock();
        if kept.live.as_ref().is_some_and(|live| !std::ptr::eq(live.handle.as_ptr(), Arc::as_ptr(handle))) {
            return false;
        }
        kept.live = None;
        kept.gone_at = Some(Instant::now());
        true
    }

    /// Nothing more is written to whatever connection the client had: what it was sent does not change any more.
    /// The turn of whoever takes over.
    pub fn supersede(&self) -> u64 {
        let (live, turn) = {
            let mut kept = self.kept.lock();
            kept.turn += 1;
            (kept.live.take(), kept.turn)
        };
        if let Some(live) = live {
            live.connections.iter().for_each(|connection| connection.finish());
            if let Some(handle) = live.handle.upgrade() {
                handle.tell(Told::Superseded);
            }
        }
        turn
    }

    /// What the client read, each from where it had not received it; none when that cannot be told.
    pub fn resume(&self, received: Option<&Offset>) -> Option<Vec<Place>> {
        let places = self.ring().lock().resume(received)?;
        let kept = self.kept.lock();
        if kept.ambiguous {
            return None;
        }
        let place = |place: Resumed| {
            let (joined, subscribed) = (&kept.joined, &kept.subscribed);
            let (channel, room) =
                joined.entry(&place.channel).or_else(|| subscribed.entry(&place.channel))?;
            let Resumed { at, is_certain, .. } = place;
            Some(Place { channel: channel.clone(), room: room.clone(), at, is_certain })
        };
        Some(places.into_iter().filter_map(place).collect())
    }

    /// Whether the log is to be told what has changed of the client since this was last asked: of what it reads at once, of how far it has
    /// come not more often than this. Nothing is told of clients that read nothing.
    pub fn take_stale(&self, afresh: Duration) -> bool {
        let mut kept = self.kept.lock();
        let stale = std::mem::take(&mut kept.is_stale)
            || (kept.told_at.is_some_and(|at| at.elapsed() >= afresh) && kept.ring.lock().is_worth_saving());
        let reads = !(kept.joined.is_empty() && kept.subscribed.is_empty());
        let tell = stale && (kept.is_recorded || reads);
        if tell {
            kept.is_recorded = true;
            kept.told_at = Some(Instant::now());
        }
        tell
    }

    /// Whether it cannot be told what the client received: a channel is, or was, read in two ways at once.
    pub fn is_ambiguous(&self) -> bool {
        self.kept.lock().ambiguous
    }

    /// Whether the log says something of the client.
    pub fn is_recorded(&self) -> bool {
        self.kept.lock().is_recorded
    }

    /// The log said what is known of the client, whose connection went with an earlier run of the server. `is_whole`: nothing was sent to it
    /// afterwards.
    pub fn was_read_back(&self, is_whole: bool) {
        let mut kept = self.kept.lock();
        (kept.is_recorded, kept.is_stale, kept.gone_at) = (true, false, Some(Instant::now()));
        kept.is_blind = !is_whole;
    }

    /// Whether it may have been sent more than is known.
    pub fn is_blind(&self) -> bool {
        self.kept.lock().is_blind
    }

    /// Another channel is read from where it begins, by the connection whose ring this is.
    pub fn begun(&self, ring: &Mutex<Ring>, channel: &str, after: Position) {
        ring.lock().join(channel, after);
        self.kept.lock().is_stale = true;
    }

    /// What is read, and how.
    pub fn rooms(&self) -> BTreeMap<ChannelName, Room> {
        let kept = self.kept.lock();
        kept.subscribed.iter().chain(kept.joined.iter()).cloned().collect()
    }

    /// A channel is read from now on, in this way.
    pub fn reads(&self, channel: &ChannelName, room: Room) {
        let mut kept = self.kept.lock();
        let layout = room.layout;
        let (own, other) = match layout {
            Layout::Rooms => (kept.joined.insert(channel.clone(), room), kept.subscribed.get(channel)),
            Layout::Channels | Layout::Echo => {
                (kept.subscribed.insert(channel.clone(), room), kept.joined.get(channel))
            }
        };
        let two_ways = other.is_some() || own.is_some_and(|before| before.layout != layout);
        kept.ambiguous |= two_ways;
    }

    /// How the client subscribed to a channel; none where it did not.
    pub fn layout_of(&self, channel: &ChannelName) -> Option<Layout> {
        self.kept.lock().subscribed.get(channel).map(|room| room.layout)
    }

    /// Whether handlers joined it to a channel.
    pub fn has_joined(&self, channel: &ChannelName) -> bool {
        self.kept.lock().joined.has(channel)
    }

    /// A channel is not read in this way any more.
    pub fn reads_no_more(&self, channel: &ChannelName, layout: Layout) {
        let mut kept = self.kept.lock();
        let (own, other) = match layout {
            Layout::Rooms => (kept.joined.remove(channel), kept.subscribed.has(channel)),
            Layout::Channels | Layout::Echo => {
                if kept.subscribed.get(channel).is_none_or(|room| room.layout != layout) {
                    return;
                }
                (kept.subscribed.remove(channel), kept.joined.has(channel))
            }
        };
        kept.is_stale |= own.is_some();
        let ring = kept.ring.clone();
        drop(kept);
        if !other {
            ring.lock().leave(channel);
        }
    }

    /// How many rooms handlers joined it to.
    pub fn joined(&self) -> usize {
        self.kept.lock().joined.iter().filter(|(channel, _)| !channel.is_internal()).count()
    }

    /// The client is a member, or is one no more.
    pub fn is_member(&self, channel: &ChannelName, data: Option<&Data>) {
        let mut kept = self.kept.lock();
        kept.is_stale = true;
        match data {
            Some(data) => drop(kept.entered.insert(channel.clone(), data.clone())),
            None => drop(kept.entered.remove(channel)),
        }
    }

    /// What the client is a member of.
    pub fn memberships(&self) -> Vec<(ChannelName, Data)> {
        self.kept.lock().entered.iter().cloned().collect()
    }

    /// Remembers an event that is to be answered: its id, and the answer. None when too many are outstanding.
    pub fn request(&self, array: Vec<u8>) -> Option<(u64, oneshot::Receiver<Args>)> {
        let mut kept = self.kept.lock();
        if kept.requests.len() >= UNANSWERED {
            return None;
        }
        kept.last_request += 1;
        let id = kept.last_request;
        let (done, answer) = oneshot::channel();
        kept.requests.insert(id, Request { array, done });
        Some((id, answer))
    }

    /// The client answered.
    pub fn answered(&self, id: u64, args: Args) {
        let request = self.kept.lock().requests.remove(&id);
        if let Some(request) = request {
            // Who asked may have stopped waiting.
            let _ = request.done.send(args);
        }
    }

    /// Nobody waits for the answer any more.
    pub fn forget_request(&self, id: u64) {
        self.kept.lock().requests.remove(&id);
    }

    /// What was not answered, to be asked again.
    pub fn unanswered(&self) -> Vec<(u64, Vec<u8>)> {
        self.kept.lock().requests.iter().map(|(id, request)| (*id, request.array.clone())).collect()
    }
}

/// Clients that may go on after an interruption, by their secret.
#[derive(Default)]
pub(super) struct Pids {
    table: Mutex<Table>,
    /// Those of an earlier run of the server were read back.
    read_back: tokio::sync::OnceCell<()>,
}

#[derive(Default)]
struct Table {
    cores: HashMap<String, Arc<Core>>,
    swept: Option<Instant>,
}

impl Pids {
    /// A client that may go on later. `most`: how many are remembered who are not here.
    pub fn put(&self, hub: &Hub, core: &Arc<Core>, keep: Duration, most: usize) {
        let Some(pid) = &core.pid else { return };
        let mut table = self.table.lock();
        table.cores.insert(pid.clone(), core.clone());
        table.sweep(hub, keep, most);
    }

    /// The client of a secret, if it may go on.
    pub fn get(&self, hub: &Hub, pid: &str, keep: Duration) -> Option<Arc<Core>> {
        let mut table = self.table.lock();
        table.sweep(hub, keep, usize::MAX);
        table.cores.get(pid).filter(|core| !core.is_late(keep)).cloned()
    }

    /// Reads back, once, what an earlier run of the server wrote: who does not come back is forgotten in the log too.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_back(&self, hub: &Hub) -> Result<(), Problem> {
        let read = async || {
            let cores = record::read(hub).await?;
            settle(hub, &cores).await?;
            let mut table = self.table.lock();
            for core in cores {
                if let Some(pid) = core.pid.clone() {
                    // Who came meanwhile is known better.
                    table.cores.entry(pid).or_insert(core);
                }
            }
            Ok::<_, Problem>(())
        };
        self.read_back.get_or_try_init(read).await.copied()
    }

    /// Whether this client may go on later.
    pub fn knows(&self, core: &Arc<Core>, keep: Duration) -> bool {
        let table = self.table.lock();
        let known = core.pid.as_ref().and_then(|pid| table.cores.get(pid));
        known.is_some_and(|known| Arc::ptr_eq(known, core)) && !core.is_late(keep)
    }

    /// It does not go on.
    pub fn remove(&self, hub: &Hub, core: &Core) {
        self.table.lock().forget(hub, core);
    }
}

/// Looks where the logs end which clients that were read back may have been sent more of than their records say, before more is published.
async fn settle(hub: &Hub, cores: &[Arc<Core>]) -> Result<(), Problem> {
    let mut heads = HashMap::new();
    for ring in cores.iter().map(|core| core.ring()) {
        let blind: Vec<_> = ring.lock().blind().filter_map(record::name_of).collect();
        for name in blind {
            let head = match heads.get(&name) {
                Some(head) => *head,
                None => {
                    let bounds = hub.follow(&name, &Start::default()).await?.bounds;
                    Position { epoch: bounds.epoch, offset: bounds.head }
                }
            };
            ring.lock().ended_at(&name, head);
            heads.insert(name, head);
        }
    }
    Ok(())
}

impl Core {
    fn gone_at(&self) -> Option<Instant> {
        self.kept.lock().gone_at
    }

    fn is_late(&self, keep: Duration) -> bool {
        self.kept.lock().gone_at.is_some_and(|at| at.elapsed() > keep)
    }
}

impl Table {
    fn forget(&mut self, hub: &Hub, core: &Core) {
        let Some(pid) = &core.pid else { return };
        self.cores.remove(pid);
        if core.is_recorded() {
            record::remove(hub, pid);
        }
    }

    fn sweep(&mut self, hub: &Hub, keep: Duration, most: usize) {
        // Whoever is here has a place of its own among the connections.
        if self.cores.len() / 2 > most {
            let mut gone: Vec<_> =
                self.cores.values().filter_map(|core| Some((core.gone_at()?, core.clone()))).collect();
            gone.sort_by_key(|(at, _)| *at);
            // Half of them at once: this is not done for everyone who comes.
            for (_, core) in gone.iter().take(gone.len() / 2) {
                self.forget(hub, core);
            }
        }
        if self.swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return;
        }
        self.swept = Some(Instant::now());
        self.cores.retain(|pid, core| {
            let late = core.is_late(keep);
            if late && core.is_recorded() {
                record::remove(hub, pid);
            }
            !late
        });
    }
}
