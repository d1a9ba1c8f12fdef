//! The running configuration as hub and transports ask for it.
use std::time::Duration;

use fanfare_hub::{HubRules, Slow};
use fanfare_protocol::ChannelName;
use fanfare_transport::{NodeRules, TransportLimits, socketio::SocketIoSettings};

use crate::config::{self, Live};

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A limit that is off when it is 0.
fn or_none(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

impl HubRules for Live {
    fn slow(&self, channel: &ChannelName) -> Slow {
        match Self::slow(self, channel) {
            config::Slow::Close => Slow::Close,
            config::Slow::Conflate => Slow::Conflate,
            config::Slow::Skip => Slow::Skip,
        }
    }

    fn tail_bytes(&self) -> usize {
        Self::tail_bytes(self)
    }

    fn presence_grace_ms(&self) -> u64 {
        ms(self.config().limits.presence_grace)
    }

    fn presence_lease_ms(&self) -> u64 {
        ms(self.config().limits.presence_lease)
    }

    fn members_per_channel(&self) -> usize {
        self.config().limits.members_per_channel
    }

    fn memberships_per_client(&self) -> usize {
        self.config().limits.memberships_per_connection
    }
}

impl NodeRules for Live {
    fn allows_origin(&self, origin: &str) -> bool {
        Self::allows_origin(self, origin)
    }

    fn is_dev(&self) -> bool {
        self.config().loopback_only()
    }

    fn socketio(&self) -> SocketIoSettings {
        let config = self.config();
        SocketIoSettings { outlives: config.data.is_some(), ..config.socketio.settings() }
    }

    fn has_namespace(&self, name: &str) -> bool {
        self.config().namespaces.contains_key(name) && name != "default"
    }

    fn transport(&self) -> TransportLimits {
        let config = self.config();
        let limits = &config.limits;
        TransportLimits {
            frame_bytes: limits.frame_bytes,
            fragments: u32::try_from(limits.fragments).unwrap_or(u32::MAX),
            control_bytes: limits.control_bytes,
            header_bytes: limits.header_bytes,
            handshake_ms: ms(limits.handshake),
            connections: or_none(limits.connections),
            connections_per_user: or_none(limits.connections_per_user),
        }
    }
}
