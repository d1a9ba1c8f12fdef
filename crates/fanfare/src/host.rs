//! What the first page shows: this host's processor, memory and network, once a second on `host:metrics`.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_broker::{Append, Author};
use fanfare_hub::unix_ms;
use fanfare_protocol::{ChannelName, Data, EventName, Problem, Publish};
use fanfare_transport::Node;
use serde_json::{Value, json};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, RefreshKind, System};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// The channel, whose keys are `cpu`, `memory` and `network`.
pub const CHANNEL: &str = "host:metrics";
const EVERY: Duration = Duration::from_secs(1);

/// Publishes samples until aborted.
///
/// - `cpu`: `{"percent": 0..100, "cores": [0..100, ...]}`
/// - `memory`: `{"used": bytes, "total": bytes}`
/// - `network`: `{"rx": bytes a second, "tx": bytes a second}`, loopback left out
pub fn spawn(node: Arc<Node>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(channel) = ChannelName::parse(CHANNEL) else { return };
        let mut host = Host::new();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // Use is measured between two looks: the first one only begins.
        ticks.tick().await;
        let mut failed = false;
        loop {
            ticks.tick().await;
            // Readers that cannot keep up get fewer samples, not older ones.
            if node.hub.congestion(&channel).is_some() {
                continue;
            }
            let outcome = publish(&node, &channel, host.sample()).await;
            // Once, not every second.
            if let Err(problem) = &outcome
                && !failed
            {
                tracing::warn!(%problem, "this host's figures could not be published");
            }
            failed = outcome.is_err();
        }
    })
}

async fn publish(node: &Node, channel: &ChannelName, sample: [(&str, Value); 3]) -> Result<(), Problem> {
    let now = unix_ms();
    let queued = sample.map(|(key, value)| {
        let publish = Publish {
            event: EventName::internal("sample"),
            key: Some(key.into()),
            ..Publish::new(channel.clone(), Data::Json(value.to_string().into()))
        };
        node.hub.publish(Append { publish, author: Author::default(), unix_ms: now })
    });
    for appending in queued {
        appending.await?;
    }
    Ok(())
}

/// The host as the system tells of it.
struct Host {
    system: System,
    networks: Networks,
    looked: Instant,
}

impl Host {
    fn new() -> Self {
        let refreshed = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(refreshed);
        Self { system, networks: Networks::new_with_refreshed_list(), looked: Instant::now() }
    }

    fn sample(&mut self) -> [(&'static str, Value); 3] {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        let seconds = self.looked.elapsed().as_secs_f64().max(0.001);
        self.looked = Instant::now();
        let outside = || self.networks.iter().filter(|(name, _)| *name != "lo" && *name != "lo0");
        let rate = |bytes: u64| (bytes as f64 / seconds).round() as u64;
        let rx = outside().map(|(_, network)| network.received()).sum();
        let tx = outside().map(|(_, network)| network.transmitted()).sum();
        let cores: Vec<f64> = self.system.cpus().iter().map(|core| percent(core.cpu_usage())).collect();
        [
            ("cpu", json!({ "percent": percent(self.system.global_cpu_usage()), "cores": cores })),
            ("memory", json!({ "used": self.system.used_memory(), "total": self.system.total_memory() })),
            ("network", json!({ "rx": rate(rx), "tx": rate(tx) })),
        ]
    }
}

/// One digit after the point, within 0 and 100.
fn percent(usage: f32) -> f64 {
    (f64::from(usage).clamp(0.0, 100.0) * 10.0).round() / 10.0
}
