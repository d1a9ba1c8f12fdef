//! Numbering, order and conditions of appends.
use std::sync::Arc;

use fanfare_protocol::{ClientId, Code, Data, EventName, Position, Publish, Tags};

use super::{
    Maker,
    harness::{channel, offsets, publish, texts},
};
use crate::{Append, Author};

pub async fn offsets_begin_at_one_and_have_no_holes(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let epoch = h.bounds(&c).await.epoch;
    for offset in 1..=20 {
        assert_eq!(h.append(publish(&c, "0")).await, Position { epoch, offset });
    }
    let slice = h.read(&c, 0).await.unwrap();
    assert_eq!(offsets(&slice.messages), (1..=20).collect::<Vec<_>>());
    assert!(slice.messages.iter().all(|message| message.epoch == epoch));
    assert_eq!((slice.bounds.head, slice.bounds.oldest), (20, 1));
}

pub async fn a_message_carries_what_was_published(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let client = ClientId::parse("AAAAAAAAAAAAAAAA").unwrap();
    let named = ClientId::parse("BBBBBBBBBBBBBBBB").unwrap();
    let tags = Tags::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
    let full = Publish {
        event: EventName::parse("say").unwrap(),
        key: Some("k".into()),
        id: Some("u-1".into()),
        tags: tags.clone(),
        ..publish(&c, r#"{"text":"hi"}"#)
    };
    let author = Author { user: Some("ada".into()), client: Some(client) };
    let unix_ms = h.now_ms() + 7;
    let first = h.broker.append(Append { publish: full.clone(), author, unix_ms }).await.unwrap();
    assert_eq!(&*first.id, "u-1");
    // By an API key: nobody's, and the origin that it names.
    let by_key = Publish { client: Some(named), data: Data::Binary(vec![0, 255].into()), ..publish(&c, "") };
    let second = h.try_append(by_key).await.unwrap();

    let messages = h.read(&c, 0).await.unwrap().messages;
    let message = &messages[0];
    assert_eq!(message.position(), first.position.unwrap());
    assert_eq!((&message.channel, &message.event, &message.data), (&c, &full.event, &full.data));
    assert_eq!((message.id.as_ref(), message.time), ("u-1", unix_ms));
    assert_eq!((message.key.as_deref(), message.user.as_deref()), (Some("k"), Some("ada")));
    assert_eq!((message.client, message.origin), (Some(client), Some(client)));
    assert_eq!(message.tags, tags, "in the order given");
    let message = &messages[1];
    assert_eq!(message.data, Data::Binary(vec![0, 255].into()));
    assert_eq!(message.id, second.id);
    assert!(!message.id.is_empty(), "the server gives an id where the publisher did not");
    assert_eq!((message.client, message.user.as_deref(), message.origin), (None, None, Some(named)));
    assert_eq!(h.bounds(&c).await.newest_ms, unix_ms.max(h.now_ms()));
}

pub async fn pipelined_appends_keep_their_order(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let positions = h.append_numbers(&c, 500).await;
    let got: Vec<_> = positions.iter().map(|position| position.offset).collect();
    assert_eq!(got, (1..=500).collect::<Vec<_>>());
    let expected: Vec<_> = (1..=500).map(|n| n.to_string()).collect();
    assert_eq!(texts(&h.read(&c, 0).await.unwrap().messages), expected);
}

pub async fn concurrent_writers_share_one_order(make: Maker) {
    const WRITERS: usize = 8;
    const EACH: usize = 100;
    let h = Arc::new(make.broker().await);
    let c = channel("a:1");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (h, c) = (h.clone(), c.clone());
            tokio::spawn(async move {
                let mut written = Vec::new();
                for n in 0..EACH {
                    let text = format!("\"{writer}.{n}\"");
                    written.push((h.append(publish(&c, &text)).await.offset, text));
                    tokio::task::yield_now().await;
                }
                written
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        let written = writer.await.unwrap();
        assert!(written.is_sorted_by(|a, b| a.0 < b.0), "a writer's own appends keep their order");
        all.extend(written);
    }
    all.sort();
    let log = h.read(&c, 0).await.unwrap().messages;
    let log: Vec<_> = offsets(&log).into_iter().zip(texts(&log)).collect();
    assert_eq!(log, all, "the log has what the writers were told, where they were told");
    assert_eq!(log.last().unwrap().0, (WRITERS * EACH) as u64, "without holes");
}

pub async fn channels_are_numbered_apart(make: Maker) {
    let h = make.broker().await;
    let (a, b) = (channel("a:1"), channel("a:2"));
    h.append_numbers(&a, 3).await;
    assert_eq!(h.append(publish(&b, "\"b\"")).await.offset, 1);
    assert_eq!(h.append(publish(&a, "4")).await.offset, 4);
    assert_eq!(texts(&h.read(&b, 0).await.unwrap().messages), ["\"b\""]);
    assert_eq!(h.bounds(&a).await.epoch, h.bounds(&b).await.epoch, "one store, one epoch");
}

pub async fn an_append_at_the_head_is_taken_and_another_is_a_conflict(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let nought = h.bounds(&c).await.head_position();
    let on = |condition| Publish { condition: Some(condition), ..publish(&c, "1") };
    let wrong = [
        Position { offset: 1, ..nought },
        Position::NOWHERE,
        Position { epoch: "other".parse().unwrap(), offset: 0 },
    ];
    for condition in wrong {
        let problem = h.try_append(on(condition)).await.unwrap_err();
        assert_eq!((problem.code, problem.position), (Code::Conflict, Some(nought)), "{condition}");
    }
    assert_eq!(h.bounds(&c).await.head, 0, "a conflict appends nothing");
    let first = h.append(on(nought)).await;
    assert_eq!(first.offset, 1);
    let problem = h.try_append(on(nought)).await.unwrap_err();
    assert_eq!((problem.code, problem.position), (Code::Conflict, Some(first)));
    assert_eq!(h.append(on(first)).await.offset, 2);
}

pub async fn of_concurrent_conditional_appends_one_wins(make: Maker) {
    let h = Arc::new(make.broker().await);
    let c = channel("a:1");
    let head = h.append(publish(&c, "0")).await;
    let rivals: Vec<_> = (0..16)
        .map(|n: u32| {
            let (h, c) = (h.clone(), c.clone());
            tokio::spawn(async move {
                h.try_append(Publish { condition: Some(head), ..publish(&c, &n.to_string()) }).await
            })
        })
        .collect();
    let mut won = 0;
    for rival in rivals {
        match rival.await.unwrap() {
            Ok(published) => {
                won += 1;
                assert_eq!(published.position.unwrap().offset, 2);
            }
            Err(problem) => assert_eq!(problem.code, Code::Conflict),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(h.bounds(&c).await.head, 2);
}
