//! A self-hosted real-time messaging hub: one hub, every client.
//!
//! This crate is the hub as a library, and the `fanfare` binary over it. Something is published once; everyone who should hear it does, on
//! whatever transport their network allows (WebSocket, SSE, NDJSON stream, long-poll, poll), in order, without loss or repeats, and whoever
//! was away comes back at its position and misses nothing.
//!
//! - [`Fanfare::builder`] makes a hub; [`Fanfare::router`] mounts it in an axum application at any path; [`Fanfare::serve`] serves it alone.
//! - [`Fanfare::publish`], [`Fanfare::subscribe`], [`Fanfare::history`] and [`Fanfare::members`] use it from inside the program.
//! - [`Authorizer`] lets the application decide who connects, subscribes and publishes.
//!
//! A channel is a log: a message gets a [`Position`] once, and every reader is a cursor on the log. Live delivery and catching up are
//! therefore the same thing, and a position is all that a reader must remember.
//!
//! # Examples
//! ```
//! use axum::{Router, extract::State, routing::post};
//! use fanfare::{Delivery, Fanfare, Right};
//!
//! async fn buy(State(fanfare): State<Fanfare>) -> String {
//!     match fanfare.publish("shop:sales", serde_json::json!({ "item": "book" })).event("sold").await {
//!         Ok(sold) => format!("sale {}", sold.id),
//!         Err(problem) => problem.to_string(),
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fanfare = Fanfare::builder()
//!     .namespace("shop", |shop| shop.anonymous = [Right::Subscribe].into_iter().collect())
//!     .build()?;
//! // Browsers read with `new EventSource("/realtime/v1/sse?channel=shop:sales")`.
//! let app: Router = Router::new()
//!     .route("/buy", post(buy))
//!     .with_state(fanfare.clone())
//!     .nest("/realtime", fanfare.router());
//!
//! let mut sales = fanfare.subscribe("shop:sales").await?;
//! # buy(State(fanfare.clone())).await;
//! if let Some(Delivery::Message(sale)) = sales.next().await {
//!     assert_eq!(&*sale.event, "sold");
//! }
//! # drop(app);
//! # Ok(())
//! # }
//! ```

mod builder;
pub mod cli;
pub mod config;
pub mod demos;
mod embed;
mod engine_io;
mod events;
mod fanfare;
mod hooks;
pub mod host;
pub mod http;
mod rules;
pub mod schema;
pub mod server;
pub mod store;

pub use builder::Builder;
pub use config::Config;
pub use embed::{Delivery, MessageData, Publishing, Subscribing, Subscription};
pub use events::{Acks, Admission, Answer, Context, Events, Socket, Target};
pub use fanfare::Fanfare;
pub use fanfare_protocol::{
    Ack, Args, Binary, ChannelName, ClientId, Code, Data, EventName, FromArgs, Grant, Identity, Member,
    Message, Pattern, Position, Problem, Publish, Right, Rights, SubscribeOptions, ToArgs,
    command::Page,
    event::{Gap, GapReason, HistoryPage, MembersPage, Published},
};
pub use fanfare_transport::{
    Asker, Authorizer, Decision, End, Handshake,
    socketio::{EngineHandler, EngineMessage, EngineSocket},
};
pub use server::{ServeError, StartError};
pub use store::StoreError;
