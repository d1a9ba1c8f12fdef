//! The client's side of a connection to a hub: where it is, who one is, TCP and TLS.

pub mod backoff;
pub mod http;

use std::{io, sync::Arc, time::Duration};

use ::http::Uri;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::exit::Failure;

/// Longest time to connect, and to wait for the head of an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Which hub, and as whom.
#[derive(clap::Args, Clone, Debug)]
pub struct HubArgs {
    /// The hub
    #[arg(long, env = "FANFARE_URL", default_value = "http://127.0.0.1:8000", value_parser = url)]
    url: Uri,
    /// Token or API key
    #[arg(long, env = "FANFARE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A byte stream, in clear or encrypted.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A hub that can be connected to.
pub struct Hub {
    authority: String,
    host: String,
    port: u16,
    /// What precedes `/v1`, for hubs that are mounted below a path.
    base: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The value of `Authorization`.
    pub bearer: Option<String>,
}

impl Hub {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(args: &HubArgs) -> Result<Self, Failure> {
        let wrong =
            |what: &str| Failure::Other(format!("--url {what}\n  remedy: write it as http://127.0.0.1:8000"));
        let authority = args.url.authority().ok_or_else(|| wrong("names no host"))?;
        let https = args.url.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if https {
            let name = ServerName::try_from(host.clone())
                .map_err(|_| wrong("names a host that no certificate is for"))?;
            Some((TlsConnector::from(Arc::new(tls_config()?)), name))
        } else {
            None
        };
        Ok(Self {
            authority: authority.as_str().to_owned(),
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            base: args.url.path().trim_end_matches('/').to_owned(),
            host,
            tls,
            bearer: args.token.as_ref().map(|token| format!("Bearer {token}")),
        })
    }

    /// Host and port as they stand in `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query of a request.
    pub fn path(&self, path: &str, query: &[(&str, String)]) -> String {
        let mut text = format!("{}{path}", self.base);
        for (at, (name, value)) in query.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text += name;
            text.push('=');
            encode(value, &mut text);
        }
        text
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there, or not in TLS.
    pub async fn connect(&self) -> Result<Box<dyn Wire>, Failure> {
        let connecting = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
            tcp.set_nodelay(true)?;
            Ok::<Box<dyn Wire>, io::Error>(match &self.tls {
                Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
                None => Box::new(tcp),
            })
        };
        let connected =
            timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|error| {
            Failure::Network(format!(
                "no connection to {}: {error}\n  remedy: start a hub with `fanfare`, or name another with --url",
                self.authority
            ))
        })
    }
}

/// Trusts the operating system's authorities, and Mozilla's for systems that have none.
fn tls_config() -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // Certificates that cannot be read are not trusted; that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Other(format!("TLS cannot be used: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn url(text: &str) -> Result<Uri, String> {
    let form = "write it as http://127.0.0.1:8000";
    let uri: Uri = text.parse().map_err(|_| form)?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => Ok(uri),
        _ => Err(form.into()),
    }
}

/// Percent-encoding of everything that is not unreserved (RFC 3986 §2.3).
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// A secret session: 32 characters of base64url.
///
/// # Errors
/// The operating system has no randomness.
pub fn new_session() -> Result<String, Failure> {
    use base64::Engine as _;
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Other(format!("no randomness: {error}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_their_path_and_queries_are_encoded() {
        let args = HubArgs { url: url("http://h:1/below/").unwrap(), token: Some("t".into()) };
        let hub = Hub::new(&args).unwrap();
        assert_eq!(
            hub.path("/v1/sse", &[("channel", "a/b&c:é".into())]),
            "/below/v1/sse?channel=a%2Fb%26c%3A%C3%A9"
        );
        assert_eq!((hub.authority(), hub.port, hub.bearer.as_deref()), ("h:1", 1, Some("Bearer t")));
        for wrong in ["127.0.0.1:8000", "ftp://h", "http://u:p@h", ""] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
