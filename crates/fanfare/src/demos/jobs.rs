//! Jobs that take about half a minute, started by a message on `demo:jobs`; each tells of its progress on a channel of its own.
use std::time::Duration;

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{chance::Chance, feeder::publish, source::Said};
use crate::{Delivery, Fanfare, MessageData as _};

const REQUESTS: &str = "demo:jobs";
/// Jobs under way at a time; more are told that they failed.
const MOST: usize = 20;
const RETRY: Duration = Duration::from_secs(5);
/// Half-way a job waits for a machine and says nothing: who asks in vain asks less and less often.
const QUIET: Duration = Duration::from_secs(10);
const QUIET_AT: f64 = 30.0;
const PHASES: [&str; 5] = ["reading", "sorting", "resizing", "packing", "checking"];

/// A request: `{"id": "a1b2", "fail": true}`.
#[derive(Clone, PartialEq, Debug)]
struct Request {
    id: String,
    fail: bool,
}

impl Request {
    /// None for anything that is not one: whoever may publish can send what they like.
    fn read(data: &Value) -> Option<Self> {
        let id = data["id"].as_str()?;
        let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self { id: id.to_owned(), fail: data["fail"].as_bool().unwrap_or(false) })
    }
}

/// Runs until aborted, or until the hub stops.
pub async fn run(fanfare: Fanfare, mut chance: Chance) {
    let mut jobs = JoinSet::new();
    loop {
        let mut requests = match fanfare.subscribe(REQUESTS).await {
            Ok(requests) => requests,
            Err(problem) => {
                tracing::warn!(%problem, "the demo of jobs waits");
                sleep(RETRY).await;
                continue;
            }
        };
        while let Some(delivery) = requests.next().await {
            let Delivery::Message(message) = delivery else { continue };
            let Some(request) = message.json().ok().and_then(|data| Request::read(&data)) else { continue };
            while jobs.try_join_next().is_some() {}
            let fanfare = fanfare.clone();
            if jobs.len() >= MOST {
                let refused = tell(&request.id, 0.0, "failed", "too many jobs, try again in a minute");
                drop(publish(&fanfare, vec![refused]).await);
                continue;
            }
            let job = plan(&request, &mut chance);
            jobs.spawn(async move {
                for (wait, said) in job {
                    sleep(wait).await;
                    if publish(&fanfare, vec![said]).await.is_err() {
                        return;
                    }
                }
            });
        }
        return;
    }
}

/// Everything that a job will say, and how long it works before each word: quick at first, slower later.
fn plan(request: &Request, chance: &mut Chance) -> Vec<(Duration, Said)> {
    let mut said = vec![(Duration::from_millis(200), tell(&request.id, 0.0, "running", "started"))];
    let mut percent = 0.0;
    let mut quiet = Some(QUIET);
    let mut pause = Duration::ZERO;
    let ends_at = if request.fail { 45.0 + chance.unit() * 20.0 } else { 100.0 };
    loop {
        let wait = 300.0 + percent * 30.0 * chance.unit();
        let wait = Duration::from_millis(wait as u64) + std::mem::take(&mut pause);
        percent += 2.0 + chance.unit() * 6.0;
        if percent >= ends_at {
            let end = if request.fail {
                tell(&request.id, ends_at, "failed", "a picture could not be read")
            } else {
                tell(&request.id, 100.0, "done", "all pictures are packed")
            };
            said.push((wait, end));
            return said;
        }
        let mut phase = PHASES.get((percent / 20.0) as usize).copied().unwrap_or("checking");
        if percent >= QUIET_AT
            && let Some(length) = quiet.take()
        {
            pause = length;
            phase = "waiting for a free machine";
        }
        said.push((wait, tell(&request.id, percent, "running", phase)));
    }
}

fn tell(id: &str, percent: f64, state: &str, words: &str) -> Said {
    let percent = (percent * 10.0).round() / 10.0;
    Said::new(
        format!("demo:job:{id}"),
        "progress",
        json!({ "percent": percent, "state": state, "words": words }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_rises_to_its_end_within_a_minute() {
        for fail in [false, true] {
            for seed in 1..50 {
                let request = Request { id: "a1".into(), fail };
                let plan = plan(&request, &mut Chance::seeded(seed));
                let took: Duration = plan.iter().map(|(wait, _)| *wait).sum();
                assert!((5..60).contains(&took.as_secs()), "seed {seed}: {took:?}");
                assert!(plan.iter().any(|(wait, _)| *wait >= QUIET), "seed {seed}: it never rests");
                let percents: Vec<f64> =
                    plan.iter().map(|(_, said)| said.data["percent"].as_f64().unwrap()).collect();
                assert!(percents.windows(2).all(|two| two[0] <= two[1]), "seed {seed}: {percents:?}");
                let end = &plan.last().unwrap().1.data;
                assert_eq!(end["state"], if fail { "failed" } else { "done" });
                assert_eq!(end["percent"] == 100.0, !fail);
            }
        }
    }

    #[test]
    fn what_is_no_request_is_not_one() {
        let read = |data: Value| Request::read(&data);
        assert_eq!(read(json!({ "id": "a1" })), Some(Request { id: "a1".into(), fail: false }));
        assert_eq!(read(json!({ "id": "a1", "fail": true })).map(|request| request.fail), Some(true));
        for wrong in [
            json!(null),
            json!("a1"),
            json!({}),
            json!({ "id": "" }),
            json!({ "id": "a b" }),
            json!({ "id": "x".repeat(33) }),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
