//! What is said of the library itself, and by it. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ffi::{CString, c_void};

use libc::{c_char, c_int};

use super::options::utf_8;
use super::status::{etcd_status, get, run_plain, text};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{self, Level};

/// The version of this header: major * 1,000,000 + minor * 1,000 + patch.
pub const ETCD_API_VERSION: i32 = 1_000;

/// What went wrong and was not told otherwise.
pub const ETCD_LOG_ERROR: i32 = 1;
/// What went wrong and was made good: connections lost, endpoints left, watches resumed.
pub const ETCD_LOG_WARNING: i32 = 2;
/// What happens seldom: connections made, logins.
pub const ETCD_LOG_INFO: i32 = 3;
/// Each attempt that is made again.
pub const ETCD_LOG_DEBUG: i32 = 4;

/// The version of the library that is running: "0.1.0".
///
/// Returns a string that lives for ever.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Whether the library that is running has all that a program needs which was built with a header of this version.
/// For bindings, when they load the library.
///
/// version: ETCD_API_VERSION of that header.
/// Does not block. Any thread.
/// Errors: ETCD_ERR_UNSUPPORTED: the library is older, or too new.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_version_check(version: i32) -> etcd_status {
    run_plain(|| {
        // Before 1.0 as well, what was there stays: a library is good for all headers of its major version up to its own.
        let same_major = version / 1_000_000 == ETCD_API_VERSION / 1_000_000;
        if version > 0 && same_major && version / 1_000 <= ETCD_API_VERSION / 1_000 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, format!("the library is of version {ETCD_API_VERSION}")))
    })
}

/// Whether the library can speak in this way: "grpc", "json", "mem", "tls", "unix".
///
/// Returns 1 or 0; 0 for NULL and for words that it does not know.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_has(feature: *const c_char) -> c_int {
    get(0, || {
        // SAFETY: as promised by the caller.
        let feature = unsafe { utf_8(feature, "feature") }?;
        Ok(["grpc", "json", "mem", "tls", "unix"].contains(&feature).into())
    })
}

/// Takes a line of the log. Called by any thread, also by several at once, and by those of the library, which is
/// why it must not call the library.
///
/// data: what was given to etcd_log_to(). level: ETCD_LOG_*.
/// line: UTF-8 without a newline; lives until it returns. Never a secret or a value.
pub type etcd_log_fn = Option<unsafe extern "C" fn(data: *mut c_void, level: i32, line: *const c_char)>;

/// Frees what a log was given, when no thread uses it any more.
pub type etcd_log_free_fn = Option<unsafe extern "C" fn(data: *mut c_void)>;

struct Callback {
    log: unsafe extern "C" fn(data: *mut c_void, level: i32, line: *const c_char),
    data: *mut c_void,
    free: etcd_log_free_fn,
}

// SAFETY: C promises that any thread may call it with its data.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: nobody calls it any more.
            unsafe { free(self.data) }
        }
    }
}

/// Lets a function take the log. Without it, there is one only if the environment variable ETCD_LOG is "error",
/// "warning", "info" or "debug": on stderr.
///
/// log: NULL ends it.
/// level: the least important that is wanted: ETCD_LOG_*.
/// data: handed to log. free: called with data when it is not used any more, maybe before this returns; or NULL.
/// Does not block. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT: there is no such level; free is not called then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_log_to(
    log: etcd_log_fn,
    level: i32,
    data: *mut c_void,
    free: etcd_log_free_fn,
) -> etcd_status {
    run_plain(|| {
        let Some(log) = log else {
            log::set(None);
            if let Some(free) = free {
                // SAFETY: nobody uses it.
                unsafe { free(data) }
            }
            return Ok(());
        };
        let level = level_of(level)?;
        let callback = Callback { log, data, free };
        let take = move |level: Level, line: &str| {
            let callback = &callback;
            let line: CString = text(line);
            // SAFETY: as promised by C, any thread may call it.
            unsafe { (callback.log)(callback.data, level as i32, line.as_ptr()) }
        };
        log::set(Some((level, Box::new(take))));
        Ok(())
    })
}

fn level_of(level: i32) -> Result<Level> {
    match level {
        ETCD_LOG_ERROR => Ok(Level::Error),
        ETCD_LOG_WARNING => Ok(Level::Warning),
        ETCD_LOG_INFO => Ok(Level::Info),
        ETCD_LOG_DEBUG => Ok(Level::Debug),
        _ => Err(Error::invalid(format!("{level} is no level of the log"))),
    }
}

/// Not in the header: lets a test see that a panic does not cross the boundary.
#[doc(hidden)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_test_panic(err: *mut *mut super::status::etcd_error) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { super::status::run(err, || panic!("on purpose")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_version_is_that_of_the_package() {
        let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse::<i32>().unwrap());
        let mut next = || parts.next().unwrap();
        assert_eq!(ETCD_API_VERSION, next() * 1_000_000 + next() * 1_000 + next());
    }

    #[test]
    fn a_library_is_good_for_what_was_built_before_it() {
        assert_eq!(etcd_version_check(ETCD_API_VERSION), 0);
        for bad in [0, -1, ETCD_API_VERSION + 1_000, ETCD_API_VERSION + 1_000_000, i32::MAX, i32::MIN] {
            assert_eq!(etcd_version_check(bad), super::super::status::ETCD_ERR_UNSUPPORTED, "{bad}");
        }
    }
}
