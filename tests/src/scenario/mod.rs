//! The scenario suite: one script over every transport, with bare clients written from the protocol's page alone, on a network that cuts.
//!
//! - [`Script`]: who publishes what, who reads it, when it is cut.
//! - [`client::Client`]: the small trait that each transport's client implements; [`reader::Reader`] drives one and checks all it hears.
//! - [`Process`]: what the server's process uses meanwhile.
pub mod client;
pub mod crowd;
pub mod fault;
pub mod http;
pub mod ledger;
pub mod poll_client;
pub mod process;
pub mod publisher;
pub mod reader;
pub mod script;
pub mod sse_client;
pub mod stream_client;
pub mod transport;
pub mod websocket;
pub mod ws_client;

pub use crowd::Crowd;
pub use fault::Fault;
pub use process::Process;
pub use script::{Outcome, Script};
pub use transport::Transport;
