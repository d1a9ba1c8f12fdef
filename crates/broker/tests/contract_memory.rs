//! The in-memory broker keeps the contract.
use std::sync::Arc;

use fanfare_broker::{Broker, MemoryBroker, MemorySettings, contract::Setup};
use fanfare_protocol::Epoch;

fanfare_broker::contract!(|setup: Setup| async move {
    let settings = MemorySettings {
        idempotency_ms: setup.idempotency_ms,
        idempotency_ids: setup.idempotency_ids,
        channels_limit: setup.channels_limit,
        ..MemorySettings::new(Epoch::from_random(7))
    };
    Arc::new(MemoryBroker::new(settings, setup.policies, setup.budget)) as Arc<dyn Broker>
});
