//! The trait behind a channel, the in-memory broker and the contract suite that any broker passes.

pub mod append;
pub mod broker;
pub mod budget;
#[cfg(feature = "contract")]
pub mod contract;
pub mod figure;
pub mod memory;
pub mod policy;
pub mod read;

pub use append::{Append, Appending, Author};
pub use broker::{Answer, Broker, Sink};
pub use budget::Budget;
pub use figure::{Count, Level, Spread};
pub use memory::{MemoryBroker, MemorySettings};
pub use policy::{ChannelPolicy, Policies};
pub use read::{Bound, Bounds, ChannelInfo, Keyed, KeyedSlice, Lost, Read, ReadBack, Slice};
