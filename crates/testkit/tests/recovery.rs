//! Sessions against a simulated hub and failing networks: nothing lost, nothing twice, every command answered.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use fanfare_protocol::ChannelName;
use fanfare_session::Limits;
use fanfare_testkit::{World, for_each_seed, rules::OpenRules};

fn run(seed: u64, steps: u32, limits: Limits) -> World {
    let channels = ["a", "b", "chat:1"].iter().map(|name| ChannelName::parse(name).unwrap()).collect();
    let mut world = World::new(seed, 3, channels, Arc::new(OpenRules(limits)));
    world.hub.failing = if seed.is_multiple_of(2) { 10 } else { 0 };
    for _ in 0..steps {
        world.step().unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
    world.settle().unwrap_or_else(|fault| panic!("seed {seed}, at the end: {fault}"));
    world
}

#[test]
fn cut_connections_resume_and_miss_nothing() {
    let (mut messages, mut gaps, mut cuts, mut answers, mut resumed) = (0, 0, 0, 0, 0);
    for_each_seed(300, |seed| {
        let world = run(seed, 1500, Limits::default());
        cuts += world.tally.cuts;
        for client in world.clients() {
            answers += client.answers;
            for (_, subscription) in client.subscriptions() {
                messages += subscription.checker.messages;
                gaps += subscription.checker.gaps;
                resumed += subscription.checker.subscriptions;
            }
        }
    });
    println!("{messages} messages, {gaps} gaps, {cuts} cuts, {answers} answers, {resumed} subscriptions");
    assert!(messages > 1000 && gaps > 10 && cuts > 100 && answers > 1000 && resumed > 1000);
}

#[test]
fn a_short_queue_stops_the_reading_but_loses_nothing() {
    let limits = Limits { pending_commands: 2, ..Limits::default() };
    for_each_seed(100, |seed| drop(run(seed, 1500, limits)));
}
