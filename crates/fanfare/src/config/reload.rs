//! What differs between two configurations.
use std::fmt;

use super::{Config, LimitSettings, SocketIoTable, listing, schema::When};

/// One setting that differs. Secrets are masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The setting's path.
    pub path: String,
    /// As it was; `(none)` when its table was not there.
    pub old: String,
    /// As it is now; `(none)` when its table is gone.
    pub new: String,
    /// The running hub keeps the old value.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, old, new, needs_restart } = self;
        match (old == new, needs_restart) {
            (true, _) => write!(f, "{path}: changed"),
            (false, _) => write!(f, "{path}: {old} -> {new}"),
        }?;
        if *needs_restart { f.write_str(" (needs a restart)") } else { Ok(()) }
    }
}

/// Every setting that differs, by path. When dev mode differs, that alone: nothing else of the new one counts.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let (before, after) = (listing::list(old), listing::list(new));
    let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let change = |path: &String| {
        let (old, new) = (before.get(path), after.get(path));
        if old.zip(new).is_some_and(|(old, new)| old.same(new)) {
            return None;
        }
        let shown =
            |entry: Option<&listing::Entry>| entry.map_or_else(|| "(none)".into(), |e| e.shown.clone());
        let needs_restart = old.or(new).is_some_and(|entry| entry.when == When::Restart);
        Some(Change { path: path.clone(), old: shown(old), new: shown(new), needs_restart })
    };
    let changes = paths.into_iter().filter_map(change);
    if old.dev == new.dev {
        changes.collect()
    } else {
        changes.filter(|change| change.path == "dev").collect()
    }
}

/// The new configuration with the old values of everything that needs a restart.
pub fn keep_fixed(old: &Config, new: Config) -> Config {
    Config {
        listen: old.listen,
        data: old.data.clone(),
        broker: old.broker.clone(),
        workers: old.workers,
        dev: old.dev,
        insecure: old.insecure,
        tls: old.tls.clone(),
        demos: old.demos.clone(),
        hooks: old.hooks.clone(),
        // Routes are made with these.
        socketio: SocketIoTable {
            enabled: old.socketio.enabled,
            path: old.socketio.path.clone(),
            ..new.socketio
        },
        // The broker is made with these, and clients were told the time.
        limits: LimitSettings {
            channels: old.limits.channels,
            idempotency: old.limits.idempotency,
            idempotency_ids: old.limits.idempotency_ids,
            ..new.limits
        },
        ..new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HookEvent, HookSettings, Secret};

    #[test]
    fn every_setting_that_needs_a_restart_is_kept() {
        let old = Config::built_in(false);
        let mut new = Config::built_in(true);
        new.listen.set_port(9);
        (new.data, new.broker, new.workers, new.insecure) = (Some("d".into()), "x".into(), 9, true);
        new.demos.enabled = true;
        new.socketio.path = "/elsewhere/".into();
        new.hooks = HookSettings {
            url: Some("u".into()),
            secret: Some(Secret::new("s")),
            events: vec![HookEvent::Call],
            namespaces: vec!["n".into()],
            timeout: std::time::Duration::from_secs(9),
            concurrency: 9,
            open: vec![HookEvent::Call],
            failures: 9,
            pause: std::time::Duration::from_secs(9),
            private_addresses: true,
        };
        (new.tls.cert, new.tls.key) = (Some("c".into()), Some("k".into()));
        (new.limits.channels, new.limits.idempotency) = (9, std::time::Duration::ZERO);
        new.limits.idempotency_ids = 9;
        let (before, given) = (listing::list(&old), listing::list(&new));
        let kept = listing::list(&keep_fixed(&old, new));
        for (path, entry) in before.iter().filter(|(_, entry)| entry.when == When::Restart) {
            assert!(!entry.same(&given[path]), "this test should change {path}");
            assert!(entry.same(&kept[path]), "{path} was taken over");
        }
    }
}
