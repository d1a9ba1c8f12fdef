//! How many small messages a second one thread appends to the memory broker: `cargo run --release --example append`.
use std::{sync::Arc, time::Instant};

use fanfare_broker::{Append, Author, Broker, Budget, ChannelPolicy, MemoryBroker, MemorySettings, Policies};
use fanfare_protocol::{ChannelName, Data, Epoch, EventName, Problem, Publish, Tags};

struct Fixed(ChannelPolicy);

impl Policies for Fixed {
    fn policy(&self, _: &ChannelName) -> ChannelPolicy {
        self.0
    }
}

fn run(label: &str, policy: ChannelPolicy, channels: usize, key: Option<Arc<str>>) -> Result<(), Problem> {
    const MESSAGES: u64 = 4_000_000;
    let budget = Arc::new(Budget::new(1 << 30));
    let broker =
        MemoryBroker::new(MemorySettings::new(Epoch::from_random(1)), Arc::new(Fixed(policy)), budget);
    let names: Vec<_> =
        (0..channels).map(|n| ChannelName::parse(&format!("bench:{n}"))).collect::<Result<_, _>>()?;
    let (event, tags) = (EventName::default(), Tags::default());
    let data =
        Data::Json(bytes::Bytes::from_static(br#"{"text":"a small message of the size people send"}"#));
    let start = Instant::now();
    for (n, channel) in (0..MESSAGES).zip(names.iter().cycle()) {
        let publish = Publish {
            channel: channel.clone(),
            event: event.clone(),
            data: data.clone(),
            key: key.clone(),
            id: None,
            tags: tags.clone(),
            ephemeral: false,
            ack: None,
            ttl_ms: None,
            condition: None,
            client: None,
        };
        let append = Append { publish, author: Author::default(), unix_ms: 1_760_000_000_000 + n / 2000 };
        if let Ok(result) = broker.append(append).now() {
            result?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{label:<28} {:>6.2} M appends/s  {:>5.0} ns each",
        MESSAGES as f64 / seconds / 1e6,
        seconds * 1e9 / MESSAGES as f64
    );
    Ok(())
}

fn main() -> Result<(), Problem> {
    let history = ChannelPolicy::default();
    let none = ChannelPolicy { size: 0, ..history };
    let keyed = ChannelPolicy { keyed: true, ..history };
    run("one channel, 1,000 kept", history, 1, None)?;
    run("1,000 channels, 1,000 kept", history, 1000, None)?;
    run("one channel, no history", none, 1, None)?;
    run("one channel, keyed", keyed, 1, Some("k".into()))
}
