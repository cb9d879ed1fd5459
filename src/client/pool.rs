//! Threads for what has to wait: connecting, logging in, pauses between repetitions. Started when they are needed, ended
//! when they were not for a while; what comes while all are busy waits for its turn.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::threads::Threads;
use crate::wait::lock;

/// Something that may wait.
pub type Job = Box<dyn FnOnce() + Send>;

/// The jobs of a client, and who does them.
#[derive(Clone)]
pub struct Pool {
    jobs: Arc<(Mutex<Jobs>, Condvar)>,
    threads: Threads,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
    over: bool,
}

/// As many threads there are at most.
const MOST: usize = 64;
/// How long a thread stays without a job.
const LINGER: Duration = Duration::from_secs(5);

impl Pool {
    /// One without jobs.
    pub fn new(threads: Threads) -> Self {
        Pool { jobs: Arc::default(), threads }
    }

    /// Runs a job on one of the threads.
    ///
    /// # Errors
    /// `NoResource`: there is no thread at all. `Closed`: they have been stopped.
    pub fn run(&self, job: Job) -> Result<()> {
        let (jobs, changed) = &*self.jobs;
        let mut jobs = lock(jobs);
        if jobs.over {
            drop(jobs);
            drop(job);
            return Err(Error::closed());
        }
        jobs.waiting.push_back(job);
        if jobs.idle >= jobs.waiting.len() || jobs.threads == MOST {
            changed.notify_one();
            return Ok(());
        }
        let (pool, ended) = (self.clone(), self.clone());
        match self.threads.spawn("etcd-work", move || ended.stop(), move || pool.work()) {
            Ok(_) => {
                jobs.threads += 1;
                Ok(())
            }
            // The others will do it.
            Err(_) if jobs.threads > 0 => Ok(()),
            Err(error) => {
                let job = jobs.waiting.pop_back();
                // It may hold what must not be dropped under the lock.
                drop(jobs);
                drop(job);
                Err(error)
            }
        }
    }

    /// The threads end when nothing waits any more.
    pub fn stop(&self) {
        lock(&self.jobs.0).over = true;
        self.jobs.1.notify_all();
    }

    fn work(&self) {
        let (jobs, changed) = &*self.jobs;
        let mut jobs = lock(jobs);
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                drop(jobs);
                // A bug in it must not cost a thread that others wait for.
                let _ = catch_unwind(AssertUnwindSafe(job));
                jobs = lock(&self.jobs.0);
                continue;
            }
            if jobs.over {
                break;
            }
            jobs.idle += 1;
            let (woken, waited) =
                changed.wait_timeout(jobs, LINGER).unwrap_or_else(|poisoned| poisoned.into_inner());
            jobs = woken;
            jobs.idle -= 1;
            if waited.timed_out() && jobs.waiting.is_empty() {
                break;
            }
        }
        jobs.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Cancel, Deadline, Mailbox};

    #[test]
    fn jobs_run_at_once_up_to_a_number_and_none_is_forgotten() {
        let threads = Threads::default();
        let pool = Pool::new(threads.clone());
        let (gate, done) = (Mailbox::<()>::default(), Mailbox::default());
        for number in 0..3 * MOST {
            let (gate, done) = (gate.clone(), done.clone());
            let job = move || {
                let _ = gate.recv(Deadline::NEVER, Cancel::NEVER);
                done.push(number);
            };
            pool.run(Box::new(job)).unwrap();
        }
        assert_eq!(lock(&pool.jobs.0).threads, MOST);
        (0..3 * MOST).for_each(|_| gate.push(()));
        let soon = Deadline::after(Duration::from_secs(10));
        let mut numbers: Vec<_> = (0..3 * MOST).map(|_| done.recv(soon, Cancel::NEVER).unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..3 * MOST).collect::<Vec<_>>());
        assert!(threads.end(soon));
    }
}
