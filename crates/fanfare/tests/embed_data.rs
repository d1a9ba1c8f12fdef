//! A hub inside a program that keeps its messages in a directory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
use std::{path::Path, time::Duration};

use fanfare::{Code, Fanfare, Page, Published, StartError, StoreError};
use tokio::time::{Instant, sleep};

fn build(directory: &Path) -> Result<Fanfare, StartError> {
    Fanfare::builder().data(directory).namespace("k", |k| k.keyed = true).build()
}

/// Opens a directory that a hub of this process had, whose tasks may still be ending.
async fn again(directory: &Path) -> Fanfare {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match build(directory) {
            Err(StartError::Store(StoreError::InUse { .. })) if Instant::now() < deadline => {
                sleep(Duration::from_millis(5)).await;
            }
            other => return other.unwrap(),
        }
    }
}

async fn publish(fanfare: &Fanfare, channel: &str, data: u64) -> Published {
    fanfare.publish(channel, data).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_there_when_the_program_opens_the_directory_again() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    let first = build(&directory).unwrap();
    let mut positions = Vec::new();
    for data in 0..3 {
        positions.push(publish(&first, "a:1", data).await.position.unwrap());
    }
    let in_use = build(&directory).unwrap_err();
    assert!(matches!(in_use, StartError::Store(StoreError::InUse { .. })), "{in_use}");
    first.shutdown().await;
    let over = first.publish("a:1", 3_u64).await.unwrap_err();
    assert_eq!(over.code, Code::Draining, "{over}");
    drop(first);
    // Stopped in order, and then let go of without.
    for round in 0..2 {
        let fanfare = again(&directory).await;
        let page = fanfare.history("a:1", Page::default()).await.unwrap();
        let found: Vec<_> = page.messages.iter().map(|message| message.position()).collect();
        assert_eq!(found, positions, "round {round}");
        positions.push(publish(&fanfare, "a:1", 9).await.position.unwrap());
        assert!(
            positions
                .windows(2)
                .all(|two| two[0].epoch == two[1].epoch && two[0].offset + 1 == two[1].offset)
        );
    }
}
