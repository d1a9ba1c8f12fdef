//! Shards of one channel begin their rounds together: none takes a second segment while another still writes its first. Otherwise a worker that
//! is done early would go ahead with whatever little has been published since, and every reader would be written to that much more often.
use std::task::Waker;

/// What the channel knows of its shards' rounds. Each shard keeps the number of the last one that it took part in.
#[derive(Default, Debug)]
pub struct Lockstep {
    /// Which rounds these are.
    number: u64,
    /// Shards that have begun and not ended.
    writing: usize,
    /// Rounds that wait until they have.
    waiting: Vec<Waker>,
}

impl Lockstep {
    /// Whether a shard may begin that last took part in `last`.
    pub fn may_begin(&self, last: u64) -> bool {
        self.writing == 0 || last < self.number
    }

    /// A shard begins: the number of what it takes part in. It must [`Lockstep::end`].
    pub fn begin(&mut self) -> u64 {
        self.number += u64::from(self.writing == 0);
        self.writing += 1;
        self.number
    }

    /// A round that may not begin wants to know when it may.
    pub fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// A shard has ended. Who is to be woken, when it was the last.
    pub fn end(&mut self) -> Vec<Waker> {
        self.writing -= 1;
        if self.writing == 0 { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::Lockstep;

    #[test]
    fn nobody_begins_again_before_all_have_ended() {
        let mut rounds = Lockstep::default();
        let (mut a, mut b, mut c) = (0, 0, 0);
        a = rounds.begin().max(a);
        assert!(!rounds.may_begin(a) && rounds.may_begin(b));
        b = rounds.begin().max(b);
        assert!(rounds.end().is_empty());
        assert!(!rounds.may_begin(a) && !rounds.may_begin(b) && rounds.may_begin(c), "one still writes");
        c = rounds.begin().max(c);
        assert_eq!((a, b, c), (1, 1, 1));
        let _ = (rounds.end(), rounds.end());
        assert!(rounds.may_begin(a) && rounds.may_begin(b) && rounds.may_begin(c));
        assert_eq!(rounds.begin(), 2);
    }
}
