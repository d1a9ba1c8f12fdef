//! Steps a source while somebody listens.
use std::time::Duration;

use fanfare_protocol::{Data, Problem, command::Page};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::source::{Said, Source};
use crate::Fanfare;

/// How soon a new reader is seen.
const LOOK: Duration = Duration::from_millis(500);
/// How long a source goes on without a reader: somebody whose network is cut comes back to what was said meanwhile.
const LINGER: Duration = Duration::from_secs(60);

/// Runs until aborted.
pub async fn run(fanfare: Fanfare, mut source: Box<dyn Source>) {
    let channels = source.channels();
    let mut resumed = false;
    loop {
        while !is_read(&fanfare, &channels) {
            sleep(LOOK).await;
        }
        if !resumed {
            resumed = true;
            if let Some(newest) = newest(&fanfare, &channels).await {
                source.resume(&newest);
            }
        }
        if let Err(problem) = stint(&fanfare, source.as_mut(), &channels).await {
            tracing::warn!(%problem, channel = channels.first(), "a demo's data could not be published");
            sleep(LINGER).await;
        }
    }
}

/// Steps as long as somebody reads, and for a while after.
async fn stint(fanfare: &Fanfare, source: &mut dyn Source, channels: &[String]) -> Result<(), Problem> {
    publish(fanfare, source.begin()).await?;
    let mut ticks = interval(source.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read_at = Instant::now();
    while read_at.elapsed() < LINGER {
        ticks.tick().await;
        if is_read(fanfare, channels) {
            read_at = Instant::now();
        }
        publish(fanfare, source.step()).await?;
    }
    Ok(())
}

pub fn is_read(fanfare: &Fanfare, channels: &[String]) -> bool {
    channels.iter().any(|channel| fanfare.node().hub.is_read(channel))
}

/// What the first of the channels heard last, perhaps before a restart.
async fn newest(fanfare: &Fanfare, channels: &[String]) -> Option<Value> {
    let page = Page { reverse: true, limit: 1, ..Page::default() };
    let history = fanfare.history(channels.first()?, page).await.ok()?;
    match &history.messages.first()?.data {
        Data::Json(text) => serde_json::from_slice(text.as_ref()).ok(),
        Data::Binary(_) => None,
    }
}

pub async fn publish(fanfare: &Fanfare, said: Vec<Said>) -> Result<(), Problem> {
    for Said { channel, event, data, key, ephemeral } in said {
        let mut publishing = fanfare.publish(&channel, data).event(event);
        if let Some(key) = key {
            publishing = publishing.key(&key);
        }
        if ephemeral {
            publishing = publishing.ephemeral();
        }
        publishing.await?;
    }
    Ok(())
}
