//! The embedded durable log: every channel of a hub in one directory.
//!
//! All channels share one log, cut into segments. A writer thread turns whatever waits into one write, a syncer thread makes it
//! durable while the writer goes on, and another shows and answers it while the next sync is under way: a commit takes what arrived
//! during the one before (group commit), and nothing waits on purpose. What is in memory is where messages lie, not the messages. `docs/adr/0008-embedded-log.md` says why it is a log of our own,
//! `FORMAT.md` in this crate what its bytes are.
mod answer;
mod append;
mod broker;
mod channels;
mod counters;
mod directory;
mod draft;
mod fetch;
mod found;
mod frame;
mod idle;
mod ids;
mod keeper;
mod keys;
mod limit;
mod log;
mod open;
mod pieces;
mod pool;
mod queue;
mod reads;
mod record;
mod recover;
mod refuse;
mod run;
mod scan;
mod segment;
mod settings;
mod shared;
mod spare;
mod squeeze;
mod syncer;
mod tail;
mod teller;
pub mod tools;
mod window;
mod writer;

pub use broker::DiskBroker;
pub use counters::{Counters, Usage};
pub use settings::{Cut, DiskSettings, Doing, Fault, OpenError, Opened, Witness};
