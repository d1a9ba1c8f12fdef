//! Rules by namespace: `log` keeps much, `short` little, `none` nothing, `keyed` and `close` as they say.
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fanfare_broker::{ChannelPolicy, Policies};
use fanfare_hub::{HubRules, Slow};
use fanfare_protocol::ChannelName;

pub struct TestRules {
    pub tail_bytes: AtomicUsize,
}

impl TestRules {
    pub fn new(tail_bytes: usize) -> Self {
        Self { tail_bytes: AtomicUsize::new(tail_bytes) }
    }
}

impl Policies for TestRules {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        let all = ChannelPolicy { size: 100_000, ..ChannelPolicy::default() };
        if channel.is_internal() {
            return ChannelPolicy { size: 1, keyed: true, ..all };
        }
        match channel.namespace() {
            Some("short" | "close") => ChannelPolicy { size: 12, ..all },
            Some("none") => ChannelPolicy { size: 0, ..all },
            Some("keyed" | "conflate") => ChannelPolicy { size: 8, keyed: true, ..all },
            _ => all,
        }
    }
}

impl HubRules for TestRules {
    fn slow(&self, channel: &ChannelName) -> Slow {
        match channel.namespace() {
            Some("close") => Slow::Close,
            Some("conflate") => Slow::Conflate,
            _ => Slow::Skip,
        }
    }
    fn tail_bytes(&self) -> usize {
        self.tail_bytes.load(Relaxed)
    }
    fn presence_grace_ms(&self) -> u64 {
        5000
    }
    fn presence_lease_ms(&self) -> u64 {
        30_000
    }
}
