//! The server that the official test suites of Engine.IO and Socket.IO want:
//! `cargo run --release --example socketio_conformance -- --listen 127.0.0.1:3000`.
//!
//! Engine.IO alone echoes at `/engine.io/`; Socket.IO is at `/socket.io/`, with the namespaces `/` and `/custom`.
use std::{error::Error, sync::Arc};

use fanfare::{Args, Context, EngineHandler, EngineMessage, EngineSocket, Fanfare, Problem};

const SETTINGS: &str = r#"
    [socketio]
    enabled = true
    ping_interval = "300ms"
    ping_timeout = "200ms"
    max_payload = 1_000_000
    connect_timeout = "1s"
    # The suites expect events as the specification has them, without a position at their end.
    recovery = false
"#;

struct Echo;

impl EngineHandler for Echo {
    fn message(&self, socket: &EngineSocket, message: EngineMessage) {
        socket.send(message);
    }
}

/// Tells a client what it said in coming.
async fn connected(ctx: Context) {
    let auth = ctx.handshake().auth.clone();
    // Who is gone by now needs no answer.
    drop(ctx.emit("auth", Args::one(auth)).await);
}

async fn message(ctx: Context, args: Args) -> Result<(), Problem> {
    ctx.emit("message-back", args).await.map(drop)
}

async fn message_with_ack(_: Context, args: Args) -> Result<Args, Problem> {
    Ok(args)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip_while(|arg| arg != "--listen").skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let fanfare = Fanfare::builder().toml(SETTINGS).build()?;
    fanfare.events("/").on_connect(connected).on("message", message).on("message-with-ack", message_with_ack);
    fanfare.events("/custom").on_connect(connected);
    let app = fanfare.router().merge(fanfare.engine_io("/engine.io/", Arc::new(Echo)));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
