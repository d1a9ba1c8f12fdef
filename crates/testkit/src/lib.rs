//! Virtual clock, simulated clients and hub, and the checks that tests of every layer share. For tests alone.
//!
//! - [`Clock`] and [`Random`]: time and chance that can be repeated; [`for_each_seed`] prints the seed of a failure.
//! - [`HistoryChecker`]: whether what a subscriber saw is a history it may have seen. It serves simulated and real connections.
//! - [`FaultProxy`]: a TCP proxy that cuts and stalls, for tests over real sockets.
//! - [`World`]: sessions, a hub that answers in any order and clients whose connections are cut, in one thread of control.
mod clock;
mod fault_proxy;
mod history;
mod random;
pub mod rules;
pub mod sim_client;
pub mod sim_hub;
pub mod world;

pub use clock::{Clock, START_UNIX_MS};
pub use fault_proxy::FaultProxy;
pub use history::{HistoryChecker, Violation};
pub use random::{Random, for_each_seed};
pub use sim_client::{Fault, SimClient};
pub use sim_hub::SimHub;
pub use world::World;
