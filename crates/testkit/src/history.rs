//! Whether what a subscriber saw is a history it may have seen.
use fanfare_protocol::{Epoch, Position, Start};

/// A breach of what a subscription promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Violation {
    /// A message came before `subscribed` or after the end.
    #[error("a message at {0} came without a subscription")]
    NotSubscribed(Position),
    /// A message came twice, or backwards.
    #[error("{got} came again: {expected} was next")]
    Repeated {
        /// What should have come.
        expected: Position,
        /// What came.
        got: Position,
    },
    /// A message was left out without a gap.
    #[error("{got} came although {expected} was next")]
    Missing {
        /// What should have come.
        expected: Position,
        /// What came, or the head at the end.
        got: Position,
    },
    /// A message of another epoch came without a gap.
    #[error("{got} is of another epoch than {expected}, and no gap said so")]
    OtherEpoch {
        /// What should have come.
        expected: Position,
        /// What came.
        got: Position,
    },
    /// `recovered:false`, but no gap before the next message.
    #[error("{0} came before the gap that recovered:false announced")]
    GapMissing(Position),
    /// A gap that goes back behind what was seen.
    #[error("a gap after {after} repeats what came before {expected}")]
    GapBackwards {
        /// Where the gap ends.
        after: Position,
        /// What should have come.
        expected: Position,
    },
    /// `recovered:true` from a position that the log cannot know.
    #[error("recovered from {since} although the head is {head}")]
    FalseRecovery {
        /// What was asked for.
        since: Position,
        /// The head that was told.
        head: Position,
    },
}

/// Follows one subscription over all its connections: offsets come in order, each at most once, and none is missing unless a gap said so.
///
/// Feed it what the client sees, in that order. After a cut, resume with `since` = [`HistoryChecker::position`].
#[derive(Clone, Default, Debug)]
pub struct HistoryChecker {
    /// The last position that is accounted for: the next message has the offset after it.
    at: Option<Position>,
    subscribed: bool,
    owes_gap: bool,
    holes: bool,
    /// Messages seen.
    pub messages: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Times `subscribed` came.
    pub subscriptions: u64,
}

impl HistoryChecker {
    /// For a subscription that sees every message.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a subscription with `rate`, `echo=0` or a snapshot: offsets rise, but some are left out.
    pub fn with_holes() -> Self {
        Self { holes: true, ..Self::default() }
    }

    /// Where to resume: everything up to here was seen or told lost. None before the first `subscribed`.
    pub fn position(&self) -> Option<Position> {
        self.at
    }

    /// True between `subscribed` and its end.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// A `subscribed` came; `asked` is where the `subscribe` that it answers wanted to begin.
    ///
    /// # Errors
    /// When it claims a recovery that cannot be one.
    pub fn subscribed(
        &mut self,
        asked: Start,
        head: Position,
        recovered: Option<bool>,
        replay: u64,
    ) -> Result<(), Violation> {
        let seek = self.subscribed && self.at.is_some_and(|at| at.epoch == head.epoch);
        self.subscriptions += 1;
        self.subscribed = true;
        self.owes_gap = false;
        match (asked.since, recovered) {
            (Some(since), Some(true)) => {
                if since.epoch != head.epoch || since.offset > head.offset {
                    return Err(Violation::FalseRecovery { since, head });
                }
                self.at = Some(since);
            }
            (Some(since), _) => {
                self.at = Some(since);
                self.owes_gap = true;
            }
            // A seek goes on from where it is, unless it asked for some of the past.
            (None, _) if seek && asked.last.is_none() && !asked.snapshot => {}
            (None, _) => {
                self.at = Some(Position { epoch: head.epoch, offset: head.offset.saturating_sub(replay) });
            }
        }
        Ok(())
    }

    /// A `gap` came.
    ///
    /// # Errors
    /// When it goes back behind what was seen.
    pub fn gap(&mut self, after: Position) -> Result<(), Violation> {
        self.gaps += 1;
        if let Some(at) = self.at
            && !self.owes_gap
            && at.epoch == after.epoch
            && after.offset < at.offset
        {
            return Err(Violation::GapBackwards { after, expected: next(at) });
        }
        self.owes_gap = false;
        self.at = Some(after);
        Ok(())
    }

    /// A message came.
    ///
    /// # Errors
    /// When it is not the one that had to come.
    pub fn message(&mut self, epoch: Epoch, offset: u64) -> Result<(), Violation> {
        let got = Position { epoch, offset };
        let Some(at) = self.at.filter(|_| self.subscribed) else {
            return Err(Violation::NotSubscribed(got));
        };
        let expected = next(at);
        if self.owes_gap {
            return Err(Violation::GapMissing(got));
        }
        if epoch != at.epoch {
            return Err(Violation::OtherEpoch { expected, got });
        }
        if offset < expected.offset {
            return Err(Violation::Repeated { expected, got });
        }
        if offset > expected.offset && !self.holes {
            return Err(Violation::Missing { expected, got });
        }
        self.messages += 1;
        self.at = Some(got);
        Ok(())
    }

    /// The subscription ended: `unsubscribed`, the `ok` of an unsubscribe, or a cut connection.
    pub fn ended(&mut self) {
        self.subscribed = false;
        self.owes_gap = false;
    }

    /// Everything that was published has had time to arrive.
    ///
    /// # Errors
    /// When something up to `head` did not.
    pub fn finish(&self, head: Position) -> Result<(), Violation> {
        match self.at {
            Some(at) if self.subscribed && !self.holes && (at != head || self.owes_gap) => {
                Err(Violation::Missing { expected: next(at), got: head })
            }
            _ => Ok(()),
        }
    }
}

fn next(at: Position) -> Position {
    Position { epoch: at.epoch, offset: at.offset.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::{HistoryChecker, Violation};
    use fanfare_protocol::{Epoch, Position, Start};

    fn epoch(text: &str) -> Epoch {
        text.parse().unwrap()
    }
    fn at(offset: u64) -> Position {
        Position { epoch: epoch("a"), offset }
    }
    fn from(since: Option<Position>) -> Start {
        Start { since, ..Start::default() }
    }
    fn fresh(head: u64, replay: u64) -> HistoryChecker {
        let mut checker = HistoryChecker::new();
        checker.subscribed(Start::default(), at(head), None, replay).unwrap();
        checker
    }

    #[test]
    fn a_whole_history_passes_over_a_cut_and_a_gap() {
        let mut checker = fresh(5, 2);
        for offset in 4..=7 {
            checker.message(epoch("a"), offset).unwrap();
        }
        checker.ended();
        checker.subscribed(from(checker.position()), at(9), Some(true), 2).unwrap();
        checker.message(epoch("a"), 8).unwrap();
        checker.ended();
        checker.subscribed(from(checker.position()), at(30), Some(false), 10).unwrap();
        checker.gap(at(20)).unwrap();
        for offset in 21..=30 {
            checker.message(epoch("a"), offset).unwrap();
        }
        checker.finish(at(30)).unwrap();
        assert_eq!((checker.messages, checker.gaps, checker.subscriptions), (15, 1, 3));
    }

    #[test]
    fn every_breach_is_seen() {
        let a = epoch("a");
        let mut checker = fresh(5, 0);
        assert!(matches!(checker.message(a, 7), Err(Violation::Missing { .. })));
        assert!(matches!(checker.message(a, 5), Err(Violation::Repeated { .. })));
        assert!(matches!(checker.message(epoch("b"), 6), Err(Violation::OtherEpoch { .. })));
        assert!(matches!(checker.gap(at(3)), Err(Violation::GapBackwards { .. })));
        assert!(matches!(checker.finish(at(6)), Err(Violation::Missing { .. })));
        checker.ended();
        assert!(matches!(checker.message(a, 6), Err(Violation::NotSubscribed(_))));
        checker.subscribed(from(Some(at(5))), at(9), Some(false), 4).unwrap();
        assert!(matches!(checker.message(a, 6), Err(Violation::GapMissing(_))));
        let future = checker.subscribed(from(Some(at(10))), at(9), Some(true), 0);
        assert!(matches!(future, Err(Violation::FalseRecovery { .. })));
        assert!(matches!(HistoryChecker::new().message(a, 1), Err(Violation::NotSubscribed(_))));
    }

    #[test]
    fn holes_are_allowed_only_where_they_belong_and_never_backwards() {
        let mut checker = HistoryChecker::with_holes();
        checker.subscribed(Start::default(), at(0), None, 0).unwrap();
        checker.message(epoch("a"), 4).unwrap();
        assert!(matches!(checker.message(epoch("a"), 4), Err(Violation::Repeated { .. })));
        checker.finish(at(9)).unwrap();
    }
}
