//! The thread that leads when there are calls for whose answers no thread waits. It is started by the first such call,
//! and ends when there was none for a while.

use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::waiter::Waiter;
use super::{Link, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use crate::wait::{Deadline, lock};

/// How long it goes on to lead after the last call: the next one often comes at once, and need not wake it then.
const STAY: Duration = Duration::from_millis(2);
/// How long the thread stays when there is nothing to do.
const LINGER: Duration = Duration::from_secs(10);

/// A link's way to its thread.
#[derive(Default)]
pub struct Attendant(Arc<Post>);

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
    thread: Option<JoinHandle<()>>,
    /// It sleeps.
    sleeps: bool,
    /// The link is gone.
    over: bool,
}

impl Attendant {
    /// There is one call more; starts or wakes the thread.
    pub fn expect_one(link: &Arc<Link>) -> Result<()> {
        let post = &link.attendant.0;
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
        let (link, shared) = (Arc::downgrade(link), post.clone());
        let started = sys::spawn("etcd-calls", move || shared.attend(&link));
        duty.staffed = started.is_ok();
        duty.thread = Some(started.map_err(|error| {
            post.calls.fetch_sub(1, Ordering::SeqCst);
            Error::new(ErrorKind::NoResource, format!("no thread: {error}")).caused_by(&error)
        })?);
        Ok(())
    }

    /// One was answered or given up.
    pub fn one_less(&self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether there is just one: then nothing else can come along with it.
    pub fn has_one(&self) -> bool {
        self.0.calls.load(Ordering::SeqCst) == 1
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let mut duty = lock(&self.0.duty);
        duty.over = true;
        let thread = duty.thread.take();
        drop(duty);
        self.0.changed.notify_one();
        // It may be the thread itself that lets go of the link last.
        if let Some(thread) = thread.filter(|thread| thread.as_pthread_t() as usize != sys::thread_id()) {
            let _ = thread.join();
        }
    }
}

impl Post {
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
