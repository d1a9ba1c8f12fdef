//! Why a connection ended: the network's fault, or the server's.
use std::io;

/// Why a client must stop or begin again.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The connection was cut: the client reconnects and resumes.
    #[error("cut: {0}")]
    Cut(#[from] io::Error),
    /// The server said or did what it should not.
    #[error("{0}")]
    Wrong(String),
}

impl Fault {
    /// The server's fault.
    pub fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }

    /// A status that no healthy server answers here.
    pub fn refused(status: u16, body: &[u8]) -> Self {
        Self::Wrong(format!("the server answered {status}: {}", String::from_utf8_lossy(body)))
    }
}

impl From<fanfare_testkit::Violation> for Fault {
    fn from(violation: fanfare_testkit::Violation) -> Self {
        Self::Wrong(violation.to_string())
    }
}
