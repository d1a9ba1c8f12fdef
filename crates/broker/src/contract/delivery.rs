//! What the sink is given, in which order, and from when on.
use std::sync::Arc;

use fanfare_protocol::Publish;

use super::{
    Maker,
    harness::{channel, offsets, publish, texts},
};

pub async fn what_is_appended_is_delivered_in_order(make: Maker) {
    let h = make.broker().await;
    let (a, b) = (channel("a:1"), channel("a:2"));
    h.broker.interest(&a).await.unwrap();
    h.broker.interest(&b).await.unwrap();
    h.append_numbers(&a, 100).await;
    h.append_numbers(&b, 50).await;
    let delivered = h.sink.wait_count(&a, 100).await;
    assert_eq!(delivered, h.read(&a, 0).await.unwrap().messages, "what is delivered is what is read");
    assert_eq!(offsets(&h.sink.wait_count(&b, 50).await), (1..=50).collect::<Vec<_>>());
}

pub async fn nothing_is_delivered_without_interest(make: Maker) {
    let h = make.broker().await;
    let (quiet, heard) = (channel("a:1"), channel("a:2"));
    h.broker.interest(&heard).await.unwrap();
    h.append_numbers(&quiet, 20).await;
    h.append_numbers(&heard, 20).await;
    h.sink.wait_count(&heard, 20).await;
    assert_eq!(h.sink.delivered(&quiet), []);
}

pub async fn interest_may_come_before_the_channel(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.broker.interest(&c).await.unwrap();
    let before = h.bounds(&c).await.head_position();
    assert_eq!(before.offset, 0);
    assert_eq!(h.append(publish(&c, "1")).await.epoch, before.epoch, "what a reader was told stays true");
    assert_eq!(offsets(&h.sink.wait_count(&c, 1).await), [1]);
}

pub async fn interest_among_concurrent_writers_misses_nothing(make: Maker) {
    const WRITERS: usize = 6;
    const EACH: usize = 150;
    for _ in 0..5 {
        let h = Arc::new(make.broker().await);
        let c = channel("a:1");
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (h, c) = (h.clone(), c.clone());
                tokio::spawn(async move {
                    for _ in 0..EACH {
                        h.append(publish(&c, "1")).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while h.bounds(&c).await.head < 50 {
            tokio::task::yield_now().await;
        }
        h.broker.interest(&c).await.unwrap();
        let head = h.bounds(&c).await.head;
        for writer in writers {
            writer.await.unwrap();
        }
        // One more for the case that all were written before the interest.
        h.append(publish(&c, "1")).await;
        let last = (WRITERS * EACH + 1) as u64;
        let delivered = h.sink.wait(&c, |d| d.last().is_some_and(|message| message.offset == last)).await;
        let got = offsets(&delivered);
        assert!(got[0] <= head + 1, "from the answer on: {} after a head of {head}", got[0]);
        assert_eq!(got, (got[0]..=last).collect::<Vec<_>>(), "each once, in order, without holes");
    }
}

pub async fn interest_may_be_repeated(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    for _ in 0..3 {
        h.broker.interest(&c).await.unwrap();
    }
    h.append_numbers(&c, 10).await;
    assert_eq!(offsets(&h.sink.wait_count(&c, 10).await), (1..=10).collect::<Vec<_>>(), "each once");
    h.broker.disinterest(&c);
    h.broker.disinterest(&c);
    h.broker.disinterest(&channel("never"));
    h.broker.interest(&c).await.unwrap();
    h.append(publish(&c, "11")).await;
    h.sink.wait(&c, |d| d.last().is_some_and(|message| message.offset == 11)).await;
}

pub async fn disinterest_ends_delivery(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.broker.interest(&c).await.unwrap();
    let heard = h.append(publish(&c, "\"heard\"")).await;
    h.sink.wait(&c, |d| d.iter().any(|message| message.offset == heard.offset)).await;
    h.broker.disinterest(&c);
    // It may take effect a little later where it goes over a network, but it does.
    for round in 0.. {
        let probe = h.append(publish(&c, "\"probe\"")).await;
        h.broker.interest(&c).await.unwrap();
        let fence = h.append(publish(&c, "\"fence\"")).await;
        let delivered = h.sink.wait(&c, |d| d.iter().any(|message| message.offset == fence.offset)).await;
        assert!(delivered.is_sorted_by(|a, b| a.offset < b.offset));
        h.broker.disinterest(&c);
        if !delivered.iter().any(|message| message.offset == probe.offset) {
            return;
        }
        assert!(round < 50, "messages are still delivered");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub async fn a_duplicate_is_not_delivered_again(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.broker.interest(&c).await.unwrap();
    for _ in 0..3 {
        h.try_append(Publish { id: Some("x".into()), ..publish(&c, "1") }).await.unwrap();
    }
    h.append(publish(&c, "2")).await;
    assert_eq!(texts(&h.sink.wait(&c, |d| d.iter().any(|m| m.offset == 2)).await), ["1", "2"]);
}

pub async fn ephemeral_messages_are_delivered_and_leave_no_trace(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.broker.interest(&c).await.unwrap();
    h.append(publish(&c, "1")).await;
    let typing =
        Publish { ephemeral: true, id: Some("x".into()), key: Some("k".into()), ..publish(&c, "\"typing\"") };
    for _ in 0..2 {
        let published = h.try_append(typing.clone()).await.unwrap();
        assert_eq!((published.position, published.duplicate), (None, false), "no place, no idempotency");
        assert_eq!(&*published.id, "x");
    }
    let last = h.append(Publish { id: Some("x".into()), ..publish(&c, "2") }).await;
    assert_eq!(last.offset, 2);
    // Others may overtake them or not where they go another way, but they come.
    let delivered = h.sink.wait_count(&c, 4).await;
    let ephemeral: Vec<_> = delivered.iter().filter(|message| message.is_ephemeral()).collect();
    assert_eq!(ephemeral.len(), 2);
    assert!(ephemeral.iter().all(|m| m.epoch == last.epoch && m.id.as_ref() == "x" && m.time == h.now_ms()));
    assert_eq!(texts(&h.read(&c, 0).await.unwrap().messages), ["1", "2"]);
    assert_eq!(h.keys(&c, 0, 0).await.messages, []);
}

pub async fn an_ephemeral_message_creates_no_channel(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let published = h.try_append(Publish { ephemeral: true, ..publish(&c, "1") }).await.unwrap();
    assert!(published.position.is_none() && !published.id.is_empty());
    h.broker.interest(&c).await.unwrap();
    h.try_append(Publish { ephemeral: true, ..publish(&c, "2") }).await.unwrap();
    assert_eq!(texts(&h.sink.wait_count(&c, 1).await), ["2"]);
    assert_eq!(h.broker.channels("", None, 10).await.unwrap(), []);
    assert_eq!(h.bounds(&c).await.head, 0);
}
