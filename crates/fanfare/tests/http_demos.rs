//! The demos: their pages, and what feeds them.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use std::time::Duration;

use fanfare::{Delivery, Fanfare, MessageData, Page, demos};
use http_support::{Server, request};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

/// Longest wait for what should come within a second or three.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_demo_of_the_index_is_served_with_its_script() {
    let server = Server::dev();
    let index = server.ask("GET /demos/", &[], "").await;
    assert_eq!(index.status, 200);
    let page = String::from_utf8(index.body).unwrap();
    let names: Vec<&str> =
        page.split("class=\"card\" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 12, "{names:?}");
    for name in names {
        let demo = server.ask(&format!("GET /demos/{name}"), &[], "").await;
        assert_eq!(demo.status, 200, "{name}");
        assert_eq!(demo.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = demo.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'; script-src 'self';"), "{name}: {policy}");
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
        // Only the page that may hear a public feed reaches out.
        assert_eq!(policy.contains("wss:"), name == "trades", "{name}: {policy}");
        let script = server.ask(&format!("GET /demos/{name}.js"), &[], "").await;
        assert_eq!(
            (script.status.as_u16(), script.header("content-type")),
            (200, Some("text/javascript; charset=utf-8"))
        );
        let page = String::from_utf8(demo.body).unwrap();
        assert!(
            !page.contains("http:") && !page.contains("https:") || ["numbers", "trades"].contains(&name),
            "{name}"
        );
    }
    assert_eq!(server.ask("GET /demos/nothing", &[], "").await.status, 404);
    assert_eq!(server.ask("GET /demos/../index", &[], "").await.status, 404);
}

#[tokio::test]
async fn addresses_with_a_slash_too_few_or_too_many_lead_on() {
    let server = Server::dev();
    for (from, to) in [("GET /demos", "demos/"), ("GET /demos/chat/", "../chat")] {
        let got = server.ask(from, &[], "").await;
        assert_eq!((got.status.as_u16(), got.header("location")), (308, Some(to)), "{from}");
    }
}

#[tokio::test]
async fn what_is_published_waits_for_a_reader() {
    let fanfare = Fanfare::builder().dev().build().unwrap();
    let _demos = demos::spawn(&fanfare);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for channel in ["demo:numbers", "demo:trades", "demo:tours"] {
        assert!(fanfare.history(channel, Page::default()).await.unwrap().messages.is_empty(), "{channel}");
    }
    let mut tours = fanfare.subscribe("demo:tours").snapshot().await.unwrap();
    let tour = timeout(SOON, tours.next()).await.unwrap().unwrap();
    let tour = tour.message().unwrap().clone();
    assert!(tour.key.is_some() && tour.json::<Value>().unwrap()["of"].as_u64().unwrap() > 0);
    // Nobody reads these still.
    assert!(fanfare.history("demo:trades", Page::default()).await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn a_job_runs_when_asked_for_and_only_when_asked_rightly() {
    let fanfare = Fanfare::builder().dev().build().unwrap();
    let _demos = demos::spawn(&fanfare);
    let mut progress = fanfare.subscribe("demo:job:a1").await.unwrap();
    // Whenever the demo begins to listen, one of these comes after.
    let asking = async {
        loop {
            fanfare.publish("demo:jobs", json!("nonsense")).event("start").await.unwrap();
            fanfare.publish("demo:jobs", json!({ "id": "a1", "fail": true })).event("start").await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let first = tokio::select! {
        () = asking => None,
        first = timeout(SOON, progress.next()) => first.unwrap(),
    };
    let Some(Delivery::Message(first)) = first else { panic!("no progress") };
    assert_eq!(first.json::<Value>().unwrap()["state"], "running");
}

#[tokio::test]
async fn outside_of_dev_mode_they_are_served_when_enabled() {
    for (text, status) in [("", 404), ("[demos]\nenabled = true", 200)] {
        let fanfare = Fanfare::builder().toml(text).build().unwrap();
        let request = request("GET /demos/chat", &[], "");
        let got = fanfare.router().oneshot(request).await.unwrap();
        assert_eq!(got.status(), status, "{text}");
    }
}
