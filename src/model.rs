//! The nouns of etcd: keys, ranges, transactions, leases, events; requests and their replies.
//! Every transport translates these and nothing else.

use crate::error::Result;

/// A key with its value and its history, as etcd keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// The value's bytes.
    pub value: Vec<u8>,
    /// Revision at which the key came to life.
    pub create_revision: i64,
    /// Revision of its last change.
    pub mod_revision: i64,
    /// Number of puts since it came to life.
    pub version: i64,
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
}

/// A half-open range of keys, in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: Vec<u8>,
    /// First key behind the range; empty: just the key `start`; a single NUL byte: no end.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        KeyRange { start: key.into(), end: Vec::new() }
    }

    /// All keys that start with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let mut start = prefix.into();
        let mut end = start.clone();
        if start.is_empty() {
            // etcd takes no empty key; all keys are those from the first possible one on.
            start.push(0);
        }
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(0),
        }
        KeyRange { start, end }
    }

    fn size(&self) -> usize {
        self.start.len() + self.end.len()
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self.end.as_slice() {
            [] => key == self.start,
            [0] => key >= self.start.as_slice(),
            end => key >= self.start.as_slice() && key < end,
        }
    }
}

/// By what a range's keys are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The key's bytes.
    Key,
    /// Creation revision.
    Create,
}

/// Reads keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At most this many; 0: all.
    pub limit: i64,
    /// Sort by what.
    pub sort_by: SortBy,
    /// Highest first.
    pub descending: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only keys created at this revision or later; 0: all.
    pub min_create_revision: i64,
    /// Only keys created at this revision or before; 0: all.
    pub max_create_revision: i64,
}

impl RangeRequest {
    /// All keys of `range`, with values, in key order.
    pub fn new(range: KeyRange) -> Self {
        RangeRequest {
            range,
            limit: 0,
            sort_by: SortBy::Key,
            descending: false,
            keys_only: false,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }
}

/// Writes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRequest {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value.
    pub value: Vec<u8>,
    /// The lease to attach it to, 0 for none.
    pub lease: i64,
}

/// Deletes keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Which keys.
    pub range: KeyRange,
}

/// What a comparison looks at, and what it wants to see there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// Number of puts since the key came to life; 0 when there is no such key.
    Version(i64),
    /// Creation revision; 0 when there is no such key.
    CreateRevision(i64),
    /// The value. A missing key has none and compares to nothing.
    Value(Vec<u8>),
}

/// How the two sides of a comparison must relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Both are the same.
    Equal,
    /// They differ.
    NotEqual,
}

/// One condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key looked at.
    pub key: Vec<u8>,
    /// What is looked at, and the wanted content.
    pub target: CompareTarget,
    /// How they must relate.
    pub relation: Relation,
}

impl Compare {
    /// The key was created at `revision` and is still there (0: there is no such key).
    pub fn create_revision(key: impl Into<Vec<u8>>, revision: i64) -> Self {
        let target = CompareTarget::CreateRevision(revision);
        Compare { key: key.into(), target, relation: Relation::Equal }
    }

    /// The key exists.
    pub fn exists(key: impl Into<Vec<u8>>) -> Self {
        let target = CompareTarget::Version(0);
        Compare { key: key.into(), target, relation: Relation::NotEqual }
    }

    fn size(&self) -> usize {
        let wanted = match &self.target {
            CompareTarget::Value(value) => value.len(),
            CompareTarget::Version(_) | CompareTarget::CreateRevision(_) => 0,
        };
        self.key.len() + wanted
    }

    /// The key exists and holds `value`.
    pub fn value(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let target = CompareTarget::Value(value.into());
        Compare { key: key.into(), target, relation: Relation::Equal }
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
}

impl Op {
    fn key(&self) -> &[u8] {
        match self {
            Op::Range(range) => &range.range.start,
            Op::Put(put) => &put.key,
            Op::Delete(delete) => &delete.range.start,
        }
    }

    fn size(&self) -> usize {
        match self {
            Op::Range(range) => range.range.size(),
            Op::Put(put) => put.key.len() + put.value.len(),
            Op::Delete(delete) => delete.range.size(),
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
    /// A new lease with this id (never 0, so that a repeated request finds its own lease) and TTL in seconds.
    LeaseGrant {
        /// The lease's id, chosen by the caller.
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
    /// The name of the cluster's leader.
    Leader,
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
    /// May this be sent again when the first answer was lost?
    pub fn repeat(&self) -> Repeat {
        let writes = match self {
            Request::Put(_) | Request::Delete(_) => true,
            Request::Txn(txn) => {
                let mut ops = txn.then.iter().chain(&txn.otherwise);
                ops.any(|op| !matches!(op, Op::Range(_)))
            }
            _ => false,
        };
        if writes { Repeat::Harmful } else { Repeat::Harmless }
    }

    /// How many bytes of keys and values it carries: what servers limit.
    pub fn size(&self) -> usize {
        match self {
            Request::Range(range) => range.range.size(),
            Request::Put(put) => put.key.len() + put.value.len(),
            Request::Delete(delete) => delete.range.size(),
            Request::Txn(txn) => {
                let compares: usize = txn.compares.iter().map(Compare::size).sum();
                let ops: usize = txn.then.iter().chain(&txn.otherwise).map(Op::size).sum();
                compares + ops
            }
            Request::LeaseGrant { .. }
            | Request::LeaseRevoke { .. }
            | Request::LeaseKeepAlive { .. }
            | Request::Leader => 0,
        }
    }

    /// What it does and to which key, for error messages.
    pub fn describe(&self) -> String {
        match self {
            Request::Range(range) => format!("read {}", quote(&range.range.start)),
            Request::Put(put) => format!("write {}", quote(&put.key)),
            Request::Delete(delete) => format!("delete {}", quote(&delete.range.start)),
            Request::Txn(txn) => {
                let key = txn.then.first().map_or(&[][..], Op::key);
                format!("transaction on {}", quote(key))
            }
            Request::LeaseGrant { ttl, .. } => format!("grant a lease of {ttl} s"),
            Request::LeaseRevoke { id } => format!("revoke lease {id:x}"),
            Request::LeaseKeepAlive { id } => format!("keep lease {id:x} alive"),
            Request::Leader => "find the leader".into(),
        }
    }
}

/// A key for people: in quotes, escaped, cut when long.
pub fn quote(key: &[u8]) -> String {
    const SHOWN: usize = 80;
    let cut = if key.len() > SHOWN { "…" } else { "" };
    format!("\"{}{cut}\"", key[..key.len().min(SHOWN)].escape_ascii())
}

/// Reply to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The keys found.
    pub kvs: Vec<KeyValue>,
}

/// Reply to one operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpReply {
    /// Of a range.
    Range(RangeReply),
    /// Of a put.
    Put,
    /// Of a delete: how many keys went.
    Delete {
        /// Number of keys deleted.
        deleted: i64,
    },
}

/// Reply to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnReply {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One reply for each operation done.
    pub replies: Vec<OpReply>,
}

/// The content of a reply; its kind is that of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Of a range.
    Range(RangeReply),
    /// Of a put.
    Put,
    /// Of a delete.
    Delete {
        /// Number of keys deleted.
        deleted: i64,
    },
    /// Of a transaction.
    Txn(TxnReply),
    /// Of a lease's grant, keep-alive (0: the lease is gone) or revocation (0): its TTL in seconds.
    Lease {
        /// Seconds.
        ttl: i64,
    },
    /// The leader's name; `None` when the cluster has none at the moment.
    Leader(Option<String>),
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The store's revision when the request was done; 0 where the server does not say.
    pub revision: i64,
    /// The answer itself.
    pub body: Body,
}

/// Whether a key was written or went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Written.
    Put,
    /// Deleted, also by the end of its lease.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Written or deleted.
    pub kind: EventKind,
    /// The key after the change; of a deleted one, only key and `mod_revision`.
    pub kv: KeyValue,
}

/// Asks for the changes of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Which keys.
    pub range: KeyRange,
    /// First revision of interest; 0: from now on.
    pub start_revision: i64,
}

/// Changes in the order of their revisions; never a part of one revision only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchBatch {
    /// The store's revision when it was sent.
    pub revision: i64,
    /// The changes.
    pub events: Vec<Event>,
}

/// Takes a watch's batches in order, on any thread, until it answers `false` (enough) or gets an error,
/// which is the last item. It never blocks and never calls back into whoever calls it.
pub type WatchSink = Box<dyn FnMut(Result<WatchBatch>) -> bool + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_starts() {
        assert_eq!(KeyRange::prefix("a/").end, b"a0");
        assert_eq!(KeyRange::prefix([b'a', 0xff]).end, b"b");
        assert_eq!(KeyRange::prefix([0xff, 0xff]).end, [0]);
        assert_eq!(KeyRange::prefix(""), KeyRange { start: vec![0], end: vec![0] });
        assert!(KeyRange::prefix("a/").contains(b"a/\xff\xff"));
        assert!(!KeyRange::prefix("a/").contains(b"a"));
        assert!(KeyRange::prefix([0xff]).contains(&[0xff, 1]));
        assert!(!KeyRange::key("a").contains(b"a/"));
    }

    #[test]
    fn only_writes_are_harmful_to_repeat() {
        let read = Op::Range(RangeRequest::new(KeyRange::key("a")));
        let write = Op::Put(PutRequest { key: b"a".into(), value: vec![], lease: 0 });
        let txn = |op| Request::Txn(TxnRequest { otherwise: vec![op], ..Default::default() });
        assert_eq!(txn(read).repeat(), Repeat::Harmless);
        assert_eq!(txn(write).repeat(), Repeat::Harmful);
        assert_eq!(Request::LeaseGrant { id: 1, ttl: 2 }.repeat(), Repeat::Harmless);
    }
}
