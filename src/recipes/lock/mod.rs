//! Fair locks in etcd's own queue layout, so that they queue together with `etcdctl lock`, Go programs and others.
//!
//! A place in the queue of NAME is the key `NAME/` + the lease it was made with, in hex. The place with the
//! smallest creation revision holds the lock; that revision is its fencing token. Everybody else waits for
//! its predecessor alone, so that one release wakes one waiter.

pub mod contender;
mod hold;
mod queue;

use std::time::Duration;

pub use self::hold::Hold;
use self::queue::{Limits, Waiter};
use crate::client::{Client, Lease};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::sys;
/// For the value of a place.
pub use crate::sys::who;
use crate::transport::{Context, WatchStream};
use crate::wait::{Cancel, Deadline, Mailbox};

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

/// Waits until the lock `name` is held, for as long as `deadline` and `cancel` allow; a deadline that has
/// passed already means to try once. `value` is information for people who look at the queue. On any error
/// the place is given up, which may take the request timeout more, whatever `deadline` and `cancel` say.
///
/// # Errors
/// `Timeout`, `Closed`; `Lost` when the place vanished while waiting (its lease was revoked, or somebody
/// took it out of the queue); what the servers say when it can't be queued at all.
pub fn acquire(
    client: &Client,
    name: &[u8],
    ttl: i64,
    value: &[u8],
    deadline: Deadline,
    cancel: &Cancel,
) -> Result<Place> {
    let during = |error: Error| error.during(format!("lock {}", quote(name)));
    let limits = Limits::new(deadline, cancel);
    let id = sys::random_id();
    let lease = client.grant_in(&limits.context(client), id, ttl).map_err(|error| {
        if error.outcome() == Outcome::Unknown {
            abandon(client, id);
        }
        during(error)
    })?;
    let (mut place, alone) =
        enqueue(client, &limits.context(client), name, lease, value).map_err(|error| {
            abandon(client, id);
            during(error)
        })?;
    let mut waiter = Waiter::new(client, &mut place, limits);
    let waited = if alone { Ok(()) } else { waiter.wait() };
    match waited.and_then(|()| waiter.start_ttl()) {
        Ok(()) => Ok(place),
        Err(error) => {
            let _ = leave(client, &place);
            Err(during(error))
        }
    }
}

/// Ends a lease whose grant, or whose place in the queue, failed. A place that reaches its server later than
/// this finds no lease and fails. Without an answer the lease ends by itself, which may be long after.
fn abandon(client: &Client, lease: i64) {
    // What was cut off in the middle may reach its server after a first attempt to undo it.
    for pause in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)] {
        std::thread::sleep(pause);
        let hasty = client.context_for(Deadline::after(Duration::from_secs(1)), Cancel::NEVER);
        match client.call_in(&hasty, &Request::LeaseRevoke { id: lease }, Repeat::Harmless) {
            Err(error) if error.kind() == ErrorKind::LeaseNotFound => {}
            _ => return,
        }
    }
}

/// Gives a place up and ends its lease. Tells whether it was there.
fn leave(client: &Client, place: &Place) -> Result<bool> {
    // A release without an answer must leave the other way time.
    let half = || client.context_for(Deadline::after(client.options().request_timeout / 2), Cancel::NEVER);
    let released = release(client, &half(), &place.key, place.token);
    let revoked = client.revoke_in(&half(), place.lease.id);
    match released {
        // Revoking is as good: the key goes with its lease.
        Err(error) => revoked.map(|()| true).map_err(|_| error),
        released => released,
    }
}

/// Takes a place at the end of the queue, and tells whether nothing at all was there before it, so that it
/// holds the lock. Sent twice, it finds the place of the first time.
fn enqueue(
    client: &Client,
    context: &Context,
    name: &[u8],
    lease: Lease,
    value: &[u8],
) -> Result<(Place, bool)> {
    let key = place_key(name, lease.id);
    let request = Request::Txn(queueing(name, &key, lease.id, value));
    let (revision, reply) = client.txn_in(context, &request, Repeat::Harmless)?;
    let (token, alone) = queued(revision, reply)?;
    Ok((Place { name: name.into(), key, token, lease }, alone))
}

/// The key that is the place of a lease.
fn place_key(name: &[u8], lease: i64) -> Vec<u8> {
    [name, format!("/{lease:x}").as_bytes()].concat()
}

/// Puts the key if it is not there, and tells what was the last one before it; otherwise reads it.
fn queueing(name: &[u8], key: &[u8], lease: i64, value: &[u8]) -> TxnRequest {
    let put = PutRequest { lease, ..PutRequest::new(key, value) };
    TxnRequest {
        compares: vec![Compare::create_revision(key, 0)],
        then: vec![Op::Range(RangeRequest { limit: 1, ..newest_first(name) }), Op::Put(put)],
        otherwise: vec![Op::Range(RangeRequest::new(KeyRange::key(key)))],
    }
}

/// What the answer to that says: the place's token, and whether nothing at all was there before it.
fn queued(revision: i64, reply: TxnReply) -> Result<(i64, bool)> {
    let found = match reply.replies.into_iter().next() {
        Some(OpReply::Range(mut found)) => found.kvs.pop(),
        _ => None,
    };
    match found {
        before if reply.succeeded => Ok((revision, before.is_none())),
        Some(own) => Ok((own.create_revision, false)),
        None => Err(Error::new(ErrorKind::Lost, "the place in the queue vanished")),
    }
}

/// Deletes a place, if it is still that one.
fn releasing(key: &[u8], token: i64) -> TxnRequest {
    TxnRequest {
        compares: vec![Compare::create_revision(key, token)],
        then: vec![Op::Delete(DeleteRequest::new(KeyRange::key(key)))],
        otherwise: vec![],
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

/// The place with this token, whoever took it.
///
/// # Errors
/// As [`Client::call`].
pub fn find(client: &Client, context: &Context, name: &[u8], token: i64) -> Result<Option<KeyValue>> {
    if token <= 0 {
        // To a server these mean "whenever": some place would be found, and it would be somebody else's.
        return Ok(None);
    }
    let prefix = [name, b"/"].concat();
    let made_then = RangeRequest {
        min_create_revision: token,
        max_create_revision: token,
        ..RangeRequest::new(KeyRange::prefix(prefix.clone()))
    };
    let (_, found) = client.range_in(context, made_then)?;
    Ok(found.kvs.into_iter().find(|kv| is_place(&prefix, kv)))
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

/// Watches one key from behind a revision; what it sees goes to `wakes`, made an item by `wake`. `None` when
/// no server could open it now.
fn watch_key<T: Send + 'static>(
    client: &Client,
    context: &Context,
    key: &[u8],
    revision: i64,
    wakes: &Mailbox<T>,
    wake: fn(Result<WatchBatch>) -> T,
) -> Option<WatchStream> {
    let request = WatchRequest::new(KeyRange::key(key), revision.saturating_add(1));
    let sink = || -> WatchSink {
        let wakes = wakes.clone();
        Box::new(move |item| {
            wakes.push(wake(item));
            true
        })
    };
    client.open_watch(context, &request, sink).ok().map(|(stream, _)| stream)
}

fn deletes(batch: &WatchBatch, key: &[u8]) -> bool {
    batch.events.iter().any(|event| event.kind == EventKind::Delete && event.kv.key == key)
}

#[cfg(test)]
mod tests;
