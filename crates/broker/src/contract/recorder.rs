//! A sink that writes down what it is given, and notices when it is given it wrongly.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use fanfare_protocol::{ChannelName, Epoch, Message};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use crate::Sink;

/// Everything delivered, by channel.
#[derive(Default)]
pub struct Recorder {
    delivered: Mutex<HashMap<ChannelName, Vec<Arc<Message>>>>,
    inside: Mutex<HashSet<ChannelName>>,
    faults: Mutex<Vec<String>>,
    more: Notify,
}

impl Sink for Recorder {
    fn deliver(&self, channel: &ChannelName, messages: &[Arc<Message>]) {
        if !self.inside.lock().insert(channel.clone()) {
            self.faults.lock().push(format!("{channel}: delivered concurrently"));
        }
        for message in messages {
            if message.channel != *channel {
                self.faults.lock().push(format!("{channel}: was given a message of {}", message.channel));
            }
        }
        if messages.is_empty() {
            self.faults.lock().push(format!("{channel}: was given nothing"));
        }
        // Room for another thread to come in where an implementation lets it.
        std::thread::yield_now();
        self.delivered.lock().entry(channel.clone()).or_default().extend(messages.iter().cloned());
        self.inside.lock().remove(channel);
        self.more.notify_waiters();
    }

    fn reset(&self, channel: &ChannelName, _: Epoch) {
        self.faults.lock().push(format!("{channel}: was reset"));
    }
}

impl Recorder {
    /// What the channel was given so far. Panics on any fault seen.
    pub fn delivered(&self, channel: &ChannelName) -> Vec<Arc<Message>> {
        let faults = self.faults.lock();
        assert!(faults.is_empty(), "{faults:?}");
        self.delivered.lock().get(channel).cloned().unwrap_or_default()
    }

    /// Waits until what the channel was given satisfies `enough`, and returns it. Panics after 20 seconds.
    pub async fn wait(
        &self,
        channel: &ChannelName,
        enough: impl Fn(&[Arc<Message>]) -> bool,
    ) -> Vec<Arc<Message>> {
        let found = timeout(Duration::from_secs(20), async {
            loop {
                let more = self.more.notified();
                let mut more = std::pin::pin!(more);
                more.as_mut().enable();
                let delivered = self.delivered(channel);
                if enough(&delivered) {
                    return delivered;
                }
                more.await;
            }
        });
        match found.await {
            Ok(delivered) => delivered,
            Err(_) => panic!("{channel}: waited 20 s; delivered: {:#?}", self.delivered(channel)),
        }
    }

    /// Waits until the channel was given so many messages.
    pub async fn wait_count(&self, channel: &ChannelName, count: usize) -> Vec<Arc<Message>> {
        self.wait(channel, |delivered| delivered.len() >= count).await
    }
}
