//! A self-hosted real-time messaging hub: one hub, every client.

pub mod cli;
pub mod config;
pub mod host;
pub mod http;
