//! The boundary: handles in and out, strings in, and no panic across.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libc::c_char;

use super::errno::Failure;
use super::handle::{self, Shared, Table};
use super::types::etcd_session;
use crate::classic::Session;
use crate::error::{Error, ErrorKind};
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
    let result = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Panic, "a bug in this library").into()));
    result.unwrap_or_else(|failure| {
        sys::set_errno(failure.errno);
        failed(&failure)
    })
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
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let errno = guard(|| panic!("on purpose"), |failure| failure.errno);
        std::panic::set_hook(quiet);
        assert_eq!(errno, libc::ENOTRECOVERABLE);
    }
}
