//! Connections to the application: the name is resolved, every address judged, and one that was judged is connected to.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tower::Service;

use super::is_public;

/// Makes connections to one host.
#[derive(Clone)]
pub(super) struct Connector {
    host: Arc<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    private_addresses: bool,
}

/// Why a URL cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlFault {
    /// It is none.
    #[error("it is not a URL")]
    NotAUrl,
    /// Of another scheme.
    #[error("it begins neither with https:// nor http://")]
    Scheme,
    /// Nobody to ask.
    #[error("it names no host")]
    Host,
    /// User information would be sent to nobody.
    #[error("it holds a user name; requests are signed instead")]
    User,
    /// TLS is out of order.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}

impl Connector {
    pub fn new(uri: &Uri, private_addresses: bool) -> Result<Self, UrlFault> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlFault::Scheme),
        };
        let authority = uri.authority().ok_or(UrlFault::Host)?;
        if authority.as_str().contains('@') {
            return Err(UrlFault::User);
        }
        // A numeric IPv6 host stands in brackets, which are not part of the address.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let tls = if https {
            let name = ServerName::try_from(host.clone()).map_err(|_| UrlFault::Host)?;
            Some((TlsConnector::from(Arc::new(trusting()?)), name))
        } else {
            None
        };
        Ok(Self { host: host.into(), port, tls, private_addresses })
    }

    async fn connect(self) -> io::Result<Wire> {
        let mut last = io::Error::other(format!(
            "{} leads to no public address; hooks.private_addresses = true allows others",
            self.host
        ));
        for address in lookup_host((&*self.host, self.port)).await? {
            if !self.private_addresses && !is_public(address.ip()) {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(tcp) => {
                    tcp.set_nodelay(true)?;
                    let stream: Box<dyn Stream> = match &self.tls {
                        Some((tls, name)) => Box::new(tls.connect(name.clone(), tcp).await?),
                        None => Box::new(tcp),
                    };
                    return Ok(Wire(TokioIo::new(stream)));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Trusts the operating system's authorities, and Mozilla's for systems that have none.
fn trusting() -> Result<ClientConfig, UrlFault> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // Certificates that cannot be read are not trusted; that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| UrlFault::Tls(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, in clear or with TLS.
pub(super) struct Wire(TokioIo<Box<dyn Stream>>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
