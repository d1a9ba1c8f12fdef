//! An HTTP server with a key set, which can rotate, hold back and fail.
use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::support::signer::fixture;

/// The server; it ends with this.
pub struct KeyServer {
    address: SocketAddr,
    tls: bool,
    answer: Arc<watch::Sender<Answer>>,
    requests: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    body: String,
    cache_control: Option<String>,
    held: bool,
}

impl KeyServer {
    /// A server in clear, with this set.
    pub async fn start(keys: &[Value]) -> Self {
        Self::launch(keys, None).await
    }

    /// A server with TLS.
    pub async fn start_tls(keys: &[Value], certificate: &str, key: &str) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(fixture(&format!("{key}.private.pem")).as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::launch(keys, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn launch(keys: &[Value], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = json!({ "keys": keys }).to_string();
        let answer = Answer { status: 200, body, cache_control: None, held: false };
        let answer = Arc::new(watch::Sender::new(answer));
        let (count, requests) = watch::channel(0);
        let (answers, count, is_tls) = (answer.clone(), Arc::new(count), tls.is_some());
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (answer, count, tls) = (answers.subscribe(), count.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, answer, &count).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, answer, &count).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, tls: is_tls, answer, requests, task }
    }

    /// Where its set is.
    pub fn url(&self) -> String {
        if self.tls {
            format!("https://localhost:{}/.well-known/jwks.json", self.address.port())
        } else {
            format!("http://{}/.well-known/jwks.json?a=b", self.address)
        }
    }

    /// Serves another set.
    pub fn serve(&self, keys: &[Value]) {
        self.answer(&json!({ "keys": keys }).to_string(), 200);
    }

    /// Serves another body.
    pub fn answer(&self, body: &str, status: u16) {
        self.answer.send_modify(|answer| {
            answer.body = body.to_owned();
            answer.status = status;
        });
    }

    /// Answers with an error.
    pub fn fail(&self, status: u16) {
        self.answer.send_modify(|answer| answer.status = status);
    }

    /// Sends this `Cache-Control`.
    pub fn cache_control(&self, value: &str) {
        self.answer.send_modify(|answer| answer.cache_control = Some(value.to_owned()));
    }

    /// Takes requests but does not answer.
    pub fn hold(&self) {
        self.answer.send_modify(|answer| answer.held = true);
    }

    /// Answers what it held back.
    pub fn release(&self) {
        self.answer.send_modify(|answer| answer.held = false);
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until so many requests have come.
    pub async fn requested(&self, count: usize) {
        let mut requests = self.requests.clone();
        requests.wait_for(|&so_far| so_far >= count).await.unwrap();
    }

    /// Ends it; nobody listens at the URL then.
    pub fn stop(self) -> String {
        self.task.abort();
        self.url()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<IO>(mut io: IO, mut answer: watch::Receiver<Answer>, count: &watch::Sender<usize>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = io.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /.well-known/jwks.json"), "{head}");
    assert!(head.contains("\r\nhost: "), "{head}");
    count.send_modify(|count| *count += 1);
    let Ok(answer) = answer.wait_for(|answer| !answer.held).await.map(|answer| answer.clone()) else {
        return;
    };
    let cache = answer.cache_control.map(|value| format!("Cache-Control: {value}\r\n")).unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\n{cache}Connection: close\r\n\r\n{}",
        answer.status,
        answer.body.len(),
        answer.body
    );
    // The client may have given up.
    let _ = io.write_all(text.as_bytes()).await;
    let _ = io.shutdown().await;
}
