//! The native protocol of Fanfare: names, positions, messages, commands, events, codes and their codecs.
//!
//! Pure: no IO, no clock. The wire contract is `docs/protocol.md`.
#![deny(clippy::indexing_slicing)]

pub mod args;
pub mod client;
pub mod code;
pub mod codec;
pub mod command;
pub mod event;
mod fields;
mod frames;
pub mod json;
mod json_scan;
mod json_text;
pub mod message;
pub mod name;
pub mod options;
pub mod pack_read;
mod pack_write;
pub mod position;
pub mod problem;
mod query;
mod request;
pub mod rights;
mod sink;
pub mod typed;

pub use args::Args;
pub use client::{ClientId, SessionId};
pub use code::Code;
pub use codec::{Decoded, Format, Rejected};
pub use command::{Command, Publish, Ref, Request};
pub use event::{Event, Presence, PresenceAction, Reply};
pub use message::{Data, Member, Message, Tag, Tags};
pub use name::{ChannelName, EventName};
pub use options::{Ack, Start, SubscribeOptions};
pub use position::{Cursor, Epoch, Position};
pub use problem::Problem;
pub use rights::{Grant, Identity, Pattern, Right, Rights};
pub use typed::{Binary, FromArgs, ToArgs};
