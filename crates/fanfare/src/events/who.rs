//! Who is in a namespace, on this node, and who was cut off and may come back.
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_protocol::ClientId;
use fanfare_transport::application::Absence;

use super::Socket;

/// So many absent clients are kept before those are looked for who do not come back.
const ABSENT: usize = 64;
/// How often at least, while clients come and go.
const SWEEP: Duration = Duration::from_secs(30);

/// Somebody to whom something is said alone.
#[derive(Clone)]
pub(super) enum Hearer {
    /// Who is there.
    Here(Socket),
    /// Who was cut off, and hears it on coming back.
    Away(Arc<Away>),
}

/// A client that was cut off.
pub(super) struct Away {
    sid: String,
    client: ClientId,
    rooms: BTreeSet<String>,
    pub absence: Arc<dyn Absence>,
}

/// Who is there, in which rooms, and who is away.
#[derive(Default)]
pub(super) struct Who {
    sockets: HashMap<String, Socket>,
    /// The rooms of those who are there and of those who are away.
    rooms: HashMap<String, BTreeSet<String>>,
    /// Those who do not read the namespace's own channel yet, by `sid`.
    deaf: BTreeSet<String>,
    away: HashMap<String, Arc<Away>>,
    /// How many were away when it was last looked who does not come back, and when that was.
    kept: usize,
    swept: Option<Instant>,
}

impl Hearer {
    pub fn sid(&self) -> &str {
        match self {
            Self::Here(socket) => socket.sid(),
            Self::Away(away) => &away.sid,
        }
    }

    pub fn client(&self) -> ClientId {
        match self {
            Self::Here(socket) => socket.client(),
            Self::Away(away) => away.client,
        }
    }
}

impl fmt::Debug for Hearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hearer({})", self.sid())
    }
}

impl Who {
    pub fn came(&mut self, socket: &Socket, rooms: &BTreeSet<String>) {
        self.sweep();
        let sid = socket.sid();
        if let Some(away) = self.away.remove(sid) {
            away.rooms.difference(rooms).for_each(|room| self.vacate(room, sid));
        }
        for room in rooms {
            self.occupy(room, sid);
        }
        self.deaf.insert(sid.to_owned());
        self.sockets.insert(sid.to_owned(), socket.clone());
    }

    /// Somebody left these rooms, for good or (with `absence`) to come back to them.
    pub fn went(&mut self, socket: &Socket, rooms: BTreeSet<String>, absence: Option<Arc<dyn Absence>>) {
        let sid = socket.sid();
        // One that goes on under the same name may be there already, and in some of the rooms.
        if let Some(next) = self.sockets.get(sid).filter(|there| !there.is(socket)) {
            let kept = next.0.rooms.lock().clone();
            return rooms.difference(&kept).for_each(|room| self.vacate(room, sid));
        }
        self.sockets.remove(sid);
        self.deaf.remove(sid);
        match absence.filter(|absence| absence.may_end()) {
            Some(absence) => {
                // One that it was just joining may not know it yet.
                rooms.iter().for_each(|room| self.occupy(room, sid));
                let away = Away { sid: sid.to_owned(), client: socket.client(), rooms, absence };
                self.away.insert(sid.to_owned(), Arc::new(away));
                self.sweep();
            }
            None => rooms.iter().for_each(|room| self.vacate(room, sid)),
        }
    }

    /// Forgets who does not come back, when there are twice as many as stayed the last time, or that was long ago.
    fn sweep(&mut self) {
        let is_due = self.swept.is_none_or(|at| at.elapsed() >= SWEEP);
        if self.away.is_empty() || (self.away.len() < ABSENT.max(self.kept * 2) && !is_due) {
            return;
        }
        self.swept = Some(Instant::now());
        let lost: Vec<_> = self.away.values().filter(|away| !away.absence.may_end()).cloned().collect();
        for away in lost {
            self.away.remove(&away.sid);
            away.rooms.iter().for_each(|room| self.vacate(room, &away.sid));
        }
        self.kept = self.away.len();
    }

    pub fn occupy(&mut self, room: &str, sid: &str) {
        self.rooms.entry(room.to_owned()).or_default().insert(sid.to_owned());
    }

    pub fn vacate(&mut self, room: &str, sid: &str) {
        if let Some(sids) = self.rooms.get_mut(room) {
            sids.remove(sid);
            if sids.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    pub fn socket(&self, sid: &str) -> Option<&Socket> {
        self.sockets.get(sid)
    }

    pub fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.values()
    }

    pub fn members(&self, room: &str) -> impl Iterator<Item = &Socket> {
        self.rooms.get(room).into_iter().flatten().filter_map(|sid| self.sockets.get(sid))
    }

    pub fn deaf(&self) -> impl Iterator<Item = &Socket> {
        self.deaf.iter().filter_map(|sid| self.sockets.get(sid))
    }

    pub fn hears(&mut self, socket: &Socket) {
        if self.sockets.get(socket.sid()).is_some_and(|there| there.is(socket)) {
            self.deaf.remove(socket.sid());
        }
    }

    /// Who hears what is said to this client alone.
    pub fn hearer(&self, sid: &str) -> Option<Hearer> {
        let away = || self.away.get(sid).filter(|away| away.absence.may_end());
        let here = self.sockets.get(sid).cloned().map(Hearer::Here);
        here.or_else(|| away().cloned().map(Hearer::Away))
    }

    /// Who hears what is said to a room, one by one.
    pub fn in_room(&self, room: &str) -> Vec<Hearer> {
        let sids = self.rooms.get(room).into_iter().flatten();
        sids.filter_map(|sid| self.hearer(sid)).collect()
    }

    /// Who hears what is said to everybody, one by one.
    pub fn everybody(&self) -> Vec<Hearer> {
        self.sockets.keys().chain(self.away.keys()).filter_map(|sid| self.hearer(sid)).collect()
    }
}
