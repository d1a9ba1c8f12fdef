//! One accepted socket: TLS if configured, lean transports where they may be, else HTTP/1.1 or HTTP/2.
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Extension;
use fanfare_transport::{Accepted, Lean, Node, Rewind, UnderWay, accept, access::Secure};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::{head, poll};
use crate::http::Http;

/// Bytes of one HTTP/2 stream that wait to be sent: what pulls from a cursor pulls no more than this ahead.
const SEND_BUFFER: usize = 16 << 10;
/// Requests of one HTTP/2 connection under way at once.
const STREAMS: u32 = 250;
/// hyper takes no smaller buffer.
const LEAST_BUFFER: usize = 8192;
/// How long an HTTP/1.1 connection is kept between two requests, the second one's head included: longer than the minute that proxies and
/// clients commonly keep theirs, so that it is they who close. The first head has `limits.handshake`.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(75);
/// How long a connection that has said nothing yet may go on when the server stops.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How many connections HTTP servers hold.
#[derive(Debug, Default)]
pub(crate) struct Open(AtomicUsize);

impl Open {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

struct Counted(Arc<Open>);

impl Counted {
    fn new(open: &Arc<Open>) -> Self {
        open.0.fetch_add(1, Ordering::AcqRel);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the connections of one listener share.
pub(crate) struct Server {
    node: Arc<Node>,
    http: Http,
    tls: Option<TlsAcceptor>,
    stopping: watch::Receiver<bool>,
    open: Arc<Open>,
}

impl Server {
    pub fn new(
        node: Arc<Node>,
        mut http: Http,
        tls: Option<TlsAcceptor>,
        stopping: watch::Receiver<bool>,
        open: Arc<Open>,
    ) -> Arc<Self> {
        if tls.is_some() {
            http.router = http.router.layer(Extension(Secure));
        }
        Arc::new(Self { node, http, tls, stopping, open })
    }

    /// Serves a socket in a task of its own.
    pub fn serve(self: &Arc<Self>, stream: TcpStream) {
        let me = self.clone();
        let counted = Counted::new(&self.open);
        tokio::spawn(async move {
            let _counted = counted;
            let limits = me.node.rules.transport();
            // What the hub counts (lean connections, polls that wait) has its limit there; this one keeps idle sockets from piling up.
            if me.open.count().saturating_sub(me.node.parked()) > limits.connections {
                if me.tls.is_none() {
                    head::turn_away(stream).await;
                }
                return;
            }
            match me.tls.clone() {
                Some(tls) => Box::pin(me.secure(tls, stream)).await,
                None => me.first(stream, Self::http).await,
            }
        });
    }

    /// Serves requests as long as they are lean; another, and what follows it, goes to an HTTP server.
    async fn first<S: Lean>(&self, stream: S, server: fn(&Self) -> auto::Builder<TokioExecutor>) {
        let limits = self.node.rules.transport();
        let (mut stream, mut early) = (stream, Vec::new());
        let mut within = Duration::from_millis(limits.handshake_ms);
        let rewind = loop {
            // Boxed, as everything here: while a poll waits, only that is held.
            match Box::pin(self.unless_stopping(accept(&self.node, stream, early, within))).await {
                Some(Accepted::Http(rewind)) => break rewind,
                Some(Accepted::Poll(asked)) => {
                    let answered = poll::answer(*asked, &self.http, self.stall(), || *self.stopping.borrow());
                    let Some(next) = Box::pin(answered).await else { return };
                    (stream, early) = next;
                    within = BETWEEN_REQUESTS;
                }
                Some(Accepted::Taken) | None => return,
            }
        };
        Box::pin(async {
            let whole = timeout(
                Duration::from_millis(limits.handshake_ms),
                head::complete(rewind, limits.header_bytes),
            );
            if let Some(Ok(Some(rewind))) = self.unless_stopping(whole).await {
                // An upgrade takes the stream out of this very type.
                let under_way = UnderWay::default();
                let rewind = rewind.ending_after(under_way.clone());
                self.converse::<S>(rewind, server(self), under_way).await;
            }
        })
        .await;
    }

    async fn secure(&self, tls: TlsAcceptor, stream: TcpStream) {
        let limit = Duration::from_millis(self.node.rules.transport().handshake_ms);
        let shaken = match self.unless_stopping(timeout(limit, tls.accept(stream))).await {
            Some(Ok(Ok(shaken))) => shaken,
            Some(Ok(Err(error))) => return tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) | None => return,
        };
        match shaken.get_ref().1.alpn_protocol() {
            Some(b"h2") => {
                let rewind = Rewind::new(shaken, Vec::new());
                self.converse(rewind, self.http().http2_only(), UnderWay::default()).await;
            }
            Some(_) => self.first(shaken, |me| me.http().http1_only()).await,
            None => self.first(shaken, Self::http).await,
        }
    }

    /// What nothing depends on yet is dropped when the server stops. None: it was.
    async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = async { self.stopped().await; sleep(LAST_WORDS).await } => None,
        }
    }

    /// How long an answer may wait for a client that reads nothing. Streams judge themselves after half of that, and say so.
    fn stall(&self) -> Duration {
        Duration::from_millis(self.node.rules.limits().stall_ms).saturating_mul(2)
    }

    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that whoever could stop the server is gone: then it has stopped.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    fn http(&self) -> auto::Builder<TokioExecutor> {
        let limits = self.node.rules.transport();
        let session = self.node.rules.limits();
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(BETWEEN_REQUESTS)
            .max_buf_size(limits.header_bytes.max(LEAST_BUFFER));
        http.http2()
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_millis(session.ping_ms))
            .keep_alive_timeout(Duration::from_millis(session.pong_ms));
        http
    }

    /// Answers requests until the client leaves, or until what was asked is answered once the server stops.
    async fn converse<S: Lean>(
        &self,
        stream: Rewind<S>,
        http: auto::Builder<TokioExecutor>,
        under_way: UnderWay,
    ) {
        let stream = stream.stalling_at_most(self.stall());
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (router, asked) = (self.http.router.clone(), asked.clone());
            move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let (answering, answer) = (under_way.begin(), router.clone().call(request));
                async move {
                    let answer = answer.await;
                    drop(answering);
                    answer
                }
            }
        });
        let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
        // The first head of HTTP/1.1 is there already.
        let handshake = Duration::from_millis(self.node.rules.transport().handshake_ms);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = async {
                sleep(handshake).await;
                if asked.load(Ordering::Relaxed) { std::future::pending().await }
            } => return,
            () = self.stopped() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
    }
}
