//! Reading ranges, pages backwards, and what is said when a log does not reach back.
use fanfare_protocol::{Position, event::GapReason};

use super::{
    Maker,
    harness::{channel, offsets, publish, texts},
};
use crate::{Bound, ChannelPolicy, Keyed, Read, ReadBack};

pub async fn an_unknown_channel_stands_at_nought(make: Maker) {
    let h = make.broker().await;
    let known = channel("a:1");
    h.append(publish(&known, "1")).await;
    let c = channel("a:2");
    let bounds = h.bounds(&c).await;
    assert_eq!((bounds.head, bounds.oldest, bounds.held, bounds.newest_ms), (0, 1, 1, 0));
    assert_eq!(bounds.epoch, h.bounds(&known).await.epoch);
    assert_eq!(h.read(&c, 0).await.unwrap().messages, [], "its own position is recovered");
    assert_eq!(h.read(&c, 1).await.unwrap_err().reason, GapReason::Epoch);
    assert_eq!(h.append(publish(&c, "1")).await, Position { epoch: bounds.epoch, offset: 1 });
}

pub async fn reading_creates_nothing(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.bounds(&c).await;
    h.read(&c, 0).await.unwrap();
    assert_eq!(h.read_back(&c, None, 10).await.messages, []);
    assert_eq!(h.keys(&c, 0, 0).await.messages, []);
    assert_eq!(h.renew(&c, &["k"], 1000).await, ["k"]);
    assert_eq!(h.broker.channels("", None, 10).await.unwrap(), []);
    assert_eq!(h.bounds(&c).await.head, 0);
}

pub async fn a_read_returns_what_follows_a_position(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 10).await;
    for after in 0..=10u64 {
        let slice = h.read(&c, after).await.unwrap();
        assert_eq!(offsets(&slice.messages), (after + 1..=10).collect::<Vec<_>>());
        assert_eq!(slice.bounds.head, 10);
    }
}

pub async fn a_read_is_bounded_by_count(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 10).await;
    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied().unwrap_or(0);
        let page = offsets(&h.read_some(&c, after, 3, Bound::Retained).await.unwrap().messages);
        if page.is_empty() {
            break;
        }
        assert_eq!(page.len(), 3.min(10 - after as usize));
        seen.extend(page);
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

pub async fn a_read_is_bounded_by_bytes_and_returns_one_at_least(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 10).await;
    let weight = h.retained(&c).await[0].weight();
    let after = Position { epoch: h.bounds(&c).await.epoch, offset: 2 };
    for (bytes, least, most) in [(0, 1, 1), (1, 1, 1), (weight * 4, 3, 5), (usize::MAX, 8, 8)] {
        let read = Read { after, limit: 100, bytes, bound: Bound::Retained };
        let got = offsets(&h.read_as(&c, read).await.unwrap().messages);
        assert!((least..=most).contains(&got.len()), "{bytes} bytes: {got:?}");
        assert_eq!(got, (3..3 + got.len() as u64).collect::<Vec<_>>());
        let back = h.broker.read_back(&c, ReadBack { before: None, limit: 100, bytes }).await.unwrap();
        assert!((least..=most.max(10)).contains(&back.messages.len()) && back.messages[0].offset == 10);
    }
}

pub async fn a_position_before_the_oldest_is_expired(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { size: 5, ..ChannelPolicy::default() });
    h.append_numbers(&c, 20).await;
    let lost = h.read(&c, 14).await.unwrap_err();
    assert_eq!((lost.reason, lost.bounds.oldest, lost.bounds.head), (GapReason::Expired, 16, 20));
    assert_eq!(offsets(&h.read(&c, 15).await.unwrap().messages), [16, 17, 18, 19, 20]);
}

pub async fn a_position_of_another_epoch_is_lost(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 5).await;
    for after in [Position::NOWHERE, "zzz-0".parse().unwrap(), "zzz-3".parse().unwrap()] {
        for bound in [Bound::Retained, Bound::Held] {
            let read = Read { after, limit: 10, bytes: usize::MAX, bound };
            let lost = h.read_as(&c, read).await.unwrap_err();
            assert_eq!((lost.reason, lost.bounds), (GapReason::Epoch, h.bounds(&c).await));
            let unknown = h.read_as(&channel("a:2"), read).await.unwrap_err();
            assert_eq!(unknown.reason, GapReason::Epoch);
        }
    }
}

pub async fn a_position_beyond_the_head_is_lost(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 5).await;
    for after in [6, 1000, u64::MAX] {
        for bound in [Bound::Retained, Bound::Held] {
            assert_eq!(h.read_some(&c, after, 10, bound).await.unwrap_err().reason, GapReason::Epoch);
        }
    }
}

pub async fn pages_backwards_meet_without_overlap(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { size: 10, ..ChannelPolicy::default() });
    h.append_numbers(&c, 25).await;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let slice = h.read_back(&c, before, 3).await;
        let Some(last) = slice.messages.last() else { break };
        assert!(slice.messages.len() <= 3 && seen.len() < 10, "{seen:?}");
        before = Some(last.position());
        seen.extend(offsets(&slice.messages));
    }
    assert_eq!(seen, (16..=25).rev().collect::<Vec<_>>());
    assert_eq!(texts(&h.read_back(&c, None, 2).await.messages), ["25", "24"]);
}

pub async fn an_unusable_before_is_ignored(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 5).await;
    let epoch = h.bounds(&c).await.epoch;
    for before in ["zzz-3".parse().unwrap(), Position::NOWHERE, Position { epoch, offset: 7 }] {
        assert_eq!(offsets(&h.read_back(&c, Some(before), 2).await.messages), [5, 4], "{before}");
    }
    for (offset, expected) in [(5, &[4, 3][..]), (2, &[1]), (1, &[]), (0, &[])] {
        let before = Position { epoch, offset };
        assert_eq!(offsets(&h.read_back(&c, Some(before), 2).await.messages), expected, "{before}");
    }
    // Nor does a keyed read go beyond the log or before it.
    let none = Keyed { after: 9, until: 3, tombstones_after: 0, limit: 1, bytes: 1 };
    assert_eq!(h.keys_some(&c, none).await.messages, []);
}
