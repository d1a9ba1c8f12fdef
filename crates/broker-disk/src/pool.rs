//! A few threads that read, so that reads hold up neither commits nor a runtime.
//!
//! A read is a future that gives way after each 64 KB. It goes to the back of the queue then, so that readers take turns however
//! much each of them asks for.
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use fanfare_broker::Answer;
use fanfare_protocol::{Code, Problem};
use parking_lot::{Condvar, Mutex};

use crate::{
    answer::{Reply, answer},
    counters::Counters,
};

/// Takes a turn; true when the read is over.
type Job = Box<dyn FnMut() -> bool + Send>;

#[derive(Default)]
struct Jobs {
    waiting: Mutex<(VecDeque<Job>, bool)>,
    more: Condvar,
}

/// Threads that take reads in turn. They end when the pool is dropped and nothing waits.
pub(crate) struct Pool {
    jobs: Arc<Jobs>,
    counters: Arc<Counters>,
}

impl Pool {
    /// So many threads, whose queue is counted.
    pub fn new(threads: usize, counters: Arc<Counters>) -> std::io::Result<Self> {
        let pool = Self { jobs: Arc::default(), counters };
        for number in 0..threads {
            let jobs = pool.jobs.clone();
            thread::Builder::new().name(format!("log-reader-{number}")).spawn(move || jobs.work())?;
        }
        Ok(pool)
    }

    /// Has a read done. It is given up when its asker has gone.
    pub fn run<'a, T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Answer<'a, Result<T, Problem>> {
        let (reply, awaited) = answer();
        self.counters.reads.inc();
        let mut asked = Asked { read: Box::pin(read), reply: Some(reply), counters: self.counters.clone() };
        self.jobs.push(Box::new(move || asked.turn()));
        Box::pin(async move {
            awaited.await.unwrap_or_else(|| Err(Problem::new(Code::Internal, "a reading thread ended")))
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs.waiting.lock().1 = true;
        self.jobs.more.notify_all();
    }
}

impl Jobs {
    fn push(&self, job: Job) {
        self.waiting.lock().0.push_back(job);
        self.more.notify_one();
    }

    fn work(&self) {
        let mut unfinished = None;
        loop {
            let mut waiting = self.waiting.lock();
            // Behind those that wait. Nobody is woken for it: this thread goes on, with the same read if none waits.
            waiting.0.extend(unfinished.take());
            while waiting.0.is_empty() && !waiting.1 {
                self.more.wait(&mut waiting);
            }
            let Some(mut job) = waiting.0.pop_front() else { return };
            drop(waiting);
            unfinished = (!job()).then_some(job);
        }
    }
}

/// A read and who waits for it.
struct Asked<T> {
    read: Pin<Box<dyn Future<Output = Result<T, Problem>> + Send>>,
    reply: Option<Reply<Result<T, Problem>>>,
    counters: Arc<Counters>,
}

impl<T> Asked<T> {
    fn turn(&mut self) -> bool {
        let Some(reply) = self.reply.take_if(|reply| reply.is_awaited()) else {
            self.counters.reads.dec();
            return true;
        };
        match self.read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                self.counters.reads.dec();
                reply.send(result);
                true
            }
            Poll::Pending => {
                self.reply = Some(reply);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{answer::wait, fetch::turn};

    #[test]
    fn a_long_read_gives_way_to_short_ones() {
        let pool = Pool::new(1, Arc::default()).expect("threads start");
        let (say, said) = mpsc::channel();
        let (go, begin) = mpsc::channel::<()>();
        let held = pool.run(async move { Ok(begin.recv().is_ok()) });
        let read = |name, turns| {
            let say = say.clone();
            pool.run(async move {
                for _ in 0..turns {
                    turn().await;
                }
                say.send(name).map_err(|_| Problem::new(Code::Internal, "nobody listens"))
            })
        };
        let long = read("long", 1000);
        let short: Vec<_> = ["a", "b", "c"].map(|name| read(name, 2)).into_iter().collect();
        drop(read("unasked", 1));
        go.send(()).expect("the thread waits");
        assert_eq!(wait(held).ok(), Some(true));
        short.into_iter().for_each(|read| assert!(wait(read).is_ok()));
        assert!(wait(long).is_ok());
        assert_eq!(said.try_iter().collect::<Vec<_>>(), ["a", "b", "c", "long"]);
        assert_eq!(pool.counters.reads.get(), 0);
    }
}
