//! The hub inside a program: building, publishing, subscribing, reading, stopping.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
use std::{sync::Arc, time::Duration};

use axum::body::Body;
use fanfare::{
    Ack, Code, Config, Delivery, Fanfare, GapReason, Message, MessageData, Page, Position, StartError,
};
use futures_util::StreamExt;
use http::Request;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

const SOON: Duration = Duration::from_secs(20);

fn hub() -> Fanfare {
    Fanfare::builder()
        .default_namespace(|n| n.keyed = true)
        .namespace("short", |n| n.history.size = 5)
        .namespace("long", |n| n.history.size = 10_000)
        .build()
        .unwrap()
}

async fn message(subscription: &mut fanfare::Subscription) -> Arc<Message> {
    match timeout(SOON, subscription.next()).await.expect("a message in time") {
        Some(Delivery::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_runtime_building_says_so() {
    assert!(matches!(Fanfare::builder().build(), Err(StartError::NoRuntime)));
}

#[tokio::test]
async fn a_wrong_configuration_says_what_to_do() {
    let toml = Fanfare::builder().toml("[limits]\nmesage_bytes = 1").build().unwrap_err().to_string();
    assert!(toml.contains("message_bytes"), "{toml}");
    let secret = Fanfare::builder().hmac_secret("short").build().unwrap_err().to_string();
    assert!(secret.contains("auth.hmac_secret"), "{secret}");
    let data = Fanfare::builder().data("/dev/null/d").build().unwrap_err();
    assert!(matches!(&data, StartError::Store(_)) && data.to_string().contains("/dev/null/d"), "{data}");
    let stored = Fanfare::builder().namespace("a", |a| a.ack = Some(Ack::Stored)).build().unwrap_err();
    assert!(stored.to_string().contains("namespaces.a.ack"), "{stored}");
    let file = Fanfare::builder().file("/nowhere/fanfare.toml").build().unwrap_err().to_string();
    assert!(file.contains("/nowhere/fanfare.toml"), "{file}");
}

#[tokio::test]
async fn every_field_of_a_publication_arrives() {
    let fanfare = hub();
    let mut reader = fanfare.subscribe("a").await.unwrap();
    let sent = fanfare.publish("a", json!({ "b": [1, 2] })).event("said").key("k").id("i-1");
    let published = sent.tag("lang", "en").user("ada").await.unwrap();
    let got = message(&mut reader).await;
    assert_eq!(Some(got.position()), published.position);
    assert_eq!((&*got.event, &*got.id), ("said", "i-1"));
    assert_eq!((got.key.as_deref(), got.user.as_deref()), (Some("k"), Some("ada")));
    assert_eq!(&got.tags[..], [("lang".into(), "en".into())]);
    assert_eq!(got.json::<Value>().unwrap(), json!({ "b": [1, 2] }));
    fanfare.publish_bytes("a", vec![0, 255]).await.unwrap();
    assert_eq!(message(&mut reader).await.json::<String>().unwrap(), "AP8=");
}

#[tokio::test]
async fn a_publication_that_cannot_be_is_refused_and_says_why() {
    let fanfare = hub();
    let long = "x".repeat(129);
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (fanfare.publish("a b", 1), Code::BadRequest),
        (fanfare.publish("$presence:a", 1), Code::BadRequest),
        (fanfare.publish("a", 1).event("fanfare.x"), Code::BadRequest),
        (fanfare.publish("a", 1).key(""), Code::BadRequest),
        (fanfare.publish("a", 1).id(&long), Code::BadRequest),
        (fanfare.publish("a", ()).key("k").ephemeral(), Code::BadRequest),
        (fanfare.publish("a", nested), Code::BadRequest),
        (fanfare.publish("a", "x".repeat(70_000)), Code::TooLarge),
        (fanfare.publish("a", 1).if_head(Position::NOWHERE), Code::Conflict),
    ];
    for (n, (publishing, code)) in cases.into_iter().enumerate() {
        let result = publishing.await;
        assert_eq!(result.as_ref().map_err(|problem| problem.code), Err(code), "case {n}: {result:?}");
    }
    assert_eq!(fanfare.history("a", Page::default()).await.unwrap().head.offset, 0);
}

#[tokio::test]
async fn a_reader_that_is_slow_gets_everything_in_order() {
    let fanfare = hub();
    let reader = fanfare.subscribe("a").await.unwrap();
    for n in 1..=1000_u64 {
        fanfare.publish("a", n).await.unwrap();
    }
    let all: Vec<u64> = timeout(
        SOON,
        reader.take(1000).map(|delivery| delivery.json::<u64>().unwrap().expect("no gap")).collect(),
    )
    .await
    .unwrap();
    assert_eq!(all, (1..=1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_while_others_publish_misses_nothing_and_sees_nothing_twice() {
    let fanfare = hub();
    let mut reader = fanfare.subscribe("long:a").await.unwrap();
    let publisher = tokio::spawn({
        let fanfare = fanfare.clone();
        async move {
            for n in 1..=2000_u64 {
                fanfare.publish("long:a", n).await.unwrap();
            }
        }
    });
    let mut next = 1_u64;
    while next <= 2000 {
        for _ in 0..next % 37 + 1 {
            if next > 2000 {
                break;
            }
            assert_eq!(message(&mut reader).await.json::<u64>().unwrap(), next);
            next += 1;
        }
        let position = reader.position();
        reader = fanfare.subscribe("long:a").since(position).await.unwrap();
        assert_eq!(reader.recovered(), Some(true));
    }
    publisher.await.unwrap();
}

#[tokio::test]
async fn what_is_lost_is_told_before_what_is_left() {
    let fanfare = hub();
    fanfare.publish("short:a", 0).await.unwrap();
    let position = fanfare.history("short:a", Page::default()).await.unwrap().head;
    for n in 1..=20 {
        fanfare.publish("short:a", n).await.unwrap();
    }
    let mut reader = fanfare.subscribe("short:a").since(position).await.unwrap();
    assert_eq!(reader.recovered(), Some(false));
    let Some(Delivery::Gap(gap)) = reader.next().await else { panic!("no gap") };
    assert_eq!((gap.reason, gap.after.offset), (GapReason::Expired, 16));
    for offset in 17..=21 {
        assert_eq!(message(&mut reader).await.offset, offset);
    }
    let mut reader = fanfare.subscribe("short:a").since("zzz-3".parse().unwrap()).await.unwrap();
    let Some(Delivery::Gap(gap)) = reader.next().await else { panic!("no gap") };
    assert_eq!(gap.reason, GapReason::Epoch);
}

#[tokio::test]
async fn a_snapshot_is_the_newest_of_every_key_then_updates() {
    let fanfare = hub();
    for (key, value) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
        fanfare.publish("state", value).key(key).await.unwrap();
    }
    fanfare.publish("state", ()).key("c").await.unwrap();
    let mut reader = fanfare.subscribe("state").snapshot().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(message(&mut reader).await.json::<u32>().unwrap());
    }
    fanfare.publish("state", 5).key("b").await.unwrap();
    seen.push(message(&mut reader).await.json::<u32>().unwrap());
    assert_eq!(seen, [2, 3, 5]);
    let refused = Fanfare::builder().build().unwrap().subscribe("state").snapshot().await;
    assert_eq!(refused.map(|_| ()).map_err(|problem| problem.code), Err(Code::BadRequest));
}

#[tokio::test]
async fn the_newest_messages_come_first_when_asked_for() {
    let fanfare = hub();
    for n in 0..10 {
        fanfare.publish("a", n).await.unwrap();
    }
    let mut reader = fanfare.subscribe("a").last(3).await.unwrap();
    assert_eq!(reader.head().offset, 10);
    for offset in 8..=10 {
        assert_eq!(message(&mut reader).await.offset, offset);
    }
}

#[tokio::test]
async fn stopping_ends_subscriptions_and_readiness() {
    let fanfare = hub();
    let ready = |router: axum::Router| async {
        let request = Request::get("/health/ready").body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status()
    };
    assert_eq!(ready(fanfare.router()).await, 200);
    let mut reader = fanfare.subscribe("a").await.unwrap();
    let waiting = tokio::spawn(async move { reader.next().await.is_none() });
    tokio::task::yield_now().await;
    timeout(SOON, fanfare.shutdown()).await.unwrap();
    assert!(timeout(SOON, waiting).await.unwrap().unwrap());
    assert_eq!(ready(fanfare.router()).await, 503);
}

#[tokio::test]
async fn a_router_keeps_its_hub_alive_and_nothing_else_does() {
    let router = hub().router();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let request = Request::get("/health/ready").body(Body::empty()).unwrap();
    assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks() > 0);
    drop(router);
    let ended = async {
        while tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, ended).await.expect("its tasks end");
}

#[tokio::test]
async fn a_reload_takes_effect_while_it_runs() {
    let fanfare = hub();
    let users = |fanfare: &Fanfare| {
        let request = Request::post("/v1/users/online")
            .header("authorization", "Bearer example-of-an-api-key")
            .body(Body::from("{\"users\":[]}"))
            .unwrap();
        fanfare.router().oneshot(request)
    };
    assert_eq!(users(&fanfare).await.unwrap().status(), 401);
    let toml = "[auth]\napi_keys = [{ name = \"new\", key = \"example-of-an-api-key\" }]";
    let changes = fanfare.live().reload(Config::from_toml(toml).unwrap());
    assert!(!changes.is_empty());
    let taken = async {
        while users(&fanfare).await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, taken).await.expect("the key counts");
}
