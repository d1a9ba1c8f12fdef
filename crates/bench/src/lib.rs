//! A load generator for hubs: so many readers on so many channels, so many publications in flight or a second; it reports deliveries
//! a second, latency, the server's processor time and memory, and whether every reader got everything once and in order.
//!
//! One thread and one readiness loop, so that it costs less than what it measures. A delivery is known by a stamp in its payload
//! (lane and number), found at the place where the last one was: frames are cut by their headers, nothing is parsed. *Every* delivery
//! is checked for order, loss and repeats, none is sampled.
//!
//! It speaks Fanfare's protocol and, through the adapters, bare WebSockets, the Pusher protocol, Socket.IO and nchan, so that other
//! servers can be measured by the same means.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

pub mod adapter;
mod engine;
mod error;
pub mod latency;
mod link;
pub mod pace;
mod peer;
pub mod process;
pub mod rawlimit;
pub mod report;
pub mod server;
pub mod settings;
pub mod stamp;
pub mod times;
pub mod track;
pub mod wire;

pub use engine::run;
pub use error::BenchError;
pub use pace::Load;
pub use report::Report;
pub use server::{Server, ServerOptions};
pub use settings::{Encoding, Protocol, PublishOver, Settings, Storm, Transport};
