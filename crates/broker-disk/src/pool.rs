//! A few threads that read, so that reads hold up neither commits nor a runtime.
use std::{
    sync::{Arc, mpsc},
    thread,
};

use fanfare_broker::Answer;
use fanfare_protocol::{Code, Problem};
use parking_lot::Mutex;

use crate::{answer::answer, counters::Counters};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take reads in turn. They end when the pool is dropped and nothing waits.
pub(crate) struct Pool {
    jobs: mpsc::Sender<Job>,
    counters: Arc<Counters>,
}

impl Pool {
    /// So many threads, whose queue is counted.
    pub fn new(threads: usize, counters: Arc<Counters>) -> std::io::Result<Self> {
        let (jobs, taken) = mpsc::channel::<Job>();
        let taken = Arc::new(Mutex::new(taken));
        for number in 0..threads {
            let taken = taken.clone();
            thread::Builder::new().name(format!("log-reader-{number}")).spawn(move || {
                loop {
                    let job = taken.lock().recv();
                    match job {
                        Ok(job) => job(),
                        Err(_) => break,
                    }
                }
            })?;
        }
        Ok(Self { jobs, counters })
    }

    /// Has a read done. One whose asker has gone meanwhile is done all the same.
    pub fn run<'a, T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Answer<'a, Result<T, Problem>> {
        let (reply, awaited) = answer();
        let counters = self.counters.clone();
        counters.reads.inc();
        let _ = self.jobs.send(Box::new(move || {
            let result = read();
            counters.reads.dec();
            reply.send(result);
        }));
        Box::pin(async move {
            awaited.await.unwrap_or_else(|| Err(Problem::new(Code::Internal, "a reading thread ended")))
        })
    }
}
