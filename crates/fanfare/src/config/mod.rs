//! Configuration: built-in defaults, under a TOML file, under `FANFARE_*` variables, under flags.
//!
//! Every setting is defined once, in the `visit` of its table ([`schema::Table`]); reading, comparing at a reload and
//! docs/configuration.md are made from that definition. Everything that is wrong is reported together, each with its place.

mod address;
mod auth;
pub mod check;
mod demos;
mod duration;
mod env;
mod error;
mod file;
mod flags;
mod hooks;
mod kind;
mod limits;
mod listing;
mod live;
mod namespaces;
mod nearest;
mod node;
mod reader;
pub mod reference;
mod reload;
pub mod schema;
mod size;
mod socketio;
mod sources;
mod summary;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub use auth::{ApiKeySettings, AuthSettings, JwksSettings, KeySettings};
pub use demos::DemoSettings;
pub use duration::{parse as parse_duration, show as show_duration};
pub use error::{ConfigError, ConfigErrors};
pub use fanfare_auth::Secret;
pub use flags::Flags;
pub use hooks::{HookEvent, HookSettings};
pub use limits::LimitSettings;
pub use live::Live;
pub use namespaces::{History, Namespace, Slow};
pub use nearest::nearest;
pub use node::Place;
pub use reload::Change;
pub use socketio::SocketIoTable;
pub use sources::Sources;
pub use tls::TlsSettings;

use address::Address;
use kind::{Count, File, Flag, ListOf, Maybe, Text};
use schema::{
    Table, Visitor,
    When::{Reload, Restart},
};

/// Everything that can be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory of the disk log; none: memory, but for the dev mode of the binary, which has a temporary one.
    pub data: Option<PathBuf>,
    /// What joins several hubs; only `memory`, one hub, so far.
    pub broker: String,
    /// Worker threads; 0: one for each core.
    pub workers: usize,
    /// Every right to everyone, from this machine only.
    pub dev: bool,
    /// In dev mode: from other machines too.
    pub insecure: bool,
    /// Origins of pages that may use the hub; read them by [`Config::origins`], which knows both places.
    pub allowed_origins: Vec<String>,
    /// `[tls]`.
    pub tls: TlsSettings,
    /// `[auth]`.
    pub auth: AuthSettings,
    /// `[demos]`.
    pub demos: DemoSettings,
    /// `[hooks]`.
    pub hooks: HookSettings,
    /// `[socketio]`.
    pub socketio: SocketIoTable,
    /// `[limits]`.
    pub limits: LimitSettings,
    /// `[namespaces.NAME]`; always holds `default`.
    pub namespaces: BTreeMap<String, Namespace>,
}

impl Config {
    /// The built-in settings: closed, or with `dev` open to this machine.
    pub fn built_in(dev: bool) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            data: None,
            broker: "memory".into(),
            workers: 0,
            dev,
            insecure: false,
            allowed_origins: Vec::new(),
            tls: TlsSettings::default(),
            auth: AuthSettings::default(),
            demos: DemoSettings::default(),
            hooks: HookSettings::default(),
            socketio: SocketIoTable::built_in(dev),
            limits: LimitSettings::default(),
            namespaces: BTreeMap::from([(namespaces::DEFAULT.to_owned(), Namespace::built_in(dev))]),
        }
    }

    /// The settings of a TOML text alone, without environment and flags; for programs that embed the hub.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        Sources::text(text).load()
    }

    /// The namespace of a channel: that of the part before the first `:`, if it has a table, else `default`.
    pub fn namespace(&self, channel: &str) -> Option<&Namespace> {
        // Asked several times for each message: a search by bytes is the quickest in so short a text.
        let end = channel.bytes().position(|byte| byte == b':');
        end.and_then(|end| self.namespaces.get(channel.get(..end)?))
            .or_else(|| self.namespaces.get(namespaces::DEFAULT))
    }

    /// Origins of pages that may use the hub, `https://app.example`.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.auth.allowed_origins.iter().chain(&self.allowed_origins).map(String::as_str)
    }

    /// True when requests with a foreign Host or Origin must be refused: everybody may do everything, so that only
    /// the address protects the hub, and a hostile page in a local browser has that address too.
    pub fn loopback_only(&self) -> bool {
        self.dev && !self.insecure
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::built_in(false)
    }
}

impl Table for Config {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Address>("listen", &mut self.listen, Restart, "Address and port to listen on. Port 0 takes a free one; the line on stdout tells which.");
        v.field::<Maybe<File>>("data", &mut self.data, Restart, "Directory in which messages are kept, and are found again after a restart. Unset: in memory only; in dev mode `fanfare-UID-PORT` in the temporary directory.");
        v.field::<Text>("broker", &mut self.broker, Restart, "What joins several hubs. `memory`: one hub.");
        v.field::<Count>("workers", &mut self.workers, Restart, "Worker threads; 0: one for each core.");
        v.field::<Flag>("dev", &mut self.dev, Restart, "Dev mode: every right to everyone, on a loopback address only. Without a configuration file it is on.");
        v.field::<Flag>("insecure", &mut self.insecure, Restart, "With `dev = true`: listen on any address, for any Host and Origin.");
        v.field::<ListOf<Text>>("allowed_origins", &mut self.allowed_origins, Reload, "The same as `auth.allowed_origins`; both lists count.");
        v.table("tls", &mut self.tls, "Serve https and wss without a proxy in front.");
        v.table("auth", &mut self.auth, "Who is accepted. Without any of it nobody is, and only anonymous rights count.");
        v.table("demos", &mut self.demos, "Pages that show what the hub does.");
        v.table("socketio", &mut self.socketio, "Socket.IO clients, unchanged. What they may do is what the namespaces and their tokens say.");
        v.table("hooks", &mut self.hooks, "An application in another process that is asked about what clients do.");
        v.table("limits", &mut self.limits, "Everything that a stranger can make grow, and how far.");
        let base = Namespace::built_in(self.dev);
        v.map("namespaces", &mut self.namespaces, &base, "How the channels `NAME:...` are kept, and who may do what on them. Channels without a prefix, or with one that has no table, follow `[namespaces.default]`.");
    }
}
