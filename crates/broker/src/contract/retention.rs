//! Retention decides exactly what a new read returns, whatever is held.
use fanfare_protocol::{ChannelName, Publish, event::GapReason};

use super::{
    Harness, Maker,
    harness::{channel, offsets, publish},
};
use crate::{Bound, ChannelPolicy};

/// Asserts that a new read returns exactly `oldest..=head`, by every way of reading.
async fn assert_retained(h: &Harness, c: &ChannelName, oldest: u64, head: u64) {
    let bounds = h.bounds(c).await;
    assert_eq!((bounds.oldest, bounds.head), (oldest, head));
    assert!(bounds.held <= oldest, "{bounds:?}");
    let expected: Vec<_> = (oldest..=head).collect();
    assert_eq!(offsets(&h.read(c, oldest - 1).await.unwrap().messages), expected);
    let mut back = offsets(&h.read_back(c, None, usize::MAX).await.messages);
    back.reverse();
    assert_eq!(back, expected);
    if oldest > 1 {
        let lost = h.read(c, oldest - 2).await.unwrap_err();
        assert_eq!((lost.reason, lost.bounds.oldest), (GapReason::Expired, oldest));
    }
}

pub async fn count_bounds_what_a_new_read_returns(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { size: 10, ..ChannelPolicy::default() });
    for head in 1..=35u64 {
        h.append(publish(&c, "1")).await;
        assert_retained(&h, &c, head.saturating_sub(9).max(1), head).await;
    }
}

pub async fn age_bounds_what_a_new_read_returns(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { ttl_ms: 10_000, ..ChannelPolicy::default() });
    for _ in 0..5 {
        h.append(publish(&c, "1")).await;
        h.advance(1_000);
    }
    assert_retained(&h, &c, 1, 5).await;
    h.advance(4_999);
    assert_retained(&h, &c, 1, 5).await;
    // Exactly ttl old is too old.
    h.advance(1);
    assert_retained(&h, &c, 2, 5).await;
    h.advance(2_000);
    assert_retained(&h, &c, 4, 5).await;
    h.append(publish(&c, "1")).await;
    assert_retained(&h, &c, 4, 6).await;
    h.advance(100_000);
    assert_retained(&h, &c, 7, 6).await;
}

pub async fn bytes_bound_what_a_new_read_returns(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    let sized = |n: u64| Publish { id: Some(format!("id-{n:04}").into()), ..publish(&c, "\"0123456789\"") };
    h.append(sized(1)).await;
    let weight = h.retained(&c).await[0].weight() as u64;
    h.set_policy(&c, ChannelPolicy { bytes: weight * 4, ..ChannelPolicy::default() });
    for head in 2..=20u64 {
        h.append(sized(head)).await;
        assert_retained(&h, &c, head.saturating_sub(3).max(1), head).await;
    }
    h.set_policy(&c, ChannelPolicy { bytes: weight * 4 - 1, ..ChannelPolicy::default() });
    assert_retained(&h, &c, 18, 20).await;
    // A message that alone is too much leaves nothing.
    let large = format!("\"{}\"", "x".repeat(weight as usize * 5));
    h.append(publish(&c, &large)).await;
    assert_retained(&h, &c, 22, 21).await;
    h.append(sized(22)).await;
    assert_retained(&h, &c, 22, 22).await;
}

pub async fn expiry_changes_neither_epoch_nor_head(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { ttl_ms: 1_000, ..ChannelPolicy::default() });
    h.append_numbers(&c, 3).await;
    let before = h.bounds(&c).await;
    h.advance(3_600_000);
    let after = h.bounds(&c).await;
    assert_eq!(after.head_position(), before.head_position());
    assert_eq!((after.oldest, after.newest_ms), (4, before.newest_ms));
    assert_eq!(h.read(&c, 3).await.unwrap().messages, [], "the head is recovered");
    assert_eq!(h.read(&c, 2).await.unwrap_err().reason, GapReason::Expired);
    let next = h.append(publish(&c, "4")).await;
    assert_eq!((next.epoch, next.offset), (before.epoch, 4));
}

pub async fn without_history_the_head_still_moves(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { size: 0, ..ChannelPolicy::default() });
    h.broker.interest(&c).await.unwrap();
    for head in 1..=10 {
        assert_eq!(h.append(publish(&c, "1")).await.offset, head);
        assert_retained(&h, &c, head + 1, head).await;
    }
    let delivered = h.sink.wait_count(&c, 10).await;
    assert_eq!(offsets(&delivered), (1..=10).collect::<Vec<_>>(), "live all the same");
}

pub async fn a_changed_policy_applies_at_once(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.append_numbers(&c, 20).await;
    assert_retained(&h, &c, 1, 20).await;
    h.set_policy(&c, ChannelPolicy { size: 5, ..ChannelPolicy::default() });
    assert_retained(&h, &c, 16, 20).await;
    h.advance(1_000);
    h.set_policy(&c, ChannelPolicy { ttl_ms: 1_000, ..ChannelPolicy::default() });
    assert_retained(&h, &c, 21, 20).await;
    h.set_policy(&c, ChannelPolicy { size: 0, ..ChannelPolicy::default() });
    assert_retained(&h, &c, 21, 20).await;
    h.set_policy(&c, ChannelPolicy { size: 5, ..ChannelPolicy::default() });
    h.append(publish(&c, "21")).await;
    let bounds = h.bounds(&c).await;
    assert!(bounds.oldest >= 17, "{bounds:?}: what came back is at most what the policy allows");
}

pub async fn held_reaches_at_least_as_far_as_retained(make: Maker) {
    let h = make.broker().await;
    let c = channel("a:1");
    h.set_policy(&c, ChannelPolicy { size: 10, ..ChannelPolicy::default() });
    h.append_numbers(&c, 100).await;
    let bounds = h.bounds(&c).await;
    assert!(bounds.held <= 91 && bounds.oldest == 91, "{bounds:?}");
    let slice = h.read_some(&c, bounds.held - 1, usize::MAX, Bound::Held).await.unwrap();
    assert_eq!(offsets(&slice.messages), (bounds.held..=100).collect::<Vec<_>>());
    assert!(bounds.held > 1, "and the rest has gone");
    let lost = h.read_some(&c, bounds.held - 2, usize::MAX, Bound::Held).await.unwrap_err();
    assert_eq!(lost.bounds.held, bounds.held);
}
