//! Sans-IO server side of RFC 6455 (the WebSocket protocol).
//!
//! The crate turns bytes into messages and messages into bytes. It reads no socket and no clock, so every
//! transport (plain TCP, TLS, an HTTP/2 stream, a test) drives it the same way:
//!
//! ```
//! use fanfare_websocket::{Decoder, Limits, Message, frame};
//!
//! let mut decoder = Decoder::new(Limits::default());
//! // A client's masked text frame "Hello" (RFC 6455, section 5.7).
//! let mut input: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let mut out = Vec::new();
//! loop {
//!     match decoder.feed(&mut input) {
//!         Ok(Some(Message::Text(text))) => frame::append_frame(&mut out, frame::Opcode::Text, &text),
//!         Ok(Some(_)) => {}
//!         Ok(None) => break,
//!         Err(error) => {
//!             out.extend_from_slice(&frame::close_frame(error.close_code(), error.reason()));
//!             break;
//!         }
//!     }
//! }
//! assert_eq!(out, [0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
//! assert!(decoder.is_idle());
//! ```
//!
//! # Invariants
//! - The decoder owns no heap memory unless a frame or a fragmented message is half received; see [`Decoder::buffered`].
//! - What the decoder holds is at most twice what the client has sent: announced lengths reserve nothing.
//! - The messages and the error that come out depend on the bytes alone, never on how reads split them.
//! - No input makes this crate panic.
//!
//! *Absent on purpose:* extensions (every reserved bit is refused), client-side framing, IO, timers.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod assembly;
pub mod close;
mod decoder;
mod error;
pub mod frame;
pub mod handshake;
mod header;
mod mask;
mod message;

pub use decoder::{Decoder, Limits};
pub use error::WsError;
pub use frame::Opcode;
pub use message::Message;
