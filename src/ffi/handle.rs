//! What C holds: numbers for what threads share, pointers for values; both are checked before they are used.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::PerProcess;

/// Something that threads share, and that one of them may free while others use it: a client, a queue. What C holds is
/// a number that looks like a pointer and is never used twice, so that a freed one, one from before a fork, one of
/// another kind, or a stray pointer is found out.
pub trait Shared: Sized + Send + Sync + 'static {
    /// Tells it from the others; 1 to 15.
    const KIND: usize;
    /// For messages.
    const NAME: &'static str;
    /// Where they are kept.
    fn table() -> &'static Table<Self>;
}

/// The open ones of a kind, in each process.
pub struct Table<T>(PerProcess<Entries<T>>);

/// Spread over some maps, so that threads with handles of their own do not wait for each other.
struct Entries<T>([RwLock<BTreeMap<usize, Arc<T>>>; SHARDS]);

const SHARDS: usize = 16;

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(std::array::from_fn(|_| RwLock::default()))
    }
}

impl<T> Table<T> {
    pub const fn new() -> Self {
        Table(PerProcess::new())
    }

    fn shard(&self, handle: usize) -> &RwLock<BTreeMap<usize, Arc<T>>> {
        &self.0.get().0[(handle >> 8) % SHARDS]
    }

    fn read(&self, handle: usize) -> RwLockReadGuard<'_, BTreeMap<usize, Arc<T>>> {
        self.shard(handle).read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self, handle: usize) -> RwLockWriteGuard<'_, BTreeMap<usize, Arc<T>>> {
        self.shard(handle).write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// How many numbers were given in this process and those that it was forked from.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// How many of them before this process began.
static BEFORE: PerProcess<Before> = PerProcess::new();

struct Before(usize);

impl Default for Before {
    fn default() -> Self {
        Before(GIVEN.load(Ordering::SeqCst))
    }
}

/// A multiple of 8, as a pointer would be, and never one of 16, as a pointer from `malloc` is.
const MARK: usize = 8;

/// Gives something its number.
pub fn give<T: Shared>(thing: T) -> usize {
    BEFORE.get();
    let number = GIVEN.fetch_add(1, Ordering::SeqCst) + 1;
    let handle = number << 8 | T::KIND << 4 | MARK;
    T::table().write(handle).insert(handle, Arc::new(thing));
    handle
}

/// What has this number.
///
/// # Errors
/// `Closed`, `Forked`, or `InvalidArgument` for something else.
pub fn find<T: Shared>(handle: usize) -> Result<Arc<T>> {
    let found = T::table().read(handle).get(&handle).cloned();
    found.ok_or_else(|| missing::<T>(handle))
}

/// Takes it away from C. Calls in progress keep it as long as they need it.
pub fn take<T: Shared>(handle: usize) -> Option<Arc<T>> {
    T::table().write(handle).remove(&handle)
}

/// Takes away all that C holds and `wanted` says.
pub fn take_all<T: Shared>(wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
    let mut taken = Vec::new();
    for shard in &T::table().0.get().0 {
        let mut shard = shard.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found: Vec<_> =
            shard.iter().filter(|(_, thing)| wanted(thing)).map(|(&handle, _)| handle).collect();
        taken.extend(found.iter().filter_map(|handle| shard.remove(handle)));
    }
    taken
}

/// Why there is nothing with this number.
pub fn missing<T: Shared>(handle: usize) -> Error {
    let (number, kind) = (handle >> 8, handle >> 4 & 15);
    if handle == 0 {
        return Error::invalid(format!("the {} is NULL", T::NAME));
    }
    let was_given = (1..=GIVEN.load(Ordering::SeqCst)).contains(&number);
    if handle & 15 != MARK || kind != T::KIND || !was_given {
        return Error::invalid(format!("this is no {}", T::NAME));
    }
    if number <= BEFORE.get().0 {
        let fault = format!("the {} belongs to the process that this one was forked from", T::NAME);
        return Error::new(ErrorKind::Forked, fault);
    }
    Error::new(ErrorKind::Closed, format!("the {} was closed", T::NAME))
}

/// A value in C's hands: plain memory, which C frees.
pub trait Value: Sized {
    /// What C takes it for.
    type C;
    /// Tells it from the others.
    const KIND: u64;
    /// For messages.
    const NAME: &'static str;
}

/// A value, with words before it that tell what it is, and whether it is C's to free.
#[repr(C, align(16))]
pub struct Boxed<T> {
    kind: u64,
    is_part: bool,
    value: T,
}

impl<T: Value> Boxed<T> {
    /// A part of another value, which C may look at.
    pub fn part(value: T) -> Self {
        Boxed { kind: T::KIND, is_part: true, value }
    }

    /// As C sees it.
    pub fn pointer(&self) -> *const T::C {
        std::ptr::from_ref(self).cast()
    }
}

/// Gives C a value, to be freed with [`free`].
pub fn to_c<T: Value>(value: T) -> *mut T::C {
    Box::into_raw(Box::new(Boxed { kind: T::KIND, is_part: false, value })).cast()
}

/// A value that C holds.
///
/// # Errors
/// `InvalidArgument` for NULL and for what is found to be something else.
///
/// # Safety
/// `pointer` is NULL, a handle of this library, or a value of it that was not freed.
pub unsafe fn value<'a, T: Value>(pointer: *const T::C) -> Result<&'a T> {
    // SAFETY: as promised by the caller.
    Ok(unsafe { &(*checked::<T>(pointer.cast_mut())?).value })
}

/// A value that only the calling thread uses.
///
/// # Errors
/// As [`value`].
///
/// # Safety
/// As [`value`], and nobody else uses it meanwhile.
pub unsafe fn value_mut<'a, T: Value>(pointer: *mut T::C) -> Result<&'a mut T> {
    // SAFETY: as promised by the caller.
    Ok(unsafe { &mut (*checked::<T>(pointer)?).value })
}

/// Frees a value. NULL, a part of another value, and what is found to be something else, are left alone.
///
/// # Safety
/// As [`value`], and nobody uses it any more.
pub unsafe fn free<T: Value>(pointer: *mut T::C) {
    // SAFETY: as promised by the caller, it came from `to_c`.
    unsafe {
        if let Ok(boxed) = checked::<T>(pointer)
            && !(*boxed).is_part
        {
            (*boxed).kind = 0;
            drop(Box::from_raw(boxed));
        }
    }
}

unsafe fn checked<T: Value>(pointer: *mut T::C) -> Result<*mut Boxed<T>> {
    if pointer.is_null() {
        return Err(Error::invalid(format!("the {} is NULL", T::NAME)));
    }
    let boxed = pointer.cast::<Boxed<T>>();
    // SAFETY: a handle is never aligned as a value is; all values begin with the word that is read.
    if pointer as usize & 15 != 0 || unsafe { (*boxed).kind } != T::KIND {
        return Err(Error::invalid(format!("this is no {}", T::NAME)));
    }
    Ok(boxed)
}
