//! Configuration for tests.
use fanfare_protocol::Rights;
use fanfare_session::{Limits, Rules};

/// Every right to everyone, everything keyed and with presence.
#[derive(Clone, Copy, Default, Debug)]
pub struct OpenRules(pub Limits);

impl Rules for OpenRules {
    fn anonymous(&self, _channel: &str) -> Rights {
        Rights::ALL
    }
    fn authenticated(&self, _channel: &str) -> Rights {
        Rights::ALL
    }
    fn presence(&self, _channel: &str) -> bool {
        true
    }
    fn keyed(&self, _channel: &str) -> bool {
        true
    }
    fn limits(&self) -> Limits {
        self.0
    }
}
