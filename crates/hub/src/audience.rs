//! Whether anybody listens.
use crate::hub::Hub;

impl Hub {
    /// Whether anybody on this node reads the channel at this moment: subscribers of any transport, long-polls, the program itself. Short polls
    /// leave no trace.
    pub fn is_read(&self, channel: &str) -> bool {
        self.registry.get(channel).is_some_and(|channel| !channel.lock().is_idle())
    }
}
