//! A channel that nobody uses, in as few bytes as say where its messages lie. There may be a million of them.
use std::sync::Arc;

use fanfare_protocol::Epoch;

use crate::{
    log::Log,
    run::{Run, Runs},
    segment::Segment,
};

/// A log without anything that only use gives it: no reader, no key, no id, nothing on its way.
pub(crate) struct Idle {
    epoch: Epoch,
    number: u32,
    carrier: u32,
    head: u64,
    first: u64,
    newest_ms: u64,
    lies: Lies,
}

/// Where its messages lie.
enum Lies {
    /// All of them, up to the head, without holes in one segment.
    Together {
        segment: Arc<Segment>,
        last_at: u32,
        weight: u32,
    },
    Apart(Box<Runs>),
}

impl Idle {
    /// Lays a log down; gives it back when it is in use.
    pub fn of(mut log: Log) -> Result<Self, Box<Log>> {
        if !log.is_idle() {
            return Err(Box::new(log));
        }
        let lies = match log.runs.only().and_then(|run| together(run, &log)) {
            Some(lies) => lies,
            None => Lies::Apart(Box::new(std::mem::take(&mut log.runs))),
        };
        let Log { epoch, number, carrier, head, first, newest_ms, .. } = log;
        Ok(Self { epoch, number, carrier, head, first, newest_ms, lies })
    }

    /// Its number in frames, and when something was last published.
    pub fn age(&self) -> (u64, u32) {
        (self.newest_ms, self.number)
    }

    /// Messages are kept, or were.
    pub fn is_written(&self) -> bool {
        self.head > 0
    }

    /// The log as it was.
    pub fn log(self) -> Log {
        let Self { epoch, number, carrier, head, first, newest_ms, lies } = self;
        let runs = match lies {
            Lies::Together { segment, last_at, weight } => {
                Runs::of(Run::whole(segment, (first, head), last_at, newest_ms, weight))
            }
            Lies::Apart(runs) => *runs,
        };
        let (assigned, written) = (head, head);
        Log { number, carrier, assigned, written, head, first, newest_ms, runs, ..Log::new(epoch) }
    }
}

fn together(run: &Run, log: &Log) -> Option<Lies> {
    let weight = u32::try_from(run.weight).ok()?;
    let whole =
        run.is_whole() && (run.first, run.last, run.latest_ms) == (log.first, log.head, log.newest_ms);
    whole.then(|| Lies::Together { segment: run.segment.clone(), last_at: run.last_at, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        assert!(size_of::<Idle>() <= 64, "{} bytes", size_of::<Idle>());
    }
}
