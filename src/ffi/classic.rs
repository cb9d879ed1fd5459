//! The eleven functions of 2013. Their comments are the header's: what a caller must see to stands there.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ptr;
use std::time::Duration;

use libc::{c_char, c_int, c_uint, c_ushort};

use super::errno::Failure;
use super::guard::{guard, optional, register, required, to_c, unregister, with_session};
use super::types::{etcd_result, etcd_server, etcd_session};
use crate::classic::{Change, Session};
use crate::error::Error;
use crate::options::Options;
use crate::wait::Deadline;

/// How long a close waits for threads, so that none is left where a program ends, or unloads the library.
const PARTING: Duration = Duration::from_millis(250);

/// Opens a session with the servers of an array. Contacts nobody: a server that is not there is found out
/// by the first call that needs it. Servers are tried one after the other until one answers, beginning
/// with the one that answered last.
///
/// server_list: ends with an entry whose host is NULL. Copied: it may be changed or freed at once. NULL is an
///   error; an empty list is not, but every call on its session fails with EINVAL.
/// Returns a session for etcd_close(), or NULL.
/// Does not block. Any thread.
/// Errors: EINVAL, ENOTSUP, ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_open(server_list: *const etcd_server) -> etcd_session {
    let body = || {
        if server_list.is_null() {
            return Err(Error::invalid("the list of servers is NULL").into());
        }
        let mut words = Vec::new();
        let mut server = server_list;
        // SAFETY: the list ends with a NULL host, which `optional` tells.
        while let Some(host) = unsafe { optional((*server).host) } {
            // SAFETY: this entry was not the last one, so there is a next.
            let (port, next) = unsafe { ((*server).port, server.add(1)) };
            if host.is_empty() {
                return Err(Error::invalid("a host is empty").into());
            }
            words.push(endpoint(host, port));
            server = next;
        }
        open(words.join(","))
    };
    guard(body, |_| ptr::null_mut())
}

/// Opens a session with the servers named in a string. Otherwise as etcd_open().
///
/// server_names: host, host:port, [IPv6]:port, http://host:port or unix://PATH, separated by commas,
///   semicolons or white space; or mem://NAME alone, the store inside this library, which all sessions of
///   the process that name the same NAME share (mem:// is the session's own). Copied. NULL, a string that
///   names no server and one that names an impossible one are errors.
/// Returns a session for etcd_close(), or NULL.
/// Does not block. Any thread.
/// Errors: EINVAL, ENOTSUP, ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_open_str(server_names: *const c_char) -> etcd_session {
    let body = || {
        // SAFETY: as promised by the caller.
        let names = unsafe { required(server_names, "list of servers") }?;
        let names = String::from_utf8_lossy(names).into_owned();
        let separators = |c: char| c == ',' || c == ';' || c.is_ascii_whitespace();
        if names.trim_matches(separators).is_empty() {
            return Err(Error::invalid("the list names no server").into());
        }
        open(names)
    };
    guard(body, |_| ptr::null_mut())
}

/// Closes a session and frees it. Calls that other threads have in progress on it end at once with ECANCELED
/// (one that is just connecting may take ETCD_API_CONNECT_TIMEOUT_MS); whether a change that they had sent was
/// made is then unknown. A waiting etcd_lock() first leaves its queue, for which it asks a server once more.
/// Locks and keys with a TTL stay until that is over.
///
/// session: NULL is fine and does nothing, and so does closing a session again. Calls that begin on it later
///   fail with EBADF, so a loop in another thread may be ended in this way.
/// Waits for a moment (250 ms at most) for the library's threads, not for servers. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_close(session: etcd_session) {
    let body = || {
        if let Some(session) = unregister(session) {
            session.close();
            session.client().end_threads(Deadline::after(PARTING));
        }
        Ok(())
    };
    guard(body, |_| ())
}

/// The same as etcd_close(); either closes any session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_close_str(session: etcd_session) {
    // SAFETY: as promised by the caller.
    unsafe { etcd_close(session) }
}

/// Reads a key, or lists a directory.
///
/// key: taken as it is: "foo" and "/foo" are two keys. One that ends with a slash is its own directory.
///   NULL and "" are errors.
/// Returns a string for free(): the key's value; when there is no such key, the full keys of the immediate
///   children below KEY/, each once, in byte order, directories without a trailing slash, joined by newlines
///   (children without a name, as in "KEY//x", are left out).
///   NULL when there is neither (ENOENT), and on errors.
/// Blocks until the answer, at most for the request timeout. Any thread.
/// Errors: EINVAL, ENOENT, EILSEQ, and those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_get(session: etcd_session, key: *const c_char) -> *mut c_char {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        let key = required(key, "key")?;
        with_session(session, |session| match session.get(key)? {
            Some(value) => to_c(&value),
            None => Err(Failure::not_in_c(libc::ENOENT)),
        })
    };
    guard(body, |_| ptr::null_mut())
}

/// Waits for a change of a key or of anything below it. To see every change once and in order, start with
/// an index (or NULL), then always ask with the returned index + 1, with the same prefix and session: changes
/// that share one index (those of one transaction, keys that expire together) then come one by one, each
/// with that index. Between the calls nothing is missed, also when servers restart.
///
/// prefix: sees the key PREFIX and all below PREFIX/ (below PREFIX if it ends with a slash), but not other
///   keys that begin alike. NULL and "" are errors.
/// keyp: NULL, or set to the changed key, for free().
/// valuep: NULL, or set to its new value, for free(); to NULL when the key was deleted or expired.
/// index_in: NULL or pointing to 0: the next change from now on; else the index to start at, which may be in
///   the past or the future. A negative one is an error.
/// index_out: NULL, or set to the change's index. May be the same as index_in.
///   Of these, nothing is written unless ETCD_OK is returned, except *index_out with EILSEQ.
/// Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ERANGE when the changes from that index on are not kept any more
///   (read, then start anew), with EOVERFLOW when the index does not fit an int, and with EILSEQ when the key or
///   value holds a NUL byte (*index_out is set, so that the loop can go on); ETCD_WTF.
/// Blocks for as long as it takes, through any outage once a server has answered; etcd_close() on another
///   thread ends it. Any thread; several threads that watch the same prefix each see all changes. Loops on the
///   same prefix that share a thread, or run on a pool of threads, want a session each.
/// Errors: EINVAL, ERANGE, EOVERFLOW, EILSEQ, ECANCELED, and at the first call those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_watch(
    session: etcd_session,
    prefix: *const c_char,
    keyp: *mut *mut c_char,
    valuep: *mut *mut c_char,
    index_in: *mut c_int,
    index_out: *mut c_int,
) -> etcd_result {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        let prefix = required(prefix, "prefix")?;
        let start = match index_in.as_ref() {
            Some(&index) if index < 0 => return Err(Error::invalid("the index is negative").into()),
            Some(&index) => Some(i64::from(index)),
            None => None,
        };
        with_session(session, |session| {
            let change = session.watch(prefix, start, Deadline::NEVER)?;
            hand_out(&change, keyp, valuep, index_out)
        })
    };
    guard(body, |failure| failure.result)
}

/// Writes a change to the places that C wants it in, each of them NULL or writable.
unsafe fn hand_out(
    change: &Change,
    keyp: *mut *mut c_char,
    valuep: *mut *mut c_char,
    index_out: *mut c_int,
) -> Result<etcd_result, Failure> {
    let index = c_int::try_from(change.index).map_err(|_| Failure::not_in_c(libc::EOVERFLOW))?;
    // SAFETY: as promised by the caller; both strings exist before anything is written.
    unsafe {
        let strings = Strings::of(change);
        if let Err(Failure { errno: libc::EILSEQ, .. }) | Ok(_) = &strings
            && !index_out.is_null()
        {
            *index_out = index;
        }
        let strings = strings?;
        strings.give(keyp, valuep);
    }
    Ok(etcd_result::ETCD_OK)
}

/// A change's two C strings.
struct Strings {
    key: *mut c_char,
    value: *mut c_char,
}

impl Strings {
    fn of(change: &Change) -> Result<Self, Failure> {
        let mut strings = Strings { key: to_c(&change.key)?, value: ptr::null_mut() };
        if let Some(value) = &change.value {
            strings.value = to_c(value)?;
        }
        Ok(strings)
    }

    /// To places that are NULL or writable.
    unsafe fn give(mut self, keyp: *mut *mut c_char, valuep: *mut *mut c_char) {
        // SAFETY: as promised by the caller.
        unsafe {
            if !keyp.is_null() {
                *keyp = std::mem::replace(&mut self.key, ptr::null_mut());
            }
            if !valuep.is_null() {
                *valuep = std::mem::replace(&mut self.value, ptr::null_mut());
            }
        }
    }
}

impl Drop for Strings {
    fn drop(&mut self) {
        // SAFETY: what was not given away is still this one's, from malloc or NULL.
        unsafe {
            libc::free(self.key.cast());
            libc::free(self.value.cast());
        }
    }
}

/// Sets a key.
///
/// key: as in etcd_get().
/// value: NULL deletes the key, as etcd_delete() does (with precond: only if it has that value).
/// precond: NULL, or the value that the key must have for this to be done; the key must exist then.
/// ttl: seconds after which the key goes away, 0 for never. etcd's least is 2 with its default settings:
///   a smaller TTL lasts that long.
/// Returns ETCD_OK; ETCD_PROTOCOL_ERROR when the key has another value (ESTALE) or does not exist (ENOENT), or
///   the server refused; ETCD_WTF.
/// Blocks until the answer, at most for the request timeout a round trip: one, and one each for the lease of
///   a ttl that begins and of one that ends. Any thread.
///   A set that may have reached a server is never sent a second time.
/// Errors: EINVAL, ENOENT, ESTALE, EMSGSIZE, ENOSPC, and those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_set(
    session: etcd_session,
    key: *const c_char,
    value: *const c_char,
    precond: *const c_char,
    ttl: c_uint,
) -> etcd_result {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        let (key, value, precond) = (required(key, "key")?, optional(value), optional(precond));
        with_session(session, |session| {
            match value {
                Some(value) => session.set(key, value, precond, ttl)?,
                None => session.delete(key, precond)?,
            };
            Ok(etcd_result::ETCD_OK)
        })
    };
    guard(body, |failure| failure.result)
}

/// Deletes a key (not what is below it).
///
/// key: as in etcd_get().
/// Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ENOENT when there is no such key; ETCD_WTF.
/// Blocks until the answer, at most for the request timeout, twice if the key has a ttl. Any thread.
/// Errors: EINVAL, ENOENT, and those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_delete(session: etcd_session, key: *const c_char) -> etcd_result {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        let key = required(key, "key")?;
        with_session(session, |session| {
            session.delete(key, None)?;
            Ok(etcd_result::ETCD_OK)
        })
    };
    guard(body, |failure| failure.result)
}

/// Tells which member leads the cluster.
///
/// Returns its name (its id in hex when it has none) as a string for free(), or NULL.
/// Blocks until the answer, at most for the request timeout. Any thread.
/// Errors: EINVAL, and those of the connection; EHOSTUNREACH also while the cluster has no leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_leader(session: etcd_session) -> *mut c_char {
    // SAFETY: as promised by the caller.
    let body = || with_session(session, |session| to_c(session.leader()?.as_bytes()));
    guard(body, |_| ptr::null_mut())
}

/// Waits for a lock, or renews one. The lock is held for ttl seconds and ends by itself unless it is renewed.
/// Whoever asks first gets it first, in one queue with `etcdctl lock` and etcd's Go library.
///
/// A holder that was stopped for longer than its ttl is not told; the index, which grows with every new
/// holder, is there to have its late writes refused.
///
/// key: the lock's name. NULL and "" are errors. Its queue is the keys NAME/ + up to 16 hex digits that have a
///   TTL, so nothing else should have such a key; other data below NAME/ is in nobody's way.
/// ttl: seconds from the moment at which this returns; 0 is an error. etcd's least is 2 with its default
///   settings: a smaller TTL lasts that long.
/// index_in: NULL to take the lock; else the index of a lock that this or another process holds or waits
///   for, to start its TTL anew or give it another one.
///   Anything but such an index is refused with ESTALE.
/// index_out: set to the lock's index, decimal digits, for free(), when ETCD_OK is returned; to NULL
///   when renewing, and on failure. NULL is an error when taking, allowed when renewing.
/// Returns ETCD_OK; ETCD_PROTOCOL_ERROR when the index is not in this lock's queue (any more), or, when taking,
///   when the place in the queue is gone: taken out by somebody, or ended with an outage of the servers that
///   was longer than ttl (ESTALE); ETCD_WTF.
/// Taking blocks for as long as others hold the lock; once it is queued, also through outages. etcd_close() on
///   another thread ends it, and then the queue is left. Renewing blocks for a few round trips, at most the
///   request timeout each. Any thread; several may wait for the same lock.
/// Errors: EINVAL, ESTALE, ECANCELED, and those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_lock(
    session: etcd_session,
    key: *const c_char,
    ttl: c_uint,
    index_in: *const c_char,
    index_out: *mut *mut c_char,
) -> etcd_result {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        if !index_out.is_null() {
            *index_out = ptr::null_mut();
        }
        let (key, index) = (required(key, "key")?, optional(index_in));
        with_session(session, |session| {
            match index {
                Some(index) => session.renew(key, ttl, index)?,
                None if index_out.is_null() => {
                    return Err(Error::invalid("index_out is NULL: the lock could not be released").into());
                }
                None => *index_out = take(session, key, ttl)?,
            }
            Ok(etcd_result::ETCD_OK)
        })
    };
    guard(body, |failure| failure.result)
}

fn take(session: &Session, name: &[u8], ttl: c_uint) -> Result<*mut c_char, Failure> {
    let place = session.lock(name, ttl, Deadline::NEVER)?;
    to_c(place.token.to_string().as_bytes())
}

/// Releases a lock, or takes a waiting index out of its queue. The next in the queue then holds it.
///
/// key: the lock's name. NULL and "" are errors.
/// index: as etcd_lock() gave it, to this or another process. NULL is an error.
/// Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ESTALE when the index is not in this lock's queue (any more), which
///   also means that it is not held; ETCD_WTF.
/// Blocks for a few round trips, at most the request timeout each. Any thread.
/// Errors: EINVAL, ESTALE, and those of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_unlock(
    session: etcd_session,
    key: *const c_char,
    index: *const c_char,
) -> etcd_result {
    // SAFETY: as promised by the caller.
    let body = || unsafe {
        let (key, index) = (required(key, "key")?, required(index, "index")?);
        with_session(session, |session| {
            session.unlock(key, index)?;
            Ok(etcd_result::ETCD_OK)
        })
    };
    guard(body, |failure| failure.result)
}

fn open(endpoints: String) -> Result<etcd_session, Failure> {
    let options = Options { endpoints, ..Options::from_env()? };
    Ok(register(Session::open(options)?))
}

/// An entry of the old array as an endpoint is written today.
fn endpoint(host: &[u8], port: c_ushort) -> String {
    let host = String::from_utf8_lossy(host);
    if host.contains("://") {
        return host.into_owned();
    }
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    let host = if is_bare_v6 { format!("[{host}]") } else { host.into_owned() };
    if port == 0 { host } else { format!("{host}:{port}") }
}
