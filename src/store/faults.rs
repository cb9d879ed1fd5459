//! Faults that a test asks for: calls that are late, refused, or done without an answer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::Request;
use crate::wait::lock;

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Effect {
    /// It begins so much later.
    Delay(Duration),
    /// It is not done; this is the answer.
    Refuse(Error),
    /// It is done, but the answer is lost: the caller can't know.
    LoseReply,
}

/// Which calls something happens to.
pub struct Fault {
    which: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    skip: usize,
    times: usize,
    effect: Effect,
}

impl Fault {
    /// Happens to the next call.
    pub fn new(effect: Effect) -> Self {
        Fault { which: Box::new(|_| true), skip: 0, times: 1, effect }
    }

    /// Looks only at such calls.
    pub fn of(mut self, which: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.which = Box::new(which);
        self
    }

    /// Happens to the n-th of them, from 1.
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// And to the ones after it, so many in all.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// The faults that are to come.
#[derive(Default)]
pub struct Faults {
    /// Spares the ordinary call the lock.
    any: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        lock(&self.list).push(fault);
        self.any.store(true, Ordering::SeqCst);
    }

    pub fn clear(&self) {
        lock(&self.list).clear();
        self.any.store(false, Ordering::SeqCst);
    }

    /// Runs `call` with what is to happen to it.
    pub fn run<T>(&self, request: &Request, call: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.any.load(Ordering::Relaxed) {
            return call();
        }
        let effects = self.effects(request);
        let mut lost = false;
        for effect in effects {
            match effect {
                Effect::Delay(time) => std::thread::sleep(time),
                Effect::Refuse(error) => return Err(error),
                Effect::LoseReply => lost = true,
            }
        }
        let result = call();
        if lost {
            let error = Error::new(ErrorKind::Unavailable, "the answer was lost");
            return Err(error.outcome_is(Outcome::Unknown));
        }
        result
    }

    fn effects(&self, request: &Request) -> Vec<Effect> {
        let mut list = lock(&self.list);
        let mut effects = Vec::new();
        for fault in list.iter_mut().filter(|fault| (fault.which)(request)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else {
                fault.times -= 1;
                effects.push(fault.effect.clone());
            }
        }
        list.retain(|fault| fault.times > 0);
        effects
    }
}
