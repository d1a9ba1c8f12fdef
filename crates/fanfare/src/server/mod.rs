//! The binary's server: one listener over one hub, from the first connection to the last goodbye.

pub(crate) mod accept;
pub(crate) mod assemble;
pub(crate) mod connection;
pub(crate) mod drain;
pub(crate) mod head;
pub(crate) mod poll;
pub(crate) mod tls;

use std::{future::Future, io, io::Write, net::SocketAddr, sync::Arc};

pub use assemble::StartError;
pub use tls::TlsError;

use crate::{Fanfare, config::Live, demos, host, store};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source} ({})", advice(source))]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The hub itself.
    #[error(transparent)]
    Start(#[from] StartError),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what listens there, or choose another address with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another with --listen",
        _ => "check the address, or choose another with --listen",
    }
}

/// Serves a configuration until `shutdown` is ready, then drains. One line on stdout says that the hub is ready, and where:
/// `listening on http://127.0.0.1:8000`.
///
/// # Errors
/// The address, the certificate, the configuration or the data directory cannot be used.
pub async fn serve(live: Arc<Live>, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let config = live.config();
    let at = |source| ServeError::Listen { address: config.listen, source };
    let listener = accept::listen(config.listen).map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    let certificate = config.tls.files().map(|(cert, key)| tls::Certificate::read(cert, key)).transpose()?;
    let tls = certificate.as_ref().map(tls::Certificate::acceptor).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    // Only now is the port known, if it was to be any.
    let data = match (&config.data, config.dev) {
        (None, true) => Some(store::development(address.port()).map_err(StartError::from)?),
        (data, _) => data.clone(),
    };
    let fanfare = Fanfare::over(live.clone(), None, config.dev, data.as_deref())?;
    let mut chores = tokio::task::JoinSet::new();
    if let Some(certificate) = certificate {
        chores.spawn(reload_at_hangup(certificate));
    }
    let figures = config.dev.then(|| host::spawn(fanfare.node().clone()));
    let shown = (config.dev || config.demos.enabled).then(|| demos::spawn(&fanfare));
    let serving = fanfare.accept(listener, tls);
    announce(&format!("listening on {scheme}://{address}"));
    tokio::select! {
        () = serving => {}
        () = shutdown => {}
    }
    if let Some(figures) = figures {
        figures.abort();
    }
    drop(shown);
    fanfare.shutdown().await;
    Ok(())
}

/// One line on stdout. Whoever closed it does not want to know.
fn announce(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(unix)]
async fn reload_at_hangup(certificate: Arc<tls::Certificate>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        match certificate.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!("the old certificate stays: {error}"),
        }
    }
}

#[cfg(not(unix))]
async fn reload_at_hangup(_: Arc<tls::Certificate>) {}
