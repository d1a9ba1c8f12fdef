//! `fanfare bench` against a hub inside this program, over every transport, and as a command of the binary.
#![cfg(feature = "bench")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
use std::{process::Command, sync::atomic::AtomicBool, time::Duration};

use fanfare::Fanfare;
use fanfare_bench::{BenchError, Encoding, Load, PublishOver, Report, Settings, Storm, Transport};

/// Runs against a hub of its own. `change` is made to ten readers, two channels, four in flight, a third of a second.
async fn bench(change: impl FnOnce(&mut Settings)) -> Result<Report, BenchError> {
    let hub = Fanfare::builder().open().build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::new(listener.local_addr().unwrap());
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move { hub.serve(listener).await }
    });
    settings.subscribers = 10;
    settings.channels = 2;
    settings.load = Load::InFlight(4);
    settings.warmup = Duration::from_millis(50);
    settings.duration = Duration::from_millis(300);
    settings.settle = Duration::ZERO;
    change(&mut settings);
    let run = move || fanfare_bench::run(&settings, &AtomicBool::new(false));
    let report = tokio::task::spawn_blocking(run).await.unwrap();
    hub.shutdown().await;
    serving.await.unwrap().unwrap();
    report
}

fn faultless(report: &Report) {
    let checks = &report.checks;
    assert!(checks.faults.none() && checks.misdelivered == 0 && checks.closed == 0, "{checks:?}");
    assert!(report.deliveries > 10 && report.published > 1, "{}", report.human());
    assert!(report.latency.count > 10 && report.latency.p50_ms > 0.0, "{:?}", report.latency);
    assert_eq!(report.stalls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_delivers_everything_once_and_in_order() {
    for transport in [Transport::Ws, Transport::Sse, Transport::Stream, Transport::Poll] {
        let report = bench(|s| s.transport = transport).await.unwrap();
        faultless(&report);
        // Each publication goes to the half of the readers that reads its channel.
        assert!(report.deliveries >= report.published, "{transport:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_over_http_messagepack_and_own_channels_are_measured_too() {
    let http = |s: &mut Settings| (s.publish_over, s.publishers) = (PublishOver::Http, 3);
    faultless(&bench(http).await.unwrap());
    faultless(&bench(|s| s.encoding = Encoding::Msgpack).await.unwrap());
    faultless(&bench(|s| (s.own, s.channels, s.load) = (true, 10, Load::InFlight(1))).await.unwrap());
    let many = |s: &mut Settings| (s.subscribers, s.channels, s.channels_per_subscriber) = (2, 100, 100);
    faultless(&bench(many).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_cut_off_come_back_and_miss_nothing() {
    let storm = Storm { share: 0.5, every: Duration::from_millis(60) };
    let change = |s: &mut Settings| (s.load, s.storm) = (Load::Rate(500.0), Some(storm));
    for transport in [Transport::Ws, Transport::Sse] {
        let report = bench(|s| {
            change(s);
            s.transport = transport;
        })
        .await
        .unwrap();
        faultless(&report);
        let returns = report.returns.unwrap();
        assert!(returns.times.count >= 5 && returns.away == 0, "{returns:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_keeps_its_pace() {
    let report = bench(|s| s.load = Load::Rate(400.0)).await.unwrap();
    faultless(&report);
    assert!((80..=130).contains(&report.published), "{}", report.human());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_up_nobody() {
    let report = bench(|s| (s.slow_share, s.slow_rate) = (0.2, 100)).await.unwrap();
    faultless(&report);
    assert_eq!(report.slow.unwrap().readers, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_read_is_told_why() {
    let hub = Fanfare::builder().build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings::new(listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { hub.serve(listener).await });
    let run = move || fanfare_bench::run(&settings, &AtomicBool::new(false));
    let refused = tokio::task::spawn_blocking(run).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("unauthorized") && refused.contains("remedy"), "{refused}");
    serving.abort();
}

#[test]
fn the_command_starts_a_hub_and_reports_as_json_and_for_people() {
    let command = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
        command.args(["bench", "-n", "20", "--time", "300ms", "--warmup", "50ms", "--settle", "100ms"]);
        command.args(more).output().unwrap()
    };
    let plot = std::env::temp_dir().join(format!("fanfare-bench-test-{}.hgrm", std::process::id()));
    let output = command(&["--json", "--plot", plot.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["deliveries"].as_u64().unwrap() > 20, "{report}");
    assert_eq!(
        (report["checks"]["lost"].as_u64(), report["checks"]["repeated"].as_u64()),
        (Some(0), Some(0))
    );
    #[cfg(target_os = "linux")]
    assert!(report["memory"]["start"].as_u64().unwrap() > 1_000_000, "{report}");
    let text = std::fs::read_to_string(&plot).unwrap();
    std::fs::remove_file(&plot).unwrap();
    assert!(text.contains("Percentile") && text.contains("Total count"), "{text}");

    let human = String::from_utf8(command(&[]).stdout).unwrap();
    assert!(human.contains("everything once and in order") && human.contains("p99"), "{human}");

    let nobody = command(&["--url", "http://127.0.0.1:1"]);
    let words = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && words.contains("remedy: start the server"), "{words}");
}
