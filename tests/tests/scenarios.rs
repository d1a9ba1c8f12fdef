//! One script - publish on many channels, clients of each transport, connections cut at random, the server untouched - over every
//! transport: nothing lost, nothing repeated, nothing out of order.
//!
//! `FANFARE_SEED=n` runs one seed. The full runs are ignored by a plain `cargo test`: `cargo test --test scenarios -- --ignored`.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]

use std::time::Duration;

use fanfare_testkit::for_each_seed;
use fanfare_tests::{
    scenario::{Outcome, Process, Script, Transport},
    server::Server,
};

/// Anybody may do anything; history covers every absence.
const CONFIG: &str = r#"
[namespaces.default]
history = { size = 1000, ttl = "24h", bytes = "64MB" }
anonymous = ["subscribe", "publish", "history"]
"#;

/// Runs seeds against one server; every reader must have heard everything, and been cut off in between.
fn run_seeds(script: &Script, seeds: u64) {
    let server = Server::start(CONFIG);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for_each_seed(seeds, |seed| {
        let outcome = runtime.block_on(script.run(server.address(), seed));
        let outcome = outcome.unwrap_or_else(|fault| panic!("{fault}\nthe server's log:\n{}", server.log()));
        println!(
            "seed {seed}: {outcome}; server's processor time so far {:?}",
            Process(server.id()).cpu_time()
        );
        check_that_it_happened(script, &outcome);
    });
}

fn check_that_it_happened(script: &Script, outcome: &Outcome) {
    let heard_by_each = (script.clients * script.messages) as u64;
    assert_eq!(outcome.stories.len(), script.transports.len());
    for (transport, story) in &outcome.stories {
        assert_eq!(story.messages, heard_by_each, "{transport:?}");
        let least = 2 * script.clients as u64;
        assert!(story.resumed >= least, "{transport:?} was hardly cut off: {story:?}");
    }
    assert!(outcome.repeated > 0, "no publisher was cut off");
}

/// Two clients, 2,000 messages: seconds.
fn quick(transports: &[Transport]) {
    let script = Script {
        transports: transports.to_vec(),
        clients: 2,
        channels: 20,
        messages: 2_000,
        reader_bytes: 40_000,
        poll_bytes: 300_000,
        publisher_bytes: 12_000,
        pause: Duration::from_millis(15),
        patience: Duration::from_secs(180),
    };
    run_seeds(&script, 1);
}

#[test]
fn ws_json() {
    quick(&[Transport::WsJson]);
}

#[test]
fn ws_msgpack() {
    quick(&[Transport::WsMsgpack]);
}

#[test]
fn sse() {
    quick(&[Transport::Sse]);
}

#[test]
fn stream() {
    quick(&[Transport::Stream]);
}

#[test]
fn poll() {
    quick(&[Transport::LongPoll, Transport::ShortPoll]);
}

/// The whole script: 10,000 messages on 20 channels, five clients of every transport side by side, 20 seeds.
#[test]
#[ignore = "minutes; cargo xtask test runs it"]
fn twenty_seeds_over_every_transport() {
    let script = Script {
        transports: Transport::ALL.to_vec(),
        clients: 5,
        channels: 20,
        messages: 10_000,
        reader_bytes: 120_000,
        poll_bytes: 400_000,
        publisher_bytes: 30_000,
        pause: Duration::from_millis(15),
        patience: Duration::from_secs(400),
    };
    run_seeds(&script, 20);
}
