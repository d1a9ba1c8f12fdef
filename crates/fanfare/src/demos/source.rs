//! What a demo's source is: something that says a few things at each step. It knows neither the hub nor the time.
use std::time::Duration;

use serde_json::Value;

/// One message to be.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    pub channel: String,
    pub event: &'static str,
    pub data: Value,
    pub key: Option<String>,
    pub ephemeral: bool,
}

impl Said {
    pub fn new(channel: impl Into<String>, event: &'static str, data: Value) -> Self {
        Self { channel: channel.into(), event, data, key: None, ephemeral: false }
    }

    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }
}

/// A source of messages, which is stepped while somebody reads one of its channels, and for a while after.
pub trait Source: Send {
    /// The channels whose readers wake it.
    fn channels(&self) -> Vec<String>;

    /// From step to step.
    fn every(&self) -> Duration;

    /// Told once before the first step: the newest message of the first of its channels, if it holds any.
    fn resume(&mut self, _newest: &Value) {}

    /// What readers need first, each time that somebody comes to a source at rest.
    fn begin(&mut self) -> Vec<Said> {
        Vec::new()
    }

    /// What happens next.
    fn step(&mut self) -> Vec<Said>;
}
