//! The accept loop: takes what comes, and waits out the times when the system has no room for more.
use std::{future::Future, io, time::Duration};

use tokio::net::{TcpListener, TcpStream};

/// First pause after a failure that does not pass by itself at once.
const FIRST: Duration = Duration::from_millis(10);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(1);
/// Connections that the kernel holds until they are accepted; it may be configured to hold fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 8192;
/// Unsent bytes that the kernel takes for one socket before it says that it is full: a reader that stands still hoards no megabytes of
/// kernel memory, and what is conflated for it stays fresh.
const NOTSENT_LOWAT: u32 = 128 << 10;

/// Pauses that double while accepting goes on failing.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pause: Duration,
}

impl Backoff {
    /// How long to wait after this error; none when it was about one connection alone, which is gone.
    pub fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return None;
        }
        self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
        Some(self.pause)
    }

    /// Accepting works again; true when it did not before.
    pub fn reset(&mut self) -> bool {
        !std::mem::take(&mut self.pause).is_zero()
    }
}

/// Listens on an address.
///
/// # Errors
/// What the system says, mostly that somebody else listens there.
pub(crate) fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows it would let a second process take the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Hands every connection to `serve` until `stopped` is ready. The listener is closed on return.
pub(crate) async fn accept_until(
    listener: TcpListener,
    stopped: impl Future<Output = ()>,
    mut serve: impl FnMut(TcpStream),
) {
    let mut stopped = std::pin::pin!(stopped);
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if backoff.reset() {
                    tracing::info!("connections are accepted again");
                }
                prepare(&stream);
                serve(stream);
            }
            Err(error) => {
                let Some(pause) = backoff.after(&error) else { continue };
                if pause == FIRST {
                    tracing::error!(%error, "no connection can be accepted; trying again (open files: ulimit -n)");
                }
                tokio::select! {
                    () = &mut stopped => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Sets what a socket needs to be a good one; a system that knows it not does without.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_files_pauses_longer_and_longer_until_it_is_over() {
        let full = io::Error::from_raw_os_error(24);
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).filter_map(|_| backoff.after(&full)).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(backoff.reset());
        assert!(!backoff.reset());
        assert_eq!(backoff.after(&full), Some(FIRST));
    }

    #[test]
    fn a_connection_that_went_away_before_it_was_accepted_is_no_reason_to_wait() {
        let mut backoff = Backoff::default();
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset] {
            assert_eq!(backoff.after(&kind.into()), None);
        }
        assert!(!backoff.reset());
    }
}
