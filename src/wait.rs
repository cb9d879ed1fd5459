//! Waiting: how long (a deadline), until when (a cancel token), for what (a mailbox).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A moment after which waiting is over, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Wait as long as it takes.
    pub const NEVER: Deadline = Deadline(None);

    /// From now on this long.
    pub fn after(time: Duration) -> Self {
        Deadline(Instant::now().checked_add(time))
    }

    /// The earlier of the two.
    pub fn earlier(self, other: Deadline) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Deadline(Some(a.min(b))),
            (a, b) => Deadline(a.or(b)),
        }
    }

    /// This, or from now on this long, whichever comes first.
    pub fn or_after(self, time: Duration) -> Self {
        self.earlier(Self::after(time))
    }

    /// What is left: zero when it has passed, `None` for a deadline that never comes.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }
}

type Listener = Arc<dyn Fn() + Send + Sync>;

/// Ends waits from another thread; once triggered, for good. Clones are the same token.
#[derive(Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Default)]
struct CancelState {
    triggered: AtomicBool,
    listeners: Mutex<(u64, Vec<(u64, Listener)>)>,
}

impl Cancel {
    /// A token that is not triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all waits that hold this token, now and from now on.
    pub fn trigger(&self) {
        self.0.triggered.store(true, Ordering::SeqCst);
        // Called without the lock: a listener may take others.
        let listeners = lock(&self.0.listeners).1.clone();
        for (_, listener) in listeners {
            listener();
        }
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::SeqCst)
    }

    /// Calls `listener` when triggered (at once when it already was), until the guard is dropped.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) -> Listening<'_> {
        let listener: Listener = Arc::new(listener);
        let mut listeners = lock(&self.0.listeners);
        listeners.0 += 1;
        let id = listeners.0;
        listeners.1.push((id, listener.clone()));
        drop(listeners);
        if self.is_triggered() {
            listener();
        }
        Listening { cancel: self, id }
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cancel({})", self.is_triggered())
    }
}

/// Keeps a listener in place.
pub struct Listening<'a> {
    cancel: &'a Cancel,
    id: u64,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        lock(&self.cancel.0.listeners).1.retain(|(id, _)| *id != self.id);
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// The deadline passed.
    Timeout,
    /// The token was triggered.
    Canceled,
}

/// Hands items from library threads to one waiting reader, in order. Clones are the same mailbox.
pub struct Mailbox<T>(Arc<(Mutex<VecDeque<T>>, Condvar)>);

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(self.0.clone())
    }
}

impl<T: Send + 'static> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox(Arc::new((Mutex::new(VecDeque::new()), Condvar::new())))
    }
}

impl<T: Send + 'static> Mailbox<T> {
    /// Puts an item in; never blocks.
    pub fn push(&self, item: T) {
        lock(&self.0.0).push_back(item);
        self.0.1.notify_all();
    }

    /// Waits for the next item.
    pub fn recv(&self, deadline: Deadline, cancel: &Cancel) -> Result<T, Interrupted> {
        let shared = self.0.clone();
        let _listening = cancel.listen(move || {
            // Under the lock, so that the wake can't fall between the reader's look and its wait.
            let _guard = lock(&shared.0);
            shared.1.notify_all();
        });
        let mut items = lock(&self.0.0);
        loop {
            if let Some(item) = items.pop_front() {
                return Ok(item);
            }
            if cancel.is_triggered() {
                return Err(Interrupted::Canceled);
            }
            items = match deadline.remaining() {
                None => self.0.1.wait(items).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(Duration::ZERO) => return Err(Interrupted::Timeout),
                Some(left) => {
                    let waited = self.0.1.wait_timeout(items, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
        }
    }
}

/// Sleeps until the deadline; `false` when cancelled before.
pub fn sleep(time: Duration, cancel: &Cancel) -> bool {
    let nothing = Mailbox::<()>::default();
    nothing.recv(Deadline::after(time), cancel) == Err(Interrupted::Timeout)
}

/// Locks, also after a panic elsewhere: no invariant here spans an unlock.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_gives_items_in_order_then_times_out() {
        let mailbox = Mailbox::default();
        mailbox.push(1);
        mailbox.push(2);
        let soon = Deadline::after(Duration::from_millis(5));
        assert_eq!(mailbox.recv(soon, &Cancel::new()), Ok(1));
        assert_eq!(mailbox.recv(soon, &Cancel::new()), Ok(2));
        assert_eq!(mailbox.recv(soon, &Cancel::new()), Err(Interrupted::Timeout));
    }

    #[test]
    fn cancel_ends_a_wait_in_another_thread_and_all_later_ones() {
        let (mailbox, cancel) = (Mailbox::<()>::default(), Cancel::new());
        let (waiter, token) = (mailbox.clone(), cancel.clone());
        let thread = std::thread::spawn(move || waiter.recv(Deadline::NEVER, &token));
        std::thread::sleep(Duration::from_millis(10));
        cancel.trigger();
        assert_eq!(thread.join().unwrap(), Err(Interrupted::Canceled));
        assert_eq!(mailbox.recv(Deadline::NEVER, &cancel), Err(Interrupted::Canceled));
        assert!(!sleep(Duration::from_secs(60), &cancel));
    }

    #[test]
    fn deadlines_take_the_earlier_moment() {
        let hour = Duration::from_secs(3600);
        assert_eq!(Deadline::NEVER.remaining(), None);
        assert!(Deadline::NEVER.or_after(hour).remaining().unwrap() <= hour);
        assert!(Deadline::after(Duration::ZERO).or_after(hour).passed());
    }
}
