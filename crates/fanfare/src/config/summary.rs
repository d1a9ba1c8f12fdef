//! What a configuration means, in a few lines, for `fanfare check`.
use std::fmt::Write as _;

use fanfare_protocol::{Ack, Right, Rights};

use super::{Config, Namespace, duration, size};

impl Config {
    /// What listens where, who is accepted, and who may do what on which channels. Holds no secrets.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let scheme = if self.tls.files().is_some() { "https" } else { "http" };
        let mode = match (self.dev, self.insecure) {
            (true, true) => " (dev mode, open to everyone who reaches it)",
            (true, false) => " (dev mode, this machine only)",
            _ => "",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "listens on   {scheme}://{}{mode}", self.listen);
        let _ = writeln!(text, "messages     {}", self.kept());
        let _ = writeln!(text, "accepts      {}", self.accepted());
        let origins: Vec<_> = self.origins().collect();
        let origins = if origins.is_empty() { "only its own".to_owned() } else { origins.join(", ") };
        let _ = writeln!(text, "origins      {origins}");
        for (name, namespace) in &self.namespaces {
            let channels = if name == super::namespaces::DEFAULT {
                "other channels".into()
            } else {
                format!("{name}:*")
            };
            let _ = writeln!(
                text,
                "\n{channels}\n{}",
                describe(namespace, self.data.is_some(), self.data.is_some() || self.dev)
            );
        }
        text
    }

    fn kept(&self) -> String {
        let memory = size::show(self.limits.memory_bytes);
        match (&self.data, self.dev) {
            (Some(data), _) => format!("in {}; newest ones in memory, at most {memory}", data.display()),
            (None, true) => {
                format!("in a temporary directory for the port; newest ones in memory, at most {memory}")
            }
            (None, false) => format!("in memory only, at most {memory}"),
        }
    }

    fn accepted(&self) -> String {
        let auth = &self.auth;
        let mut ways = Vec::new();
        if auth.hmac_secret.is_some() {
            ways.push("tokens of the shared secret".to_owned());
        }
        if !auth.keys.is_empty() {
            ways.push(format!("tokens of {} key(s)", auth.keys.len()));
        }
        if let Some(url) = &auth.jwks_url {
            ways.push(format!("tokens of the keys at {url}"));
        }
        if !auth.api_keys.is_empty() {
            let names: Vec<_> = auth.api_keys.iter().map(|key| key.name.as_str()).collect();
            ways.push(format!("API keys of {}", names.join(", ")));
        }
        if ways.is_empty() { "no credentials".into() } else { ways.join("; ") }
    }
}

/// `stored` tells whether `data` is set, `durable` whether there is a directory at all.
fn describe(namespace: &Namespace, stored: bool, durable: bool) -> String {
    let history = match namespace.history.size {
        0 => "none".to_owned(),
        messages => format!(
            "{messages} messages, {}, {}",
            duration::show(namespace.history.ttl),
            size::show(namespace.history.bytes)
        ),
    };
    let kinds = [("keyed", namespace.keyed), ("presence", namespace.presence)];
    let kinds: String = kinds.iter().filter(|(_, on)| *on).map(|(name, _)| format!(", {name}")).collect();
    let both = namespace.anonymous.into_iter_names().chain(namespace.authenticated.into_iter_names());
    let mut user: Vec<_> = both.collect();
    user.sort_by_key(|name| Right::ALL.iter().position(|right| right.name() == *name));
    user.dedup();
    let list = |names: Vec<&str>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let ack = match namespace.policy(stored).ack {
        Ack::Stored => "once it is on disk",
        Ack::Memory => "once it is in the log, on disk within a second",
    };
    let ack = if durable { format!("  answered   {ack}\n") } else { String::new() };
    format!(
        "  history    {history}{kinds}\n{ack}  anonymous  {}\n  with token {}, and what the token grants",
        list(namespace.anonymous.into_iter_names().collect()),
        list(user),
    )
}

trait Names {
    fn into_iter_names(self) -> impl Iterator<Item = &'static str>;
}
impl Names for Rights {
    fn into_iter_names(self) -> impl Iterator<Item = &'static str> {
        Right::ALL.into_iter().filter(move |right| self.has(*right)).map(Right::name)
    }
}
