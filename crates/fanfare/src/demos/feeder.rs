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

/// What steps more often than this keeps its pace.
const FAST: Duration = Duration::from_millis(100);
/// Steps at once, at most.
const CATCH_UP: f64 = 50.0;

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
    let every = source.every();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut read_at, mut stepped_at) = (Instant::now(), Instant::now());
    while read_at.elapsed() < LINGER {
        let now = ticks.tick().await;
        if is_read(fanfare, channels) {
            read_at = now;
        }
        for _ in 0..steps_due(now.saturating_duration_since(stepped_at), every) {
            publish(fanfare, source.step()).await?;
        }
        stepped_at = now;
    }
    Ok(())
}

/// One, or what a busy machine was late with; of slow sources nothing is made up for.
fn steps_due(passed: Duration, every: Duration) -> u32 {
    if every < FAST { passed.div_duration_f64(every).round().clamp(1.0, CATCH_UP) as u32 } else { 1 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_source_makes_up_for_a_delay_and_a_slow_one_does_not() {
        let ms = Duration::from_millis;
        assert_eq!(steps_due(ms(0), ms(10)), 1);
        assert_eq!(steps_due(ms(11), ms(10)), 1);
        assert_eq!(steps_due(ms(70), ms(10)), 7);
        assert_eq!(steps_due(ms(60_000), ms(10)), 50);
        assert_eq!(steps_due(ms(60_000), ms(3000)), 1);
    }
}
