//! Who is told an answer: a thread that waits for it, asleep or as the leader at the socket; or a function.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::sys::Signal;
use crate::wait::{Deadline, lock};

/// Takes an answer for which no thread waits. Called without any lock; never blocks.
pub type Taker = Box<dyn FnOnce(Result<Bytes>) + Send>;

pub struct Waiter {
    flags: Mutex<Flags>,
    changed: Condvar,
    /// Wakes the leader.
    signal: Arc<Signal>,
    /// Takes the answer, if no thread does.
    taker: Mutex<Option<Taker>>,
}

#[derive(Default)]
struct Flags {
    answer: Option<Result<Bytes>>,
    /// Something happened that it has not looked at.
    woken: bool,
    leads: bool,
    /// It stands among those who wait for the lead, or did.
    waits: bool,
    /// It waits for the socket.
    polls: bool,
    /// It waits to be woken.
    sleeps: bool,
}

impl Waiter {
    pub fn new(signal: Arc<Signal>) -> Self {
        Waiter { flags: Mutex::default(), changed: Condvar::new(), signal, taker: Mutex::default() }
    }

    /// One behind which no thread waits.
    pub fn taking(signal: Arc<Signal>, taker: Taker) -> Self {
        Waiter { taker: Mutex::new(Some(taker)), ..Self::new(signal) }
    }

    /// Nobody wants the answer any more. Tells whether somebody did.
    pub fn forget(&self) -> bool {
        lock(&self.taker).take().is_some()
    }

    /// What has come, once.
    pub fn answer(&self) -> Option<Result<Bytes>> {
        lock(&self.flags).answer.take()
    }

    /// Here it is. The thread is woken by [`Waiter::wake`].
    pub fn set_answer(&self, answer: Result<Bytes>) {
        lock(&self.flags).answer = Some(answer);
    }

    pub fn leads(&self) -> bool {
        lock(&self.flags).leads
    }

    pub fn take_lead(&self) {
        lock(&self.flags).leads = true;
    }

    /// Whether it did not wait before.
    pub fn begins_to_wait(&self) -> bool {
        !std::mem::replace(&mut lock(&self.flags).waits, true)
    }

    /// Lets the thread look at what has happened, or the function have it.
    pub fn wake(&self) {
        let taker = lock(&self.taker).take();
        if let Some(taker) = taker {
            let answer = self.answer();
            return taker(answer.expect("it is woken when the answer is there"));
        }
        let mut flags = lock(&self.flags);
        flags.woken = true;
        let (polls, sleeps) = (flags.polls, flags.sleeps);
        // A thread that is woken under the lock would only wait for it.
        drop(flags);
        if polls {
            self.signal.give();
        } else if sleeps {
            self.changed.notify_one();
        }
    }

    /// Waits until it is woken or the time is over.
    pub fn sleep(&self, deadline: Deadline) {
        let mut flags = lock(&self.flags);
        while !flags.woken {
            flags.sleeps = true;
            flags = match deadline.remaining() {
                None => self.changed.wait(flags).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.changed.wait_timeout(flags, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
            flags.sleeps = false;
        }
        flags.woken = false;
    }

    /// `false` when there is something to look at first.
    pub fn begin_polling(&self) -> bool {
        let mut flags = lock(&self.flags);
        flags.polls = !std::mem::take(&mut flags.woken);
        flags.polls
    }

    pub fn end_polling(&self) {
        let mut flags = lock(&self.flags);
        (flags.polls, flags.woken) = (false, false);
    }
}
