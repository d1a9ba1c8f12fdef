//! `/metrics`: the node's figures in the OpenMetrics text format, which Prometheus reads.
//!
//! The figures are counted where they happen ([`fanfare_hub::Counters`], [`fanfare_broker_disk::Counters`]); here they are only read.
use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc};

use axum::{body::Body, extract::State, response::Response};
use fanfare_broker::Spread;
use fanfare_protocol::{Code, Problem};
use fanfare_transport::Node;
use http::{HeaderValue, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode as encode_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use super::{Shared, answer::Answer};
use crate::store::Store;

const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// Transports that are listed even when nobody uses them.
const TRANSPORTS: [&str; 5] = ["websocket", "sse", "stream", "poll", "socketio"];

/// What a scrape reads.
pub struct Metrics(Registry);

impl Metrics {
    /// The figures of a node, and of its data directory if it has one.
    pub fn new(node: &Arc<Node>, store: Option<Store>) -> Self {
        let mut registry = Registry::with_prefix("fanfare");
        let build = Info::new([("version", node.version)]);
        registry.register("build", "The version that runs", build);
        registry.register_collector(Box::new(Figures(node.clone())));
        if let Some(store) = store {
            registry.register_collector(Box::new(Kept(store)));
        }
        Self(registry)
    }
}

/// `GET /metrics`: for everybody who reaches it, as health is. They are counts, and name no channel, user or token.
pub async fn show(State(app): State<Shared>) -> Answer {
    let mut text = String::with_capacity(16 << 10);
    encode_text(&mut text, &app.metrics.0)
        .map_err(|_| Problem::new(Code::Internal, "the figures could not be written"))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Ok(response)
}

struct Figures(Arc<Node>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.clients(&mut page)?;
        self.messages(&mut page)?;
        self.memory(&mut page)?;
        self.decisions(&mut page)?;
        self.errors(&mut page)
    }
}

impl Figures {
    #[rustfmt::skip]
    fn clients(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = self.0.hub.counters();
        let by_transport = connections(&self.0);
        page.by_label("connections", "Open connections", MetricType::Gauge, "transport", by_transport)?;
        page.gauge("subscriptions", "Subscriptions of open connections", counters.subscriptions.get())?;
        page.gauge("readers_behind", "Subscriptions that stand behind the head and read at their own pace", counters.behind.get())?;
        page.count("recoveries_hit", "Subscriptions that gave a position and got everything after it", counters.recovered.get())?;
        page.count("recoveries_missed", "Subscriptions that gave a position and were told of a gap", counters.missed.get())?;
        page.count("slow_closes", "Connections ended because they fell off the log or did not read", counters.slow_closes.get())
    }

    #[rustfmt::skip]
    fn messages(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = self.0.hub.counters();
        page.count("published", "Messages accepted from publishers", counters.published.get())?;
        page.count("deliveries", "Messages handed to the kernel, once for each subscription", counters.deliveries.get())?;
        page.count("publish_waits", "Times that a publisher had to wait for readers", counters.waits.get())?;
        page.micros("publish_latency", "Time from the arrival of a publication to its answer", &counters.publish_us)?;
        page.count("rounds", "Rounds: one segment written to the readers of one shard", counters.rounds.get())?;
        page.micros("fan_out", "Time that a round took, waiting for its turns included", &counters.round_us)?;
        page.sizes("round_messages", "Messages that a round carried", &counters.round_messages)?;
        page.gauge("channels_read", "Channels that this node has readers of, or had a moment ago", self.0.hub.channels_read() as i64)
    }

    #[rustfmt::skip]
    fn memory(&self, page: &mut Page<'_>) -> fmt::Result {
        let (counters, budget) = (self.0.hub.counters(), self.0.hub.budget());
        page.bytes("tail", "Newest messages of channels, encoded for their readers", counters.tail_bytes.get())?;
        page.bytes("memory", "Bytes of tails, history in memory and partial input", bytes(budget.used()))?;
        page.bytes("memory_limit", "Most that those may be: limits.memory_bytes", bytes(budget.limit()))
    }

    /// What handlers and hooks were asked.
    fn decisions(&self, page: &mut Page<'_>) -> fmt::Result {
        let handlers = self.0.application().map(|application| application.figures()).unwrap_or_default();
        let hooks = self.0.authorizer.as_ref().map(|authorizer| authorizer.figures()).unwrap_or_default();
        handlers.into_iter().chain(hooks).try_for_each(|(name, help, value)| page.count(name, help, value))
    }

    fn errors(&self, page: &mut Page<'_>) -> fmt::Result {
        let rows = self.0.errors.snapshot().map(|(code, count)| (code.name(), count as i64));
        page.by_label("errors", "Errors told to clients", MetricType::Counter, "code", rows.collect())
    }
}

/// The figures of a data directory.
#[derive(Debug)]
struct Kept(Store);

impl Collector for Kept {
    #[rustfmt::skip]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let (counters, usage) = (self.0.counters(), self.0.usage());
        page.count("store_messages", "Messages written to the log", counters.written.get())?;
        page.count_bytes("store_written", "Bytes written to the log", counters.written_bytes.get())?;
        page.count("store_commits", "Syncs that made what was written durable", counters.commits.get())?;
        page.sizes("store_commit_messages", "Messages that waited for one sync", &counters.commit_messages)?;
        page.micros("store_sync", "Time that a sync took", &counters.sync_us)?;
        page.gauge("store_segments", "Files of the log", i64::try_from(usage.segments).unwrap_or(i64::MAX))?;
        page.bytes("store_log", "Bytes of the log on disk", i64::try_from(usage.bytes).unwrap_or(i64::MAX))?;
        page.gauge("store_reads_queued", "Reads from disk that wait or are under way", counters.reads.get())?;
        page.count("store_write_errors", "Writes and syncs that the system refused, such as for a full disk", counters.write_errors.get())?;
        page.count("store_refused", "Messages that were refused because they could not be written", counters.refused.get())
    }
}

fn bytes(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn connections(node: &Node) -> BTreeMap<&'static str, i64> {
    let mut counts: BTreeMap<_, _> = TRANSPORTS.iter().map(|transport| (*transport, 0)).collect();
    let mut after = 0;
    loop {
        // In pages, so that the list is never locked for long.
        let page = node.hub.directory().page(after, 1000);
        let Some(last) = page.last() else { return counts };
        after = last.id;
        for listed in &page {
            *counts.entry(listed.transport).or_default() += 1;
        }
    }
}

/// One way to write each kind of figure.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn count_bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        metric.encode(self.0.encode_descriptor(name, help, Some(&Unit::Bytes), metric.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn bytes(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        metric.encode(self.0.encode_descriptor(name, help, Some(&Unit::Bytes), metric.metric_type())?)
    }

    fn by_label(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        label: &str,
        rows: BTreeMap<&'static str, i64>,
    ) -> fmt::Result {
        let is_counter = matches!(kind, MetricType::Counter);
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in rows {
            let labels = [(label, value)];
            let encoder = family.encode_family(&labels)?;
            if is_counter {
                ConstCounter::new(count.unsigned_abs()).encode(encoder)?;
            } else {
                ConstGauge::new(count).encode(encoder)?;
            }
        }
        Ok(())
    }

    /// A histogram of microseconds, told in seconds, from 16 us to 34 s.
    fn micros(&mut self, name: &str, help: &str, spread: &Spread) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        Histogram { spread, scale: 1e-6, exact: false, powers: 4..=25 }.encode(encoder)
    }

    fn sizes(&mut self, name: &str, help: &str, spread: &Spread) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        Histogram { spread, scale: 1.0, exact: true, powers: 1..=14 }.encode(encoder)
    }
}

/// A [`Spread`] as a histogram. Its buckets count whole numbers below a power of two, so `le` is exactly that power less one;
/// for times the difference is below what is measured, and the powers read better.
struct Histogram<'a> {
    spread: &'a Spread,
    scale: f64,
    exact: bool,
    /// Powers of two that are told; values beyond the last are in `+Inf`.
    powers: RangeInclusive<u32>,
}

impl EncodeMetric for Histogram<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let (rows, sum) = self.spread.snapshot();
        let total = rows.last().map_or(0, |(_, count)| *count);
        let (first, last) = (1_u64 << self.powers.start(), 1_u64 << self.powers.end());
        let mut before = 0;
        let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(rows.len());
        for (bound, up_to) in rows.into_iter().filter(|(bound, _)| (first..=last).contains(bound)) {
            let le = if self.exact { bound - 1 } else { bound };
            buckets.push((le as f64 * self.scale, up_to - before));
            before = up_to;
        }
        // The encoder writes this bound as +Inf.
        buckets.push((f64::MAX, total - before));
        encoder.encode_histogram::<NoLabelSet>(sum as f64 * self.scale, total, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
