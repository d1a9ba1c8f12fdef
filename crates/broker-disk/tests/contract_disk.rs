//! The disk broker keeps the contract, whenever readers see messages.
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
use std::sync::Arc;

use fanfare_broker::{
    Answer, Append, Appending, Bounds, Broker, ChannelInfo, ChannelPolicy, Keyed, KeyedSlice, Lost, Policies,
    Read, ReadBack, Sink, Slice, contract::Setup,
};
use fanfare_broker_disk::{DiskBroker, DiskSettings};
use fanfare_protocol::{Ack, ChannelName, Problem};

/// A broker in a directory that goes with it.
struct Scratch {
    broker: DiskBroker,
    _directory: tempfile::TempDir,
}

/// The suite's policies with another `ack`.
struct Acked(Arc<dyn Policies>, Ack);

impl Policies for Acked {
    fn policy(&self, channel: &ChannelName) -> ChannelPolicy {
        ChannelPolicy { ack: self.1, ..self.0.policy(channel) }
    }
}

fn scratch(setup: &Setup, ack: Ack) -> Arc<dyn Broker> {
    let directory = tempfile::tempdir().unwrap();
    let settings = DiskSettings {
        idempotency_ms: setup.idempotency_ms,
        idempotency_ids: setup.idempotency_ids,
        channels_limit: setup.channels_limit,
        // Small, so that the suite goes over many segments.
        segment_bytes: 8 << 10,
        keep_every: Some(std::time::Duration::from_millis(5)),
        ..DiskSettings::new(directory.path())
    };
    let policies = Arc::new(Acked(setup.policies.clone(), ack));
    let broker = DiskBroker::open(settings, policies).unwrap();
    Arc::new(Scratch { broker, _directory: directory })
}

impl Broker for Scratch {
    fn start(&self, sink: Arc<dyn Sink>) {
        self.broker.start(sink);
    }
    fn append(&self, append: Append) -> Appending {
        self.broker.append(append)
    }
    fn bounds<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<Bounds, Problem>> {
        self.broker.bounds(channel)
    }
    fn read<'a>(&'a self, c: &'a ChannelName, r: Read) -> Answer<'a, Result<Result<Slice, Lost>, Problem>> {
        self.broker.read(c, r)
    }
    fn read_back<'a>(&'a self, c: &'a ChannelName, r: ReadBack) -> Answer<'a, Result<Slice, Problem>> {
        self.broker.read_back(c, r)
    }
    fn read_keyed<'a>(&'a self, c: &'a ChannelName, r: Keyed) -> Answer<'a, Result<KeyedSlice, Problem>> {
        self.broker.read_keyed(c, r)
    }
    fn renew<'a>(
        &'a self,
        channel: &'a ChannelName,
        keys: &'a [Arc<str>],
        ttl_ms: u64,
    ) -> Answer<'a, Result<Vec<Arc<str>>, Problem>> {
        self.broker.renew(channel, keys, ttl_ms)
    }
    fn interest<'a>(&'a self, channel: &'a ChannelName) -> Answer<'a, Result<(), Problem>> {
        self.broker.interest(channel)
    }
    fn disinterest(&self, channel: &ChannelName) {
        self.broker.disinterest(channel);
    }
    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ChannelInfo>, Problem>> {
        self.broker.channels(prefix, after, limit)
    }
    fn tick(&self, unix_ms: u64) {
        self.broker.tick(unix_ms);
    }
    fn stop<'a>(&'a self) -> Answer<'a, Result<(), Problem>> {
        self.broker.stop()
    }
}

mod stored {
    use super::*;
    fanfare_broker::contract!(|setup: Setup| async move { scratch(&setup, Ack::Stored) });
}

mod memory {
    use super::*;
    fanfare_broker::contract!(|setup: Setup| async move { scratch(&setup, Ack::Memory) });
}
