//! Request bodies: bounded, counted against the memory budget, in time.
use std::{ops::Deref, sync::Arc, time::Duration};

use axum::body::Body;
use fanfare_broker::Budget;
use fanfare_protocol::{Code, Problem};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::App;
use crate::config::LimitSettings;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// How long a body that is too large is read and thrown away, so that the sender gets to the answer before the socket closes.
const DISCARD: Duration = Duration::from_secs(1);

/// A body, which the budget knows of as long as it is held.
pub struct Held {
    bytes: Vec<u8>,
    counted: usize,
    budget: Arc<Budget>,
}

impl Deref for Held {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.counted);
    }
}

impl App {
    /// The present limits of bodies.
    pub(super) fn body_limits(&self) -> LimitSettings {
        self.live.as_ref().map_or_else(LimitSettings::default, |live| live.config().limits.clone())
    }
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// `too_large`; `unavailable` when the memory budget is used up; `bad_request` when it breaks off or takes too long.
pub async fn read(app: &App, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Held, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        leave_unread(headers, body);
        return Err(too_large(limit));
    }
    let budget = app.node.hub.budget().clone();
    let mut held = Held { bytes: Vec::new(), counted: 0, budget };
    let gathered = timeout(ARRIVAL, gather(&mut body, &mut held, limit)).await;
    let late = || Problem::new(Code::BadRequest, format!("the body took more than {} s", ARRIVAL.as_secs()));
    match gathered.unwrap_or_else(|_| Err(late())) {
        Ok(()) => Ok(held),
        Err(problem) => {
            discard(body);
            Err(problem)
        }
    }
}

async fn gather(body: &mut Body, held: &mut Held, limit: usize) -> Result<(), Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::BadRequest, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if !held.budget.try_take(data.len()) {
            return Err(Problem::new(Code::Unavailable, "the memory for requests is used up")
                .remedy("try again in a moment, or raise limits.memory_bytes")
                .retry_after_ms(1000));
        }
        held.counted += data.len();
        held.bytes.extend_from_slice(&data);
    }
    Ok(())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
        .remedy("send less at once, or raise limits.body_bytes (limits.publish_many_bytes for many messages)")
}

/// Lets go of the body of a request that is refused for another reason.
pub fn leave_unread(headers: &HeaderMap, body: Body) {
    // Whoever waits for 100 Continue has sent nothing; reading would ask for it.
    if !headers.contains_key(header::EXPECT) {
        discard(body);
    }
}

/// Throws the rest away beside the answer: closing a socket with unread input resets it, and the answer would be lost.
fn discard(mut body: Body) {
    tokio::spawn(timeout(DISCARD, async move { while let Some(Ok(_)) = body.frame().await {} }));
}
