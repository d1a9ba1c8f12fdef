//! What waits for the writer. One queue for all channels, so that one write and one sync serve them all.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fanfare_protocol::{Code, Message, Problem, event::Published};
use parking_lot::{Condvar, Mutex};

use crate::{answer::Reply, channels::Channel};

/// What a publisher is answered.
pub(crate) type PublishReply = Reply<Result<Published, Problem>>;

/// A message that has its offset and waits to be written.
pub(crate) struct Entry {
    pub message: Arc<Message>,
    pub weight: u32,
    pub expires_ms: Option<u64>,
    /// Its id is its publisher's own.
    pub remembered: bool,
    /// Its frame's body.
    pub body: Vec<u8>,
    pub body_crc: u32,
    /// Readers may see it before it is synced.
    pub loose: bool,
    /// Removes a key whose time is over.
    pub ends_key: bool,
}

/// One thing for the writer to do, in order.
pub(crate) enum What {
    Message(Box<Entry>),
    /// Deadlines of keys.
    Renew(Vec<u8>),
    /// Where a channel stands, for a segment that is about to go. Taken on a full disk too: it makes room.
    Head,
    /// A channel of this number was dropped.
    Gone(u32),
    /// Nothing to write: an answer that waits for everything before it.
    Fence,
    /// The last thing.
    Stop(Reply<Result<(), Problem>>),
}

/// What waits, whose, and who is answered.
pub(crate) struct Pending {
    pub channel: Option<Arc<Channel>>,
    pub what: What,
    /// Answered with a sync, or with the write.
    pub answer_at_sync: bool,
    pub reply: Option<(PublishReply, Published)>,
    /// Told once it is synced: the keeper.
    pub synced: Option<Reply<()>>,
}

/// Whether both belong to one channel.
pub(crate) fn same_channel(a: &Pending, b: &Pending) -> bool {
    match (&a.channel, &b.channel) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

impl Pending {
    /// The message, if it is one.
    pub fn entry(&self) -> Option<&Entry> {
        match &self.what {
            What::Message(entry) => Some(entry),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            What::Message(entry) => entry.body.len() + 256,
            What::Renew(body) => body.len() + 128,
            _ => 128,
        }
    }
}

#[derive(Default)]
struct State {
    pending: Vec<Pending>,
    bytes: usize,
    /// Things that were ever queued, and how many of them the writer has taken.
    pushed: u64,
    taken: u64,
    /// The writer has been told that something waits.
    told: bool,
    /// How often what waits was refused, and how often it had been when the writer last took something.
    refusals: u64,
    taken_after: u64,
    /// Why nothing is taken, if so.
    refusing: Option<Refusing>,
    closed: bool,
}

#[derive(Clone)]
enum Refusing {
    /// The disk takes no more, and why; only what makes room is taken.
    Full(Arc<str>, Instant),
    /// A sync failed: what is on disk is not known any more.
    Broken,
    Stopped,
}

/// What was queued, for [`Queue::tell`].
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

/// The queue before the writer.
pub(crate) struct Queue {
    state: Mutex<State>,
    more: Condvar,
    limit: usize,
}

impl Queue {
    /// A queue of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), more: Condvar::new(), limit }
    }

    /// Queues something. Called with the log's lock held, so that offsets stand in order.
    ///
    /// # Errors
    /// `unavailable` when the disk does not keep up or does not work, `draining` when it is over.
    pub fn push(&self, pending: Pending) -> Result<(), Problem> {
        let ticket = self.push_quietly(pending)?;
        self.tell(ticket);
        Ok(())
    }

    /// Queues something of which the writer is told later, by [`Queue::tell`].
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn push_quietly(&self, pending: Pending) -> Result<Ticket, Problem> {
        let mut state = self.state.lock();
        match &state.refusing {
            None if state.bytes > self.limit => return Err(behind()),
            None => {}
            Some(Refusing::Full(..)) if matches!(pending.what, What::Head) => {}
            Some(Refusing::Full(why, _)) => return Err(unwritable(why)),
            Some(Refusing::Broken) => return Err(broken()),
            Some(Refusing::Stopped) => return Err(Problem::new(Code::Draining, "the server is stopping")),
        }
        if matches!(pending.what, What::Stop(_)) {
            state.refusing = Some(Refusing::Stopped);
        }
        state.bytes += pending.bytes();
        state.pending.push(pending);
        state.pushed += 1;
        Ok(Ticket(state.pushed))
    }

    /// Tells the writer that something waits, unless it has taken that already: what came after it may still have company to
    /// wait for.
    pub fn tell(&self, Ticket(number): Ticket) {
        let mut state = self.state.lock();
        if number > state.taken {
            self.tell_of(&mut state);
        }
    }

    /// Whether the writer has been told of something that it has not taken.
    pub fn is_told(&self) -> bool {
        self.state.lock().told
    }

    /// Tells the writer of whatever waits.
    pub fn tell_all(&self) {
        let mut state = self.state.lock();
        if !state.pending.is_empty() {
            self.tell_of(&mut state);
        }
    }

    fn tell_of(&self, state: &mut State) {
        if !state.told {
            state.told = true;
            self.more.notify_one();
        }
    }

    /// Takes everything that waits, or nothing after `patience`. None when it is over.
    pub fn take(&self, patience: Duration) -> Option<Vec<Pending>> {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.told && !state.closed {
            if self.more.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        if state.closed && state.pending.is_empty() {
            return None;
        }
        state.told = false;
        state.taken_after = state.refusals;
        Some(state.take())
    }

    /// Whether something was refused since the writer last took what waits. Then that has to be refused too: its offsets follow those that
    /// were taken back.
    pub fn has_refused_since(&self) -> bool {
        let state = self.state.lock();
        state.taken_after != state.refusals
    }

    /// Takes everything that waits, and refuses more until [`Queue::healed`]: the disk takes nothing. False when that has been
    /// said already.
    pub fn fill_up(&self, why: &str) -> (bool, Vec<Pending>) {
        let mut state = self.state.lock();
        let begins = matches!(state.refusing, None | Some(Refusing::Stopped));
        if state.refusing.is_none() {
            state.refusing = Some(Refusing::Full(why.into(), Instant::now()));
        }
        let pending = state.take();
        state.refusals += 1;
        // The writer tries from time to time whether it is over.
        self.tell_of(&mut state);
        (begins, pending)
    }

    /// Whether the disk takes no more.
    pub fn is_full(&self) -> bool {
        matches!(self.state.lock().refusing, Some(Refusing::Full(..)))
    }

    /// Takes on again after [`Queue::fill_up`], and says how long that was.
    pub fn healed(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        let Some(Refusing::Full(_, since)) = state.refusing else { return None };
        state.refusing = None;
        Some(since.elapsed())
    }

    /// Refuses everything from now on.
    pub fn break_down(&self) -> Vec<Pending> {
        let mut state = self.state.lock();
        state.refusing = Some(Refusing::Broken);
        state.take()
    }

    /// No more comes; the writer ends when nothing waits.
    pub fn close(&self) {
        let mut state = self.state.lock();
        if !matches!(state.refusing, Some(Refusing::Broken)) {
            state.refusing = Some(Refusing::Stopped);
        }
        state.closed = true;
        self.more.notify_all();
    }
}

impl State {
    fn take(&mut self) -> Vec<Pending> {
        self.bytes = 0;
        self.taken = self.pushed;
        std::mem::take(&mut self.pending)
    }
}

/// What a publisher is told when its message cannot be written.
pub(crate) fn unwritable(why: &str) -> Problem {
    Problem::new(Code::Unavailable, format!("the message could not be stored: {why}"))
        .remedy(
            "free space on the disk of the data directory; publishing works again as soon as there is room",
        )
        .retry_after_ms(1000)
}

/// What a publisher is told after a failed sync.
pub(crate) fn broken() -> Problem {
    Problem::new(Code::Unavailable, "the disk failed to sync, so nothing more is accepted")
        .remedy("look at the disk and the server's log, then restart the server")
        .retry_after_ms(10_000)
}

fn behind() -> Problem {
    Problem::new(Code::Unavailable, "the disk does not keep up with what is published")
        .remedy("publish less, in larger messages, or move the data directory to a faster disk")
        .retry_after_ms(500)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
    use super::*;

    fn pending() -> Pending {
        Pending { channel: None, what: What::Head, answer_at_sync: false, reply: None, synced: None }
    }

    #[test]
    fn what_came_together_is_taken_together_and_told_once() {
        let (queue, soon) = (Queue::new(1 << 20), Duration::from_millis(20));
        let tickets: Vec<_> = (0..3).map(|_| queue.push_quietly(pending()).unwrap()).collect();
        queue.tell(tickets[0]);
        assert_eq!(queue.take(Duration::from_secs(60)).unwrap().len(), 3);
        let later = queue.push_quietly(pending()).unwrap();
        // Those were taken: what came since still waits for company.
        tickets.iter().for_each(|ticket| queue.tell(*ticket));
        assert!(!queue.state.lock().told);
        queue.tell(later);
        assert_eq!(queue.take(Duration::from_secs(60)).unwrap().len(), 1);
        assert_eq!(queue.take(soon).unwrap().len(), 0, "and nothing is left");
        queue.push(pending()).unwrap();
        queue.close();
        assert_eq!(
            queue.take(Duration::from_secs(60)).unwrap().len(),
            1,
            "what waits when it closes is taken"
        );
        assert!(queue.take(Duration::from_secs(60)).is_none());
    }

    #[test]
    fn a_full_disk_takes_only_what_makes_room() {
        let queue = Queue::new(1 << 20);
        queue.push(pending()).unwrap();
        assert_eq!(queue.take(Duration::from_secs(60)).unwrap().len(), 1);
        assert!(!queue.has_refused_since());
        queue.push(pending()).unwrap();
        let (begins, waiting) = queue.fill_up("no room");
        assert_eq!((begins, waiting.len(), queue.is_full()), (true, 1, true));
        assert!(queue.has_refused_since(), "what was taken follows what is refused");
        assert!(!queue.fill_up("no room").0, "it is said once");
        let fence = Pending { what: What::Fence, ..pending() };
        assert_eq!(queue.push(fence).unwrap_err().code, Code::Unavailable);
        queue.push(pending()).unwrap();
        assert!(queue.healed().is_some() && queue.healed().is_none());
        queue.push(Pending { what: What::Fence, ..pending() }).unwrap();
        assert_eq!(queue.take(Duration::from_secs(60)).unwrap().len(), 2);
        assert!(!queue.has_refused_since());
    }
}
