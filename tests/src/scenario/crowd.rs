//! A crowd of WebSocket readers of one channel, each cheap, that can be told to stop reading and to go on.
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    client,
    fault::Fault,
    websocket::{Subprotocol, WebSocket},
};

/// Readers that must hear offsets 1, 2, 3, ... without a hole.
#[derive(Debug)]
pub struct Crowd {
    heard: Vec<Arc<AtomicU64>>,
    reads: watch::Sender<bool>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    progress: Notify,
    /// What went wrong; a crowd has no patience with its server.
    faults: Mutex<Vec<String>>,
}

impl Crowd {
    /// Subscribes so many readers to an empty channel.
    ///
    /// # Errors
    /// When one cannot.
    pub async fn gather(server: SocketAddr, channel: &str, count: usize) -> Result<Self, Fault> {
        let (reads, told) = watch::channel(true);
        let shared = Arc::new(Shared::default());
        let mut crowd = Self { heard: Vec::new(), reads, shared: shared.clone(), tasks: JoinSet::new() };
        // How nearly every message frame begins; another order of fields is read as JSON.
        let prefix: Arc<[u8]> =
            format!("{{\"type\":\"message\",\"channel\":\"{channel}\",\"offset\":").into_bytes().into();
        for _ in 0..count {
            let socket = subscribe(server, channel).await?;
            let heard = Arc::new(AtomicU64::new(0));
            crowd.heard.push(heard.clone());
            let (told, shared, prefix) = (told.clone(), shared.clone(), prefix.clone());
            crowd.tasks.spawn(async move {
                if let Err(fault) = listen(socket, &prefix, &heard, told, &shared).await {
                    shared.faults.lock().unwrap().push(fault.to_string());
                    shared.progress.notify_waiters();
                }
            });
        }
        Ok(crowd)
    }

    /// Nobody reads from now on: bytes stay in the kernel, then in the server.
    pub fn stop_reading(&self) {
        self.reads.send_replace(false);
    }

    /// Everybody reads again.
    pub fn go_on(&self) {
        self.reads.send_replace(true);
    }

    /// What the one furthest behind has heard.
    pub fn least(&self) -> u64 {
        self.heard.iter().map(|heard| heard.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    /// Deliveries to all together.
    pub fn deliveries(&self) -> u64 {
        self.heard.iter().map(|heard| heard.load(Ordering::Acquire)).sum()
    }

    /// Waits until everybody has heard up to this offset.
    ///
    /// # Errors
    /// When somebody heard something wrong or was cut off, or it takes longer than `patience`.
    pub async fn hears(&self, offset: u64, patience: Duration) -> Result<(), Fault> {
        let deadline = Instant::now() + patience;
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if let Some(fault) = self.shared.faults.lock().unwrap().first() {
                return Err(Fault::wrong(fault.clone()));
            }
            if self.least() >= offset {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, progress).await.is_err() {
                return Err(Fault::wrong(format!("{} heard of {offset} within {patience:?}", self.least())));
            }
        }
    }
}

/// Opens a WebSocket that reads a channel from now on.
///
/// # Errors
/// When it cannot.
pub async fn subscribe(server: SocketAddr, channel: &str) -> Result<WebSocket, Fault> {
    let mut socket = WebSocket::open(server, Subprotocol::Json, &format!("?channel={channel}")).await?;
    loop {
        let payload = socket.next().await?;
        match client::json(&payload)?.kind {
            "subscribed" => return Ok(socket),
            "welcome" => {}
            other => return Err(Fault::wrong(format!("{other} before subscribed"))),
        }
    }
}

async fn listen(
    mut socket: WebSocket,
    prefix: &[u8],
    heard: &AtomicU64,
    mut reads: watch::Receiver<bool>,
    shared: &Shared,
) -> Result<(), Fault> {
    let mut newest = 0;
    while reads.wait_for(|reads| *reads).await.is_ok() {
        let payload = tokio::select! {
            payload = socket.next() => payload?,
            _ = reads.wait_for(|reads| !*reads) => continue,
        };
        let mut payload = Some(payload);
        while let Some(bytes) = payload {
            let offset = offset(&bytes, prefix)?;
            if offset != newest + 1 {
                return Err(Fault::wrong(format!("offset {offset} after {newest}")));
            }
            newest = offset;
            payload = socket.ready().await?;
        }
        heard.store(newest, Ordering::Release);
        shared.progress.notify_waiters();
    }
    Ok(())
}

fn offset(frame: &[u8], prefix: &[u8]) -> Result<u64, Fault> {
    if let Some(rest) = frame.strip_prefix(prefix) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        return Ok(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')));
    }
    #[derive(serde::Deserialize)]
    struct Message {
        offset: u64,
    }
    serde_json::from_slice(frame)
        .map(|message: Message| message.offset)
        .map_err(|error| Fault::wrong(format!("{error} in {}", String::from_utf8_lossy(frame))))
}
