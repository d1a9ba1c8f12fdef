//! Engine.IO 4, server side: packets, polling payloads, handshakes and their faults, the heartbeat.
mod fault;
mod handshake;
mod heartbeat;
mod packet;
mod payload;

pub use fault::Fault;
pub use handshake::{Query, Transport, open_packet};
pub use heartbeat::{Beat, Heartbeat};
pub use packet::{Malformed, Packet, decode_text};
pub use payload::{Payload, Pushed, SEPARATOR};
