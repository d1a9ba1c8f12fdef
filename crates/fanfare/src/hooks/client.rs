//! Asks: signed, bounded, in time, and not at all while nobody answers.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fanfare_hub::unix_ms;
use fanfare_protocol::{Code, Problem};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use ring::hmac;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    answer::Answer,
    breaker::Breaker,
    connector::{Connector, UrlFault},
    question::Question,
};
use crate::config::{HookEvent, HookSettings};

/// Bytes that an answer may have.
const ANSWER_BYTES: usize = 1 << 20;
/// How long an idle connection to the application is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("it cannot be reached: {}", causes(.0))]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("its answer cannot be read: {}", causes(&**.0))]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer is not what an answer is: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the question cannot be put: {0}")]
    Question(#[from] http::Error),
    #[error("nothing is sent after failures in a row")]
    Paused,
}

/// An error with what caused it, which says most.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Figures of all questions.
#[derive(Debug, Default)]
pub(super) struct Figures {
    asked: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    paused: AtomicU64,
}

/// Whom to ask.
pub(super) struct HookClient {
    uri: Uri,
    key: hmac::Key,
    client: Client<Connector, Full<Bytes>>,
    turns: Semaphore,
    timeout: Duration,
    events: Vec<HookEvent>,
    open: Vec<HookEvent>,
    namespaces: Vec<String>,
    breakers: BTreeMap<HookEvent, Breaker>,
    figures: Figures,
}

impl HookClient {
    pub fn new(settings: &HookSettings, url: &str, secret: &str) -> Result<Self, UrlFault> {
        let uri: Uri = url.parse().map_err(|_| UrlFault::NotAUrl)?;
        let connector = Connector::new(&uri, settings.private_addresses)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.concurrency)
            .build(connector);
        let failures = u32::try_from(settings.failures).unwrap_or(u32::MAX);
        let breaker = |event: &HookEvent| (*event, Breaker::new(failures, settings.pause));
        Ok(Self {
            uri,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            client,
            turns: Semaphore::new(settings.concurrency),
            timeout: settings.timeout,
            events: settings.events.clone(),
            open: settings.open.clone(),
            namespaces: settings.namespaces.clone(),
            breakers: settings.events.iter().map(breaker).collect(),
            figures: Figures::default(),
        })
    }

    /// Whether this is asked about.
    pub fn asks(&self, event: HookEvent) -> bool {
        self.events.contains(&event)
    }

    /// Whether it is, in this namespace: the prefix of a channel, if it has one with a table.
    pub fn asks_in(&self, event: HookEvent, namespace: &str) -> bool {
        self.asks(event)
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace))
    }

    /// Asks. None when nobody answered and that is allowed.
    ///
    /// # Errors
    /// The application's refusal; `unavailable` when nobody answered.
    pub async fn ask(&self, event: HookEvent, question: &Question<'_>) -> Result<Option<Answer>, Problem> {
        let Some(breaker) = self.breakers.get(&event) else { return Ok(None) };
        let answer = if breaker.admits(Instant::now()) {
            self.figures.asked.fetch_add(1, Ordering::Relaxed);
            let put = timeout(self.timeout, self.put(event, question)).await;
            let answer = put.unwrap_or(Err(Failure::Late(self.timeout)));
            breaker.record(answer.is_ok(), Instant::now());
            answer
        } else {
            Err(Failure::Paused)
        };
        match answer {
            Ok(answer) => {
                answer.refused().inspect_err(|_| {
                    self.figures.refused.fetch_add(1, Ordering::Relaxed);
                })?;
                Ok(Some(answer))
            }
            Err(failure) => self.unanswered(event, &failure),
        }
    }

    fn unanswered(&self, event: HookEvent, failure: &Failure) -> Result<Option<Answer>, Problem> {
        if matches!(failure, Failure::Paused) {
            self.figures.paused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.figures.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(hook = event.name(), %failure, "the application was asked and did not answer");
        }
        if self.open.contains(&event) {
            return Ok(None);
        }
        Err(Problem::new(Code::Unavailable, "the application that decides about this does not answer")
            .remedy("try again in a moment; the server's log tells what its hook answered")
            .retry_after_ms(1000))
    }

    async fn put(&self, event: HookEvent, question: &Question<'_>) -> Result<Answer, Failure> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let body = serde_json::to_vec(question)?;
        let timestamp = (unix_ms() / 1000).to_string();
        let signature = self.signature(&timestamp, &body);
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")))
            .header("Fanfare-Hook", event.name())
            .header("Fanfare-Timestamp", &timestamp)
            .header("Fanfare-Signature", format!("v1={signature}"))
            .body(Full::new(Bytes::from(body)))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(Failure::Body)?;
        if !status.is_success() {
            return Err(Failure::Status(status));
        }
        Ok(Answer::read(&body.to_bytes())?)
    }

    /// HMAC-SHA256 over the timestamp, a dot and the body, in hexadecimal.
    fn signature(&self, timestamp: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(timestamp.as_bytes());
        context.update(b".");
        context.update(body);
        context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// For `/metrics`.
    pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        vec![
            ("hook_requests", "Questions put to the application at hooks.url", of(&self.figures.asked)),
            ("hook_refusals", "Questions that it answered with a refusal", of(&self.figures.refused)),
            (
                "hook_failures",
                "Questions that it did not answer, or not in time or form",
                of(&self.figures.failed),
            ),
            ("hook_pauses", "Questions not put because it had not answered before", of(&self.figures.paused)),
        ]
    }
}
