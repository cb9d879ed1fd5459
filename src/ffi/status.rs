//! Statuses and errors of the full tier. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ffi::{CStr, CString};
use std::ptr;

use libc::{c_char, c_int};

use super::guard::caught;
use super::handle::{self, Value};
use crate::client::retry;
use crate::error::{Error, Outcome, Result};

/// How a call of the full tier ended: 0 (ETCD_OK), or one of ETCD_ERR_*. A number never changes its meaning;
/// new ones may come.
pub type etcd_status = i32;

/// An argument, option or request that can't be right.
pub const ETCD_ERR_INVALID_ARGUMENT: i32 = 10;
/// The client or queue was closed.
pub const ETCD_ERR_CLOSED: i32 = 11;
/// It was canceled.
pub const ETCD_ERR_CANCELED: i32 = 12;
/// Nothing came in time.
pub const ETCD_ERR_TIMEOUT: i32 = 13;
/// Not built into this library, or not offered by this server.
pub const ETCD_ERR_UNSUPPORTED: i32 = 14;
/// The handle belongs to the process that this one was forked from.
pub const ETCD_ERR_FORKED: i32 = 15;
/// A bug in this library. Please report it.
pub const ETCD_ERR_PANIC: i32 = 16;
/// No memory, threads or file descriptors.
pub const ETCD_ERR_NO_RESOURCE: i32 = 17;
/// No server could be reached, or none can serve at the moment.
pub const ETCD_ERR_UNAVAILABLE: i32 = 30;
/// TLS failed: one side does not accept the other's certificate.
pub const ETCD_ERR_TLS: i32 = 31;
/// Something answered, but not as etcd does.
pub const ETCD_ERR_BAD_REPLY: i32 = 32;
/// The servers are not the cluster that the client began with, or were restored from a backup.
pub const ETCD_ERR_OTHER_CLUSTER: i32 = 33;
/// The asked history is compacted.
pub const ETCD_ERR_COMPACTED: i32 = 50;
/// The asked revision does not exist yet.
pub const ETCD_ERR_FUTURE_REVISION: i32 = 51;
/// Wrong or missing credentials.
pub const ETCD_ERR_UNAUTHENTICATED: i32 = 52;
/// The user may not do this.
pub const ETCD_ERR_PERMISSION_DENIED: i32 = 53;
/// The request or its answer is over a limit.
pub const ETCD_ERR_TOO_LARGE: i32 = 54;
/// The server's database is full.
pub const ETCD_ERR_NO_SPACE: i32 = 55;
/// There is no such lease (any more).
pub const ETCD_ERR_LEASE_NOT_FOUND: i32 = 56;
/// The server asks to slow down.
pub const ETCD_ERR_TOO_MANY_REQUESTS: i32 = 57;
/// The server refused for another reason; the message says which.
pub const ETCD_ERR_REFUSED: i32 = 58;
/// There is no such key, or no such item, where one was needed.
pub const ETCD_ERR_KEY_NOT_FOUND: i32 = 70;
/// The condition of a put or a deletion does not hold: nothing was done.
pub const ETCD_ERR_COMPARE_FAILED: i32 = 71;
/// A lock or leadership was lost.
pub const ETCD_ERR_LOST: i32 = 72;
/// Nobody holds the lock with this index or token.
pub const ETCD_ERR_NOT_HELD: i32 = 73;

/// All of them, with their names.
pub const NAMES: &[(i32, &CStr)] = &[
    (0, c"ETCD_OK"),
    (ETCD_ERR_INVALID_ARGUMENT, c"ETCD_ERR_INVALID_ARGUMENT"),
    (ETCD_ERR_CLOSED, c"ETCD_ERR_CLOSED"),
    (ETCD_ERR_CANCELED, c"ETCD_ERR_CANCELED"),
    (ETCD_ERR_TIMEOUT, c"ETCD_ERR_TIMEOUT"),
    (ETCD_ERR_UNSUPPORTED, c"ETCD_ERR_UNSUPPORTED"),
    (ETCD_ERR_FORKED, c"ETCD_ERR_FORKED"),
    (ETCD_ERR_PANIC, c"ETCD_ERR_PANIC"),
    (ETCD_ERR_NO_RESOURCE, c"ETCD_ERR_NO_RESOURCE"),
    (ETCD_ERR_UNAVAILABLE, c"ETCD_ERR_UNAVAILABLE"),
    (ETCD_ERR_TLS, c"ETCD_ERR_TLS"),
    (ETCD_ERR_BAD_REPLY, c"ETCD_ERR_BAD_REPLY"),
    (ETCD_ERR_OTHER_CLUSTER, c"ETCD_ERR_OTHER_CLUSTER"),
    (ETCD_ERR_COMPACTED, c"ETCD_ERR_COMPACTED"),
    (ETCD_ERR_FUTURE_REVISION, c"ETCD_ERR_FUTURE_REVISION"),
    (ETCD_ERR_UNAUTHENTICATED, c"ETCD_ERR_UNAUTHENTICATED"),
    (ETCD_ERR_PERMISSION_DENIED, c"ETCD_ERR_PERMISSION_DENIED"),
    (ETCD_ERR_TOO_LARGE, c"ETCD_ERR_TOO_LARGE"),
    (ETCD_ERR_NO_SPACE, c"ETCD_ERR_NO_SPACE"),
    (ETCD_ERR_LEASE_NOT_FOUND, c"ETCD_ERR_LEASE_NOT_FOUND"),
    (ETCD_ERR_TOO_MANY_REQUESTS, c"ETCD_ERR_TOO_MANY_REQUESTS"),
    (ETCD_ERR_REFUSED, c"ETCD_ERR_REFUSED"),
    (ETCD_ERR_KEY_NOT_FOUND, c"ETCD_ERR_KEY_NOT_FOUND"),
    (ETCD_ERR_COMPARE_FAILED, c"ETCD_ERR_COMPARE_FAILED"),
    (ETCD_ERR_LOST, c"ETCD_ERR_LOST"),
    (ETCD_ERR_NOT_HELD, c"ETCD_ERR_NOT_HELD"),
];

/// Why a call failed. Plain memory of its own: any thread may read it, also after everything else was freed.
pub struct etcd_error {
    _private: [u8; 0],
}

/// An error in C's hands.
pub(crate) struct ErrorValue {
    pub error: Error,
    message: CString,
    endpoint: Option<CString>,
}

impl Value for ErrorValue {
    type C = etcd_error;
    const KIND: u64 = 0x6574_6364_0000_0001;
    const NAME: &'static str = "error";
}

impl ErrorValue {
    pub fn new(error: Error) -> Self {
        let endpoint = error.endpoint().map(text);
        ErrorValue { message: text(&error.to_string()), endpoint, error }
    }
}

/// Without NUL bytes, which no text of ours has.
pub fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

/// The number that C sees.
pub fn status_of(error: &Error) -> etcd_status {
    error.kind() as i32
}

/// Runs the body of an exported function: its status, with the details where C wants them.
///
/// # Safety
/// `details` is NULL or can be written to.
pub unsafe fn run(details: *mut *mut etcd_error, body: impl FnOnce() -> Result<()>) -> etcd_status {
    let result = caught(body);
    let (status, error) = match result {
        Ok(()) => (0, ptr::null_mut()),
        Err(error) if details.is_null() => (status_of(&error), ptr::null_mut()),
        Err(error) => (status_of(&error), handle::to_c(ErrorValue::new(error))),
    };
    if !details.is_null() {
        // SAFETY: as promised by the caller.
        unsafe { details.write(error) };
    }
    status
}

/// The same for a function that tells no details.
pub fn run_plain(body: impl FnOnce() -> Result<()>) -> etcd_status {
    caught(body).map_or_else(|error| status_of(&error), |()| 0)
}

/// The same for a getter: what it finds, or `otherwise`.
pub fn get<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    caught(body).unwrap_or(otherwise)
}

/// The name of a status: "ETCD_ERR_TIMEOUT".
///
/// Returns a string that lives for ever; "ETCD_ERR_?" for a number that this version does not know.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_status_name(status: etcd_status) -> *const c_char {
    let found = NAMES.iter().find(|(number, _)| *number == status);
    found.map_or(c"ETCD_ERR_?", |(_, name)| *name).as_ptr()
}

/// The status that the failed call returned.
///
/// error: NULL gives 0 (ETCD_OK), as for every getter of an error: 0 or NULL.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_code(error: *const etcd_error) -> etcd_status {
    // SAFETY: as promised by the caller.
    get(0, || Ok(status_of(&unsafe { handle::value::<ErrorValue>(error) }?.error)))
}

/// What failed, where, why, and what to do next, in one line of UTF-8. Never a secret or a value.
///
/// Returns a string that lives as long as the error.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_message(error: *const etcd_error) -> *const c_char {
    // SAFETY: as promised by the caller.
    get(ptr::null(), || Ok(unsafe { handle::value::<ErrorValue>(error) }?.message.as_ptr()))
}

/// The endpoint at which it failed.
///
/// Returns a string that lives as long as the error; NULL when no endpoint was involved.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_endpoint(error: *const etcd_error) -> *const c_char {
    get(ptr::null(), || {
        // SAFETY: as promised by the caller.
        let error = unsafe { handle::value::<ErrorValue>(error) }?;
        Ok(error.endpoint.as_ref().map_or(ptr::null(), |endpoint| endpoint.as_ptr()))
    })
}

/// The server's own number for it: gRPC's status code. 0 when no server said it.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_server_code(error: *const etcd_error) -> i32 {
    // SAFETY: as promised by the caller.
    get(0, || Ok(unsafe { handle::value::<ErrorValue>(error) }?.error.server_code()))
}

/// Of ETCD_ERR_COMPACTED: the oldest revision that is still kept. 0 where it is not known.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_compact_revision(error: *const etcd_error) -> i64 {
    // SAFETY: as promised by the caller.
    get(0, || Ok(unsafe { handle::value::<ErrorValue>(error) }?.error.compact_revision().unwrap_or(0)))
}

/// Whether the same may succeed later, and trying again can do no harm: 1 or 0. It is 0 for what somebody has to mend
/// first, as a certificate or an address.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_is_retriable(error: *const etcd_error) -> c_int {
    get(0, || {
        // SAFETY: as promised by the caller.
        let error = &unsafe { handle::value::<ErrorValue>(error) }?.error;
        Ok(retry::is_worth_another_call(error).into())
    })
}

/// Whether something that changes keys or leases was sent and not properly answered, so that it may have been
/// done, or may be done later: 1 or 0. Read before trying again.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_is_outcome_unknown(error: *const etcd_error) -> c_int {
    get(0, || {
        // SAFETY: as promised by the caller.
        let error = &unsafe { handle::value::<ErrorValue>(error) }?.error;
        Ok((error.outcome() == Outcome::Unknown).into())
    })
}

/// Frees an error. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_error_free(error: *mut etcd_error) {
    // SAFETY: as promised by the caller.
    unsafe { handle::free::<ErrorValue>(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_kind_of_error_has_its_own_name() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|(_, name)| name).collect();
        let numbers: std::collections::BTreeSet<_> = NAMES.iter().map(|(number, _)| number).collect();
        assert_eq!((names.len(), numbers.len()), (NAMES.len(), NAMES.len()));
        for kind in ErrorKind::ALL {
            let (_, name) = NAMES.iter().find(|(number, _)| *number == *kind as i32).expect("it has a name");
            let wanted = format!("ETCD_ERR_{}", screaming(&format!("{kind:?}")));
            assert_eq!(name.to_str().unwrap(), wanted);
        }
        assert_eq!(NAMES.len(), ErrorKind::ALL.len() + 1);
    }

    fn screaming(name: &str) -> String {
        let mut out = String::new();
        for (at, letter) in name.char_indices() {
            if at > 0 && letter.is_uppercase() {
                out.push('_');
            }
            out.extend(letter.to_uppercase());
        }
        out
    }
}
