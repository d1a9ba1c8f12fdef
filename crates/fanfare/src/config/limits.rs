//! `[limits]`: everything that a stranger can make grow, and how far.
use std::time::Duration;

use super::{
    kind::{Count, Size, Time},
    schema::{
        Table, Visitor,
        When::{Reload, Restart},
    },
};

/// The limits. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is described once, in `visit`, from where the documentation is made")]
pub struct LimitSettings {
    pub message_bytes: usize,
    pub frame_bytes: usize,
    pub fragments: usize,
    pub body_bytes: usize,
    pub publish_many_bytes: usize,
    pub publish_many_messages: usize,
    pub header_bytes: usize,
    pub tail_bytes: usize,
    pub memory_bytes: usize,
    pub control_bytes: usize,
    pub channels: usize,
    pub connections: usize,
    pub connections_per_user: usize,
    pub channels_per_connection: usize,
    pub memberships_per_connection: usize,
    pub members_per_channel: usize,
    pub pending_commands: usize,
    pub commands_per_second: usize,
    pub commands_burst: usize,
    pub idempotency: Duration,
    pub idempotency_ids: usize,
    pub ping: Duration,
    pub pong: Duration,
    pub stall: Duration,
    pub handshake: Duration,
    pub presence_grace: Duration,
    pub presence_lease: Duration,
    pub drain: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 10,
            frame_bytes: 1 << 20,
            fragments: 1024,
            body_bytes: 1 << 20,
            publish_many_bytes: 8 << 20,
            publish_many_messages: 1000,
            header_bytes: 32 << 10,
            tail_bytes: 4 << 20,
            memory_bytes: 1 << 30,
            control_bytes: 64 << 10,
            channels: 1_000_000,
            connections: 0,
            connections_per_user: 0,
            channels_per_connection: 128,
            memberships_per_connection: 128,
            members_per_channel: 10_000,
            pending_commands: 1000,
            commands_per_second: 0,
            commands_burst: 1000,
            idempotency: Duration::from_secs(300),
            idempotency_ids: 1_000_000,
            ping: Duration::from_secs(25),
            pong: Duration::from_secs(10),
            stall: Duration::from_secs(120),
            handshake: Duration::from_secs(10),
            presence_grace: Duration::from_secs(5),
            presence_lease: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

impl LimitSettings {
    /// What a session needs of them.
    pub fn session(&self) -> fanfare_session::Limits {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        fanfare_session::Limits {
            message_bytes: self.message_bytes,
            channels_per_connection: self.channels_per_connection,
            memberships_per_connection: self.memberships_per_connection,
            pending_commands: self.pending_commands,
            commands_per_second: count(self.commands_per_second),
            commands_burst: count(self.commands_burst),
            ping_ms: ms(self.ping),
            pong_ms: ms(self.pong),
            stall_ms: ms(self.stall),
            idempotency_ms: ms(self.idempotency),
        }
    }
}

impl Table for LimitSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Size>("message_bytes", &mut self.message_bytes, Reload, "Largest `data` of a message, compacted. More is `too_large`.");
        v.field::<Size<1024>>("frame_bytes", &mut self.frame_bytes, Reload, "Largest WebSocket message. A frame announced above it ends the connection with 1009.");
        v.field::<Count<1>>("fragments", &mut self.fragments, Reload, "Fragments that one WebSocket message may come in.");
        v.field::<Size<1024>>("body_bytes", &mut self.body_bytes, Reload, "Largest body of an HTTP request, publish-many apart.");
        v.field::<Size<1024>>("publish_many_bytes", &mut self.publish_many_bytes, Reload, "Largest body of `POST /v1/messages`.");
        v.field::<Count<1>>("publish_many_messages", &mut self.publish_many_messages, Reload, "Messages in one `POST /v1/messages`.");
        v.field::<Size<1024>>("header_bytes", &mut self.header_bytes, Reload, "Largest head of an HTTP request. More is 431.");
        v.field::<Size<65536>>("tail_bytes", &mut self.tail_bytes, Reload, "Newest messages of one channel kept in memory, in all their encoded forms together.");
        v.field::<Size<1048576>>("memory_bytes", &mut self.memory_bytes, Reload, "Tails, history in memory and partial input of the whole hub together.");
        v.field::<Size<1024>>("control_bytes", &mut self.control_bytes, Reload, "Replies waiting on one connection. Beyond it the connection is not read until it reads.");
        v.field::<Count<1>>("channels", &mut self.channels, Restart, "Channels with messages. Beyond it the longest idle are dropped, which readers see as a gap.");
        v.field::<Count>("connections", &mut self.connections, Reload, "Connections at once; 0: as many as the process may open files. More is `limit_exceeded`.");
        v.field::<Count>("connections_per_user", &mut self.connections_per_user, Reload, "Connections of one user at once; 0: no limit.");
        v.field::<Count<1>>("channels_per_connection", &mut self.channels_per_connection, Reload, "Channels that one connection may read.");
        v.field::<Count>("memberships_per_connection", &mut self.memberships_per_connection, Reload, "Channels that one connection may be present in, and over HTTP one session.");
        v.field::<Count<1>>("members_per_channel", &mut self.members_per_channel, Reload, "Members that one channel may have. Who would be one more gets `limit_exceeded`.");
        v.field::<Count<1>>("pending_commands", &mut self.pending_commands, Reload, "Commands of one connection waiting for an earlier one of their channel.");
        v.field::<Count>("commands_per_second", &mut self.commands_per_second, Reload, "Commands a second that one connection may send, on average; 0: no limit. More is `rate_limited`.");
        v.field::<Count<1>>("commands_burst", &mut self.commands_burst, Reload, "Commands that may come at once above that average.");
        v.field::<Time<0>>("idempotency", &mut self.idempotency, Restart, "How long a publish with an `id` may be repeated and is applied once.");
        v.field::<Count>("idempotency_ids", &mut self.idempotency_ids, Restart, "Ids of publishes that one channel remembers for that long. Beyond it the oldest are forgotten.");
        v.field::<Time<1000>>("ping", &mut self.ping, Reload, "How often the hub pings a connection.");
        v.field::<Time<100>>("pong", &mut self.pong, Reload, "Silence after a ping that ends a connection (`no_pong`).");
        v.field::<Time<1000>>("stall", &mut self.stall, Reload, "A connection with output pending whose socket accepts nothing for so long ends (`slow_consumer`).");
        v.field::<Time<100>>("handshake", &mut self.handshake, Reload, "Time for TLS and the first request's head to arrive.");
        v.field::<Time<0>>("presence_grace", &mut self.presence_grace, Reload, "How long a member whose connection was lost stays one.");
        v.field::<Time<1000>>("presence_lease", &mut self.presence_lease, Reload, "How long a membership entered over HTTP lasts while no stream or poll of its session is open.");
        v.field::<Time<0>>("drain", &mut self.drain, Reload, "Longest time that a stopping hub spends saying goodbye.");
    }
}
