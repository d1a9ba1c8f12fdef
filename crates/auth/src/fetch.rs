//! Fetches one document over HTTP/1.1, in clear or with TLS: one connection, no redirects, everything bounded.
use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::ConfigError;

/// Why a document could not be fetched; for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no connection to {0}: {1}")]
    Connect(String, #[source] std::io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] std::io::Error),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("the answer is {0}, not 200{hint}", hint = if .0.is_redirection() { "; redirects are not followed, configure the final URL" } else { "" })]
    Status(StatusCode),
    #[error("the answer could not be read, or is larger than {0} bytes: {1}")]
    Body(usize, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// What was fetched.
pub(crate) struct Document {
    pub(crate) body: Bytes,
    /// `max-age` of `Cache-Control`, in seconds.
    pub(crate) max_age: Option<u64>,
}

/// Where a document is, and how to get there.
pub(crate) struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Endpoint {
    /// Checks a URL and, for `https`, reads the certificates to trust: the operating system's, Mozilla's for systems
    /// that have none, and those of `ca_file`.
    pub(crate) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, ConfigError> {
        let uri: Uri = url.parse().map_err(|_| ConfigError::JwksUrl("is not a URL"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ConfigError::JwksUrl("begins neither with https:// nor http://")),
        };
        let authority = uri.authority().ok_or(ConfigError::JwksUrl("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(ConfigError::JwksUrl("holds a user name, which is not supported"));
        }
        // A numeric IPv6 host stands in brackets, which are not part of the address.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let tls = if https {
            let name = ServerName::try_from(host.clone())
                .map_err(|_| ConfigError::JwksUrl("names a host that no certificate can be for"))?;
            Some((TlsConnector::from(Arc::new(client_config(ca_file)?)), name))
        } else {
            None
        };
        Ok(Self { uri, host, port, tls })
    }

    /// Fetches the document.
    pub(crate) async fn get(&self, max_bytes: usize, timeout: Duration) -> Result<Document, FetchError> {
        let fetched = tokio::time::timeout(timeout, async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port))
                .await
                .map_err(|error| FetchError::Connect(format!("{}:{}", self.host, self.port), error))?;
            match &self.tls {
                None => self.request(tcp, max_bytes).await,
                Some((connector, name)) => {
                    let tls = connector.connect(name.clone(), tcp).await.map_err(FetchError::Tls)?;
                    self.request(tls, max_bytes).await
                }
            }
        });
        fetched.await.unwrap_or(Err(FetchError::Timeout(timeout)))
    }

    async fn request<IO>(&self, io: IO, max_bytes: usize) -> Result<Document, FetchError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(self.uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let max_age = max_age(response.headers());
            let body = Limited::new(response.into_body(), max_bytes).collect().await;
            let body = body.map_err(|error| FetchError::Body(max_bytes, error))?.to_bytes();
            Ok(Document { body, max_age })
        };
        // The connection is driven here rather than in a task of its own, so that it ends with the time limit.
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answered = &mut answer => answered,
            // What the connection has read is still in the answer's hands when it closes.
            _ = &mut connection => answer.await,
        }
    }
}

fn max_age(headers: &http::HeaderMap) -> Option<u64> {
    let directives =
        headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    directives
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("max-age"))
        .and_then(|(_, seconds)| seconds.trim_matches('"').parse().ok())
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, ConfigError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let unusable = || ConfigError::CaFile(path.to_owned());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_| unusable())? {
            roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigError::JwksUrl("needs TLS, which this build cannot speak"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
