//! Scenario and conformance tests of the whole product: what they share. Everything here talks to a running `fanfare` binary over its socket,
//! as a stranger's program would.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]

pub mod config;
pub mod http;
pub mod scenario;
pub mod server;
pub mod sse;
pub mod token;
pub mod wait;
pub mod ws;

/// What nearly every test needs.
pub mod prelude {
    pub use serde_json::{Value, json};

    pub use crate::{
        config,
        http::{Reply, Request, Streamed},
        server::Server,
        sse::{Block, Sse},
        token,
        wait::{PATIENCE, unique, within},
        ws::{Ended, Ws},
    };
}
