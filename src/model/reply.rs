//! What a server answers.

use super::{Alarm, KeyValue};
use crate::options::Secret;

/// Reply to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The keys found.
    pub kvs: Vec<KeyValue>,
    /// There are more behind the limit.
    pub more: bool,
    /// How many keys are in the range, whatever the limit; bounds on revisions don't count.
    pub count: i64,
}

/// Reply to a delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteReply {
    /// How many keys went.
    pub deleted: i64,
    /// What they were, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// Reply to one operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpReply {
    /// Of a range.
    Range(RangeReply),
    /// Of a put: what was there before, if asked for.
    Put(Option<KeyValue>),
    /// Of a delete.
    Delete(DeleteReply),
    /// Of a transaction within.
    Txn(TxnReply),
}

/// Reply to a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxnReply {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One reply for each operation done.
    pub replies: Vec<OpReply>,
}

impl TxnReply {
    /// The keys that each of its operations has read; none for one that is no read.
    pub fn ranges(self) -> impl DoubleEndedIterator<Item = Vec<KeyValue>> {
        self.replies.into_iter().map(|reply| match reply {
            OpReply::Range(range) => range.kvs,
            _ => Vec::new(),
        })
    }
}

/// How long a lease still lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseReply {
    /// Whole seconds left; -1 when there is no such lease.
    pub ttl: i64,
    /// The seconds that it was granted for.
    pub granted_ttl: i64,
    /// The keys attached to it, if asked for, in their order.
    pub keys: Vec<Vec<u8>>,
}

/// A member of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// It gets all data but has no vote yet.
    pub is_learner: bool,
}

/// How a member is. What an older server does not tell is 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// Bytes of the database.
    pub db_size: i64,
    /// Bytes of it that hold data.
    pub db_size_in_use: i64,
    /// The leader's id; 0 while there is none.
    pub leader: u64,
    /// The last entry of its log.
    pub raft_index: u64,
    /// The last entry that it has applied.
    pub raft_applied_index: u64,
    /// The number of the leader's term.
    pub raft_term: u64,
    /// It has no vote yet.
    pub is_learner: bool,
    /// What is wrong with it.
    pub errors: Vec<String>,
}

/// The content of a reply; its kind is that of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Of a range.
    Range(RangeReply),
    /// Of a put: what was there before, if asked for.
    Put(Option<KeyValue>),
    /// Of a delete.
    Delete(DeleteReply),
    /// Of a transaction.
    Txn(TxnReply),
    /// Of a compaction.
    Compact,
    /// Of a hash.
    HashKv {
        /// Equal on members that hold the same.
        hash: u32,
        /// From where on history counts.
        compact_revision: i64,
    },
    /// Of a lease's grant or keep-alive.
    Lease {
        /// The lease.
        id: i64,
        /// Its TTL in seconds; 0 after a keep-alive: the lease is gone.
        ttl: i64,
    },
    /// Of a lease's end.
    LeaseRevoke,
    /// Of a look at a lease.
    LeaseTimeToLive(LeaseReply),
    /// The ids of all leases.
    Leases(Vec<i64>),
    /// The members.
    Members(Vec<Member>),
    /// How a member is.
    Status(Status),
    /// The alarms asked for, raised or taken back.
    Alarms(Vec<Alarm>),
    /// A token.
    Token(Secret),
}

/// Who answered, and when in the store's history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster's id; 0 where the server does not say.
    pub cluster_id: u64,
    /// The member's id.
    pub member_id: u64,
    /// The store's revision when the request was done; 0 where the server does not say.
    pub revision: i64,
    /// The number of the leader's term.
    pub raft_term: u64,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Who answered, and when.
    pub header: Header,
    /// The answer itself.
    pub body: Body,
}

impl Reply {
    /// One that has these keys.
    pub fn of_range(revision: i64, kvs: Vec<KeyValue>) -> Self {
        let header = Header { revision, ..Header::default() };
        let count = kvs.len() as i64;
        Reply { header, body: Body::Range(RangeReply { kvs, more: false, count }) }
    }

    /// One about a lease.
    pub fn of_lease(id: i64, ttl: i64) -> Self {
        Reply { header: Header::default(), body: Body::Lease { id, ttl } }
    }
}
