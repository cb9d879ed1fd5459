//! What is to happen at a certain time, on a thread of its own, which exists while something is.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::threads::Threads;
use crate::wait::lock;

/// Happens at its time. It never blocks.
pub type Alarm = Box<dyn FnOnce() + Send>;

/// By which an alarm is taken back.
pub type Time = (Instant, u64);

/// The alarms of a client.
#[derive(Clone)]
pub struct Clock {
    alarms: Arc<(Mutex<Alarms>, Condvar)>,
    threads: Threads,
}

#[derive(Default)]
struct Alarms {
    set: BTreeMap<Time, Alarm>,
    last: u64,
    /// There is a thread.
    runs: bool,
    /// Until then it sleeps, whatever was taken back meanwhile.
    sleeps_until: Option<Instant>,
    over: bool,
}

/// How long the thread stays when no alarm is set.
const LINGER: Duration = Duration::from_secs(10);

impl Clock {
    /// One without alarms.
    pub fn new(threads: Threads) -> Self {
        Clock { alarms: Arc::default(), threads }
    }

    /// Sets an alarm.
    ///
    /// # Errors
    /// `NoResource` when there is no thread for it, `Closed` when the clock was stopped.
    pub fn set(&self, at: Instant, alarm: Alarm) -> Result<Time> {
        let (alarms, changed) = &*self.alarms;
        let mut alarms = lock(alarms);
        if alarms.over {
            drop(alarms);
            drop(alarm);
            return Err(Error::closed());
        }
        alarms.last += 1;
        let time = (at, alarms.last);
        let is_early = alarms.sleeps_until.is_some_and(|until| at < until);
        alarms.set.insert(time, alarm);
        if !alarms.runs {
            let (clock, ended) = (self.clone(), self.clone());
            let started = self.threads.spawn("etcd-clock", move || ended.stop(), move || clock.run());
            if let Err(error) = started {
                let alarm = alarms.set.remove(&time);
                // It may hold what must not be dropped under the lock.
                drop(alarms);
                drop(alarm);
                return Err(error);
            }
            alarms.runs = true;
        } else if is_early {
            changed.notify_one();
        }
        Ok(time)
    }

    /// Takes an alarm back, if it has not gone off.
    pub fn unset(&self, time: Time) {
        let alarm = lock(&self.alarms.0).set.remove(&time);
        drop(alarm);
    }

    /// No alarm goes off any more; the thread ends.
    pub fn stop(&self) {
        let mut alarms = lock(&self.alarms.0);
        alarms.over = true;
        let set = std::mem::take(&mut alarms.set);
        drop(alarms);
        self.alarms.1.notify_all();
        drop(set);
    }

    fn run(&self) {
        let (alarms, changed) = &*self.alarms;
        let mut alarms = lock(alarms);
        while !alarms.over {
            let now = Instant::now();
            let next = alarms.set.first_key_value().map(|((at, _), _)| *at);
            if next.is_some_and(|at| at <= now) {
                let (_, alarm) = alarms.set.pop_first().expect("there is one");
                drop(alarms);
                alarm();
                alarms = lock(&self.alarms.0);
                continue;
            }
            let left = next.map_or(LINGER, |at| at - now);
            alarms.sleeps_until = Some(now + left);
            let (woken, waited) =
                changed.wait_timeout(alarms, left).unwrap_or_else(|poisoned| poisoned.into_inner());
            alarms = woken;
            alarms.sleeps_until = None;
            if next.is_none() && waited.timed_out() && alarms.set.is_empty() {
                break;
            }
        }
        alarms.runs = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Cancel, Deadline, Mailbox};

    #[test]
    fn alarms_go_off_in_the_order_of_their_times_unless_taken_back() {
        let (clock, rang) = (Clock::new(Threads::default()), Mailbox::default());
        let now = Instant::now();
        let set = |ms: u64| {
            let rang = rang.clone();
            clock.set(now + Duration::from_millis(ms), Box::new(move || rang.push(ms))).unwrap()
        };
        let (_, back, _, _) = (set(60), set(40), set(20), set(0));
        clock.unset(back);
        let soon = Deadline::after(Duration::from_secs(5));
        let order: Vec<_> = (0..3).map(|_| rang.recv(soon, Cancel::NEVER).unwrap()).collect();
        assert_eq!(order, [0, 20, 60]);
        assert!(now.elapsed() >= Duration::from_millis(60));
        set(300);
        clock.stop();
        let later = Deadline::after(Duration::from_millis(400));
        assert!(rang.recv(later, Cancel::NEVER).is_err(), "stopped before its time");
    }
}
