//! Stopping: everybody is told to come back elsewhere or later, each at a moment of its own.
use std::time::Duration;

use fanfare_transport::Node;
use tokio::time::{Instant, sleep};

use super::connection::Open;

/// Reconnections a second that the next server is spared for.
const COME_BACK_A_SECOND: u64 = 1000;
const SPREAD_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;
const LOOK: Duration = Duration::from_millis(25);
/// Looks after which connections are told again: one may just have been opened.
const TELL_EVERY: u32 = 10;

/// Milliseconds over which so many clients come back.
fn spread_ms(connections: usize) -> u64 {
    (connections as u64 * 1000 / COME_BACK_A_SECOND).clamp(*SPREAD_MS.start(), *SPREAD_MS.end())
}

/// Says goodbye to every connection and waits until all are gone, at most for `limit`. False when some were left.
pub(crate) async fn drain(node: &Node, open: &Open, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let spread = spread_ms(node.hub.directory().len());
    let mut looks = 0;
    loop {
        if looks % TELL_EVERY == 0 {
            node.drain(spread);
        }
        looks += 1;
        let left = node.hub.directory().len().max(open.count());
        if left == 0 {
            return true;
        }
        if Instant::now() >= deadline {
            tracing::warn!(connections = left, "stopping although connections are left (limits.drain)");
            return false;
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::spread_ms;

    #[test]
    fn the_more_connections_the_longer_they_are_spread() {
        assert_eq!([0, 1, 5_000, 1_000_000].map(spread_ms), [1_000, 1_000, 5_000, 30_000]);
    }
}
