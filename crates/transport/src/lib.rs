//! Tokio drivers: WebSocket, SSE, stream, poll.

pub mod access;
pub mod authorizer;
pub mod node;
pub mod query;
pub mod refusal;

pub use access::Caller;
pub use authorizer::{Asker, Authorizer, Decision};
pub use node::{Node, NodeRules, TransportLimits};
pub use refusal::Refusal;
