//! Who is connected to this node: for lists, for disconnecting, for who is online.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fanfare_protocol::{ClientId, Identity, Problem};
use parking_lot::Mutex;

use crate::connection::Connection;

/// A connection as the admin list shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its number on this node.
    pub id: u64,
    /// The client.
    pub client: ClientId,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// `websocket`, `sse`, `stream`, ...
    pub transport: &'static str,
    /// Milliseconds since 1970.
    pub connected_at: u64,
}

struct Row {
    listed: Listed,
    connection: Arc<Connection>,
}

/// Every open connection.
#[derive(Default)]
pub struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rows: BTreeMap<u64, Row>,
    users: HashMap<Arc<str>, usize>,
}

impl Directory {
    /// Enters a connection, or replaces what is known of it.
    pub fn put(&self, connection: &Arc<Connection>, listed: Listed) {
        let mut inner = self.inner.lock();
        let user = listed.identity.user.clone();
        let row = Row { listed, connection: connection.clone() };
        if let Some(before) = inner.rows.insert(connection.id, row) {
            inner.forget(&before);
        }
        if let Some(user) = user {
            *inner.users.entry(user).or_default() += 1;
        }
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut inner = self.inner.lock();
        if let Some(row) = inner.rows.remove(&id) {
            inner.forget(&row);
        }
    }

    /// How many connections.
    pub fn len(&self) -> usize {
        self.inner.lock().rows.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A page of connections by number.
    pub fn page(&self, after: u64, limit: usize) -> Vec<Listed> {
        let inner = self.inner.lock();
        inner.rows.range(after + 1..).take(limit).map(|(_, row)| row.listed.clone()).collect()
    }

    /// Whether a user has a connection.
    pub fn is_online(&self, user: &str) -> bool {
        self.inner.lock().users.contains_key(user)
    }

    /// How many connections a user has.
    pub fn of_user(&self, user: &str) -> usize {
        self.inner.lock().users.get(user).copied().unwrap_or(0)
    }

    /// Ends every connection that fits: nothing more is handed over to them. Returns how many.
    pub fn disconnect(&self, which: impl Fn(&Listed) -> bool, problem: &Problem) -> usize {
        let rows: Vec<_> = {
            let inner = self.inner.lock();
            inner.rows.values().filter(|row| which(&row.listed)).map(|row| row.connection.clone()).collect()
        };
        for connection in &rows {
            connection.revoke(problem.clone());
        }
        rows.len()
    }

    /// Every connection, for draining.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.inner.lock().rows.values().map(|row| row.connection.clone()).collect()
    }
}

impl Inner {
    fn forget(&mut self, row: &Row) {
        let Some(user) = &row.listed.identity.user else { return };
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }
}
