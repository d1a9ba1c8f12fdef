//! A TCP proxy between real clients and a real server, for networks that fail when the test says so.
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::Random;

/// What the network does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weather {
    Fair,
    /// Bytes are taken from nobody: both sides see a peer that neither reads nor writes.
    Stalled,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    weather: Weather,
    /// Connections of an earlier generation are cut.
    generation: u64,
}

/// Forwards connections to a server, and cuts or stalls them. The proxy ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    orders: watch::Sender<Order>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        Self::start_with(server, None).await
    }

    /// The same, cutting each connection by itself after a random number of bytes towards the client, up to `most`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn cutting(server: SocketAddr, seed: u64, most: u64) -> io::Result<Self> {
        Self::start_with(server, Some((Random::new(seed), most))).await
    }

    async fn start_with(server: SocketAddr, mut cuts: Option<(Random, u64)>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (orders, told) = watch::channel(Order { weather: Weather::Fair, generation: 0 });
        let accepted = Arc::new(AtomicU64::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let allowed = cuts.as_mut().map_or(u64::MAX, |(random, most)| 1 + random.below(*most));
                tokio::spawn(forward(client, server, allowed, told.clone()));
            }
        });
        Ok(Self { address, orders, accepted, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that came so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Cuts every connection there is; new ones are let through.
    pub fn cut_all(&self) {
        self.orders.send_modify(|order| order.generation += 1);
    }

    /// No byte passes until [`FaultProxy::resume`].
    pub fn stall(&self) {
        self.orders.send_modify(|order| order.weather = Weather::Stalled);
    }

    /// Bytes pass again.
    pub fn resume(&self) {
        self.orders.send_modify(|order| order.weather = Weather::Fair);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut_all();
    }
}

async fn forward(client: TcpStream, server: SocketAddr, allowed: u64, orders: watch::Receiver<Order>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let generation = orders.borrow().generation;
    let mut cut = orders.clone();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whichever ends first takes the other with it: the sockets close when the futures are dropped.
    tokio::select! {
        _ = copy(from_client, to_server, u64::MAX, orders.clone()) => {}
        _ = copy(from_server, to_client, allowed, orders) => {}
        _ = cut.wait_for(|order| order.generation > generation) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    allowed: u64,
    mut orders: watch::Receiver<Order>,
) -> io::Result<()> {
    let (mut left, mut buffer) = (allowed, vec![0; 16 << 10]);
    while left > 0 {
        if orders.wait_for(|order| order.weather == Weather::Fair).await.is_err() {
            return Ok(());
        }
        let got = from.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        if orders.wait_for(|order| order.weather == Weather::Fair).await.is_err() {
            return Ok(());
        }
        let pass = got.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(buffer.get(..pass).unwrap_or_default()).await?;
        left -= pass as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::FaultProxy;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, text: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(text).await.ok()?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await.ok()?;
        Some(back)
    }

    #[tokio::test]
    async fn it_forwards_cuts_and_stalls() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.stall();
        assert!(timeout(Duration::from_millis(100), says(&mut stream, b"again")).await.is_err());
        proxy.resume();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"again", "what was held up comes after all");
        proxy.cut_all();
        assert_eq!(says(&mut stream, b"gone?").await, None);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut stream, b"new").await.unwrap(), b"new");
        assert_eq!(proxy.accepted(), 2);
    }

    #[tokio::test]
    async fn it_cuts_by_itself_within_the_bytes_allowed() {
        let proxy = FaultProxy::cutting(echo().await, 5, 100).await.unwrap();
        for _ in 0..10 {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            let mut through = 0;
            while says(&mut stream, &[7; 10]).await.is_some() {
                through += 10;
                assert!(through <= 100);
            }
        }
    }
}
