//! Waiting: how long (a deadline), until when (a cancel token), for what (a mailbox).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::error::{Error, ErrorKind};

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

    /// The moment, if it ever comes.
    pub fn at(self) -> Option<Instant> {
        self.0
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
#[derive(Clone)]
pub struct Cancel(Option<Arc<CancelState>>);

#[derive(Default)]
struct CancelState {
    triggered: AtomicBool,
    listeners: Mutex<Slab<Listener>>,
}

impl Cancel {
    /// The token that nobody triggers.
    pub const NEVER: &'static Cancel = &Cancel(None);

    /// A token that is not triggered.
    pub fn new() -> Self {
        Cancel(Some(Arc::default()))
    }

    /// Ends all waits that hold this token, now and from now on.
    pub fn trigger(&self) {
        let Some(state) = &self.0 else { return };
        state.triggered.store(true, Ordering::SeqCst);
        // Called without the lock: a listener may take others.
        let listeners: Vec<Listener> = lock(&state.listeners).iter().map(|(_, one)| one.clone()).collect();
        listeners.iter().for_each(|listener| listener());
    }

    /// Whether nobody can trigger it.
    pub fn is_never(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.triggered.load(Ordering::SeqCst))
    }

    /// Calls `listener` when triggered (at once when it already was), until the guard is dropped.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) -> Listening<'_> {
        let Some(state) = &self.0 else { return Listening(None) };
        let listener: Listener = Arc::new(listener);
        let place = lock(&state.listeners).insert(listener.clone());
        if self.is_triggered() {
            listener();
        }
        Listening(Some((state, place)))
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cancel({})", self.is_triggered())
    }
}

/// Keeps a listener in place.
pub struct Listening<'a>(Option<(&'a CancelState, usize)>);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        if let Some((state, place)) = self.0 {
            let listener = lock(&state.listeners).remove(place);
            drop(listener);
        }
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

/// Something that threads change, and wait for the changes of. Clones are the same.
pub struct Monitor<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Clone for Monitor<T> {
    fn clone(&self) -> Self {
        Monitor(self.0.clone())
    }
}

impl<T: Send + 'static> Monitor<T> {
    /// Begins with `value`.
    pub fn new(value: T) -> Self {
        Monitor(Arc::new((Mutex::new(value), Condvar::new())))
    }

    /// Changes it, and lets all waiters look again.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut lock(&self.0.0));
        self.0.1.notify_all();
        result
    }

    /// Looks at it.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&lock(&self.0.0))
    }

    /// Waits until `ready` finds what it looks for.
    pub fn wait<R>(
        &self,
        deadline: Deadline,
        cancel: &Cancel,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Result<R, Interrupted> {
        let shared = self.0.clone();
        let _listening = cancel.listen(move || {
            // Under the lock, so that the wake can't fall between the waiter's look and its wait.
            let _guard = lock(&shared.0);
            shared.1.notify_all();
        });
        let mut value = lock(&self.0.0);
        loop {
            if let Some(result) = ready(&mut value) {
                return Ok(result);
            }
            if cancel.is_triggered() {
                return Err(Interrupted::Canceled);
            }
            value = match deadline.remaining() {
                None => self.0.1.wait(value).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(Duration::ZERO) => return Err(Interrupted::Timeout),
                Some(left) => {
                    let waited = self.0.1.wait_timeout(value, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
        }
    }
}

/// Something that many need and one makes: the first who needs it, while the others wait for it and share in how it
/// ends. It is made anew when it was found to be no good any more.
pub struct Single<T>(Monitor<Making<T>>);

enum Making<T> {
    /// Nobody has made it yet, it was no good any more, or it could not be made.
    Missing(Option<Error>),
    /// Somebody is making it.
    Busy,
    There(T),
}

/// Why there is no [`Single`] thing.
#[derive(Debug)]
pub enum Missed {
    /// The wait for somebody else's was over.
    Interrupted(Interrupted),
    /// Somebody else could not make it.
    Theirs(Error),
    /// The caller could not make it.
    Own(Error),
}

impl<T: Clone + Send + 'static> Default for Single<T> {
    fn default() -> Self {
        Single(Monitor::new(Making::Missing(None)))
    }
}

impl<T: Clone + Send + 'static> Single<T> {
    /// The thing, if it is there.
    pub fn peek(&self) -> Option<T> {
        match &*lock(&self.0.0.0) {
            Making::There(thing) => Some(thing.clone()),
            _ => None,
        }
    }

    /// The thing; made by `make` if it is missing.
    pub fn get(
        &self,
        deadline: Deadline,
        cancel: &Cancel,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Missed> {
        let mut waited = false;
        let claim = |making: &mut Making<T>| match making {
            Making::There(thing) => Some(Ok(Some(thing.clone()))),
            Making::Busy => {
                waited = true;
                None
            }
            // As many wrong passwords as there are threads would look like an attack. Whoever had less time, or
            // was closed, speaks for nobody else.
            Making::Missing(Some(error))
                if waited && !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Closed) =>
            {
                Some(Err(error.clone()))
            }
            Making::Missing(_) => {
                *making = Making::Busy;
                Some(Ok(None))
            }
        };
        match self.0.wait(deadline, cancel, claim).map_err(Missed::Interrupted)? {
            Ok(Some(thing)) => Ok(thing),
            Ok(None) => self.make(make).map_err(Missed::Own),
            Err(error) => Err(Missed::Theirs(error)),
        }
    }

    fn make(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        // Should this panic, the others must not wait for ever.
        let mut end = EndOfMaking { single: self, with: Some(Making::Missing(None)) };
        let made = make();
        end.with = Some(match &made {
            Ok(thing) => Making::There(thing.clone()),
            Err(error) => Making::Missing(Some(error.clone())),
        });
        made
    }

    /// The next one who needs it makes another one, if it is still the one that `is_bad`.
    pub fn forget(&self, is_bad: impl FnOnce(&T) -> bool) {
        let mut making = lock(&self.0.0.0);
        if matches!(&*making, Making::There(thing) if is_bad(thing)) {
            *making = Making::Missing(None);
        }
    }
}

struct EndOfMaking<'a, T: Clone + Send + 'static> {
    single: &'a Single<T>,
    with: Option<Making<T>>,
}

impl<T: Clone + Send + 'static> Drop for EndOfMaking<'_, T> {
    fn drop(&mut self) {
        let with = self.with.take();
        self.single.0.update(|making| with.into_iter().for_each(|with| *making = with));
    }
}

/// Hands items from library threads to one waiting reader, in order. Clones are the same mailbox.
pub struct Mailbox<T>(Monitor<VecDeque<T>>);

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(self.0.clone())
    }
}

impl<T: Send + 'static> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox(Monitor::new(VecDeque::new()))
    }
}

impl<T: Send + 'static> Mailbox<T> {
    /// Puts an item in; never blocks.
    pub fn push(&self, item: T) {
        self.0.update(|items| items.push_back(item));
    }

    /// Waits for the next item.
    pub fn recv(&self, deadline: Deadline, cancel: &Cancel) -> Result<T, Interrupted> {
        self.0.wait(deadline, cancel, VecDeque::pop_front)
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

/// The same, unless somebody has it.
pub fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
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
        Cancel::NEVER.trigger();
        assert!(!Cancel::NEVER.is_triggered());
    }

    #[test]
    fn deadlines_take_the_earlier_moment() {
        let hour = Duration::from_secs(3600);
        assert_eq!(Deadline::NEVER.remaining(), None);
        assert!(Deadline::NEVER.or_after(hour).remaining().unwrap() <= hour);
        assert!(Deadline::after(Duration::ZERO).or_after(hour).passed());
    }
}
