//! A publish with an id is applied once within the window.
use std::{collections::HashSet, sync::Arc};

use fanfare_protocol::{ChannelName, Code, Position, Publish};

use super::{
    Maker,
    harness::{channel, publish, texts},
};

fn with_id(channel: &ChannelName, id: &str, data: &str) -> Publish {
    Publish { id: Some(id.into()), ..publish(channel, data) }
}

pub async fn a_repeated_id_is_answered_with_the_first_position(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append(publish(&c, "0")).await;
    let first = h.append(with_id(&c, "x", "1")).await;
    h.append(publish(&c, "2")).await;
    for _ in 0..3 {
        let again = h.try_append(with_id(&c, "x", "3")).await.unwrap();
        assert_eq!((again.position, &*again.id, again.duplicate), (Some(first), "x", true));
    }
    assert_eq!(texts(&h.read(&c, 0).await.unwrap().messages), ["0", "1", "2"]);
}

pub async fn an_id_counts_for_its_channel_alone(make: Maker) {
    let h = make.broker().await;
    for name in ["a:1", "a:2", "b"] {
        assert_eq!(h.append(with_id(&channel(name), "x", "1")).await.offset, 1);
    }
}

pub async fn concurrent_retries_of_one_id_append_once(make: Maker) {
    let h = Arc::new(make.broker().await);
    let c = channel("a:1");
    for round in 1..=20u64 {
        let retries: Vec<_> = (0..8)
            .map(|n: u32| {
                let (h, c) = (h.clone(), c.clone());
                let id = format!("id-{round}");
                tokio::spawn(async move { h.try_append(with_id(&c, &id, &n.to_string())).await.unwrap() })
            })
            .collect();
        // And two of one publisher that did not wait.
        let id = format!("id-{round}");
        let (one, two) = (h.queue(with_id(&c, &id, "8")), h.queue(with_id(&c, &id, "9")));
        let mut answers = vec![one.await.unwrap(), two.await.unwrap()];
        for retry in retries {
            answers.push(retry.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.position.unwrap().offset == round), "{answers:?}");
    }
    assert_eq!(h.bounds(&c).await.head, 20);
}

pub async fn an_id_is_looked_up_before_the_condition(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let head = h.append(publish(&c, "0")).await;
    let conditional = Publish { condition: Some(head), ..with_id(&c, "x", "1") };
    let first = h.append(conditional.clone()).await;
    let again = h.try_append(conditional).await.unwrap();
    assert_eq!((again.position, again.duplicate), (Some(first), true), "the head has moved, the id is known");
}

pub async fn a_failed_append_is_not_remembered(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let failing = Publish { condition: Some(Position::NOWHERE), ..with_id(&c, "x", "1") };
    assert_eq!(h.try_append(failing).await.unwrap_err().code, Code::Conflict);
    assert_eq!(h.append(with_id(&c, "x", "2")).await.offset, 1);
    assert_eq!(texts(&h.read(&c, 0).await.unwrap().messages), ["2"]);
}

pub async fn an_id_is_forgotten_after_the_window(make: Maker) {
    let h = make.broker_with(10_000, 1000).await;
    let c = channel("a:1");
    h.append(with_id(&c, "x", "1")).await;
    h.advance(9_000);
    assert!(h.try_append(with_id(&c, "x", "2")).await.unwrap().duplicate);
    h.advance(2_000);
    assert_eq!(h.append(with_id(&c, "x", "3")).await.offset, 2, "a repeat does not prolong the window");
}

pub async fn the_oldest_ids_are_forgotten_beyond_the_limit(make: Maker) {
    let h = make.broker_with(300_000, 4).await;
    let c = channel("a:1");
    for n in 1..=20 {
        h.append(with_id(&c, &format!("id-{n}"), "1")).await;
    }
    for n in 17..=20 {
        assert!(h.try_append(with_id(&c, &format!("id-{n}"), "1")).await.unwrap().duplicate, "id-{n}");
    }
    assert!(!h.try_append(with_id(&c, "id-1", "1")).await.unwrap().duplicate, "memory is bounded");
}

pub async fn ids_of_the_server_are_unique(make: Maker) {
    let h = make.broker().await;
    let mut ids = HashSet::new();
    for n in 0..100 {
        let c = channel(if n % 2 == 0 { "a:1" } else { "a:2" });
        let published = h.try_append(publish(&c, "1")).await.unwrap();
        assert!((1..=128).contains(&published.id.len()), "{published:?}");
        assert!(ids.insert(published.id), "each id once");
    }
}
