//! The thread that leads when there are calls for whose answers no thread waits. It is started by the first such call,
//! and ends when there was none for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use super::waiter::Waiter;
use super::{Link, Turn};
use crate::error::Result;
use crate::threads::{Thread, Threads};
use crate::wait::{Deadline, lock};

/// How long it goes on to lead after the last call: the next one often comes at once, and need not wake it then.
const STAY: Duration = Duration::from_millis(2);
/// How long the thread stays when there is nothing to do.
const LINGER: Duration = Duration::from_secs(10);

/// A link's way to its thread.
pub struct Attendant {
    post: Arc<Post>,
    /// Those of the client.
    threads: Threads,
}

/// What the thread and the callers share. It does not keep the link.
#[derive(Default)]
struct Post {
    /// How many calls are under way for which no thread waits.
    calls: AtomicUsize,
    duty: Mutex<Duty>,
    changed: Condvar,
}

#[derive(Default)]
struct Duty {
    /// There is a thread.
    staffed: bool,
    /// The one that was started last.
    thread: Option<Thread>,
    /// It sleeps.
    sleeps: bool,
    /// The link is gone, or the client ends.
    over: bool,
}

impl Attendant {
    /// None yet.
    pub fn new(threads: &Threads) -> Self {
        Attendant { post: Arc::default(), threads: threads.clone() }
    }

    /// There is one call more; starts or wakes the thread.
    pub fn expect_one(link: &Arc<Link>) -> Result<()> {
        let Attendant { post, threads } = &link.attendant;
        if post.calls.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        let mut duty = lock(&post.duty);
        if duty.staffed {
            if duty.sleeps {
                post.changed.notify_one();
            }
            return Ok(());
        }
        let (link, shared, ended) = (Arc::downgrade(link), post.clone(), post.clone());
        let started = threads.spawn("etcd-calls", move || ended.close(), move || shared.attend(&link));
        duty.staffed = started.is_ok();
        duty.thread = Some(started.inspect_err(|_| {
            post.calls.fetch_sub(1, Ordering::SeqCst);
        })?);
        Ok(())
    }

    /// One was answered or given up.
    pub fn one_less(&self) {
        self.post.calls.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether there is just one: then nothing else can come along with it.
    pub fn has_one(&self) -> bool {
        self.post.calls.load(Ordering::SeqCst) == 1
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.post.close();
        let thread = lock(&self.post.duty).thread.take();
        // It may be the thread itself that lets go of the link last.
        thread.iter().for_each(Thread::join);
    }
}

impl Post {
    /// The thread ends as soon as there are no calls.
    fn close(&self) {
        lock(&self.duty).over = true;
        self.changed.notify_one();
    }

    fn attend(&self, link: &Weak<Link>) {
        while self.await_calls() {
            let Some(link) = link.upgrade() else { return };
            let waiter = Arc::new(Waiter::new(link.signal.clone()));
            let _turn = Turn { link: &link, waiter: &waiter };
            let mut stay = None;
            loop {
                let until = match self.calls.load(Ordering::SeqCst) {
                    0 if !waiter.leads() => break,
                    0 => *stay.get_or_insert_with(|| Deadline::after(STAY)),
                    _ => Deadline::NEVER,
                };
                if until.passed() {
                    break;
                }
                if until == Deadline::NEVER {
                    stay = None;
                }
                if link.leads(&waiter) {
                    link.lead(&waiter, until);
                } else {
                    waiter.sleep(until);
                }
            }
        }
    }

    /// Sleeps until there are calls; `false`: the thread is to end.
    fn await_calls(&self) -> bool {
        let mut duty = lock(&self.duty);
        loop {
            if self.calls.load(Ordering::SeqCst) > 0 {
                return true;
            }
            if duty.over {
                return false;
            }
            duty.sleeps = true;
            let (woken, waited) =
                self.changed.wait_timeout(duty, LINGER).unwrap_or_else(|poisoned| poisoned.into_inner());
            duty = woken;
            duty.sleeps = false;
            if waited.timed_out() && self.calls.load(Ordering::SeqCst) == 0 {
                duty.staffed = false;
                return false;
            }
        }
    }
}
