//! Why a run could not be made. Each text says what to do next.

use std::io;
use std::net::SocketAddr;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Settings that contradict one another.
    #[error("{0}")]
    Settings(String),
    /// The URL.
    #[error(
        "`{url}` is no address of a server: {reason}\n  remedy: give it as http://HOST:PORT or https://HOST:PORT"
    )]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Open files.
    #[error(
        "{needed} open files are needed and this process may have {limit}\n  remedy: `ulimit -n {needed}` (as root, or in limits.conf), or fewer --subscribers"
    )]
    OpenFiles {
        /// Connections and a few more.
        needed: u64,
        /// The limit, already raised as far as it goes.
        limit: u64,
    },
    /// Nobody answers.
    #[error(
        "no connection to {address}: {error}\n  remedy: start the server, or leave out --url to have one started"
    )]
    Connect {
        /// Who was called.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The server's answer was not what the protocol promises.
    #[error(
        "the server refused connection {connection}: {answer}\n  remedy: check --protocol, --token and the server's limits"
    )]
    Refused {
        /// Which of ours.
        connection: usize,
        /// Its own words.
        answer: String,
    },
    /// The server does not go on.
    #[error(
        "{ready} of {wanted} connections were ready when nothing happened for {seconds} s\n  remedy: check --protocol, and the server's limits and log"
    )]
    NotReady {
        /// Done.
        ready: usize,
        /// Asked for.
        wanted: usize,
        /// Waited.
        seconds: u64,
    },
    /// A publication was refused, or its connection ended.
    #[error("publishing failed: {0}\n  remedy: check --protocol, --token and the server's limits")]
    Publish(String),
    /// The process to be measured.
    #[error("there is no process {0}\n  remedy: give --pid the server's process id, or leave it out")]
    NoProcess(u32),
    /// The server that was to be started.
    #[error("{program} did not start: {reason}")]
    Server {
        /// Its path.
        program: String,
        /// What happened.
        reason: String,
    },
    /// Certificates.
    #[error("TLS: {0}\n  remedy: --ca FILE names the certificate authority of the server")]
    Tls(String),
    /// The system.
    #[error("{0}")]
    Io(#[from] io::Error),
}
