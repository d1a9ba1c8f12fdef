//! What is kept of a client in the log, so that it goes on after a restart of the server: in a channel of the hub's own, by its secret.
use std::sync::Arc;

use fanfare_broker::{Append, Author};
use fanfare_dialect_socketio::{
    Layout,
    ring::{Ring, Saved},
};
use fanfare_hub::{Hub, unix_ms};
use fanfare_protocol::{
    ChannelName, Data, EventName, Message, Problem, Publish, SessionId, SubscribeOptions,
};
use serde::{Deserialize, Serialize};

use super::core::{Core, Room};

/// Entries of a page when the records are read back.
const PAGE: usize = 1000;

/// The channel of the records.
fn channel() -> ChannelName {
    ChannelName::internal("socketio", "clients")
}

/// One client.
#[derive(Serialize, Deserialize)]
struct Record {
    sid: String,
    namespace: String,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<String>,
    channels: Vec<Channel>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    runs: Vec<[u64; 3]>,
    /// Nothing was sent after this was written.
    whole: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    members: Vec<(String, Box<serde_json::value::RawValue>)>,
}

/// One channel that it reads, or has read.
#[derive(Serialize, Deserialize)]
struct Channel {
    name: String,
    epoch: String,
    start: u64,
    last: u64,
    /// How; none: it reads it no more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    layout: Option<u8>,
    #[serde(skip_serializing_if = "is_false", default)]
    presence: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "is_false", default)]
    no_echo: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

const LAYOUTS: [Layout; 3] = [Layout::Rooms, Layout::Channels, Layout::Echo];

/// A channel's name that this server wrote: of the hub's own too.
pub(super) fn name_of(text: &str) -> Option<ChannelName> {
    match text.strip_prefix('$').and_then(|rest| rest.split_once(':')) {
        Some((kind, of)) => Some(ChannelName::internal(kind, of)),
        None => ChannelName::parse(text).ok(),
    }
}

/// Writes what is known of a client. `is_whole`: nothing is sent to it any more. Nothing waits for it: what is lost with the server's last
/// moments costs a client its recovery, no message.
pub(super) fn write(hub: &Hub, core: &Core, is_whole: bool) {
    let Some(pid) = &core.pid else { return };
    if core.is_ambiguous() {
        // It begins anew, whatever is known.
        return remove(hub, pid);
    }
    let (saved, runs) = core.ring().lock().save();
    let rooms = core.rooms();
    let channels = saved.into_iter().map(|Saved { name, epoch, start, last }| {
        let room = rooms.get(&*name);
        let options = room.map(|room| room.options.clone()).unwrap_or_default();
        Channel {
            epoch: epoch.to_string(),
            start,
            last,
            layout: room
                .and_then(|room| LAYOUTS.iter().position(|layout| *layout == room.layout))
                .map(|n| n as u8),
            presence: options.presence,
            rate: options.rate,
            no_echo: !options.echo,
            name: name.into(),
        }
    });
    let members = core.memberships().into_iter().filter_map(|(channel, data)| match data {
        Data::Json(text) => Some((channel.to_string(), serde_json::from_slice(&text).ok()?)),
        Data::Binary(_) => None,
    });
    let record = Record {
        sid: core.sid.clone(),
        namespace: core.namespace.to_string(),
        session: core.session.reveal().to_owned(),
        user: core.user.as_deref().map(str::to_owned),
        channels: channels.collect(),
        runs,
        whole: is_whole,
        members: members.collect(),
    };
    if let Ok(text) = serde_json::to_vec(&record) {
        put(hub, pid, Data::Json(text.into()));
    }
}

/// A client does not come back.
pub(super) fn remove(hub: &Hub, pid: &str) {
    put(hub, pid, Data::NULL);
}

fn put(hub: &Hub, pid: &str, data: Data) {
    let publish = Publish {
        event: EventName::internal("client"),
        key: Some(pid.into()),
        ..Publish::new(channel(), data)
    };
    // Its place in the log is taken at once; nothing depends on when it is committed.
    drop(hub.publish(Append { publish, author: Author::default(), unix_ms: unix_ms() }));
}

/// Reads back what an earlier run of the server wrote.
///
/// # Errors
/// The broker cannot be reached.
pub(super) async fn read(hub: &Hub) -> Result<Vec<Arc<Core>>, Problem> {
    let (mut cores, mut after, mut until) = (Vec::new(), 0, None);
    loop {
        let (slice, head) = hub.snapshot(&channel(), after, until, PAGE).await?;
        cores.extend(slice.messages.iter().filter_map(|message| core_of(message)));
        if slice.next >= head || slice.next <= after {
            return Ok(cores);
        }
        (after, until) = (slice.next, Some(head));
    }
}

fn core_of(message: &Message) -> Option<Arc<Core>> {
    let (Some(pid), Data::Json(text)) = (&message.key, &message.data) else { return None };
    let record: Record = serde_json::from_slice(text).ok()?;
    let session = SessionId::parse(&record.session).ok()?;
    let core = Core::new(
        record.sid,
        Some(pid.to_string()),
        record.namespace.into(),
        session,
        record.user.map(Into::into),
    );
    let mut saved = Vec::new();
    let mut left = Vec::new();
    for channel in record.channels {
        let name = name_of(&channel.name)?;
        match channel.layout.and_then(|n| LAYOUTS.get(usize::from(n))) {
            Some(layout) => {
                let (presence, rate, echo) = (channel.presence, channel.rate, !channel.no_echo);
                let options = SubscribeOptions { presence, rate, echo, ..SubscribeOptions::default() };
                core.reads(&name, Room { layout: *layout, options });
            }
            None => left.push(channel.name.clone()),
        }
        let (epoch, start, last) = (channel.epoch.parse().ok()?, channel.start, channel.last);
        saved.push(Saved { name: channel.name.into(), epoch, start, last });
    }
    let mut ring = Ring::restore(saved, &record.runs, record.whole);
    left.iter().for_each(|name| ring.leave(name));
    core.begins_at(0, ring);
    for (channel, data) in record.members {
        core.is_member(&name_of(&channel)?, Some(&Data::from_json(data.get().as_bytes()).ok()?));
    }
    core.was_read_back(record.whole);
    Some(core)
}
