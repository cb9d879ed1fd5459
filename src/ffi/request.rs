//! Requests: what is wanted, as values. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::sync::OnceLock;

use super::handle::{self, Value};
use super::hold::{LockDraft, PlaceDraft};
use super::status::{etcd_status, run_plain};
use crate::client::{Operation, WatchMode};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::options::Secret;

/// Takes all keys that start with the request's key; an empty one: all keys. 1 or 0; not with ETCD_FIELD_RANGE_END. Get,
/// delete, watch, comparison.
pub const ETCD_FIELD_PREFIX: i32 = 1;
/// The first key behind the range that begins with the request's key; one NUL byte: no end. Bytes. Get, delete,
/// watch.
pub const ETCD_FIELD_RANGE_END: i32 = 2;
/// At most so many keys; 0: all. Get.
pub const ETCD_FIELD_LIMIT: i32 = 3;
/// As it was at this revision; 0: now. Get, hash. For a compaction: see etcd_request_compact().
pub const ETCD_FIELD_REVISION: i32 = 4;
/// By what keys are sorted: ETCD_SORT_*. Get.
pub const ETCD_FIELD_SORT_BY: i32 = 5;
/// ETCD_SORT_ASCENDING or ETCD_SORT_DESCENDING. Get.
pub const ETCD_FIELD_SORT_ORDER: i32 = 6;
/// Leave values out. 1 or 0. Get.
pub const ETCD_FIELD_KEYS_ONLY: i32 = 7;
/// Only count. 1 or 0. Get.
pub const ETCD_FIELD_COUNT_ONLY: i32 = 8;
/// Let one member answer from what it has, which may be old. 1 or 0. Get.
pub const ETCD_FIELD_SERIALIZABLE: i32 = 9;
/// Only keys last changed at this revision or later. Get.
pub const ETCD_FIELD_MIN_MOD_REVISION: i32 = 10;
/// Only keys last changed at this revision or before. Get.
pub const ETCD_FIELD_MAX_MOD_REVISION: i32 = 11;
/// Only keys created at this revision or later. Get.
pub const ETCD_FIELD_MIN_CREATE_REVISION: i32 = 12;
/// Only keys created at this revision or before. Get.
pub const ETCD_FIELD_MAX_CREATE_REVISION: i32 = 13;

/// A lease: the one to attach the key to (put; 0: none), the id to give (lease_grant; 0: the library's choice). Of a
/// reply: the lease granted, kept alive, or made for a put with a TTL.
pub const ETCD_FIELD_LEASE: i32 = 20;
/// Seconds. Put: under a new lease of its own, so long (its id is the reply's ETCD_FIELD_LEASE). Of a reply: what is
/// left, or was granted; -1 or 0: there is no such lease (any more).
pub const ETCD_FIELD_TTL: i32 = 21;
/// Only if there is no such key. 1 or 0. Put.
pub const ETCD_FIELD_IF_ABSENT: i32 = 22;
/// Only if there is such a key. 1 or 0. Put, delete of one key.
pub const ETCD_FIELD_IF_PRESENT: i32 = 23;
/// Only if this is the key's value. Bytes. Put, delete of one key.
pub const ETCD_FIELD_IF_VALUE: i32 = 24;
/// Only if the key was last changed at this revision; 0: only if there is no such key. Put, delete of one key.
pub const ETCD_FIELD_IF_MOD_REVISION: i32 = 25;
/// Only if the key was created at this revision; 0: only if there is no such key. Put, delete of one key.
pub const ETCD_FIELD_IF_CREATE_REVISION: i32 = 26;
/// Tell what was there before. 1 or 0. Put, delete, watch.
pub const ETCD_FIELD_RETURN_PREVIOUS: i32 = 27;
/// Keep the value that is there: the key must exist, and the request's value be empty. 1 or 0. Put.
pub const ETCD_FIELD_IGNORE_VALUE: i32 = 28;
/// Keep the lease that is there: the key must exist. 1 or 0. Put.
pub const ETCD_FIELD_IGNORE_LEASE: i32 = 29;

/// The first revision of interest; 0: from now on. Watch.
pub const ETCD_FIELD_START_REVISION: i32 = 40;
/// Leave puts out. 1 or 0; not with ETCD_FIELD_NO_DELETES. Watch.
pub const ETCD_FIELD_NO_PUTS: i32 = 41;
/// Leave deletions out. 1 or 0; not with ETCD_FIELD_NO_PUTS. Watch.
pub const ETCD_FIELD_NO_DELETES: i32 = 42;
/// After a compaction, tell in one batch what has changed, instead of ending. Keeps the range's keys in memory. 1 or
/// 0. Watch.
pub const ETCD_FIELD_RESYNC: i32 = 43;
/// Tell now and then that there were no changes up to a revision: as often as the server does, every 10 minutes unless
/// it was started with --watch-progress-notify-interval (before 3.6: --experimental-watch-progress-notify-interval). 1
/// or 0. Watch.
pub const ETCD_FIELD_PROGRESS: i32 = 44;

/// Answer only when the history is gone from the database, too. 1 or 0. Compaction.
pub const ETCD_FIELD_PHYSICAL: i32 = 50;
/// List the lease's keys, too. 1 or 0. lease_ttl.
pub const ETCD_FIELD_KEYS: i32 = 51;

/// What a lock's place says to people who look at the queue; of a place in a queue: what it must say. Bytes. Lock,
/// lock_find, lock_break, lock_renew.
pub const ETCD_FIELD_VALUE: i32 = 52;
/// Share the place in the queue that has the same value, if there is one. 1 or 0. Lock, campaign.
pub const ETCD_FIELD_JOIN: i32 = 53;

/// Sort by the key's bytes.
pub const ETCD_SORT_BY_KEY: i32 = 0;
/// Sort by the number of puts.
pub const ETCD_SORT_BY_VERSION: i32 = 1;
/// Sort by the creation revision.
pub const ETCD_SORT_BY_CREATE_REVISION: i32 = 2;
/// Sort by the revision of the last change.
pub const ETCD_SORT_BY_MOD_REVISION: i32 = 3;
/// Sort by the value's bytes.
pub const ETCD_SORT_BY_VALUE: i32 = 4;
/// Lowest first.
pub const ETCD_SORT_ASCENDING: i32 = 0;
/// Highest first.
pub const ETCD_SORT_DESCENDING: i32 = 1;

/// Compares the number of puts; 0 when there is no such key.
pub const ETCD_TARGET_VERSION: i32 = 0;
/// Compares the creation revision; 0 when there is no such key.
pub const ETCD_TARGET_CREATE: i32 = 1;
/// Compares the revision of the last change; 0 when there is no such key.
pub const ETCD_TARGET_MOD: i32 = 2;
/// Compares the lease; 0 for none.
pub const ETCD_TARGET_LEASE: i32 = 4;
/// What is there is the same.
pub const ETCD_RELATION_EQUAL: i32 = 0;
/// What is there is greater.
pub const ETCD_RELATION_GREATER: i32 = 1;
/// What is there is less.
pub const ETCD_RELATION_LESS: i32 = 2;
/// What is there differs.
pub const ETCD_RELATION_NOT_EQUAL: i32 = 3;

/// Lists the alarms that are raised.
pub const ETCD_ALARM_LIST: i32 = 0;
/// Raises an alarm.
pub const ETCD_ALARM_RAISE: i32 = 1;
/// Takes alarms back.
pub const ETCD_ALARM_DISARM: i32 = 2;
/// Every kind of alarm.
pub const ETCD_ALARM_ANY: i32 = 0;
/// The database is full.
pub const ETCD_ALARM_NO_SPACE: i32 = 1;
/// The members' data differ.
pub const ETCD_ALARM_CORRUPT: i32 = 2;

macro_rules! with_names {
    ($($field:ident),* $(,)?) => { &[$(($field, stringify!($field))),*] };
}

/// The fields of requests by their names, for messages.
const FIELDS: &[(i32, &str)] = with_names![
    ETCD_FIELD_PREFIX,
    ETCD_FIELD_RANGE_END,
    ETCD_FIELD_LIMIT,
    ETCD_FIELD_REVISION,
    ETCD_FIELD_SORT_BY,
    ETCD_FIELD_SORT_ORDER,
    ETCD_FIELD_KEYS_ONLY,
    ETCD_FIELD_COUNT_ONLY,
    ETCD_FIELD_SERIALIZABLE,
    ETCD_FIELD_MIN_MOD_REVISION,
    ETCD_FIELD_MAX_MOD_REVISION,
    ETCD_FIELD_MIN_CREATE_REVISION,
    ETCD_FIELD_MAX_CREATE_REVISION,
    ETCD_FIELD_LEASE,
    ETCD_FIELD_TTL,
    ETCD_FIELD_IF_ABSENT,
    ETCD_FIELD_IF_PRESENT,
    ETCD_FIELD_IF_VALUE,
    ETCD_FIELD_IF_MOD_REVISION,
    ETCD_FIELD_IF_CREATE_REVISION,
    ETCD_FIELD_RETURN_PREVIOUS,
    ETCD_FIELD_IGNORE_VALUE,
    ETCD_FIELD_IGNORE_LEASE,
    ETCD_FIELD_START_REVISION,
    ETCD_FIELD_NO_PUTS,
    ETCD_FIELD_NO_DELETES,
    ETCD_FIELD_RESYNC,
    ETCD_FIELD_PROGRESS,
    ETCD_FIELD_PHYSICAL,
    ETCD_FIELD_KEYS,
    ETCD_FIELD_VALUE,
    ETCD_FIELD_JOIN,
];

/// A field for a message.
fn name_of(field: i32) -> String {
    let found = FIELDS.iter().find(|(number, _)| *number == field);
    found.map_or_else(|| format!("field {field}"), |(_, name)| (*name).into())
}

/// What is wanted. One thread builds it; once it was run or submitted it must not be changed, and any number of
/// threads may run it any number of times, at once. A constructor that was given nonsense keeps the fault, and
/// running the request reports it: so building needs no checks. So does a request that was run and is changed then: it
/// is refused, and from then on every run of that request, too.
pub struct etcd_request {
    _private: [u8; 0],
}

/// A request in C's hands.
pub(crate) struct RequestValue {
    draft: Draft,
    /// The first thing that was wrong. Other threads may be running the request as it is found.
    fault: OnceLock<Error>,
    /// What it comes to, once somebody wanted to know.
    finished: OnceLock<Result<Wanted>>,
}

/// What a request comes to.
pub(crate) enum Wanted {
    /// One answer.
    Operation(Operation),
    /// A stream.
    Watch(WatchRequest, WatchMode),
    /// A lock or leadership.
    Lock(LockDraft),
    /// The leaders of an election.
    Observe(Vec<u8>),
}

enum Draft {
    Get(RangeRequest),
    Put { put: PutRequest, when: Conditions, ttl: i64 },
    Delete { delete: DeleteRequest, when: Conditions },
    Txn(TxnRequest, Extent),
    Watch(WatchRequest, WatchMode),
    Other(Request),
    StatusOfAll,
    SyncMembers,
    Lock(LockDraft),
    Place(PlaceDraft),
    Observe(Vec<u8>),
    Done(Operation),
}

/// How much there is in a transaction.
#[derive(Default, Clone, Copy)]
struct Extent {
    ops: usize,
    levels: usize,
}

/// Transactions may be nested so deep, with so many operations in all: more than servers take, and few enough for the
/// stacks and the memory of whoever handles them.
const LEVELS: usize = 32;
const OPS: usize = 1 << 16;

impl Extent {
    /// With one more operation, of this extent.
    fn with(self, op: Extent) -> Result<Self> {
        let both = Extent { ops: self.ops + 1 + op.ops, levels: self.levels.max(op.levels + 1) };
        if both.levels > LEVELS || both.ops > OPS {
            let fault =
                format!("transactions are nested {LEVELS} deep at most, with {OPS} operations in all");
            return Err(Error::invalid(fault));
        }
        Ok(both)
    }
}

#[derive(Default)]
struct Conditions {
    absent: bool,
    present: bool,
    value: Option<Vec<u8>>,
    mod_revision: Option<i64>,
    create_revision: Option<i64>,
}

impl Conditions {
    fn are_none(&self) -> bool {
        self.on(&[]).is_empty()
    }

    fn on(&self, key: &[u8]) -> Vec<Compare> {
        let equals = |target| Compare { range: KeyRange::key(key), target, relation: Relation::Equal };
        let mut all = Vec::new();
        all.extend(self.absent.then(|| Compare::create_revision(key, 0)));
        all.extend(self.present.then(|| Compare::exists(key)));
        all.extend(self.value.as_ref().map(|value| Compare::value(key, &value[..])));
        all.extend(self.mod_revision.map(|revision| equals(CompareTarget::ModRevision(revision))));
        all.extend(self.create_revision.map(|revision| Compare::create_revision(key, revision)));
        all
    }
}

impl Value for RequestValue {
    type C = etcd_request;
    const KIND: u64 = 0x6574_6364_0000_0002;
    const NAME: &'static str = "request";
}

impl RequestValue {
    fn new(draft: Draft) -> Self {
        RequestValue { draft, fault: OnceLock::new(), finished: OnceLock::new() }
    }

    /// What it comes to.
    pub fn wanted(&self) -> Result<&Wanted> {
        self.without_fault()?;
        self.finished.get_or_init(|| self.finish()).as_ref().map_err(Clone::clone)
    }

    fn without_fault(&self) -> Result<()> {
        self.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Keeps what was wrong, unless something was before.
    fn keep(&self, fault: &Error) {
        self.fault.get_or_init(|| fault.clone());
    }

    fn unless_run(&self) -> Result<()> {
        match self.finished.get() {
            Some(_) => Err(Error::invalid("the request was run or submitted, and then it was changed")
                .advise("make another request; this one is not run any more")),
            None => Ok(()),
        }
    }

    fn finish(&self) -> Result<Wanted> {
        let operation = match &self.draft {
            Draft::Get(range) => Operation::request(Request::Range(range.clone())),
            Draft::Put { put, when, ttl: 0 } => Operation::if_all(when.on(&put.key), Op::Put(put.clone())),
            Draft::Put { put, when, ttl } => {
                if put.lease != 0 || put.ignore_lease {
                    return Err(Error::invalid(
                        "a put has a TTL, or a lease, or keeps the one that is there",
                    ));
                }
                Operation::PutFor(put.clone(), when.on(&put.key), *ttl)
            }
            Draft::Delete { delete, when } if !delete.range.end.is_empty() && !when.are_none() => {
                let fault = "a deletion of many keys takes no conditions: compare in a transaction";
                return Err(Error::invalid(fault));
            }
            Draft::Delete { delete, when } => {
                Operation::if_all(when.on(&delete.range.start), Op::Delete(delete.clone()))
            }
            Draft::Txn(txn, _) => Operation::request(Request::Txn(txn.clone())),
            Draft::Watch(watch, mode) => {
                watch.check()?;
                if watch.no_put && watch.no_delete {
                    let fault = "both puts and deletions are left out: there is nothing to watch";
                    return Err(Error::invalid(fault));
                }
                return Ok(Wanted::Watch(watch.clone(), *mode));
            }
            Draft::Other(Request::Alarm { action: AlarmAction::Deactivate, alarm }) => {
                Operation::Disarm(*alarm)
            }
            Draft::Other(request) => Operation::request(request.clone()),
            Draft::StatusOfAll => Operation::StatusOfAll,
            Draft::SyncMembers => Operation::SyncMembers,
            Draft::Lock(draft) => return Ok(Wanted::Lock(draft.clone())),
            Draft::Place(draft) => draft.operation()?,
            Draft::Observe(name) => return Ok(Wanted::Observe(name.clone())),
            Draft::Done(operation) => operation.clone(),
        };
        Ok(Wanted::Operation(operation))
    }

    /// The operation that it is in a transaction, and how much is in it.
    fn op(&self) -> Result<(Op, Extent)> {
        self.without_fault()?;
        match &self.draft {
            Draft::Get(range) => Ok((Op::Range(range.clone()), Extent::default())),
            Draft::Put { put, when, ttl: 0 } if when.are_none() => {
                Ok((Op::Put(put.clone()), Extent::default()))
            }
            Draft::Delete { delete, when } if when.are_none() => {
                Ok((Op::Delete(delete.clone()), Extent::default()))
            }
            Draft::Txn(txn, extent) => Ok((Op::Txn(txn.clone()), *extent)),
            Draft::Put { .. } | Draft::Delete { .. } => Err(Error::invalid(
                "in a transaction a put or deletion has no condition and no TTL of its own: compare, or grant a lease",
            )),
            _ => Err(Error::invalid("a transaction has gets, puts, deletions and transactions only")),
        }
    }

    fn txn(&mut self) -> Result<(&mut TxnRequest, &mut Extent)> {
        match &mut self.draft {
            Draft::Txn(txn, extent) => Ok((txn, extent)),
            _ => Err(Error::invalid("the request is no transaction")),
        }
    }

    fn range(&mut self) -> Option<&mut KeyRange> {
        match &mut self.draft {
            Draft::Get(range) => Some(&mut range.range),
            Draft::Delete { delete, .. } => Some(&mut delete.range),
            Draft::Watch(watch, _) => Some(&mut watch.range),
            Draft::Txn(txn, _) => txn.compares.last_mut().map(|compare| &mut compare.range),
            _ => None,
        }
    }

    fn set_int(&mut self, field: i32, value: i64) -> Result<()> {
        let flag = || match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::invalid(format!("{} is 1 or 0, not {value}", name_of(field)))),
        };
        let natural = || {
            if value < 0 {
                Err(Error::invalid(format!("{} is negative: {value}", name_of(field))))
            } else {
                Ok(value)
            }
        };
        if field == ETCD_FIELD_PREFIX {
            let is_prefix = flag()?;
            return set_prefix(self.range().ok_or_else(|| wrong_field(field))?, is_prefix);
        }
        match (&mut self.draft, field) {
            (Draft::Get(range), _) => set_get(range, field, value, flag, natural)?,
            (Draft::Put { put, .. }, ETCD_FIELD_LEASE) => put.lease = value,
            (Draft::Put { ttl, .. }, ETCD_FIELD_TTL) => *ttl = natural()?,
            (Draft::Put { put, .. }, ETCD_FIELD_RETURN_PREVIOUS) => put.prev_kv = flag()?,
            (Draft::Put { put, .. }, ETCD_FIELD_IGNORE_VALUE) => put.ignore_value = flag()?,
            (Draft::Put { put, .. }, ETCD_FIELD_IGNORE_LEASE) => put.ignore_lease = flag()?,
            (Draft::Put { when, .. }, ETCD_FIELD_IF_ABSENT) => when.absent = flag()?,
            (Draft::Delete { delete, .. }, ETCD_FIELD_RETURN_PREVIOUS) => delete.prev_kv = flag()?,
            (Draft::Put { when, .. } | Draft::Delete { when, .. }, ETCD_FIELD_IF_PRESENT) => {
                when.present = flag()?
            }
            (Draft::Put { when, .. } | Draft::Delete { when, .. }, ETCD_FIELD_IF_MOD_REVISION) => {
                when.mod_revision = Some(natural()?);
            }
            (Draft::Put { when, .. } | Draft::Delete { when, .. }, ETCD_FIELD_IF_CREATE_REVISION) => {
                when.create_revision = Some(natural()?);
            }
            (Draft::Lock(draft), ETCD_FIELD_JOIN) => draft.join = flag()?,
            (Draft::Lock(draft), ETCD_FIELD_TTL) if value > 0 => draft.ttl = value,
            (Draft::Lock(_), ETCD_FIELD_TTL) => {
                return Err(Error::invalid("a lock needs a TTL of at least one second"));
            }
            (Draft::Watch(watch, _), ETCD_FIELD_START_REVISION) => watch.start_revision = natural()?,
            (Draft::Watch(watch, _), ETCD_FIELD_RETURN_PREVIOUS) => watch.prev_kv = flag()?,
            (Draft::Watch(watch, _), ETCD_FIELD_NO_PUTS) => watch.no_put = flag()?,
            (Draft::Watch(watch, _), ETCD_FIELD_NO_DELETES) => watch.no_delete = flag()?,
            (Draft::Watch(_, mode), ETCD_FIELD_RESYNC) => mode.resync = flag()?,
            (Draft::Watch(_, mode), ETCD_FIELD_PROGRESS) => mode.progress = flag()?,
            (Draft::Other(Request::Compact { physical, .. }), ETCD_FIELD_PHYSICAL) => *physical = flag()?,
            (Draft::Other(Request::HashKv { revision }), ETCD_FIELD_REVISION) => *revision = natural()?,
            (Draft::Other(Request::LeaseGrant { id, .. }), ETCD_FIELD_LEASE) => *id = value,
            (Draft::Other(Request::LeaseTimeToLive { keys, .. }), ETCD_FIELD_KEYS) => *keys = flag()?,
            _ => return Err(wrong_field(field)),
        }
        Ok(())
    }

    fn set_bytes(&mut self, field: i32, bytes: &[u8]) -> Result<()> {
        match (&mut self.draft, field) {
            (Draft::Put { when, .. } | Draft::Delete { when, .. }, ETCD_FIELD_IF_VALUE) => {
                when.value = Some(bytes.to_vec());
            }
            (Draft::Lock(draft), ETCD_FIELD_VALUE) => draft.value = Some(bytes.to_vec()),
            (Draft::Place(draft), ETCD_FIELD_VALUE) => draft.value = Some(bytes.to_vec()),
            (_, ETCD_FIELD_RANGE_END) => {
                let range = self.range().ok_or_else(|| wrong_field(field))?;
                if is_prefix(range) && range.end != bytes {
                    return Err(prefix_and_end());
                }
                range.end = bytes.to_vec();
            }
            _ => return Err(wrong_field(field)),
        }
        Ok(())
    }
}

fn set_get(
    range: &mut RangeRequest,
    field: i32,
    value: i64,
    flag: impl Fn() -> Result<bool>,
    natural: impl Fn() -> Result<i64>,
) -> Result<()> {
    match field {
        ETCD_FIELD_LIMIT => range.limit = natural()?,
        ETCD_FIELD_REVISION => range.revision = natural()?,
        ETCD_FIELD_SORT_BY => {
            let by = [SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value];
            let by = usize::try_from(value).ok().and_then(|at| by.get(at));
            range.sort_by = *by.ok_or_else(|| Error::invalid(format!("{value} is no ETCD_SORT_BY_*")))?;
        }
        ETCD_FIELD_SORT_ORDER => range.descending = flag()?,
        ETCD_FIELD_KEYS_ONLY => range.keys_only = flag()?,
        ETCD_FIELD_COUNT_ONLY => range.count_only = flag()?,
        ETCD_FIELD_SERIALIZABLE => range.serializable = flag()?,
        ETCD_FIELD_MIN_MOD_REVISION => range.min_mod_revision = natural()?,
        ETCD_FIELD_MAX_MOD_REVISION => range.max_mod_revision = natural()?,
        ETCD_FIELD_MIN_CREATE_REVISION => range.min_create_revision = natural()?,
        ETCD_FIELD_MAX_CREATE_REVISION => range.max_create_revision = natural()?,
        _ => return Err(wrong_field(field)),
    }
    Ok(())
}

fn wrong_field(field: i32) -> Error {
    Error::invalid(format!("this request has no {} of this type", name_of(field)))
}

fn is_prefix(range: &KeyRange) -> bool {
    let of_start = || KeyRange::prefix(&range.start[..]);
    *range == KeyRange::prefix("") || !range.end.is_empty() && range.end == of_start().end
}

fn set_prefix(range: &mut KeyRange, wanted: bool) -> Result<()> {
    match (wanted, is_prefix(range)) {
        (true, false) if !range.end.is_empty() => return Err(prefix_and_end()),
        (true, false) => *range = KeyRange::prefix(std::mem::take(&mut range.start)),
        (false, true) => range.end.clear(),
        (true, true) | (false, false) => {}
    }
    Ok(())
}

fn prefix_and_end() -> Error {
    Error::invalid("both ETCD_FIELD_PREFIX and ETCD_FIELD_RANGE_END are set; set one of them")
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

impl RequestValue {
    /// One for a lock.
    pub fn lock(draft: LockDraft) -> Self {
        Self::new(Draft::Lock(draft))
    }

    /// One for a place in a lock's queue.
    pub fn place(draft: PlaceDraft) -> Self {
        Self::new(Draft::Place(draft))
    }

    /// One for an election's leaders.
    pub fn observe(name: Vec<u8>) -> Self {
        Self::new(Draft::Observe(name))
    }

    /// One that is an operation already.
    pub fn operation(operation: Operation) -> Self {
        Self::new(Draft::Done(operation))
    }

    /// Adds a comparison to a transaction.
    pub fn guard(&mut self, guard: Compare) -> Result<()> {
        self.txn()?.0.compares.push(guard);
        Ok(())
    }
}

/// A request, or one that keeps what was wrong with its making.
pub(crate) fn begun_with(made: Result<RequestValue>) -> *mut etcd_request {
    handle::to_c(made.unwrap_or_else(|fault| RequestValue {
        fault: fault.into(),
        ..RequestValue::new(Draft::SyncMembers)
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_request_is_called_by_its_name() {
        let declared = include_str!("request.rs").matches("\npub const ETCD_FIELD_").count();
        assert_eq!(FIELDS.len(), declared);
        assert_eq!(name_of(21), "ETCD_FIELD_TTL");
        assert_eq!(name_of(4711), "field 4711");
    }
}
