//! Socket.IO v5 over Engine.IO v4, as a dialect: words are translated, semantics are the hub's own.
//!
//! Two layers, usable one without the other:
//! - [`engine`]: packets, payloads of the polling transport, the faults of a handshake, the heartbeat;
//! - above it: Socket.IO's packets ([`packet`], [`assembly`], [`msgpack`]), one connection's namespaces ([`machine`]), what unmodified clients may ask
//!   ([`contract`]), how a message becomes frames ([`wire`]), and what a client had received when its connection was cut ([`ring`]).
//!
//! Pure: no IO, no clock, no randomness. Decoding never panics, whatever the bytes.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

pub mod assembly;
pub mod attachments;
pub mod contract;
pub mod engine;
pub mod json;
pub mod machine;
pub mod msgpack;
pub mod names;
pub mod offset;
pub mod packet;
pub mod ring;
pub mod wire;

pub use machine::{Fatal, Input, Limits, Machine};
pub use offset::Offset;
pub use packet::{Kind, Packet};
pub use wire::{Frames, Layout, Parser, Wire};
