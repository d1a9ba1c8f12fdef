//! Settings given on the command line, which win over everything else.
use std::{collections::BTreeMap, path::PathBuf};

use super::node::{Node, Place, Value};

/// The settings that have a flag. Absent ones change nothing.
#[derive(Clone, Default, PartialEq, Eq, Debug, clap::Args)]
pub struct Flags {
    /// Address and port to listen on, such as 127.0.0.1:8000
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory in which messages are kept
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What joins several hubs: memory (one hub)
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Worker threads; 0: one for each core
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Development: every right to everyone, from this machine only
    #[arg(long)]
    pub dev: bool,
    /// With --dev: listen on addresses that other machines reach
    #[arg(long)]
    pub insecure: bool,
}

impl Flags {
    /// The flags as settings.
    pub fn node(&self) -> Node {
        let mut table = BTreeMap::new();
        let mut put = |key: &str, flag: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), Node { value, place: Place::Flag(flag), raw: None });
            }
        };
        put("listen", "--listen", self.listen.clone().map(Value::Text));
        put(
            "data",
            "--data",
            self.data.as_ref().map(|path| Value::Text(path.to_string_lossy().into_owned())),
        );
        put("broker", "--broker", self.broker.clone().map(Value::Text));
        put("workers", "--workers", self.workers.map(|workers| Value::Integer(workers.into())));
        put("dev", "--dev", self.dev.then_some(Value::Flag(true)));
        put("insecure", "--insecure", self.insecure.then_some(Value::Flag(true)));
        Node { value: Value::Table(table), place: Place::Flag("command line"), raw: None }
    }
}
