//! An echo server on the codec: `cargo run -p fanfare-websocket --example echo [ADDRESS]`.
//!
//! Port 0 takes a free one; the first line on stdout holds the address. The limits are wide open, since the
//! Autobahn test suite sends messages of 16 MiB and 65,536 fragments.

mod server;

use fanfare_websocket::Limits;
use std::io;
use tokio::net::TcpListener;

const LIMITS: Limits = Limits { message_bytes: 64 << 20, fragments: u32::MAX, frame_bytes: 64 << 20 };

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (mut stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            if let Err(error) = server::serve(&mut stream, LIMITS).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
