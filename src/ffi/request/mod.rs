//! Requests: what is wanted, as values. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

mod draft;
pub mod fields;

use self::draft::{Conditions, Draft, Extent};
pub(crate) use self::draft::{RequestValue, Wanted};
pub use self::fields::*;
use super::handle;
use super::status::{etcd_status, run_plain};
use crate::client::WatchMode;
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::options::Secret;

/// What is wanted. One thread builds it; once it was run or submitted it must not be changed, and any number of
/// threads may run it any number of times, at once. A constructor that was given nonsense keeps the fault, and
/// running the request reports it: so building needs no checks. So does a request that was run and is changed then: it
/// is refused, and from then on every run of that request, too.
pub struct etcd_request {
    _private: [u8; 0],
}

/// More than this no server is ever asked: an answer could not be told from a crash for want of memory.
const LONGEST: usize = 1 << 30;

/// Bytes that C gives.
///
/// # Errors
/// `InvalidArgument` for NULL with a length, `TooLarge`.
///
/// # Safety
/// `data` has `len` bytes, or is NULL.
pub unsafe fn bytes<'a>(data: *const u8, len: usize, name: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::invalid(format!("the {name} is NULL, but {len} bytes long")));
    }
    if len >= LONGEST {
        return Err(Error::new(ErrorKind::TooLarge, format!("the {name} has {len} bytes")));
    }
    // SAFETY: as promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// A request, or one that keeps what was wrong with its making.
pub(crate) fn begun_with(made: Result<RequestValue>) -> *mut etcd_request {
    handle::to_c(made.unwrap_or_else(RequestValue::faulty))
}

/// A request that was begun with these bytes, or that keeps what is wrong with them.
fn begun(given: Result<Draft>) -> *mut etcd_request {
    begun_with(given.map(RequestValue::new))
}

unsafe fn key<'a>(key: *const u8, len: usize) -> Result<&'a [u8]> {
    // SAFETY: as promised by the caller.
    unsafe { bytes(key, len, "key") }
}

/// Reads a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many.
///
/// key: its bytes, copied. NULL is fine when key_len is 0. An empty key is no key: only a prefix may be empty.
/// Returns a request for etcd_request_free(). Its reply has the keys; a key that does not exist is success
///   with no keys.
/// Does not block. Any thread, as for every constructor of a request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_get(key: *const u8, key_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let key = unsafe { self::key(key, key_len) };
    begun(key.map(|key| Draft::Get(RangeRequest::new(KeyRange::key(key)))))
}

/// Writes a key.
///
/// key, value: their bytes, copied. NULL is fine where the length is 0.
/// Returns a request for etcd_request_free(). Its reply has what was there before, if that is asked for
///   (ETCD_FIELD_RETURN_PREVIOUS, etcd_reply_previous()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_put(
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let given =
        unsafe { self::key(key, key_len).and_then(|key| Ok((key, bytes(value, value_len, "value")?))) };
    begun(given.map(|(key, value)| Draft::Put {
        put: PutRequest::new(key, value),
        when: Conditions::default(),
        ttl: 0,
    }))
}

/// Deletes a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many.
///
/// key: as in etcd_request_get().
/// Returns a request for etcd_request_free(). Its reply counts the keys that were deleted, and has them if
///   that is asked for. That there was none is success. The conditions (ETCD_FIELD_IF_*) are about one key: with many
///   they are refused (ETCD_ERR_INVALID_ARGUMENT); compare in a transaction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_delete(key: *const u8, key_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let key = unsafe { self::key(key, key_len) };
    begun(key.map(|key| Draft::Delete {
        delete: DeleteRequest::new(KeyRange::key(key)),
        when: Conditions::default(),
    }))
}

/// A transaction: if all comparisons hold, does what was given with etcd_txn_then(), otherwise what was given
/// with etcd_txn_else(); all of it in one revision, or nothing.
///
/// Returns a request for etcd_request_free(). Its reply tells which of the two it was
///   (etcd_reply_succeeded()) and has a child for each operation. That a comparison fails is success.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_txn() -> *mut etcd_request {
    begun(Ok(Draft::Txn(TxnRequest::default(), Extent::default())))
}

/// Adds a comparison with a number.
///
/// txn: from etcd_request_txn().
/// key: the key looked at, as in etcd_request_get(). ETCD_FIELD_PREFIX and ETCD_FIELD_RANGE_END, set right
///   after this, make it many keys: it must hold for each of them.
/// target: ETCD_TARGET_*. relation: ETCD_RELATION_*, read as "what is there … value".
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_txn_compare_int(
    txn: *mut etcd_request,
    key: *const u8,
    key_len: usize,
    target: i32,
    relation: i32,
    value: i64,
) -> etcd_status {
    let target = match target {
        ETCD_TARGET_VERSION => Ok(CompareTarget::Version(value)),
        ETCD_TARGET_CREATE => Ok(CompareTarget::CreateRevision(value)),
        ETCD_TARGET_MOD => Ok(CompareTarget::ModRevision(value)),
        ETCD_TARGET_LEASE => Ok(CompareTarget::Lease(value)),
        _ => Err(Error::invalid(format!("{target} is no ETCD_TARGET_*"))),
    };
    // SAFETY: as promised by the caller.
    unsafe { compare(txn, key, key_len, target, relation) }
}

/// Adds a comparison with a value.
///
/// txn, key, relation: as in etcd_txn_compare_int(). A key that does not exist has no value: nothing holds.
/// value: its bytes, copied.
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_txn_compare_value(
    txn: *mut etcd_request,
    key: *const u8,
    key_len: usize,
    relation: i32,
    value: *const u8,
    value_len: usize,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        let value = bytes(value, value_len, "value").map(|value| CompareTarget::Value(value.to_vec()));
        compare(txn, key, key_len, value, relation)
    }
}

unsafe fn compare(
    txn: *mut etcd_request,
    key: *const u8,
    key_len: usize,
    target: Result<CompareTarget>,
    relation: i32,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        change(txn, |request| {
            let relation = match relation {
                ETCD_RELATION_EQUAL => Relation::Equal,
                ETCD_RELATION_GREATER => Relation::Greater,
                ETCD_RELATION_LESS => Relation::Less,
                ETCD_RELATION_NOT_EQUAL => Relation::NotEqual,
                _ => return Err(Error::invalid(format!("{relation} is no ETCD_RELATION_*"))),
            };
            let compare =
                Compare { range: KeyRange::key(self::key(key, key_len)?), target: target?, relation };
            request.txn()?.0.compares.push(compare);
            Ok(())
        })
    }
}

/// Adds an operation that is done if all comparisons hold.
///
/// txn: from etcd_request_txn().
/// op: a get, put, deletion or transaction without conditions of its own, copied: it may be freed at once. Transactions
///   are nested 32 deep at most.
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, which running the request reports, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_txn_then(txn: *mut etcd_request, op: *const etcd_request) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { add_op(txn, op, |txn| &mut txn.then) }
}

/// Adds an operation that is done if a comparison does not hold. Otherwise as etcd_txn_then().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_txn_else(txn: *mut etcd_request, op: *const etcd_request) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { add_op(txn, op, |txn| &mut txn.otherwise) }
}

unsafe fn add_op(
    txn: *mut etcd_request,
    op: *const etcd_request,
    branch: impl FnOnce(&mut TxnRequest) -> &mut Vec<Op>,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    let op = unsafe { handle::value::<RequestValue>(op) }.and_then(RequestValue::op);
    // SAFETY: as above.
    unsafe {
        change(txn, |request| {
            let (txn, extent) = request.txn()?;
            let (op, of_op) = op?;
            *extent = extent.with(of_op)?;
            branch(txn).push(op);
            Ok(())
        })
    }
}

/// Changes a request that is being built; what goes wrong, it keeps.
pub(crate) unsafe fn change(
    request: *mut etcd_request,
    with: impl FnOnce(&mut RequestValue) -> Result<()>,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller. One that was run, others may be running: it is not written to.
        let run = unsafe { handle::value::<RequestValue>(request) }?;
        run.unless_run().inspect_err(|fault| run.keep(fault))?;
        // SAFETY: as promised by the caller.
        let request = unsafe { handle::value_mut::<RequestValue>(request) }?;
        with(request).inspect_err(|fault| request.keep(fault))
    })
}

/// Forgets all history before a revision: it can't be read or watched any more.
///
/// revision: the oldest that can still be read; 1 or more.
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_compact(revision: i64) -> *mut etcd_request {
    begun(match revision {
        1.. => Ok(Draft::Other(Request::Compact { revision, physical: false })),
        _ => Err(Error::invalid(format!("there is no revision {revision} to compact: the first one is 1"))),
    })
}

/// Grants a lease: keys attached to it go when it ends.
///
/// ttl_s: seconds until it ends unless it is kept alive; the server may raise it.
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_lease_grant(ttl_s: i64) -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::LeaseGrant { id: 0, ttl: ttl_s })))
}

/// Ends a lease; its keys go with it.
///
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_lease_revoke(lease: i64) -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::LeaseRevoke { id: lease })))
}

/// Starts a lease's TTL anew, once.
///
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL; a TTL of 0:
///   the lease is gone.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_lease_keep_alive(lease: i64) -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::LeaseKeepAlive { id: lease })))
}

/// How long a lease still lasts.
///
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_TTL (-1: there is no such lease) and
///   ETCD_FIELD_GRANTED_TTL; with ETCD_FIELD_KEYS also its keys, without their values.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_lease_ttl(lease: i64) -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::LeaseTimeToLive { id: lease, keys: false })))
}

/// The ids of all leases.
///
/// Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_LEASE for each.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_leases() -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::Leases)))
}

/// The members of the cluster.
///
/// Returns a request for etcd_request_free(). Its reply has a child for each, with ETCD_FIELD_MEMBER,
///   ETCD_FIELD_NAME, ETCD_FIELD_PEER_URLS, ETCD_FIELD_CLIENT_URLS and ETCD_FIELD_IS_LEARNER.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_members() -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::Members)))
}

/// How each endpoint of the client's list is.
///
/// Returns a request for etcd_request_free(). Its reply has a child for each endpoint, with
///   ETCD_FIELD_ENDPOINT and ETCD_FIELD_STATUS: ETCD_OK, or why it did not answer, with ETCD_FIELD_MESSAGE. One
///   that answered has ETCD_FIELD_VERSION, ETCD_FIELD_LEADER, ETCD_FIELD_DB_SIZE and what follows them.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_status() -> *mut etcd_request {
    begun(Ok(Draft::StatusOfAll))
}

/// Makes the members of the cluster, as they advertise themselves to clients, the client's list of endpoints.
///
/// Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_ENDPOINT for each.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_sync_members() -> *mut etcd_request {
    begun(Ok(Draft::SyncMembers))
}

/// Lists, raises or takes back alarms.
///
/// action: ETCD_ALARM_LIST, ETCD_ALARM_RAISE or ETCD_ALARM_DISARM.
/// member: whose; 0: anybody's. alarm: ETCD_ALARM_ANY, ETCD_ALARM_NO_SPACE or ETCD_ALARM_CORRUPT.
/// Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_MEMBER and
///   ETCD_FIELD_ALARM for each that was found, raised or taken back.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_alarm(action: i32, member: i64, alarm: i32) -> *mut etcd_request {
    let action = match action {
        ETCD_ALARM_LIST => Ok(AlarmAction::Get),
        ETCD_ALARM_RAISE => Ok(AlarmAction::Activate),
        ETCD_ALARM_DISARM => Ok(AlarmAction::Deactivate),
        _ => Err(Error::invalid(format!("{action} is no action for alarms"))),
    };
    let kind = match alarm {
        ETCD_ALARM_ANY => Ok(AlarmKind::Any),
        ETCD_ALARM_NO_SPACE => Ok(AlarmKind::NoSpace),
        ETCD_ALARM_CORRUPT => Ok(AlarmKind::Corrupt),
        _ => Err(Error::invalid(format!("{alarm} is no kind of alarm"))),
    };
    begun(action.and_then(|action| {
        let alarm = Alarm { member: member as u64, kind: kind? };
        Ok(Draft::Other(Request::Alarm { action, alarm }))
    }))
}

/// A hash of all keys and their history, by which members are compared.
///
/// revision: up to which; 0: now.
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_HASH and ETCD_FIELD_COMPACT_REVISION.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_request_hash(revision: i64) -> *mut etcd_request {
    begun(Ok(Draft::Other(Request::HashKv { revision })))
}

/// Asks whether a user has this password. (For a client that acts for a user, set the options instead.)
///
/// user, password: UTF-8, copied.
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_TOKEN, a secret. A wrong password:
///   ETCD_ERR_UNAUTHENTICATED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_authenticate(
    user: *const u8,
    user_len: usize,
    password: *const u8,
    password_len: usize,
) -> *mut etcd_request {
    let utf_8 = |bytes: &[u8], name| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| Error::invalid(format!("the {name} is no UTF-8")))
    };
    // SAFETY: as promised by the caller.
    let given = unsafe {
        bytes(user, user_len, "user").and_then(|user| Ok((user, bytes(password, password_len, "password")?)))
    };
    begun(given.and_then(|(user, password)| {
        let password = Secret::new(utf_8(password, "password")?);
        Ok(Draft::Other(Request::Authenticate { user: utf_8(user, "user")?, password }))
    }))
}

/// Watches a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many. For etcd_submit() and
/// etcd_watcher_open() only.
///
/// key: as in etcd_request_get().
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_watch(key: *const u8, key_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let key = unsafe { self::key(key, key_len) };
    begun(key.map(|key| Draft::Watch(WatchRequest::new(KeyRange::key(key), 0), WatchMode::default())))
}

/// Sets a field that is a number or a flag.
///
/// request: not run yet.
/// field: one of ETCD_FIELD_*, as far as the request has it.
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, which running the request reports, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_set_int(
    request: *mut etcd_request,
    field: i32,
    value: i64,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { change(request, |request| request.set_int(field, value)) }
}

/// Sets a field that is bytes.
///
/// request, field: as in etcd_request_set_int().
/// data: copied. NULL is fine when len is 0.
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_set_bytes(
    request: *mut etcd_request,
    field: i32,
    data: *const u8,
    len: usize,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { change(request, |request| request.set_bytes(field, bytes(data, len, "field")?)) }
}

/// Frees a request. What was submitted with it goes on. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_free(request: *mut etcd_request) {
    // SAFETY: as promised by the caller.
    unsafe { handle::free::<RequestValue>(request) }
}
