//! The newest message of every key, and the tombstones of removed ones.
use fanfare_protocol::ChannelName;

use super::{
    Harness, Maker,
    harness::{keyed, offsets, publish, texts},
};
use crate::{ChannelPolicy, Keyed};

const HOUR_MS: u64 = 3_600_000;

/// Appends `key=data` pairs in order.
async fn set(h: &Harness, c: &ChannelName, pairs: &[(&str, &str)]) {
    for (key, data) in pairs {
        h.append(keyed(c, key, data)).await;
    }
}

pub async fn a_snapshot_is_the_newest_of_each_key_in_order(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    set(&h, &c, &[("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")]).await;
    h.append(publish(&c, "5")).await;
    set(&h, &c, &[("b", "6"), ("d", "7")]).await;
    let slice = h.keys(&c, 0, 7).await;
    assert_eq!(texts(&slice.messages), ["3", "4", "6", "7"], "keyless messages are in history only");
    assert_eq!(offsets(&slice.messages), [3, 4, 6, 7]);
    assert_eq!((slice.next, slice.bounds.head), (7, 7));
    assert_eq!(offsets(&h.keys(&c, 4, 7).await.messages), [6, 7]);
    assert_eq!(texts(&h.read(&c, 0).await.unwrap().messages), ["1", "2", "3", "4", "5", "6", "7"]);
}

pub async fn a_snapshot_is_paged(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    for n in 0..20 {
        set(&h, &c, &[(&format!("k{}", n % 13), "1")]).await;
    }
    let all = offsets(&h.keys(&c, 0, 20).await.messages);
    assert_eq!(all, (8..=20).collect::<Vec<_>>());
    let weight = h.retained(&c).await[0].weight();
    for (limit, bytes) in [(1, usize::MAX), (4, usize::MAX), (usize::MAX, 0), (usize::MAX, weight * 3)] {
        let (mut seen, mut after) = (Vec::new(), 0);
        while after < 20 {
            let read = Keyed { after, until: 20, tombstones_after: 20, limit, bytes };
            let page = h.keys_some(&c, read).await;
            assert!(page.messages.len() <= limit && page.next > after, "{page:?}");
            seen.extend(offsets(&page.messages));
            after = page.next;
        }
        assert_eq!(seen, all, "limit {limit}, {bytes} bytes");
    }
}

pub async fn a_key_updated_during_paging_comes_once_more_at_the_end(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    set(&h, &c, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).await;
    let page = |after, until| Keyed { after, until, tombstones_after: 4, limit: 2, bytes: usize::MAX };
    let first = h.keys_some(&c, page(0, 4)).await;
    assert_eq!((texts(&first.messages), first.next), (vec!["1".into(), "2".into()], 2));
    // "c" has not been read yet, "a" has: neither comes out of order, and the newest of both comes.
    set(&h, &c, &[("c", "5"), ("a", "6")]).await;
    let second = h.keys_some(&c, page(first.next, 4)).await;
    assert_eq!((texts(&second.messages), second.next), (vec!["4".into()], 4));
    let third = h.keys_some(&c, page(second.next, second.bounds.head)).await;
    assert_eq!((texts(&third.messages), third.next), (vec!["5".into(), "6".into()], 6));
}

pub async fn keys_outlive_retention(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    let small = ChannelPolicy { keyed: true, size: 3, ttl_ms: HOUR_MS, ..ChannelPolicy::default() };
    h.set_policy(&c, small);
    set(&h, &c, &[("a", "1"), ("b", "2")]).await;
    for _ in 0..50 {
        h.append(publish(&c, "0")).await;
    }
    h.advance(HOUR_MS * 10);
    let bounds = h.bounds(&c).await;
    assert_eq!((bounds.oldest, bounds.tombstones_after), (53, 0));
    assert_eq!(texts(&h.keys(&c, 0, bounds.head).await.messages), ["1", "2"]);
    // Without any history too.
    h.set_policy(&c, ChannelPolicy { size: 0, ..small });
    set(&h, &c, &[("a", "3")]).await;
    assert_eq!(offsets(&h.keys(&c, 0, 53).await.messages), [2, 53]);
    assert_eq!(offsets(&h.keys(&c, 2, 53).await.messages), [53]);
}

pub async fn tombstones_are_left_out_up_to_an_offset_and_told_after_it(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    set(&h, &c, &[("a", "1"), ("b", "2"), ("a", "null"), ("c", "4"), ("b", "null")]).await;
    assert_eq!(h.bounds(&c).await.tombstones_after, 0);
    for (after, tombstones_after, expected) in [
        (0, 5, &[4][..]),
        (0, 3, &[4, 5]),
        (0, 0, &[3, 4, 5]),
        (2, 2, &[3, 4, 5]),
        (3, 3, &[4, 5]),
        (5, 5, &[]),
    ] {
        let slice = h.keys(&c, after, tombstones_after).await;
        assert_eq!(offsets(&slice.messages), expected, "after {after}, tombstones after {tombstones_after}");
        assert_eq!(slice.next, 5);
    }
    assert!(h.keys(&c, 2, 2).await.messages[0].is_tombstone());
    // Removing what is not there is a message like any other.
    set(&h, &c, &[("never", "null")]).await;
    assert_eq!(offsets(&h.keys(&c, 5, 5).await.messages), [6]);
}

pub async fn tombstones_are_dropped_with_age_and_bounds_say_so(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.set_policy(&c, ChannelPolicy { keyed: true, ttl_ms: HOUR_MS, ..ChannelPolicy::default() });
    set(&h, &c, &[("a", "1"), ("b", "2"), ("c", "3"), ("a", "null")]).await;
    h.advance(HOUR_MS / 2);
    set(&h, &c, &[("b", "null"), ("d", "6")]).await;
    h.advance(HOUR_MS / 2 - 1);
    assert_eq!(offsets(&h.keys(&c, 0, 0).await.messages), [3, 4, 5, 6]);
    assert_eq!(h.bounds(&c).await.tombstones_after, 0);
    h.advance(1);
    let slice = h.keys(&c, 0, 0).await;
    assert_eq!(offsets(&slice.messages), [3, 5, 6]);
    assert_eq!(slice.bounds.tombstones_after, 4, "a reader before 4 may have missed a removal");
    h.advance(HOUR_MS);
    let slice = h.keys(&c, 0, 0).await;
    assert_eq!((offsets(&slice.messages), slice.bounds.tombstones_after), (vec![3, 6], 5));
    assert_eq!(slice.bounds.head, 6);
}

pub async fn a_key_set_again_is_no_longer_removed(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.set_policy(&c, ChannelPolicy { keyed: true, ttl_ms: HOUR_MS, ..ChannelPolicy::default() });
    set(&h, &c, &[("a", "1"), ("a", "null"), ("a", "3")]).await;
    assert_eq!(texts(&h.keys(&c, 0, 0).await.messages), ["3"]);
    h.advance(HOUR_MS * 2);
    let slice = h.keys(&c, 0, 0).await;
    assert_eq!(texts(&slice.messages), ["3"]);
    assert_eq!(slice.bounds.tombstones_after, 0, "the tombstone was replaced, not lost");
}

pub async fn a_keyed_read_says_what_it_has_covered(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    set(&h, &c, &[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let read = Keyed { after: 0, until: 2, tombstones_after: 0, limit: 10, bytes: usize::MAX };
    let slice = h.keys_some(&c, read).await;
    assert_eq!((offsets(&slice.messages), slice.next, slice.bounds.head), (vec![1, 2], 2, 3));
    let slice = h.keys_some(&c, Keyed { after: 2, until: 2, ..read }).await;
    assert_eq!((offsets(&slice.messages), slice.next), (vec![], 2));
}
