//! Keys with a `ttl_ms`: the broker removes them itself unless they are renewed.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, EventName, Publish};

use super::{
    Maker,
    harness::{keyed, offsets, publish, texts},
};
use crate::{Append, Author};

fn leased(channel: &ChannelName, key: &str, data: &str, ttl_ms: u64) -> Publish {
    Publish { ttl_ms: Some(ttl_ms), ..keyed(channel, key, data) }
}

pub async fn a_key_whose_time_is_over_is_removed_by_a_tombstone(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.broker.interest(&c).await.unwrap();
    let say = EventName::parse("say").unwrap();
    let publish = Publish { event: say.clone(), ..leased(&c, "a", "1", 10_000) };
    let author = Author { user: Some("ada".into()), client: None };
    h.broker.append(Append { publish, author, unix_ms: h.now_ms() }).await.unwrap();
    h.append(keyed(&c, "b", "2")).await;
    h.advance(9_999);
    assert_eq!(h.bounds(&c).await.head, 2);
    h.advance(1);
    h.wait_head(&c, 3).await;
    let delivered = h.sink.wait_count(&c, 3).await;
    let tombstone = &delivered[2];
    assert!(tombstone.is_tombstone() && tombstone.offset == 3, "{tombstone:?}");
    assert_eq!((tombstone.key.as_deref(), &tombstone.event), (Some("a"), &say));
    assert_eq!((tombstone.time, tombstone.user.as_deref()), (h.now_ms(), None), "nobody published it");
    assert!(!tombstone.id.is_empty());
    assert_eq!(
        &h.read(&c, 2).await.unwrap().messages[..],
        std::slice::from_ref(tombstone),
        "it is in the log like any other"
    );
    assert_eq!(texts(&h.keys(&c, 0, 3).await.messages), ["2"]);
    h.advance(100_000);
    assert_eq!(h.bounds(&c).await.head, 3, "once");
}

pub async fn a_renewed_key_stays_without_a_message(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.append(leased(&c, "a", "1", 10_000)).await;
    h.append(leased(&c, "b", "2", 10_000)).await;
    for _ in 0..5 {
        h.advance(8_000);
        assert_eq!(h.renew(&c, &["a"], 10_000).await, Vec::<String>::new());
    }
    h.wait_head(&c, 3).await;
    assert_eq!(texts(&h.keys(&c, 0, 3).await.messages), ["1"], "b was not renewed");
    h.advance(10_000);
    h.wait_head(&c, 4).await;
    assert_eq!(offsets(&h.keys(&c, 0, 4).await.messages), Vec::<u64>::new());
}

pub async fn renewing_never_shortens(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.append(leased(&c, "a", "1", 60_000)).await;
    h.append(keyed(&c, "b", "2")).await;
    assert_eq!(h.renew(&c, &["a", "b"], 1_000).await, Vec::<String>::new());
    h.advance(50_000);
    assert_eq!(texts(&h.keys(&c, 0, 0).await.messages), ["1", "2"]);
    h.advance(10_000);
    h.wait_head(&c, 3).await;
    assert_eq!(texts(&h.keys(&c, 0, 3).await.messages), ["2"], "a key without ttl is given none");
}

pub async fn keys_that_do_not_exist_are_returned(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.append(leased(&c, "a", "1", 10_000)).await;
    h.append(leased(&c, "b", "2", 1_000)).await;
    h.append(leased(&c, "gone", "3", 10_000)).await;
    h.append(keyed(&c, "gone", "null")).await;
    h.append(publish(&c, "5")).await;
    h.advance(2_000);
    h.wait_head(&c, 6).await;
    let mut missing = h.renew(&c, &["never", "a", "b", "gone"], 10_000).await;
    missing.sort();
    assert_eq!(missing, ["b", "gone", "never"]);
    let none: Vec<Arc<str>> = h.broker.renew(&c, &[], 10_000).await.unwrap();
    assert_eq!(none, []);
}

pub async fn an_update_without_ttl_stays(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.append(leased(&c, "a", "1", 10_000)).await;
    h.append(keyed(&c, "a", "2")).await;
    h.append(leased(&c, "b", "3", 10_000)).await;
    h.append(leased(&c, "b", "null", 10_000)).await;
    h.advance(100_000);
    let bounds = h.bounds(&c).await;
    assert_eq!(bounds.head, 4, "neither the old deadline nor a tombstone's counts");
    assert_eq!(texts(&h.keys(&c, 0, 4).await.messages), ["2"]);
}

pub async fn an_update_with_ttl_begins_anew(make: Maker) {
    let h = make.broker().await;
    let c = h.keyed_channel("k:1");
    h.append(leased(&c, "a", "1", 10_000)).await;
    h.advance(9_000);
    h.append(leased(&c, "a", "2", 5_000)).await;
    h.advance(4_000);
    assert_eq!(texts(&h.keys(&c, 0, 0).await.messages), ["2"], "past the first deadline");
    h.advance(1_000);
    h.wait_head(&c, 3).await;
    assert!(h.keys(&c, 0, 0).await.messages[0].is_tombstone());
}
