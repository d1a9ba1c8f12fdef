//! The sans-IO session machine: authenticate, subscribe, limits, liveness. No IO; time is an argument.
#![deny(clippy::indexing_slicing)]

pub mod action;
mod answers;
mod auth;
mod bucket;
mod calls;
mod channels;
pub mod checks;
mod commands;
pub mod direct;
pub mod join;
mod liveness;
pub mod rules;
pub mod session;
mod timeline;

pub use action::{Action, Author, Close, HubCall, HubEvent, Now, Sign, Subscribed, Ticket};
pub use direct::{Cleared, Direct};
pub use rules::{Limits, Rules, check};
pub use session::{Opening, Session};
