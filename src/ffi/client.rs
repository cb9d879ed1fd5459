//! Clients of the full tier, and calls that wait. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::guard::{register, unregister};
use super::handle::{self, Shared, Table};
use super::options::{OptionsValue, etcd_options};
use super::reply::{ReplyValue, etcd_reply};
use super::request::{RequestValue, Wanted, etcd_request};
use super::status::{etcd_error, etcd_status, get, run};
use super::types::etcd_client;
use crate::classic::Session;
use crate::client::{Client, Counted};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::wait::{Cancel, Deadline};

/// Connections made so far: one or two for each endpoint that was used, more when they broke; by JSON, one for each
/// call and watch of the same time.
pub const ETCD_COUNTER_CONNECTIONS: i32 = 1;
/// Attempts that were made again, on the same endpoint or another one.
pub const ETCD_COUNTER_RETRIES: i32 = 2;
/// Watches whose stream broke, and that went on.
pub const ETCD_COUNTER_WATCHES_RESUMED: i32 = 3;
/// Watches that waited for room in a queue.
pub const ETCD_COUNTER_WATCHES_PARKED: i32 = 4;
/// Holds that were lost.
pub const ETCD_COUNTER_HOLDS_LOST: i32 = 5;
/// Submitted operations and watches that have not ended.
pub const ETCD_COUNTER_OPEN: i32 = 6;

/// Ends calls that wait, from another thread. Once triggered, for good.
pub struct etcd_cancel {
    _private: [u8; 0],
}

struct CancelHandle(Cancel);

impl Shared for CancelHandle {
    const KIND: usize = 3;
    const NAME: &'static str = "cancel handle";
    fn table() -> &'static Table<Self> {
        static CANCELS: Table<CancelHandle> = Table::new();
        &CANCELS
    }
}

/// A timeout as C gives it: -1 for none, 0 for no wait at all.
pub fn deadline(timeout_ms: i64) -> Result<Deadline> {
    match timeout_ms {
        -1 => Ok(Deadline::NEVER),
        0.. => Ok(Deadline::after(Duration::from_millis(timeout_ms as u64))),
        _ => Err(Error::invalid(format!("the timeout is negative: {timeout_ms}"))),
    }
}

/// The same for a call: on an embedded store, which answers at once, no clock need be read.
pub fn deadline_for(client: &Client, timeout_ms: i64) -> Result<Deadline> {
    if client.is_embedded() && timeout_ms >= 0 { Ok(Deadline::NEVER) } else { deadline(timeout_ms) }
}

/// The client behind a handle.
pub fn client(handle: *mut etcd_client) -> Result<Client> {
    Ok(handle::find::<Session>(handle as usize)?.client().clone())
}

/// The cancel token behind a handle, which may be NULL.
pub fn token(handle: *mut etcd_cancel) -> Result<Cancel> {
    if handle.is_null() {
        return Ok(Cancel::NEVER.clone());
    }
    Ok(handle::find::<CancelHandle>(handle as usize)?.0.clone())
}

/// Where something made goes.
///
/// # Errors
/// `InvalidArgument` for NULL.
///
/// # Safety
/// `out` is NULL or can be written to.
pub unsafe fn place<'a, T>(out: *mut *mut T) -> Result<&'a mut *mut T> {
    // SAFETY: as promised by the caller.
    let place = unsafe { out.as_mut() }.ok_or_else(|| Error::invalid("the place for the result is NULL"))?;
    *place = ptr::null_mut();
    Ok(place)
}

/// Opens a client. Contacts nobody: a server that is not there is found out by the first call that needs it, whose
/// error says which endpoints were tried, and what each one said. The handle is an etcd_session, too: the classic
/// functions take it.
///
/// options: copied; NULL for what the environment says.
/// out: the client, for etcd_client_close() or etcd_client_free().
/// err: where the details go, or NULL; for etcd_error_free(). The same wherever it appears: what it points to is
///   overwritten, with NULL on success.
/// Does not block, but reads the files that the options name. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT (also: a file that can't be read), ETCD_ERR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_client_open(
    options: *const etcd_options,
    out: *mut *mut etcd_client,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let options = if options.is_null() {
                Options::from_env()?
            } else {
                let given = handle::value::<OptionsValue>(options)?;
                given.fault.clone().map_or_else(|| Ok(given.options.clone()), Err)?
            };
            if options.endpoints.trim().is_empty() {
                return Err(Error::invalid(
                    "no endpoints: set the option \"endpoints\" or ETCD_API_ENDPOINTS",
                ));
            }
            *out = register(Session::open(options)?);
            Ok(())
        })
    }
}

/// Closes a client gracefully: takes nothing new, waits until what was submitted has ended, ends watches, and
/// waits until all threads that the library has started for it are gone. (A store behind mem:// has one of its own,
/// which ends with the last who uses the store.) What has not ended in time ends with ETCD_ERR_CLOSED.
///
/// client: NULL is fine. Afterwards it is no client any more, whatever this returns: every other call fails with
///   ETCD_ERR_CLOSED, freeing it does nothing.
/// timeout_ms: -1: as long as it takes.
/// Blocks, at most for the timeout. Any thread.
/// Errors: ETCD_ERR_TIMEOUT: something had to be cut off, or a thread is not gone yet. ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_client_close(
    client: *mut etcd_client,
    timeout_ms: i64,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            if client.is_null() {
                return Ok(());
            }
            let session = unregister(client).ok_or_else(|| handle::missing::<Session>(client as usize))?;
            match deadline(timeout_ms) {
                Ok(deadline) => session.client().shut_down(deadline),
                // It is no client any more whatever this returns.
                Err(error) => {
                    session.close();
                    Err(error)
                }
            }
        })
    }
}

/// Closes a client without waiting: calls in progress on other threads return with ETCD_ERR_CLOSED, every tag that is
/// open ends with it. What came from the client (replies, events, errors) stays as it is.
///
/// client: NULL is fine and does nothing, and so does one that was closed, or inherited by a fork.
/// Does not block. Any thread, in any order with whatever belongs to the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_client_free(client: *mut etcd_client) {
    get((), || {
        if let Some(session) = unregister(client) {
            session.close();
        }
        Ok(())
    });
}

/// What a client has been through, in numbers that only grow (but for ETCD_COUNTER_OPEN).
///
/// counter: ETCD_COUNTER_*.
/// Returns the number; -1 for a counter that this version does not have, and for what is no client.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_client_counter(client: *mut etcd_client, counter: i32) -> i64 {
    get(-1, || {
        let counted = match counter {
            ETCD_COUNTER_CONNECTIONS => Counted::Connections,
            ETCD_COUNTER_RETRIES => Counted::Retries,
            ETCD_COUNTER_WATCHES_RESUMED => Counted::WatchesResumed,
            ETCD_COUNTER_WATCHES_PARKED => Counted::WatchesParked,
            ETCD_COUNTER_HOLDS_LOST => Counted::HoldsLost,
            ETCD_COUNTER_OPEN => Counted::Open,
            _ => return Ok(-1),
        };
        Ok(self::client(client)?.counter(counted) as i64)
    })
}

/// A cancel handle that is not triggered.
///
/// Returns a handle for etcd_cancel_free().
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_cancel_new() -> *mut etcd_cancel {
    get(ptr::null_mut(), || Ok(handle::give(CancelHandle(Cancel::new())) as *mut etcd_cancel))
}

/// Ends all calls that were given this handle, now and from now on, with ETCD_ERR_CANCELED.
///
/// cancel: NULL is fine and does nothing.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_cancel_trigger(cancel: *mut etcd_cancel) {
    get((), || {
        token(cancel)?.trigger();
        Ok(())
    });
}

/// Frees a cancel handle. Calls that were given it go on, and can't be ended by it any more. NULL is fine and does
/// nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_cancel_free(cancel: *mut etcd_cancel) {
    get((), || {
        drop(handle::take::<CancelHandle>(cancel as usize));
        Ok(())
    });
}

/// Runs a request and waits for its answer.
///
/// client, request: the request may be run by many threads at once.
/// timeout_ms: until then there is an answer or an error, whatever servers do. -1: as long as the
///   client's option request_timeout_ms says. 0: only what needs no waiting (the store inside this library)
///   succeeds.
/// cancel: ends the call from another thread; NULL: nothing does but closing the client.
/// out: the reply, for etcd_reply_free(); NULL: it is not wanted.
/// Blocks until the answer, at most for the timeout. Any thread.
/// Errors: all of them. etcd_error_is_outcome_unknown() tells whether a change may have been made all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_call(
    client: *mut etcd_client,
    request: *const etcd_request,
    timeout_ms: i64,
    cancel: *mut etcd_cancel,
    out: *mut *mut etcd_reply,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            if let Some(out) = out.as_mut() {
                *out = ptr::null_mut();
            }
            let session = handle::find::<Session>(client as usize)?;
            let client = session.client();
            let operation = match handle::value::<RequestValue>(request)?.wanted()? {
                Wanted::Operation(operation) => operation,
                Wanted::Watch(..) | Wanted::Observe(_) => {
                    return Err(Error::invalid("it has no end: etcd_submit() or etcd_watcher_open()"));
                }
                Wanted::Lock(_) => return Err(Error::invalid("a lock: etcd_acquire() or etcd_submit()")),
            };
            let token = token(cancel)?;
            let answer = client.run(operation, deadline_for(client, timeout_ms)?, &token)?;
            if let Some(out) = out.as_mut() {
                *out = handle::to_c(ReplyValue::from(answer));
            }
            Ok(())
        })
    }
}

/// Reads a large range a page at a time, all of it as it was when the first page was read.
pub struct etcd_pages {
    _private: [u8; 0],
}

struct PagesHandle(std::sync::Mutex<crate::client::Pages>);

impl Shared for PagesHandle {
    const KIND: usize = 5;
    const NAME: &'static str = "pages";
    fn table() -> &'static Table<Self> {
        static PAGES: Table<PagesHandle> = Table::new();
        &PAGES
    }
}

/// Begins to read a range in pages. Contacts nobody yet.
///
/// client, request: a get of many keys, in the order of their names; copied. Its limit is the size of a page; 0: 1000.
/// out: the pages, for etcd_pages_free().
/// Does not block. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT (also: a get that sorts or counts), ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_pages_open(
    client: *mut etcd_client,
    request: *const etcd_request,
    out: *mut *mut etcd_pages,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let client = self::client(client)?;
            let wanted = handle::value::<RequestValue>(request)?.wanted()?;
            let pages = match wanted {
                Wanted::Operation(operation) => client.pages(operation)?,
                _ => return Err(Error::invalid("only a get has pages")),
            };
            *out = handle::give(PagesHandle(std::sync::Mutex::new(pages))) as *mut etcd_pages;
            Ok(())
        })
    }
}

/// Reads the next page.
///
/// timeout_ms, cancel: as in etcd_call().
/// out: the reply, for etcd_reply_free(); NULL when there are no more keys. Its count and revision are those of
///   the whole range.
/// Blocks until the answer, at most for the timeout. One thread at a time; another one waits.
/// Errors: as etcd_call(); after one, the same page is read again by the next call. ETCD_ERR_COMPACTED: the
///   revision that the pages are of is gone meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_pages_next(
    pages: *mut etcd_pages,
    timeout_ms: i64,
    cancel: *mut etcd_cancel,
    out: *mut *mut etcd_reply,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let pages: Arc<PagesHandle> = handle::find(pages as usize)?;
            let mut pages = crate::wait::lock(&pages.0);
            if let Some(answer) = pages.next(deadline(timeout_ms)?, &token(cancel)?)? {
                *out = handle::to_c(ReplyValue::from(answer));
            }
            Ok(())
        })
    }
}

/// Frees pages. Replies stay. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_pages_free(pages: *mut etcd_pages) {
    get((), || {
        drop(handle::take::<PagesHandle>(pages as usize));
        Ok(())
    });
}
