//! Where a channel's messages lie: one run for each segment that holds some of them.
use std::sync::Arc;

use crate::{segment::Segment, tail::Loss};

/// One in so many messages of a run has its place in memory; the others are found by going back from there.
pub(crate) const STRIDE: u64 = 64;

/// A channel's messages in one segment, chained backwards on disk.
#[derive(Debug)]
pub(crate) struct Run {
    pub segment: Arc<Segment>,
    /// The first and last offset; in between there may be holes where a segment was squeezed.
    pub first: u64,
    pub last: u64,
    /// Messages.
    pub count: u64,
    /// Where the frame of the last one begins.
    pub last_at: u32,
    /// The latest `time` of these messages.
    pub latest_ms: u64,
    /// Weight of these messages.
    pub weight: u64,
    /// Offset (less `first`) and place of every 64th message, oldest first.
    #[allow(clippy::box_collection, reason = "most runs have none, and there may be a million")]
    anchors: Option<Box<Vec<(u32, u32)>>>,
}

impl Run {
    /// A run of one message.
    pub fn new(segment: Arc<Segment>, offset: u64, at: u32, time: u64, weight: u32) -> Self {
        let weight = u64::from(weight);
        let (first, last) = (offset, offset);
        Self { segment, first, last, count: 1, last_at: at, latest_ms: time, weight, anchors: None }
    }

    /// A run without holes, from its first offset to its last.
    pub fn whole(
        segment: Arc<Segment>,
        (first, last): (u64, u64),
        last_at: u32,
        latest_ms: u64,
        weight: u32,
    ) -> Self {
        let (count, weight) = (last + 1 - first, u64::from(weight));
        Self { segment, first, last, count, last_at, latest_ms, weight, anchors: None }
    }

    /// Whether [`Run::whole`] says everything of it.
    pub fn is_whole(&self) -> bool {
        self.anchors.is_none() && self.count == self.last + 1 - self.first
    }

    /// Adds the channel's next message of this segment.
    pub fn push(&mut self, offset: u64, at: u32, time: u64, weight: u32) {
        self.count += 1;
        if self.count.is_multiple_of(STRIDE) {
            self.anchors.get_or_insert_default().push(((offset - self.first) as u32, at));
        }
        self.last = offset;
        self.last_at = at;
        self.latest_ms = self.latest_ms.max(time);
        self.weight += u64::from(weight);
    }

    /// Takes the newest messages back: `last` is the newest that stays, and begins at `prev`.
    fn take_back(&mut self, last: u64, loss: &Loss) {
        self.count = self.count.saturating_sub(loss.count);
        self.weight = self.weight.saturating_sub(loss.weight);
        (self.last, self.last_at) = (last, loss.prev);
        if let Some(anchors) = &mut self.anchors {
            anchors.retain(|(_, at)| *at <= loss.prev);
        }
    }

    /// The stretches that make up `[from, until]`, as far as this run has them, and at most `count` of them.
    pub fn stretches(&self, from: u64, until: u64, count: usize) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut from = from.max(self.first);
        let anchors = self.anchors.as_deref().map(Vec::as_slice).unwrap_or_default();
        let mut behind = 0;
        let skip = anchors.partition_point(|(offset, _)| self.first + u64::from(*offset) < from);
        if let Some((_, at)) = skip.checked_sub(1).and_then(|before| anchors.get(before)) {
            behind = *at;
        }
        let inner = anchors.iter().skip(skip).map(|(offset, at)| (self.first + u64::from(*offset), *at));
        for (last, last_at) in inner.chain([(self.last, self.last_at)]) {
            if from > until.min(self.last) || stretches.len() >= count {
                break;
            }
            if last >= from {
                stretches.push(Stretch {
                    segment: self.segment.clone(),
                    from,
                    until: until.min(last),
                    last_at,
                    behind,
                });
                from = last + 1;
            }
            behind = last_at;
        }
        stretches
    }
}

/// Up to about 64 messages of a run, found by going back from the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub segment: Arc<Segment>,
    /// First and last offset wanted.
    pub from: u64,
    pub until: u64,
    /// A message at or after `until`, from which the chain leads back.
    pub last_at: u32,
    /// A message before all of these, not far from the first; 0 if none is known.
    pub behind: u32,
}

impl Stretch {
    /// Whether another stretch is found from the same message.
    pub fn is_on_the_way_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &other.segment) && self.last_at == other.last_at
    }

    /// The offset that follows this stretch.
    pub fn next(&self) -> u64 {
        self.until + 1
    }
}

/// A channel's runs, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// One run.
    pub fn of(run: Run) -> Self {
        Self(vec![run])
    }

    /// The run, if there is one and no other.
    pub fn only(&self) -> Option<&Run> {
        match self.0.as_slice() {
            [run] => Some(run),
            _ => None,
        }
    }

    /// Notes where a message was written.
    pub fn push(&mut self, segment: &Arc<Segment>, offset: u64, at: u32, time: u64, weight: u32) {
        match self.0.last_mut() {
            Some(run) if run.segment.id == segment.id => run.push(offset, at, time, weight),
            _ => {
                if self.0.is_empty() {
                    // Most channels have one.
                    self.0.reserve_exact(1);
                }
                self.0.push(Run::new(segment.clone(), offset, at, time, weight));
            }
        }
    }

    /// Takes the newest messages of the newest segment back: `last` is the newest that stays.
    pub fn take_back(&mut self, segment: u32, last: u64, loss: &Loss) {
        let Some(run) = self.0.last_mut().filter(|run| run.segment.id == segment) else { return };
        if loss.prev == 0 {
            self.0.pop();
        } else {
            run.take_back(last, loss);
        }
    }

    /// Where the newest message of a segment begins; 0 if it holds none.
    pub fn prev(&self, segment: u32) -> u32 {
        self.0.last().filter(|run| run.segment.id == segment).map_or(0, |run| run.last_at)
    }

    /// At most `count` stretches of `[from, until]`.
    pub fn stretches(&self, from: u64, until: u64, count: usize) -> Vec<Stretch> {
        let skip = self.0.partition_point(|run| run.last < from);
        let mut found = Vec::new();
        for run in self.0.iter().skip(skip) {
            if run.first > until || found.len() >= count {
                break;
            }
            found.extend(run.stretches(from, until, count - found.len()));
        }
        found
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.0.iter()
    }

    /// Drops runs; true to keep.
    pub fn retain(&mut self, keep: impl FnMut(&Run) -> bool) {
        self.0.retain(keep);
        self.0.shrink_to_fit();
    }

    /// Puts a squeezed run in the place of the one of the same segment.
    pub fn replace(&mut self, segment: u32, run: Option<Run>) {
        let Some(at) = self.0.iter().position(|old| old.segment.id == segment) else { return };
        match (run, self.0.get_mut(at)) {
            (Some(run), Some(place)) => *place = run,
            _ => {
                self.0.remove(at);
            }
        }
    }
}
