//! The boundary: handles in and out, strings in, and no panic across.

use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libc::c_char;

use super::errno::Failure;
use crate::classic::Session;
use crate::error::{Error, ErrorKind};
use crate::sys;

/// What a session's handle points to. The handle owns one count of an `Arc`, a running call another one, so
/// that closing a session never takes memory from a call in another thread.
pub struct Handle {
    session: Session,
    process: u32,
}

impl Handle {
    pub fn open(session: Session) -> *mut Handle {
        Arc::into_raw(Arc::new(Handle { session, process: sys::process_id() })).cast_mut()
    }

    /// # Safety
    /// `handle` is NULL, or from `open` and not closed.
    unsafe fn borrow(handle: *mut Handle) -> Result<Arc<Handle>, Error> {
        if handle.is_null() {
            return Err(Error::invalid("the session is NULL"));
        }
        // SAFETY: the handle's own count keeps it alive here; this call takes a further one.
        let handle = unsafe { Arc::clone(&*ManuallyDrop::new(Arc::from_raw(handle))) };
        if handle.process != sys::process_id() {
            // What another process's threads held at the fork is held here for ever: not even dropped.
            std::mem::forget(handle);
            return Err(Error::new(ErrorKind::Forked, "the session was opened before fork()"));
        }
        Ok(handle)
    }

    /// # Safety
    /// As [`Handle::borrow`]; no call on this handle begins afterwards.
    pub unsafe fn close(handle: *mut Handle) {
        // SAFETY: as promised by the caller.
        if let Ok(borrowed) = unsafe { Handle::borrow(handle) } {
            borrowed.session.close();
            // SAFETY: this gives back the count that the handle owned.
            drop(unsafe { Arc::from_raw(handle) });
        }
    }
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

/// Runs `body` on a handle's session.
///
/// # Safety
/// As [`Handle::borrow`].
pub unsafe fn with_session<T>(
    handle: *mut Handle,
    body: impl FnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // SAFETY: as promised by the caller.
    let handle = unsafe { Handle::borrow(handle) }?;
    body(&handle.session)
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
