//! How a command ends.
use std::{io, process::ExitCode};

use fanfare_protocol::Code;

use crate::{
    StoreError,
    config::{ConfigError, ConfigErrors},
};

/// The data directory is in use, damaged or cannot be written.
const STORE: u8 = 3;

/// Why a command did not do its work. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the hub answered.
    #[error("{code}: {detail}\n  remedy: {remedy}")]
    Refused {
        /// The protocol's code.
        code: String,
        /// What happened.
        detail: String,
        /// What to do.
        remedy: String,
        /// Whether the same may succeed later.
        retryable: bool,
    },
    /// The way to the hub.
    #[error("{0}")]
    Network(String),
    /// Anything else, as a text.
    #[error("{0}")]
    Other(String),
    /// Input or output of this process.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failure {
    /// An answer of the hub: a problem document, an `error` frame or a `disconnect` frame.
    pub fn refused(answer: &serde_json::Value) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str);
        let code = text("code")?;
        let row = Code::from_name(code).map(Code::row);
        let retryable = answer.get("retryable").and_then(serde_json::Value::as_bool);
        Some(Self::Refused {
            code: plain(code),
            detail: plain(text("detail").or(row.map(|row| row.title)).unwrap_or("the hub refused")),
            remedy: plain(text("remedy").or(row.map(|row| row.remedy)).unwrap_or("see the hub's log")),
            retryable: retryable.unwrap_or(row.is_none_or(|row| row.retryable)),
        })
    }

    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            Self::Network(_) => true,
            _ => false,
        }
    }

    /// The reader of this process's output went away, which is a normal end.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

/// The exit code, after telling what went wrong.
pub fn code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            super::output::note(&format!("fanfare: {failure}"));
            match failure {
                // So that a supervisor can leave it to people: starting again does not help.
                Failure::Store(_) => ExitCode::from(STORE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints what clap has to say: help and version on stdout with 0, faults on stderr with 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let failed = error.use_stderr();
    // Nobody is left to tell if this fails.
    let _ = error.print();
    if failed { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// A text of the network without what could steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
