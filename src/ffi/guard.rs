//! The boundary: handles in and out, strings in, and no panic across.

use std::any::Any;
use std::cell::Cell;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_char;

use super::errno::Failure;
use super::handle::{self, Shared, Table};
use super::types::etcd_session;
use crate::classic::Session;
use crate::error::{Error, ErrorKind, Outcome};
use crate::log::{self, Level};
use crate::sys;

impl Shared for Session {
    const KIND: usize = 1;
    const NAME: &'static str = "client";
    fn table() -> &'static Table<Self> {
        static SESSIONS: Table<Session> = Table::new();
        &SESSIONS
    }
}

/// Gives a session its handle.
pub fn register(session: Session) -> etcd_session {
    handle::give(session) as etcd_session
}

/// Takes a handle's session away from C. Calls in progress keep it as long as they need it.
pub fn unregister(session: etcd_session) -> Option<Arc<Session>> {
    handle::take(session as usize)
}

/// Runs `body` on a handle's session.
pub fn with_session<T>(
    session: etcd_session,
    body: impl FnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if session.is_null() {
        return Err(Error::invalid("the session is NULL").into());
    }
    let session = handle::find::<Session>(session as usize).map_err(|_| Failure::bad_handle())?;
    body(&session)
}

/// Runs the body of an exported function: its value, or `failed` and `errno`.
pub fn guard<T>(body: impl FnOnce() -> Result<T, Failure>, failed: impl FnOnce(&Failure) -> T) -> T {
    caught(body).unwrap_or_else(|failure| {
        sys::set_errno(failure.errno);
        failed(&failure)
    })
}

thread_local! {
    /// This thread runs the body of an exported function.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of an exported function: a panic becomes an error, and a line of the log.
pub fn caught<T, E: From<Error>>(body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    keep_panics_off_stderr();
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(before);
    result.unwrap_or_else(|panic| {
        let fault = format!("a bug in this library: {}", words_of(&*panic));
        Err(Error::new(ErrorKind::Panic, fault).outcome_is(Outcome::Unknown).into())
    })
}

/// Rust's own way to tell of a panic writes to stderr, which is the program's. Other panics, of a Rust program that
/// calls these functions, are told as before.
fn keep_panics_off_stderr() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.load(Ordering::Relaxed) || DONE.swap(true, Ordering::SeqCst) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| if is_ours() { log_panic(panic) } else { before(panic) }));
}

/// The library's threads have such names. A fuzzer wants to hear of all of them.
fn is_ours() -> bool {
    let named = || std::thread::current().name().is_some_and(|name| name.starts_with("etcd-"));
    !cfg!(fuzzing) && (INSIDE.get() || named())
}

fn log_panic(panic: &PanicHookInfo) {
    let place = panic.location().map(Location::to_string).unwrap_or_default();
    log::say(Level::Error, format_args!("a bug in this library, at {place}: {}", words_of(panic.payload())));
}

/// What a panic says, in one line.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    words.unwrap_or_default().replace(char::is_control, " ")
}

/// The bytes of a C string that must be there.
///
/// # Safety
/// `string` is NULL or a string that stays as it is for `'a`.
pub unsafe fn required<'a>(string: *const c_char, name: &str) -> Result<&'a [u8], Failure> {
    // SAFETY: as promised by the caller.
    unsafe { optional(string) }.ok_or_else(|| Error::invalid(format!("the {name} is NULL")).into())
}

/// The bytes of a C string that may be NULL.
///
/// # Safety
/// As [`required`].
pub unsafe fn optional<'a>(string: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller, it ends with NUL.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_bytes())
}

/// A copy for the caller to free.
pub fn to_c(bytes: &[u8]) -> Result<*mut c_char, Failure> {
    if bytes.contains(&0) {
        return Err(Failure::not_in_c(libc::EILSEQ));
    }
    match sys::malloc_copy(bytes) {
        copy if copy.is_null() => Err(Failure::no_memory()),
        copy => Ok(copy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure() {
        let errno = guard(|| -> Result<i32, Failure> { panic!("on purpose") }, |failure| failure.errno);
        assert_eq!(errno, libc::ENOTRECOVERABLE);
    }

    #[test]
    fn a_panic_becomes_one_line() {
        let error = caught(|| -> Result<(), Error> { panic!("two\nlines") }).unwrap_err();
        assert_eq!((error.kind(), error.fault()), (ErrorKind::Panic, "a bug in this library: two lines"));
        assert!(!INSIDE.get());
    }
}
