//! The threads that a client has started, wherever they work, so that whoever closes it can end all of them, and wait
//! until they are gone.

use std::collections::BTreeMap;
use std::os::unix::thread::JoinHandleExt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use crate::wait::{Cancel, Deadline, Monitor, lock};

/// All threads of one client. Clones are the same.
#[derive(Clone)]
pub struct Threads(Monitor<Crew>);

#[derive(Default)]
struct Crew {
    living: BTreeMap<usize, Living>,
    /// Those that have nothing more to do, but may not be gone yet.
    ended: Vec<Thread>,
    /// No more are started.
    closed: bool,
}

struct Living {
    thread: Thread,
    stop: Option<Stop>,
}

/// Lets a thread end soon. It never blocks.
type Stop = Box<dyn FnOnce() + Send>;

/// One thread.
#[derive(Clone)]
pub struct Thread {
    id: usize,
    /// Taken by the first who waits.
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Thread {
    /// Waits until it is gone. A thread does not wait for itself.
    pub fn join(&self) {
        if self.id == sys::thread_id() {
            return;
        }
        let mut handle = lock(&self.handle);
        if let Some(handle) = handle.take() {
            let _ = handle.join();
        }
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Threads")
    }
}

impl Default for Threads {
    fn default() -> Self {
        Threads(Monitor::new(Crew::default()))
    }
}

impl Threads {
    /// Starts one. `stop` is called when the client ends, to let it end, too.
    ///
    /// # Errors
    /// `NoResource`: the system gives none. `Closed`: after [`Threads::end`].
    pub fn spawn(
        &self,
        name: &str,
        stop: impl FnOnce() + Send + 'static,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<Thread> {
        // Without a thread both are dropped here, not under the lock: who knows what they hold.
        let (body, mut stop) = (Arc::new(Mutex::new(Some(body))), Some(stop));
        let (threads, given) = (self.clone(), body.clone());
        let run = move || {
            let _leaving = Leaving(threads);
            let body = lock(&given).take().expect("it runs once");
            body();
        };
        let start = |crew: &mut Crew| {
            if crew.closed {
                return Err(Error::closed());
            }
            let handle = sys::spawn(name, run).map_err(|error| {
                Error::new(ErrorKind::NoResource, format!("no thread: {error}")).caused_by(&error)
            })?;
            let id = handle.as_pthread_t() as usize;
            let thread = Thread { id, handle: Arc::new(Mutex::new(Some(handle))) };
            let stop = stop.take().map(|stop| -> Stop { Box::new(stop) });
            crew.living.insert(id, Living { thread: thread.clone(), stop });
            Ok((thread, std::mem::take(&mut crew.ended)))
        };
        let (thread, ended) = self.0.update(start)?;
        ended.iter().for_each(Thread::join);
        Ok(thread)
    }

    /// Ends all of them, but for the one that calls this, and waits until they are gone. `false`: not in time.
    pub fn end(&self, deadline: Deadline) -> bool {
        let close = |crew: &mut Crew| {
            crew.closed = true;
            crew.living.values_mut().filter_map(|living| living.stop.take()).collect::<Vec<Stop>>()
        };
        self.0.update(close).into_iter().for_each(|stop| stop());
        let own = sys::thread_id();
        let ended = self.0.wait(deadline, Cancel::NEVER, |crew| {
            crew.living.keys().all(|id| *id == own).then(|| std::mem::take(&mut crew.ended))
        });
        ended.iter().flatten().for_each(Thread::join);
        ended.is_ok()
    }
}

/// What a thread does last, however it ends.
struct Leaving(Threads);

impl Drop for Leaving {
    fn drop(&mut self) {
        let leave = |crew: &mut Crew| {
            let living = crew.living.remove(&sys::thread_id())?;
            crew.ended.push(living.thread);
            living.stop
        };
        // Dropped without the lock: it may be the last to hold something.
        drop(self.0.0.update(leave));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    /// A thread that does what is told until it is stopped.
    fn start(threads: &Threads, body: impl FnOnce(&Cancel) + Send + 'static) -> Thread {
        let stop = Cancel::new();
        let stopped = stop.clone();
        threads.spawn("etcd-test", move || stop.trigger(), move || body(&stopped)).expect("a thread")
    }

    fn wait_for(stopped: &Cancel) {
        wait::sleep(Duration::from_secs(3600), stopped);
    }

    #[test]
    fn all_are_ended_and_waited_for_and_none_is_started_afterwards() {
        let threads = Threads::default();
        let all: Vec<Thread> = (0..10).map(|_| start(&threads, wait_for)).collect();
        assert!(threads.end(Deadline::after(Duration::from_secs(30))));
        assert!(all.iter().all(|thread| lock(&thread.handle).is_none()), "not all were waited for");
        let late = threads.spawn("etcd-test", || {}, || {});
        assert_eq!(late.err().map(|error| error.kind()), Some(ErrorKind::Closed));
    }

    #[test]
    fn one_that_does_not_end_is_waited_for_until_the_deadline() {
        let (threads, go) = (Threads::default(), Cancel::new());
        let goes = go.clone();
        let thread = threads.spawn("etcd-test", || {}, move || wait_for(&goes)).expect("a thread");
        assert!(!threads.end(Deadline::after(Duration::from_millis(20))));
        go.trigger();
        assert!(threads.end(Deadline::NEVER));
        thread.join();
    }

    #[test]
    fn one_that_ends_all_does_not_wait_for_itself() {
        let threads = Threads::default();
        let others = threads.clone();
        start(&threads, wait_for);
        let end = move |_: &Cancel| assert!(others.end(Deadline::after(Duration::from_secs(30))));
        start(&threads, end).join();
        assert!(threads.end(Deadline::NEVER));
    }

    #[test]
    fn one_that_panics_has_ended() {
        let threads = Threads::default();
        start(&threads, |_| std::panic::resume_unwind(Box::new(())));
        assert!(threads.end(Deadline::after(Duration::from_secs(30))));
    }
}
