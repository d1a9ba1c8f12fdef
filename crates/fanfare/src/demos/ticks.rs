//! Numbers: random ones, and ones that count.
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    chance::Chance,
    source::{Said, Source},
};

/// For seeing that nothing is lost.
pub const FAST: Duration = Duration::from_millis(50);
/// For comparing transports.
pub const STEADY: Duration = Duration::from_millis(250);
/// Makes an update as long as a small real one.
const FILLING: &str = "The quick brown fox jumps over the lazy dog, and then over the next one, and then over the one after that.";

/// One random number every three seconds.
pub struct Numbers(Chance);

impl Numbers {
    pub fn new(chance: Chance) -> Self {
        Self(chance)
    }
}

impl Source for Numbers {
    fn channels(&self) -> Vec<String> {
        vec!["demo:numbers".into()]
    }

    fn every(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn step(&mut self) -> Vec<Said> {
        vec![Said::new("demo:numbers", "number", json!(self.0.below(1000)))]
    }
}

/// Messages numbered without holes, also across restarts where the hub keeps its messages.
pub struct Ticks {
    channel: &'static str,
    event: &'static str,
    every: Duration,
    count: u64,
}

impl Ticks {
    pub fn new(channel: &'static str, event: &'static str, every: Duration) -> Self {
        Self { channel, event, every, count: 0 }
    }
}

impl Source for Ticks {
    fn channels(&self) -> Vec<String> {
        vec![self.channel.into()]
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn resume(&mut self, newest: &Value) {
        self.count = newest["n"].as_u64().unwrap_or(0);
    }

    fn step(&mut self) -> Vec<Said> {
        self.count += 1;
        let data = if self.every == FAST {
            json!({ "n": self.count })
        } else {
            json!({ "n": self.count, "text": FILLING })
        };
        vec![Said::new(self.channel, self.event, data)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on_from_where_they_were() {
        let mut ticks = Ticks::new("demo:ticks", "tick", FAST);
        ticks.resume(&json!({ "n": 9 }));
        let numbers: Vec<_> = (0..3).flat_map(|_| ticks.step()).map(|said| said.data["n"].as_u64()).collect();
        assert_eq!(numbers, [Some(10), Some(11), Some(12)]);
    }
}
