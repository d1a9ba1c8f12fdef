//! The sans-IO session machine: authenticate, subscribe, limits, liveness. No IO; time is an argument.
#![deny(clippy::indexing_slicing)]

pub mod action;
pub mod rules;

pub use action::{Action, Author, Close, HubCall, HubEvent, Now, Sign, Subscribed, Ticket};
pub use rules::{Limits, Rules, check};
