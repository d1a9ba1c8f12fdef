//! A socket of ours: plain, or TLS over it.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::error::BenchError;
use crate::settings::Settings;

/// One connection's socket.
#[derive(Debug)]
pub enum Link {
    /// TCP.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Makes links to one server.
pub struct Dialer {
    settings: Settings,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Dialer {
    /// # Errors
    /// The certificate authority cannot be read, or the host is no name.
    pub fn new(settings: &Settings) -> Result<Self, BenchError> {
        let tls = settings.tls.then(|| client(settings)).transpose()?;
        Ok(Self { settings: settings.clone(), tls })
    }

    /// Begins a connection. It is there when its socket can be written to.
    ///
    /// # Errors
    /// The system refuses: no open files, no ports.
    pub fn dial(&self) -> io::Result<Link> {
        let socket = TcpStream::connect(self.settings.address)?;
        // Small frames leave at once: the wait of Nagle's algorithm is no latency of the server's.
        socket.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Link::Plain(socket),
            Some((config, name)) => {
                let connection =
                    ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
                Link::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        })
    }
}

fn client(settings: &Settings) -> Result<(Arc<ClientConfig>, ServerName<'static>), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    match &settings.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None => return Err(BenchError::Tls("no certificate authority is given".into())),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(|error| failed(&error))?.with_root_certificates(roots).with_no_client_auth();
    let host = settings.host.rsplit_once(':').map_or(settings.host.as_str(), |(name, _)| name);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
    Ok((Arc::new(config), name))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BenchError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    found.map_err(|error| BenchError::Tls(format!("{}: {error}", path.display())))
}

impl Link {
    /// The socket, to be registered.
    pub fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    /// Whether a read that does not fill its buffer has emptied the socket.
    pub fn short_read_is_all(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
