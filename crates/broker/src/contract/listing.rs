//! The list of channels.
use fanfare_protocol::{ChannelName, Position, Publish};

use super::{
    Harness, Maker,
    harness::{channel, publish},
};

async fn list(h: &Harness, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let listed = h.broker.channels(prefix, after, limit).await.unwrap();
    listed.iter().map(|info| info.channel.to_string()).collect()
}

pub async fn written_channels_are_listed_by_name(make: Maker) {
    let h = make.broker().await;
    for (count, name) in [(1, "chat:b"), (3, "chat:a"), (2, "news"), (1, "chatter"), (1, "é")] {
        h.append_numbers(&channel(name), count).await;
    }
    assert_eq!(list(&h, "", None, 100).await, ["chat:a", "chat:b", "chatter", "news", "é"]);
    assert_eq!(list(&h, "chat:", None, 100).await, ["chat:a", "chat:b"]);
    assert_eq!(list(&h, "x", None, 100).await, [""; 0]);
    let infos = h.broker.channels("chat:a", None, 100).await.unwrap();
    assert_eq!(infos[0].bounds, h.bounds(&channel("chat:a")).await);
    assert_eq!(infos[0].bounds.head, 3);
}

pub async fn listing_is_paged(make: Maker) {
    let h = make.broker().await;
    let mut names: Vec<_> = (0..250).map(|n| format!("chat:{n}")).collect();
    for name in &names {
        h.append(publish(&channel(name), "1")).await;
        h.append(publish(&channel(&format!("other:{name}")), "1")).await;
    }
    names.sort();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = list(&h, "chat:", seen.last().map(String::as_str), 100).await;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 100 && seen.last() < page.first(), "pages go on: {:?}", page.first());
        seen.extend(page);
    }
    assert_eq!(seen, names);
    assert_eq!(list(&h, "chat:", Some("a"), 1).await, ["chat:0"], "after may stand before the prefix");
    assert_eq!(list(&h, "chat:", Some("d"), 1).await, [""; 0]);
}

pub async fn internal_channels_are_listed_only_when_asked_for(make: Maker) {
    let h = make.broker().await;
    h.append(publish(&channel("chat:1"), "1")).await;
    h.append(publish(&ChannelName::internal("presence", "chat:1"), "1")).await;
    assert_eq!(list(&h, "", None, 100).await, ["chat:1"]);
    assert_eq!(list(&h, "$", None, 100).await, ["$presence:chat:1"]);
    assert_eq!(list(&h, "$presence:", None, 100).await, ["$presence:chat:1"]);
}

pub async fn channels_without_messages_are_not_listed(make: Maker) {
    let h = make.broker().await;
    let (interest, refused) = (channel("a:1"), channel("a:2"));
    h.broker.interest(&interest).await.unwrap();
    let failing = Publish { condition: Some(Position::NOWHERE), ..publish(&refused, "1") };
    h.try_append(failing).await.unwrap_err();
    assert_eq!(list(&h, "", None, 100).await, [""; 0]);
    h.append(publish(&interest, "1")).await;
    assert_eq!(list(&h, "", None, 100).await, ["a:1"]);
    h.broker.disinterest(&interest);
    assert_eq!(list(&h, "", None, 100).await, ["a:1"]);
}
