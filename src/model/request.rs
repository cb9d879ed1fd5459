//! What is asked of a server.

use super::{KeyRange, quote};
use crate::options::Secret;

/// By what a range's keys are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// The key's bytes.
    #[default]
    Key,
    /// Number of puts.
    Version,
    /// Creation revision.
    Create,
    /// Revision of the last change.
    Mod,
    /// The value's bytes.
    Value,
}

/// Reads keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At most this many; 0: all.
    pub limit: i64,
    /// As they were at this revision; 0: now.
    pub revision: i64,
    /// Sort by what. Equals keep the order of their keys in small answers; etcd promises nothing.
    pub sort_by: SortBy,
    /// Highest first.
    pub descending: bool,
    /// Leave the values out. (etcd 3.7 leaves the leases out, too, unless it has to sort by value.)
    pub keys_only: bool,
    /// Just count: no keys at all.
    pub count_only: bool,
    /// Let the asked member answer from what it has, which may be old.
    pub serializable: bool,
    /// Only keys last changed at this revision or later; 0: all.
    pub min_mod_revision: i64,
    /// Only keys last changed at this revision or before; 0: all.
    pub max_mod_revision: i64,
    /// Only keys created at this revision or later; 0: all.
    pub min_create_revision: i64,
    /// Only keys created at this revision or before; 0: all.
    pub max_create_revision: i64,
}

impl RangeRequest {
    /// All keys of `range`, with values, in key order.
    pub fn new(range: KeyRange) -> Self {
        RangeRequest { range, ..Self::default() }
    }

    /// One key without its value, but with its lease, on every version.
    pub fn attributes(key: impl Into<Vec<u8>>) -> Self {
        RangeRequest { keys_only: true, sort_by: SortBy::Value, ..Self::new(KeyRange::key(key)) }
    }
}

/// Writes a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutRequest {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value.
    pub value: Vec<u8>,
    /// The lease to attach it to, 0 for none.
    pub lease: i64,
    /// Answer with what was there before.
    pub prev_kv: bool,
    /// Keep the value; the key must exist, and `value` be empty.
    pub ignore_value: bool,
    /// Keep the lease; the key must exist, and `lease` be 0.
    pub ignore_lease: bool,
}

impl PutRequest {
    /// A key without a lease.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        PutRequest { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// Deletes keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Answer with what was there before.
    pub prev_kv: bool,
}

impl DeleteRequest {
    /// Deletes all keys of `range`.
    pub fn new(range: KeyRange) -> Self {
        DeleteRequest { range, prev_kv: false }
    }
}

/// What a comparison looks at, and what it compares that with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// Number of puts since the key came to life; 0 when there is no such key.
    Version(i64),
    /// Creation revision; 0 when there is no such key.
    CreateRevision(i64),
    /// Revision of the last change; 0 when there is no such key.
    ModRevision(i64),
    /// The value. A missing key has none and compares to nothing.
    Value(Vec<u8>),
    /// The lease it is attached to; 0 for none.
    Lease(i64),
}

/// How what is there must relate to what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Both are the same.
    Equal,
    /// What is there is greater.
    Greater,
    /// What is there is less.
    Less,
    /// They differ.
    NotEqual,
}

/// One condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The keys looked at. It must hold for each of them; where there are none, for a key that is missing.
    pub range: KeyRange,
    /// What is looked at, and what it is compared with.
    pub target: CompareTarget,
    /// How they must relate.
    pub relation: Relation,
}

impl Compare {
    fn on_key(key: impl Into<Vec<u8>>, target: CompareTarget, relation: Relation) -> Self {
        Compare { range: KeyRange::key(key), target, relation }
    }

    /// The key was created at `revision` and is still there (0: there is no such key).
    pub fn create_revision(key: impl Into<Vec<u8>>, revision: i64) -> Self {
        Self::on_key(key, CompareTarget::CreateRevision(revision), Relation::Equal)
    }

    /// The key exists and has a lease.
    pub fn has_lease(key: impl Into<Vec<u8>>) -> Self {
        Self::on_key(key, CompareTarget::Lease(0), Relation::NotEqual)
    }

    /// The key exists.
    pub fn exists(key: impl Into<Vec<u8>>) -> Self {
        Self::on_key(key, CompareTarget::Version(0), Relation::NotEqual)
    }

    /// The key exists and holds `value`.
    pub fn value(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::on_key(key, CompareTarget::Value(value.into()), Relation::Equal)
    }

    fn size(&self) -> usize {
        let wanted = match &self.target {
            CompareTarget::Value(value) => value.len(),
            _ => 0,
        };
        self.range.size() + wanted
    }
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(PutRequest),
    /// Delete.
    Delete(DeleteRequest),
    /// A transaction within. Its conditions look at what was there before the outermost one.
    Txn(TxnRequest),
}

impl Op {
    /// What it does and to which key, for error messages.
    pub fn describe(&self) -> String {
        let verb = match self {
            Op::Range(_) => "read",
            Op::Put(_) => "write",
            Op::Delete(_) => "delete",
            Op::Txn(_) => "transaction on",
        };
        format!("{verb} {}", quote(self.key()))
    }

    fn key(&self) -> &[u8] {
        match self {
            Op::Range(range) => &range.range.start,
            Op::Put(put) => &put.key,
            Op::Delete(delete) => &delete.range.start,
            Op::Txn(txn) => txn.key(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Op::Range(range) => range.range.size(),
            Op::Put(put) => put.key.len() + put.value.len(),
            Op::Delete(delete) => delete.range.size(),
            Op::Txn(txn) => txn.size(),
        }
    }
}

/// If all `compares` hold, does all of `then`, otherwise all of `otherwise`; in one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxnRequest {
    /// The conditions.
    pub compares: Vec<Compare>,
    /// Done when they all hold.
    pub then: Vec<Op>,
    /// Done when one does not.
    pub otherwise: Vec<Op>,
}

impl TxnRequest {
    /// The operations of both branches.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.then.iter().chain(&self.otherwise)
    }

    /// Whether neither branch changes anything.
    pub fn reads_only(&self) -> bool {
        self.ops().all(|op| match op {
            Op::Range(_) => true,
            Op::Put(_) | Op::Delete(_) => false,
            Op::Txn(txn) => txn.reads_only(),
        })
    }

    /// Whether a member may answer it from what it has: etcd's rule, which knows no nested ones.
    fn is_serializable(&self) -> bool {
        self.ops().all(|op| matches!(op, Op::Range(range) if range.serializable))
    }

    fn key(&self) -> &[u8] {
        self.then.first().map_or(&[], Op::key)
    }

    fn size(&self) -> usize {
        let compares: usize = self.compares.iter().map(Compare::size).sum();
        compares + self.ops().map(Op::size).sum::<usize>()
    }
}

/// Kinds of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// Of a request: all kinds.
    Any,
    /// The database is full: nothing can be put, no lease granted.
    NoSpace,
    /// The members' data differ.
    Corrupt,
}

/// What to do with alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmAction {
    /// List those that are raised.
    Get,
    /// Raise one.
    Activate,
    /// Take one back.
    Deactivate,
}

/// An alarm of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The member's id; 0 in a request: any.
    pub member: u64,
    /// Which alarm.
    pub kind: AlarmKind,
}

/// Everything that can be asked of a server with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Read keys.
    Range(RangeRequest),
    /// Write a key.
    Put(PutRequest),
    /// Delete keys.
    Delete(DeleteRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// Forget all history before a revision.
    Compact {
        /// The oldest revision that can still be read.
        revision: i64,
        /// Answer only when the history is gone from the database, too.
        physical: bool,
    },
    /// A hash of all keys and their history up to a revision, by which members are compared.
    HashKv {
        /// 0: now.
        revision: i64,
    },
    /// A new lease.
    LeaseGrant {
        /// Its id. A caller who chooses it finds its own lease when it has to ask again; 0: the server
        /// chooses.
        id: i64,
        /// Seconds; the server may raise it.
        ttl: i64,
    },
    /// End a lease; its keys go with it.
    LeaseRevoke {
        /// The lease.
        id: i64,
    },
    /// Start a lease's TTL anew. A transport is free to carry these over a stream of its own.
    LeaseKeepAlive {
        /// The lease.
        id: i64,
    },
    /// How long a lease still lasts.
    LeaseTimeToLive {
        /// The lease.
        id: i64,
        /// List its keys, too.
        keys: bool,
    },
    /// The ids of all leases.
    Leases,
    /// The members of the cluster.
    Members,
    /// How the asked member is.
    Status,
    /// See, raise or take back alarms.
    Alarm {
        /// What to do.
        action: AlarmAction,
        /// With which.
        alarm: Alarm,
    },
    /// A token for a user, which later requests carry.
    Authenticate {
        /// The user's name.
        user: String,
        /// The user's password.
        password: Secret,
    },
}

/// What a repeated request can do harm to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: it reads, or a second run finds what the first one did.
    Harmless,
    /// A second run may change what others have done meanwhile.
    Harmful,
}

impl Request {
    /// Whether it changes nothing.
    pub fn reads_only(&self) -> bool {
        match self {
            Request::Txn(txn) => txn.reads_only(),
            Request::Range(_)
            | Request::HashKv { .. }
            | Request::LeaseTimeToLive { .. }
            | Request::Leases
            | Request::Members
            | Request::Status
            | Request::Alarm { action: AlarmAction::Get, .. }
            | Request::Authenticate { .. } => true,
            _ => false,
        }
    }

    /// May this be sent again when the first answer was lost? Leases and alarms stay what they are when asked
    /// for twice. A second compaction would be refused, although the first one was done.
    pub fn repeat(&self) -> Repeat {
        let harmful = match self {
            Request::Put(_) | Request::Delete(_) | Request::Compact { .. } => true,
            // Each gets another id.
            Request::LeaseGrant { id: 0, .. } => true,
            Request::Txn(txn) => !txn.reads_only(),
            _ => false,
        };
        if harmful { Repeat::Harmful } else { Repeat::Harmless }
    }

    /// Whether keys are read or changed: what a history is of.
    pub fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Request::Range(_)
                | Request::Put(_)
                | Request::Delete(_)
                | Request::Txn(_)
                | Request::Compact { .. }
                | Request::HashKv { .. }
        )
    }

    /// Whether its answer's revision is at least that of every answer that came before it was asked.
    pub fn is_linearizable(&self) -> bool {
        match self {
            Request::Range(range) => !range.serializable,
            Request::Txn(txn) => !txn.is_serializable(),
            Request::Put(_) | Request::Delete(_) => true,
            _ => false,
        }
    }

    /// How many bytes of keys and values it carries: what servers limit.
    pub fn size(&self) -> usize {
        match self {
            Request::Range(range) => range.range.size(),
            Request::Put(put) => put.key.len() + put.value.len(),
            Request::Delete(delete) => delete.range.size(),
            Request::Txn(txn) => txn.size(),
            _ => 0,
        }
    }

    /// What it does and to which key, for error messages.
    pub fn describe(&self) -> String {
        match self {
            Request::Range(range) => format!("read {}", quote(&range.range.start)),
            Request::Put(put) => format!("write {}", quote(&put.key)),
            Request::Delete(delete) => format!("delete {}", quote(&delete.range.start)),
            Request::Txn(txn) => format!("transaction on {}", quote(txn.key())),
            Request::Compact { revision, .. } => format!("compact revision {revision}"),
            Request::HashKv { .. } => "hash all keys".into(),
            Request::LeaseGrant { ttl, .. } => format!("grant a lease of {ttl} s"),
            Request::LeaseRevoke { id } => format!("revoke lease {id:x}"),
            Request::LeaseKeepAlive { id } => format!("keep lease {id:x} alive"),
            Request::LeaseTimeToLive { id, .. } => format!("look at lease {id:x}"),
            Request::Leases => "list the leases".into(),
            Request::Members => "list the members".into(),
            Request::Status => "ask for the status".into(),
            Request::Alarm { action: AlarmAction::Get, .. } => "list the alarms".into(),
            Request::Alarm { action: AlarmAction::Activate, .. } => "raise an alarm".into(),
            Request::Alarm { action: AlarmAction::Deactivate, .. } => "disarm alarms".into(),
            Request::Authenticate { user, .. } => format!("log in as {user:?}"),
        }
    }
}
