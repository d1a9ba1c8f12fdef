//! `[tls]`: serving https and wss without a proxy in front.
use std::path::PathBuf;

use super::{
    kind::{File, Maybe},
    schema::{Table, Visitor, When::Restart},
};

/// Certificate and key; both or neither.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsSettings {
    /// PEM file of the certificate and its chain.
    pub cert: Option<PathBuf>,
    /// PEM file of the private key.
    pub key: Option<PathBuf>,
}

impl TlsSettings {
    /// The two files, when TLS is configured.
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert.as_ref().zip(self.key.as_ref())
    }
}

impl Table for TlsSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Maybe<File>>("cert", &mut self.cert, Restart, "PEM file of the certificate and its chain.");
        v.field::<Maybe<File>>("key", &mut self.key, Restart, "PEM file of its private key.");
    }
}
