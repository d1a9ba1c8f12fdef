//! More channels than may be: the longest idle lose their past, and whoever knew it is told.
use std::{collections::HashSet, sync::Arc};

use fanfare_protocol::{Code, Position, Publish, event::GapReason};

use super::{
    Harness, Maker,
    harness::{channel, keyed, offsets, publish},
};
use crate::{Bound, Lost, Read};

async fn reads(h: &Harness, name: &str, after: Position) -> Result<Vec<u64>, Lost> {
    let read = Read { after, limit: usize::MAX, bytes: usize::MAX, bound: Bound::Retained };
    h.read_as(&channel(name), read).await.map(|slice| offsets(&slice.messages))
}

async fn listed(h: &Harness) -> Vec<String> {
    let listed = h.broker.channels("", None, 1000).await.unwrap();
    listed.iter().map(|info| info.channel.to_string()).collect()
}

pub async fn beyond_the_limit_the_longest_idle_lose_their_past(make: Maker) {
    let h = make.broker_of(3).await;
    let epoch = h.bounds(&channel("a:9")).await.epoch;
    h.broker.interest(&channel("a:1")).await.unwrap();
    for name in ["a:1", "a:2", "a:3"] {
        h.advance(1);
        assert_eq!(h.append(publish(&channel(name), "1")).await, Position { epoch, offset: 1 });
    }
    // The oldest has a reader; the next oldest goes.
    h.advance(1);
    let fourth = h.append(publish(&channel("a:4"), "1")).await;
    assert_eq!(listed(&h).await, ["a:1", "a:3", "a:4"]);
    assert_eq!(h.bounds(&channel("a:1")).await.epoch, epoch, "who was not dropped keeps its epoch");
    assert_eq!(h.bounds(&channel("a:3")).await.epoch, epoch);
    assert_ne!(fourth.epoch, epoch);

    // Of the dropped one, no position is taken for one of its next life.
    for offset in [0, 1, 2] {
        let lost = reads(&h, "a:2", Position { epoch, offset }).await.unwrap_err();
        assert_eq!(lost.reason, GapReason::Epoch);
    }
    h.advance(1);
    let again = h.append(publish(&channel("a:2"), "2")).await;
    assert!(again.offset == 1 && again.epoch != epoch, "{again}");
    for offset in [0, 1] {
        let lost = reads(&h, "a:2", Position { epoch, offset }).await.unwrap_err();
        assert_eq!(lost.reason, GapReason::Epoch);
    }
    assert_eq!(reads(&h, "a:2", Position { offset: 0, ..again }).await.unwrap(), [1]);
    assert_eq!(h.sink.delivered(&channel("a:1")).len(), 1, "and nobody with interest was reset");
}

pub async fn channels_with_readers_are_never_dropped(make: Maker) {
    let h = make.broker_of(2).await;
    let (a, b, c) = (channel("a:1"), channel("a:2"), channel("a:3"));
    h.broker.interest(&a).await.unwrap();
    h.broker.interest(&b).await.unwrap();
    h.append(publish(&a, "1")).await;
    h.append(publish(&b, "1")).await;
    for _ in 0..2 {
        let problem = h.try_append(publish(&c, "1")).await.unwrap_err();
        assert_eq!(problem.code, Code::LimitExceeded);
        assert!(problem.remedy_text().contains("limits.channels"), "{problem}");
    }
    assert_eq!(h.bounds(&c).await.head, 0);
    assert_eq!(h.append(publish(&a, "2")).await.offset, 2, "what is there goes on");
    let ephemeral = Publish { ephemeral: true, ..publish(&c, "1") };
    assert!(h.try_append(ephemeral).await.is_ok(), "it makes no channel");
    h.broker.disinterest(&b);
    assert_eq!(h.append(publish(&c, "1")).await.offset, 1);
    assert_eq!((h.bounds(&a).await.head, h.bounds(&b).await.head), (2, 0));
}

/// Its readers were told a position, which stands whatever is dropped meanwhile.
pub async fn a_channel_that_waits_for_its_first_message_keeps_its_epoch(make: Maker) {
    let h = make.broker_of(2).await;
    let waiting = channel("waiting");
    h.broker.interest(&waiting).await.unwrap();
    let told = h.bounds(&waiting).await.head_position();
    for n in 0..10 {
        h.advance(1);
        h.append(publish(&channel(&format!("a:{n}")), "1")).await;
    }
    assert_eq!(h.bounds(&waiting).await.head_position(), told);
    assert_eq!(h.append(publish(&waiting, "1")).await, Position { offset: 1, ..told });
    assert_eq!(h.sink.delivered(&waiting).len(), 1);
}

/// A member that is renewed without a message is in use.
pub async fn channels_with_leases_are_not_idle(make: Maker) {
    let h = make.broker_of(2).await;
    let leased = h.keyed_channel("k:1");
    h.append(Publish { ttl_ms: Some(60_000), ..keyed(&leased, "ada", "1") }).await;
    h.advance(1);
    h.append(publish(&channel("a:1"), "1")).await;
    h.advance(1);
    h.append(publish(&channel("a:2"), "1")).await;
    assert_eq!(listed(&h).await, ["a:2", "k:1"]);
    h.append(keyed(&leased, "ada", "null")).await;
    h.advance(1);
    h.append(publish(&channel("a:2"), "2")).await;
    h.advance(1);
    h.append(publish(&channel("a:3"), "1")).await;
    assert_eq!(listed(&h).await, ["a:2", "a:3"], "without a lease it is a channel like others");
}

/// However channels are dropped and made again under concurrent writers.
pub async fn no_position_is_given_twice(make: Maker) {
    const WRITERS: usize = 4;
    let h = Arc::new(make.broker_of(8).await);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let h = h.clone();
        writers.push(tokio::spawn(async move {
            let mut given = Vec::new();
            for n in 0..150 {
                let name = format!("a:{}", (n * 7 + writer * 3) % 32);
                h.advance(u64::from(n % 10 == 0));
                given.push((name.clone(), h.append(publish(&channel(&name), "1")).await));
            }
            given
        }));
    }
    let mut all = HashSet::new();
    for writer in writers {
        for given in writer.await.unwrap() {
            assert!(all.insert(given.clone()), "{given:?} was given twice");
        }
    }
    let epochs: HashSet<_> = all.iter().map(|(_, position)| position.epoch).collect();
    assert!(epochs.len() > 10, "channels were dropped: {} epochs", epochs.len());
    let left = listed(&h).await.len();
    assert!(left <= 8 + WRITERS, "{left} channels are left");
}
