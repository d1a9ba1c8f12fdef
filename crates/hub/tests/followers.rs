//! Readers that are not attached (polls, in-process subscriptions) and that the log has gone by while they waited.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use fanfare_broker::{Budget, MemoryBroker, MemorySettings};
use fanfare_hub::{Follower, Hub};
use fanfare_protocol::{ChannelName, Start, event::GapReason};
use support::{Draft, channel, rules::TestRules};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory broker answers at once"),
    }
}

fn hub() -> Arc<Hub> {
    let rules = Arc::new(TestRules::new(1 << 20));
    let budget = Arc::new(Budget::new(1 << 30));
    let broker = MemoryBroker::new(MemorySettings::new("e1".parse().unwrap()), rules.clone(), budget.clone());
    Hub::new(Arc::new(broker), rules, budget, Box::new(|_| {}))
}

fn publish(hub: &Hub, channel: &ChannelName, serial: u64, key: &str, null: bool) {
    let key = Some(key.to_owned());
    let draft =
        Draft { channel, serial, pad: 10, key, null, ephemeral: false, origin: None, unix_ms: 1_000_000 };
    hub.publish(draft.append()).now().ok().unwrap().unwrap();
}

/// What comes until nothing is left: gaps, and offsets.
fn read(hub: &Hub, follower: &mut Follower) -> (Vec<(GapReason, u64)>, Vec<u64>) {
    let (mut gaps, mut offsets) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let read = now(hub.read_on(follower, 3, 10_000)).unwrap();
        gaps.extend(read.gap.map(|reason| (reason, follower.at.offset)));
        offsets.extend(read.messages.iter().map(|message| message.offset));
        if !read.more {
            return (gaps, offsets);
        }
    }
    panic!("it never ends");
}

#[test]
fn who_asked_for_the_state_goes_on_by_key_without_a_gap() {
    let (hub, name) = (hub(), channel("keyed:a"));
    publish(&hub, &name, 1, "a", false);
    let start = Start { snapshot: true, ..Start::default() };
    let mut follower = now(hub.follow(&name, &start)).unwrap().follower;
    assert_eq!(read(&hub, &mut follower), (vec![], vec![1]));
    for serial in 2..=40 {
        publish(&hub, &name, serial, ["a", "b", "c", "d"][(serial % 4) as usize], false);
    }
    publish(&hub, &name, 41, "b", true);
    // Eight are held: since 1, the newest of each of the four, the removal of b among them.
    assert_eq!(read(&hub, &mut follower), (vec![], vec![38, 39, 40, 41]));
    publish(&hub, &name, 42, "a", false);
    assert_eq!(read(&hub, &mut follower), (vec![], vec![42]));
}

#[test]
fn who_did_not_is_told_of_a_gap_and_reads_what_is_left() {
    let (hub, name) = (hub(), channel("keyed:a"));
    publish(&hub, &name, 1, "a", false);
    let mut follower = now(hub.follow(&name, &Start::default())).unwrap().follower;
    for serial in 2..=40 {
        publish(&hub, &name, serial, "a", false);
    }
    assert_eq!(read(&hub, &mut follower), (vec![(GapReason::Slow, 32)], (33..=40).collect()));
}
