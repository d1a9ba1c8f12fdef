//! Where a reader begins: what it asked for against what the log has.
use fanfare_broker::{Bounds, ChannelPolicy};
use fanfare_protocol::{Start, event::GapReason};

use crate::reader::KeyedPhase;

/// A start worked out against a log's bounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Beginning {
    /// Read on from here; none means from the head, whatever it is by then.
    pub after: Option<u64>,
    /// The newest per key first.
    pub keyed: Option<KeyedPhase>,
    /// What `since` came to.
    pub recovered: Option<bool>,
    /// Told before the first message.
    pub gap: Option<GapReason>,
}

/// Works out where a reader begins. `tail_from`: the tail still holds everything after this offset.
pub fn beginning(
    start: &Start,
    bounds: &Bounds,
    policy: &ChannelPolicy,
    tail_from: Option<u64>,
) -> Beginning {
    let fresh = |recovered, gap: Option<GapReason>| {
        let mut beginning = Beginning { after: None, keyed: None, recovered, gap };
        if start.snapshot && policy.keyed {
            beginning.after = Some(0);
            beginning.keyed = Some(KeyedPhase { until: bounds.head, tombstones_after: bounds.head });
        } else if let Some(last) = start.last {
            beginning.after = Some(bounds.head.saturating_sub(last).max(bounds.oldest.saturating_sub(1)));
        } else if gap.is_some() {
            beginning.after = Some(bounds.oldest.saturating_sub(1));
        }
        beginning
    };
    let Some(since) = start.since else { return fresh(None, None) };
    if since.epoch != bounds.epoch || since.offset > bounds.head {
        return fresh(Some(false), Some(GapReason::Epoch));
    }
    let retained = since.offset + 1 >= bounds.oldest;
    // Without history a cursor is honoured while memory still holds what follows it.
    let in_tail = policy.size == 0 && tail_from.is_some_and(|from| since.offset >= from);
    if retained || in_tail {
        return Beginning { after: Some(since.offset), keyed: None, recovered: Some(true), gap: None };
    }
    if start.snapshot && policy.keyed && since.offset >= bounds.tombstones_after {
        let phase = KeyedPhase { until: bounds.head, tombstones_after: since.offset };
        return Beginning { after: Some(since.offset), keyed: Some(phase), recovered: Some(true), gap: None };
    }
    fresh(Some(false), Some(GapReason::Expired))
}

#[cfg(test)]
#[path = "beginning_tests.rs"]
mod tests;
