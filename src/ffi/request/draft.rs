//! What is wanted, as far as it is told: how its fields are set, and what it comes to.

use std::sync::OnceLock;

use super::etcd_request;
use super::fields::*;
use crate::client::{Operation, WatchMode};
use crate::error::{Error, Result};
use crate::ffi::handle::Value;
use crate::ffi::hold::{LockDraft, PlaceDraft};
use crate::model::*;

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

pub enum Draft {
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
pub struct Extent {
    ops: usize,
    levels: usize,
}

/// Transactions may be nested so deep, with so many operations in all: more than servers take, and few enough for the
/// stacks and the memory of whoever handles them.
const LEVELS: usize = 32;
const OPS: usize = 1 << 16;

impl Extent {
    /// With one more operation, of this extent.
    pub fn with(self, op: Extent) -> Result<Self> {
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
pub struct Conditions {
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
    pub fn new(draft: Draft) -> Self {
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
    pub fn keep(&self, fault: &Error) {
        self.fault.get_or_init(|| fault.clone());
    }

    pub fn unless_run(&self) -> Result<()> {
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
    pub fn op(&self) -> Result<(Op, Extent)> {
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

    pub fn txn(&mut self) -> Result<(&mut TxnRequest, &mut Extent)> {
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

    pub fn set_int(&mut self, field: i32, value: i64) -> Result<()> {
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

    pub fn set_bytes(&mut self, field: i32, bytes: &[u8]) -> Result<()> {
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

impl RequestValue {
    /// One that can only tell what was wrong with its making.
    pub fn faulty(fault: Error) -> Self {
        RequestValue { fault: fault.into(), ..Self::new(Draft::SyncMembers) }
    }

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

    /// Adds comparisons to a transaction.
    pub fn guard(&mut self, guard: Vec<Compare>) -> Result<()> {
        self.txn()?.0.compares.extend(guard);
        Ok(())
    }
}
