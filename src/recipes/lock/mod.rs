//! Fair locks in etcd's own queue layout, so that they queue together with `etcdctl lock`, Go programs and others.
//!
//! A place in the queue of NAME is the key `NAME/` + the lease it was made with, in hex. The place with the
//! smallest creation revision holds the lock; that revision is its fencing token. Everybody else waits for
//! its predecessor alone, so that one release wakes one waiter.

mod acquire;
pub mod contender;

pub use self::acquire::{Waiting, acquire, leave};
use crate::client::{Client, Lease, lease};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
/// For the value of a place.
pub use crate::sys::who;
use crate::transport::Context;

/// A place in a lock's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lock's name.
    pub name: Vec<u8>,
    /// The key that is the place.
    pub key: Vec<u8>,
    /// The fencing token: the key's creation revision. It grows with every new holder.
    pub token: i64,
    /// The lease that keeps it.
    pub lease: Lease,
}

/// So much of a lease's id says that it serves a place of this lock alone. The rest has to differ for all who wait for it.
const OWN_BITS: u32 = 24;

/// The id of a new lease that is to serve nothing but a place in the queue of `name`, and may go with it.
pub(crate) fn own_lease(name: &[u8]) -> i64 {
    lease::id_serving(name, OWN_BITS)
}

/// Whether a lease is such a one. Others may serve more than this place.
pub(crate) fn is_own_lease(lease: i64, name: &[u8]) -> bool {
    lease::is_serving(lease, name, OWN_BITS)
}

/// The key that is the place of a lease.
fn place_key(name: &[u8], lease: i64) -> Vec<u8> {
    [name, format!("/{lease:x}").as_bytes()].concat()
}

/// Puts the key if it is not there, and tells which were the last ones before it; otherwise reads it.
fn queueing(name: &[u8], key: &[u8], lease: i64, value: &[u8]) -> TxnRequest {
    let put = PutRequest { lease, ..PutRequest::new(key, value) };
    TxnRequest {
        compares: vec![Compare::create_revision(key, 0)],
        then: vec![Op::Range(last_two(name)), Op::Put(put)],
        otherwise: vec![Op::Range(RangeRequest::new(KeyRange::key(key)))],
    }
}

/// What the answer to that says: the place's token, and the last ones before it, if that was told.
fn queued(revision: i64, reply: TxnReply) -> Result<(i64, Option<Vec<KeyValue>>)> {
    let succeeded = reply.succeeded;
    let found = reply.ranges().next().unwrap_or_default();
    match found.first() {
        _ if succeeded => Ok((revision, Some(found))),
        Some(own) => Ok((own.create_revision, None)),
        None => Err(Error::new(ErrorKind::Lost, "the place in the queue vanished")),
    }
}

/// The place is still that one: a key that somebody put without a lease is in the queue no more.
pub(crate) fn is_still(key: &[u8], token: i64) -> Vec<Compare> {
    vec![Compare::create_revision(key, token), Compare::has_lease(key)]
}

/// Deletes a place, if it is still that one; otherwise reads what is there.
fn releasing(key: &[u8], token: i64) -> TxnRequest {
    TxnRequest {
        compares: is_still(key, token),
        then: vec![Op::Delete(DeleteRequest::new(KeyRange::key(key)))],
        otherwise: vec![Op::Range(RangeRequest::attributes(key))],
    }
}

/// All keys below a lock's name, the one created last first, without their values.
fn newest_first(name: &[u8]) -> RangeRequest {
    RangeRequest {
        sort_by: SortBy::Create,
        descending: true,
        keys_only: true,
        ..RangeRequest::new(KeyRange::prefix([name, b"/"].concat()))
    }
}

/// The two of them created last, with their values. One alone is the first in the queue.
fn last_two(name: &[u8]) -> RangeRequest {
    RangeRequest { limit: 2, keys_only: false, ..newest_first(name) }
}

/// Whether a key below `NAME/` is a place in the queue: its last part is a lease's id as etcd writes it, and
/// it has a lease. Anything else there (data, a lock named `NAME/x`, a stray key) is not, and blocks nobody.
pub(crate) fn is_place(prefix: &[u8], kv: &KeyValue) -> bool {
    kv.lease != 0 && is_named_like_place(prefix, &kv.key)
}

/// Whether its name is that of a place, whatever it is.
pub(crate) fn is_named_like_place(prefix: &[u8], key: &[u8]) -> bool {
    let id = key.get(prefix.len()..).unwrap_or_default();
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (1..=16).contains(&id.len()) && id.iter().all(hex)
}

/// Gives up the place `key`, if it still is the one with this token: a later one of that name stays.
/// Tells whether it was there.
///
/// # Errors
/// As [`Client::call`].
pub fn release(client: &Client, context: &Context, key: &[u8], token: i64) -> Result<bool> {
    Ok(take_out(client, context, key, token)?.is_some())
}

/// The same, and tells the revision of that.
pub(super) fn take_out(client: &Client, context: &Context, key: &[u8], token: i64) -> Result<Option<i64>> {
    let request = Request::Txn(releasing(key, token));
    let (revision, reply) = client.txn_in(context, &request, Repeat::Harmless)?;
    Ok(reply.succeeded.then_some(revision))
}

/// Whether the place `key` is gone, if only for a moment: deleted, or put without a lease.
fn ends(batch: &WatchBatch, key: &[u8]) -> bool {
    batch.events.iter().any(|event| event.kv.key == key && event.kv.lease == 0)
}

#[cfg(test)]
mod tests;
