//! Rounds wait until a thread has handed over everything that it was given at once: what is published by one read goes out in one write for each
//! reader, also where another core would have begun with the first message of it.
use std::{cell::RefCell, sync::Arc};

use tokio::time::Instant;

use crate::{hub::Hub, round::Round};

/// Writes at most that are made at once for what one read has brought.
const AT_ONCE: usize = 64;

thread_local! {
    /// Rounds to be spawned when the thread is done, and whose hub's they are.
    static WAITING: RefCell<Option<(usize, Vec<Round>)>> = const { RefCell::new(None) };
}

/// While it is held, rounds that this thread schedules wait. Not to be held across an await.
#[must_use]
pub struct Gathering {
    hub: Arc<Hub>,
    /// An outer one holds them already.
    nested: bool,
    /// Its place is a thread's.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Hub {
    /// Holds back the rounds that this thread schedules until what is returned is dropped.
    pub fn gather(self: &Arc<Self>) -> Gathering {
        let nested = WAITING.with_borrow_mut(|waiting| {
            let nested = waiting.is_some();
            waiting.get_or_insert_with(|| (self.address(), Vec::new()));
            nested
        });
        Gathering { hub: self.clone(), nested, _not_send: std::marker::PhantomData }
    }

    /// Starts a round, or lets it wait.
    pub(crate) fn schedule(&self, round: Round) {
        let now = WAITING.with_borrow_mut(|waiting| match waiting {
            Some((hub, rounds)) if *hub == self.address() => {
                rounds.push(round);
                None
            }
            _ => Some(round),
        });
        if let Some(round) = now {
            (self.spawn)(round);
        }
    }

    /// Tells hubs of one process apart.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        if self.nested {
            return;
        }
        let Some((_, rounds)) = WAITING.take() else { return };
        if rounds.is_empty() {
            return;
        }
        let (now, mut budget) = (Instant::now(), AT_ONCE);
        for mut round in rounds {
            // A handful of writes costs less than a task for them.
            if let Some(readers) = round.light(now).filter(|readers| *readers <= budget) {
                budget -= readers;
                if round.turn().is_ready() {
                    continue;
                }
            }
            (self.hub.spawn)(round);
        }
    }
}
