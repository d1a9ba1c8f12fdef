//! Tokio drivers: WebSocket, SSE, stream, poll.

pub mod access;
pub mod application;
mod arrival;
pub mod authorizer;
mod body;
mod driver;
mod forms;
mod head;
mod lean;
mod link;
pub mod node;
mod parked;
mod plan;
mod poll;
pub mod query;
pub mod refusal;
mod rewind;
mod routes;
mod socket;
pub mod socketio;

pub use access::Caller;
pub use application::{Application, End, Handshake, Later, Peer, Visit};
pub use authorizer::{Asker, Authorizer, Decision, ask_reading};
pub use head::HeadEnd;
pub use lean::{Accepted, Asked, Lean, accept, answer_poll};
pub use node::{Node, NodeRules, TransportLimits};
pub use plan::check_reading;
pub use refusal::Refusal;
pub use rewind::{LAST_ANSWER, Rewind, UnderWay};
pub use routes::routes;
