//! Registry, channels (tail, rounds), readers and timer wheel: a channel is a log, and every reader is a cursor on it.
//!
//! Lock order: registry -> channel -> shard -> connection. The broker is never called with one of these locks held, and no lock is held
//! across an await.

mod assemble;
mod audience;
mod beginning;
mod channel;
mod clock;
mod connection;
mod counters;
mod directory;
mod fallen;
mod form;
mod gather;
mod hub;
mod lockstep;
mod maintain;
mod newest;
mod page;
mod place;
mod presence;
mod publish;
mod pump;
mod read_newest;
mod reader;
mod readers;
mod registry;
mod replay;
mod round;
mod segment;
mod shard;
mod subscribe;
mod sync;
mod tail;
#[cfg(test)]
mod test_support;
mod wheel;
mod window;
mod write;

use presence::roster;

pub use clock::unix_ms;
pub use connection::{Connection, Notice, Pulled, Socket};
pub use counters::Counters;
pub use directory::{Directory, Listed};
pub use form::{Form, WireForm};
pub use gather::Gathering;
pub use hub::{Hub, HubRules, Slow, Spawn};
pub use page::{Followed, Follower, Following, PAGE_BYTES, Watch};
pub use place::Place;
pub use presence::Entering;
pub use publish::Congestion;
pub use pump::{Fetch, Fetched, Pumped, TURN_WRITES};
pub use readers::Mark;
pub use round::Round;
pub use subscribe::Begun;
pub use wheel::{TICK_MS, Wheel};
